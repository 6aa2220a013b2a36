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
from emdpo.ui.results import folded_table
from emdpo.ui.run_jobs import QUIET, JobControls, job_buttons, job_controls
from emdpo.ui.session import Session
from emdpo.ui.workplace import Workplace

INTRODUCTION = (
    "### Does it predict rankings nobody fitted?\n"
    "Regret is judged by the fitted models themselves. Here every policy is judged by rankings "
    "that were kept from it: types, pooled model and rules are fitted anew without them, and asked."
)


@dataclass(frozen=True)
class EvidencePart:
    """The components of this part."""

    controls: JobControls
    way: gr.Radio
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
    def shown(self) -> list[Any]:
        """What `evidence_events.show` writes."""
        figures = [self.prediction, self.reliability, self.posterior]
        choices = [self.attribute, self.measure]
        return [self.way, self.contents, self.words, *choices, *figures, self.table, self.groups]


def build(place: Workplace, session: Session) -> None:
    """Lay the part out and connect it."""
    part = _lay_out()
    run_id = session.run_id
    show: dict[str, Any] = {
        "fn": partial(events.show, place),
        "inputs": run_id,
        "outputs": part.shown,
        **QUIET,
    }
    events.TEST.connect(place, run_id, part.controls, part.way, session.milestone.change, show)
    gr.on(
        [part.attribute.input, part.measure.input],
        partial(events.show_choice, place),
        [run_id, part.attribute, part.measure],
        [part.prediction, part.groups],
        **QUIET,
    )


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
        buttons = job_buttons("Test it", "evidence")
    controls = job_controls(*buttons, "evidence")
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
        table = folded_table("Table: every policy, everybody")
        groups = folded_table("Table: every policy by group")
    figures = (prediction, reliability, posterior)
    return EvidencePart(controls, way, contents, words, attribute, measure, *figures, table, groups)
