"""Tab 2, Fit: the layout, and which event calls what. The handlers are in `fit_events`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from emdpo.ui import fit_events as events
from emdpo.ui.downloads import write_on_press
from emdpo.ui.fit_form import FitForm, fit_form
from emdpo.ui.fit_view import HISTORY_COLUMNS, state_html
from emdpo.ui.markup import line
from emdpo.ui.session import Session
from emdpo.ui.workplace import Workplace

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}

ONE_BY_ONE: dict[str, Any] = {**QUIET, "concurrency_id": "watch", "concurrency_limit": 1}
"""Looks at jobs follow one another, so that what an earlier one saw is never shown after it."""


@dataclass(frozen=True)
class FitTab:
    """The components of this tab."""

    form: FitForm
    note: gr.HTML
    demo: gr.Button
    start: gr.Button
    stop: gr.Button
    resume: gr.Button
    state: gr.HTML
    trace: gr.Plot
    weights: gr.Plot
    rounds: gr.Plot
    config: gr.HTML
    certainty: gr.HTML
    selection_figure: gr.Plot
    selection_table: gr.Dataframe
    history: gr.Dataframe
    runs: gr.Dropdown
    bundle: gr.Button
    bundle_note: gr.HTML
    upload: gr.UploadButton

    @property
    def watched(self) -> list[Any]:
        """What `fit_events.watch` writes after the session's part, in its order."""
        run = [self.state, self.trace, self.weights, self.config, self.rounds]
        buttons = [self.stop, self.resume]
        choice = [
            self.form.suggestion,
            self.selection_figure,
            self.selection_table,
            self.form.n_types,
        ]
        return [*run, *buttons, *choice, self.form.estimation]


def build(place: Workplace, session: Session) -> FitTab:
    """Lay the tab out and connect it."""
    tab = _lay_out()
    _connect(place, session, tab)
    return tab


def _lay_out() -> FitTab:
    note = gr.HTML(line("No data yet: load them in 1 Data, or press Load the demo.", "warning"))
    demo = gr.Button("Load the demo", size="sm", elem_classes="narrow")
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            form = fit_form()
            with gr.Row():
                start = gr.Button(
                    "Start the fit",
                    variant="primary",
                    interactive=False,
                    elem_id="start",
                    min_width=140,
                )
                stop = gr.Button(
                    "Stop", variant="stop", interactive=False, elem_id="stop", min_width=100
                )
                resume = gr.Button("Go on", visible=False, min_width=100)
        with gr.Column(scale=2, min_width=320):
            state = gr.HTML(state_html(None), elem_id="run-state")
            certainty = gr.HTML(elem_id="certainty")
            with gr.Row(equal_height=False):
                trace = gr.Plot(
                    label="Log-likelihood", show_label=False, visible=False, min_width=280
                )
                rounds = gr.Plot(
                    label="Held-out rankings", show_label=False, visible=False, min_width=280
                )
            weights = gr.Plot(label="Weights", show_label=False, visible=False)
            config = gr.HTML()
    with gr.Row(equal_height=False):
        figure = gr.Plot(label="How many types?", show_label=False, visible=False)
        table = gr.Dataframe(
            label="Each number of types tried",
            interactive=False,
            datatype="str",
            wrap=True,
            visible=False,
        )
    buttons = (start, stop, resume)
    shown = (state, trace, weights, rounds, config, certainty)
    return FitTab(form, note, demo, *buttons, *shown, figure, table, *_runs())


def _runs() -> tuple[gr.Dataframe, gr.Dropdown, gr.Button, gr.HTML, gr.UploadButton]:
    with gr.Accordion("Runs of this browser: open, download, bring back", open=False):
        runs = gr.Dropdown(
            choices=[],
            label="Open a run",
            info="Runs started or brought back in this browser; the newest is first.",
        )
        history = gr.Dataframe(
            headers=HISTORY_COLUMNS,
            label="Runs of this browser",
            interactive=False,
            datatype="str",
            wrap=True,
        )
        gr.Markdown(
            "This server may be replaced at any time: the download is the lasting copy of a run. "
            "Bring it back here, or open it with the library."
        )
        with gr.Row():
            bundle = gr.Button("Download this run (zip)", interactive=False, size="sm")
            upload = gr.UploadButton("Bring a run back (zip)", file_types=[".zip"], size="sm")
        bundle_note = gr.HTML(visible=False)
    return history, runs, bundle, bundle_note, upload


def _connect(place: Workplace, session: Session, tab: FitTab) -> None:
    data_id, run_id, choice_id = session.data_id, session.run_id, session.choice_id
    jobs = [run_id, choice_id, session.estimate_id]
    settings = [data_id, *tab.form.inputs]
    watching = partial(events.watch, place)
    look: dict[str, Any] = {
        "fn": partial(watching, None),
        "inputs": jobs,
        "outputs": [*session.watched, *tab.watched],
        **ONE_BY_ONE,
    }
    tab.start.click(partial(events.start_fit, place), settings, [run_id, tab.note], **PRIVATE)
    tab.form.suggest.click(
        partial(events.start_selection, place),
        settings,
        [choice_id, tab.form.suggestion],
        **PRIVATE,
    )
    tab.form.estimate.click(
        partial(events.start_estimate, place),
        settings,
        [session.estimate_id, tab.form.estimation],
        **PRIVATE,
    )
    tab.stop.click(partial(events.stop, place), jobs, tab.note, **PRIVATE).then(**look)
    tab.resume.click(partial(events.resume, place), run_id, tab.note, **PRIVATE).then(**look)
    gr.on([job.change for job in jobs], **look)
    session.clock.tick(
        watching,
        [session.seen, *jobs],
        [*session.watched, *tab.watched],
        trigger_mode="once",
        **ONE_BY_ONE,
    )
    tab.runs.input(lambda chosen: chosen or "", tab.runs, run_id, **PRIVATE)
    tab.upload.upload(partial(events.open_bundle, place), tab.upload, [run_id, tab.note], **PRIVATE)
    session.milestone.change(partial(events.allow_bundle, place), run_id, tab.bundle, **QUIET)
    write_on_press(tab.bundle, place.bundle, [run_id], tab.bundle_note)
    session.milestone.change(partial(events.certainty, place), run_id, tab.certainty, **QUIET)
    data_id.change(
        partial(events.allow_start, place),
        data_id,
        [tab.note, tab.demo, tab.start, tab.form.suggest, tab.form.estimate],
        **QUIET,
    )
    gr.on(
        [session.mine.change, session.milestone.change],
        partial(events.show_history, place),
        [session.mine, run_id],
        [tab.history, tab.runs],
        **QUIET,
    )
