"""What the tabs that show a finished run have in common: the line that says what is missing."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emdpo.demo import DEMO_TYPES
from emdpo.fitting import FitConfig
from emdpo.ui.faults import one_line
from emdpo.ui.fit_events import status_or_none
from emdpo.ui.fit_form import RESTARTS
from emdpo.ui.markup import line
from emdpo.ui.workplace import Workplace

RUN_THE_DEMO = "Fit the demo"


def missing(place: Workplace, run_id: str) -> str:
    """Return one line about why there is nothing to show yet; empty where there is."""
    run = status_or_none(place, run_id)
    if run is None:
        return f"No fitted run yet: start one in 2 Fit, or press {RUN_THE_DEMO}."
    if run.has_result:
        return ""
    if run.state.is_active:
        return "The fit is under way: this tab fills by itself when it is done."
    return f"The run ended without a result ({run.message}): start another in 2 Fit."


def missing_part() -> tuple[gr.HTML, gr.Button]:
    """Lay out the line and the offer of the demo."""
    note = gr.HTML(line(f"No fitted run yet: start one in 2 Fit, or press {RUN_THE_DEMO}."))
    return note, gr.Button(RUN_THE_DEMO, size="sm", elem_classes="narrow")


def note_html(message: str, kind: str = "note") -> gr.HTML:
    """Return the line of a tab; without a message it takes no room."""
    return gr.HTML(line(message, kind), visible=bool(message))


def missing_view(message: str) -> list[Any]:
    """Return updates of note, offer and contents for a tab without its run."""
    waits = message.startswith("The fit is under way")
    return [note_html(message), gr.Button(visible=not waits), gr.Column(visible=False)]


def present_view() -> list[Any]:
    """Return updates of note, offer and contents for a tab with its run."""
    return [note_html(""), gr.Button(visible=False), gr.Column(visible=True)]


def folded_table(title: str) -> gr.Dataframe:
    """Lay out a table that the reader may open."""
    with gr.Accordion(title, open=False):
        return gr.Dataframe(
            label=title, show_label=False, interactive=False, datatype="str", wrap=True
        )


def fit_demo(place: Workplace) -> tuple[Any, Any, gr.HTML]:
    """Load the demo and start a quick fit: id of the data, id of the run, one line."""
    try:
        data_id = place.add_demo()
        config = FitConfig(n_types=DEMO_TYPES, restarts=RESTARTS["quick"])
        run_id = place.jobs.start_fit(place.data(data_id).job_input, config)
    except Exception as error:  # noqa: BLE001 - shown as one line
        return gr.skip(), gr.skip(), note_html(one_line(error), "error")
    return data_id, run_id, note_html("The demo is being fitted: a few seconds.")
