"""What the events of the comparison of two runs do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from emdpo.core.errors import RunError
from emdpo.jobs.folder import ESTIMATE, SELECTION, is_id
from emdpo.ui import compare_view as view
from emdpo.ui.faults import one_line
from emdpo.ui.fit_events import status_or_none
from emdpo.ui.fit_view import history_choices
from emdpo.ui.results import note_html
from emdpo.ui.session import with_run
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.jobs import JobStatus
    from emdpo.run_comparison import RunComparison

COMPARING = "Comparing: a second or two, more with thousands of users ..."

N_FIXED, N_CHOSEN = 6, 4
"""Components that the runs decide, and those that kind and judge decide, too."""


def offer(place: Workplace, mine: Any, run_id: str, other: str | None) -> list[Any]:
    """Return the finished runs of this browser but this one; what compared with it is kept."""
    runs = _runs_of(place, mine, run_id)
    kept = other if any(run.job_id == other for run in runs) else None
    hidden = gr.skip() if kept else gr.Column(visible=False)
    return [gr.Dropdown(choices=history_choices(runs), value=kept), hidden]


def _runs_of(place: Workplace, mine: Any, run_id: str) -> list[JobStatus]:
    ids = mine.get("runs") if isinstance(mine, dict) else None
    known = [job for job in ids if is_id(job)] if isinstance(ids, list) else []
    found = [status_or_none(place, job) for job in known if job != run_id]
    kinds = (SELECTION, ESTIMATE)
    return [run for run in found if run is not None and run.has_result and run.kind not in kinds]


def wait(other: str | None) -> list[Any]:
    """Say that the comparison is being made."""
    return [note_html(COMPARING if other else ""), gr.Column(visible=False)]


def take_in(place: Workplace, path: str, mine: Any, run_id: str) -> list[Any]:
    """Take in a run that comes as a zip file, and choose it; this browser knows it from now on."""
    try:
        other = place.add_bundle(Path(path), Path(path).name)
    except Exception as error:  # noqa: BLE001 - shown as one line
        return [gr.Dropdown(value=None), gr.skip(), note_html(one_line(error), "error")]
    known = with_run(mine, other)
    choices = history_choices(_runs_of(place, known, run_id))
    return [gr.Dropdown(choices=choices, value=other), known, note_html(COMPARING)]


def show(place: Workplace, run_id: str, other: str | None, kind: str, judge: str) -> list[Any]:
    """Return both runs side by side, or why they cannot be compared."""
    nothing = [gr.skip()] * (N_FIXED + N_CHOSEN)
    if not other:
        return [gr.skip(), gr.Column(visible=False), *nothing]
    try:
        found = comparison(place, run_id, other)
        names = place.status(run_id).name, place.status(other).name
        shown = [*view.fixed_parts(found, names), _download(place, run_id, other, found)]
        return [note_html(""), gr.Column(visible=True), *shown, *view.chosen(found, kind, judge)]
    except Exception as error:  # noqa: BLE001 - shown as one line
        return [note_html(one_line(error), "error"), gr.Column(visible=False), *nothing]


def show_choice(
    place: Workplace, run_id: str, other: str | None, kind: str, judge: str
) -> list[Any]:
    """Return regrets of the chosen kind, as the chosen types judge them."""
    if not other:
        return [gr.skip()] * (1 + N_CHOSEN)
    try:
        return [note_html(""), *view.chosen(comparison(place, run_id, other), kind, judge)]
    except Exception as error:  # noqa: BLE001 - shown as one line
        return [note_html(one_line(error), "error"), *[gr.skip()] * N_CHOSEN]


def comparison(place: Workplace, run_id: str, other: str) -> RunComparison:
    """Return the comparison of two runs, made once.

    Raises
    ------
    EmdpoError
        A run that is gone or has no result, or runs without a user in common.
    """
    from emdpo.comparing import compare_runs

    for run in (run_id, other):
        status = status_or_none(place, run)
        if status is None or not status.has_result:
            raise RunError("one of the two runs is gone: open it again in 2 Fit")
    key = ("comparison", other, place.version(other))
    return place.derived(run_id, key, lambda fit: compare_runs(fit, place.fit(other)))


def _download(place: Workplace, run_id: str, other: str, found: RunComparison) -> gr.DownloadButton:
    path = place.downloads(run_id) / f"comparison-{other[:6]}.json"
    path.write_text(found.to_json(), "utf-8", "replace")
    return gr.DownloadButton(value=str(path), interactive=True)
