"""The part of the Audit tab on rankings that nobody fitted: its layout, and which event calls what.

What the events do is `evidence_events`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from emdpo.evidence_words import BETTER, MEASURE_LABELS
from emdpo.ui import evidence_events as events
from emdpo.ui.session import Session
from emdpo.ui.workplace import Workplace

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}

INTRODUCTION = (
    "### Does it predict rankings nobody fitted?\n"
    "Regret is judged by the fitted models themselves. Here every policy is judged by rankings "
    "that were kept from it: types, pooled model and rules are fitted anew without them, and asked."
)


@dataclass(frozen=True)
class EvidencePart:
    """The components of this part."""

    job_id: gr.State
    clock: gr.Timer
    """Ticks only while a test is under way."""
    way: gr.Radio
    start: gr.Button
    stop: gr.Button
    note: gr.HTML
    contents: gr.Column
    words: gr.HTML
    attribute: gr.Dropdown
    measure: gr.Radio
    prediction: gr.Plot
    reliability: gr.Plot
    posterior: gr.Plot
    table: gr.Dataframe
    groups: gr.Dataframe

    @property
    def watched(self) -> list[Any]:
        """What `evidence_events.watch` writes."""
        return [self.job_id, self.clock, self.note, self.start, self.stop]

    @property
    def shown(self) -> list[Any]:
        """What `evidence_events.show` writes."""
        figures = [self.prediction, self.reliability, self.posterior]
        choices = [self.attribute, self.measure]
        return [self.way, self.contents, self.words, *choices, *figures, self.table, self.groups]


def build(place: Workplace, session: Session) -> EvidencePart:
    """Lay the part out and connect it."""
    part = _lay_out()
    run_id = session.run_id
    look: dict[str, Any] = {
        "fn": partial(events.watch, place),
        "inputs": [run_id, part.job_id],
        "outputs": part.watched,
        **QUIET,
    }
    show: dict[str, Any] = {
        "fn": partial(events.show, place),
        "inputs": run_id,
        "outputs": part.shown,
        **QUIET,
    }
    session.milestone.change(partial(events.attach, place), run_id, part.watched, **QUIET).then(
        **show
    )
    part.start.click(partial(events.start, place), [run_id, part.way], part.watched, **PRIVATE)
    part.stop.click(partial(events.stop, place), part.job_id, part.note, **PRIVATE).then(**look)
    part.clock.tick(**look, trigger_mode="once")
    part.job_id.change(**show)
    gr.on(
        [part.attribute.input, part.measure.input],
        partial(events.show_choice, place),
        [run_id, part.attribute, part.measure],
        [part.prediction, part.groups],
        **QUIET,
    )
    return part


def _lay_out() -> EvidencePart:
    gr.Markdown(INTRODUCTION)
    with gr.Row(equal_height=True):
        way = gr.Radio(
            list(events.WAYS),
            value=next(iter(events.WAYS)),
            label="What is held out",
            info="Candidates: for data with one ranking a user. A minute or so; you may leave.",
            scale=3,
            min_width=280,
            elem_id="evidence-way",
        )
        start = gr.Button("Test it", scale=1, min_width=120, elem_id="start-evidence")
        stop = gr.Button("Stop", variant="stop", interactive=False, scale=1, min_width=100)
    note = gr.HTML(elem_id="evidence-note")
    with gr.Column(visible=False) as contents:
        words = gr.HTML(elem_id="evidence-words")
        with gr.Row(equal_height=True):
            attribute = gr.Dropdown(
                choices=[], label="Groups", info="The column by which people are grouped."
            )
            measure = gr.Radio(
                list(events.MEASURES),
                value=next(iter(events.MEASURES)),
                label="Measure",
                info="; ".join(f"{label}: {BETTER[name]}" for name, label in MEASURE_LABELS.items())
                + ".",
                min_width=280,
            )
        prediction = gr.Plot(label="Who is predicted well", show_label=False, min_width=320)
        with gr.Row(equal_height=False):
            reliability = gr.Plot(label="Reliability", show_label=False, min_width=320)
            posterior = gr.Plot(label="Posteriors", show_label=False, min_width=320)
        table = _table("Table: every policy, everybody")
        groups = _table("Table: every policy by group")
    head = (gr.State(""), gr.Timer(1.0, active=False), way, start, stop, note, contents, words)
    return EvidencePart(
        *head, attribute, measure, prediction, reliability, posterior, table, groups
    )


def _table(title: str) -> gr.Dataframe:
    with gr.Accordion(title, open=False):
        return gr.Dataframe(
            label=title, show_label=False, interactive=False, datatype="str", wrap=True
        )
