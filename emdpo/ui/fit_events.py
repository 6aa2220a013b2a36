"""What the events of the Fit tab do; each reads ids, calls the library and returns what to show."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import gradio as gr

from emdpo.core.errors import EmdpoError, RunError
from emdpo.jobs import JobState, JobStatus
from emdpo.jobs.folder import SELECTION
from emdpo.ui import fit_view
from emdpo.ui.datasets import DataSet
from emdpo.ui.faults import one_line
from emdpo.ui.fit_form import config_of
from emdpo.ui.markup import line
from emdpo.ui.workplace import Workplace

LARGEST_SUGGESTED = 6
"""Numbers of types that a suggestion tries: 1 to this."""


def usable(place: Workplace, data_id: str) -> DataSet:
    """Return the loaded data; EmdpoError saying what is missing otherwise."""
    if not data_id:
        raise EmdpoError("no data yet: load them in 1 Data, or load the demo")
    data = place.data(data_id)
    if data.rankings is None:
        raise EmdpoError(f"the data cannot be used yet: {data.report.errors[0]}")
    return data


def new_fit(place: Workplace, data_id: str, *settings: Any) -> str:
    """Queue a fit with the form's settings and return its run id."""
    *numbers, force = settings
    config = config_of(*numbers)
    data = usable(place, data_id)
    assert data.rankings is not None  # noqa: S101 - `usable` saw to it
    return place.jobs.start_fit(data.job_input, config, force=bool(force))


def new_selection(place: Workplace, data_id: str, *settings: Any) -> str:
    """Queue a choice of the number of types and return its job id."""
    *numbers, force = settings
    config = config_of(*numbers[:7])  # whatever the policy: it is chosen by log-linear fits
    return place.jobs.start_selection(
        usable(place, data_id).job_input,
        largest=LARGEST_SUGGESTED,
        features=config.features,
        l2=config.l2,
        restarts=config.restarts,
        seed=config.seed,
        force=bool(force),
    )


def new_estimate(place: Workplace, data_id: str, *settings: Any) -> str:
    """Queue an estimate of what this fit would take and return its job id."""
    return place.jobs.start_estimate(usable(place, data_id).job_input, config_of(*settings[:-1]))


def start_fit(place: Workplace, data_id: str, *settings: Any) -> tuple[Any, str]:
    """Start a fit: its run id, and one line."""
    return _told(lambda: new_fit(place, data_id, *settings), "Started: you may leave this page.")


def start_selection(place: Workplace, data_id: str, *settings: Any) -> tuple[Any, str]:
    """Start a choice of the number of types: its job id, and one line."""
    return _told(lambda: new_selection(place, data_id, *settings), "Trying 1 to 6 types ...")


def start_estimate(place: Workplace, data_id: str, *settings: Any) -> tuple[Any, str]:
    """Start an estimate: its job id, and one line."""
    words = "Trying a few steps on this machine: half a minute or so ..."
    return _told(lambda: new_estimate(place, data_id, *settings), words)


def open_bundle(place: Workplace, path: str) -> tuple[Any, str]:
    """Take a downloaded run back in: its new id, and one line."""
    return _told(lambda: place.add_bundle(Path(path), Path(path).name), "The run is back.")


def _told(make_id: Callable[[], str], success: str) -> tuple[Any, str]:
    try:
        return make_id(), line(success, "good")
    except Exception as error:  # noqa: BLE001 - shown as one line
        return gr.skip(), line(one_line(error), "error")


def stop(place: Workplace, *job_ids: str) -> str:
    """Stop what runs of these jobs, and say so."""
    return _done(lambda: [place.jobs.stop(job) for job in job_ids if job], "Stopping.")


def resume(place: Workplace, run_id: str) -> str:
    """Let an interrupted fit go on, and say so."""
    return _done(lambda: place.jobs.resume(run_id), "It goes on where it was.")


def _done(act: Callable[[], Any], success: str) -> str:
    try:
        act()
    except Exception as error:  # noqa: BLE001 - shown as one line
        return line(one_line(error), "error")
    return line(success, "good")


def status_or_none(place: Workplace, job_id: str) -> JobStatus | None:
    """Return where a job stands; None where there is none of that id."""
    try:
        return place.status(job_id) if job_id else None
    except RunError:
        return None


def watch(
    place: Workplace, seen: list[Any] | None, run_id: str, choice_id: str, estimate_id: str = ""
) -> list[Any]:
    """Return what is to be shown of run, choice of K and estimate; skips what has not changed.

    The order is that of `Session.watched`, then `FitTab.watched`.
    """
    run, choice = status_or_none(place, run_id), status_or_none(place, choice_id)
    estimate = status_or_none(place, estimate_id)
    now = [_version(run), _version(choice), _version(estimate)]
    before = seen or [None] * 3
    active = any(job is not None and job.state.is_active for job in (run, choice, estimate))
    milestone = f"{run_id} {run.state if run else ''} {bool(run and run.has_result)}"
    return [
        now,
        milestone,
        gr.Timer(active=active),
        fit_view.state_html(run),
        *(_run_view(run) if now[0] != before[0] else [gr.skip()] * 4),
        *_buttons(run, choice, estimate),
        *(_choice_view(place, choice) if now[1] != before[1] else [gr.skip()] * 4),
        gr.skip() if estimate is None else fit_view.estimate_html(place, estimate),
    ]


def _version(job: JobStatus | None) -> list[Any] | None:
    if job is None:
        return None
    progress = job.progress
    told = [len(progress.iterations), len(progress.rounds), list(progress.steps or ())]
    return [job.job_id, job.state.value, *told]


def _run_view(run: JobStatus | None) -> list[Any]:
    """Return the live figures and the run's own settings: trace, weights, settings, rounds."""
    from emdpo.plots import rounds_figure, trace_figure, weights_figure

    hidden, config = gr.Plot(value=None, visible=False), fit_view.config_html(run)
    if run is None or not run.progress.iterations:
        return [hidden, hidden, config, hidden]
    trace, rounds, step = run.progress.trace_table(), run.progress.rounds, "iteration"
    if rounds:  # of the adapters: the starts before them are over
        step = "round"
        trace = trace.query("restart == restart.max()")
    return [
        gr.Plot(value=trace_figure(trace, step), visible=True),
        gr.Plot(value=weights_figure(trace, step=step), visible=True),
        config,
        gr.Plot(value=rounds_figure(rounds), visible=True) if rounds else hidden,
    ]


def _buttons(run: JobStatus | None, *others: JobStatus | None) -> list[Any]:
    stoppable = (JobState.QUEUED, JobState.RUNNING)
    can_stop = any(job is not None and job.state in stoppable for job in (run, *others))
    return [
        gr.Button(interactive=can_stop),
        gr.Button(visible=run is not None and run.can_resume),
    ]


def _choice_view(place: Workplace, choice: JobStatus | None) -> list[Any]:
    """Return state, figure, table and the suggested number of types."""
    from emdpo.plots import selection_figure

    if choice is None:
        return ["", gr.Plot(visible=False), gr.Dataframe(visible=False), gr.skip()]
    if not choice.has_result:
        hidden = [gr.Plot(visible=False), gr.Dataframe(visible=False)]
        return [fit_view.state_html(choice), *hidden, gr.skip()]
    selection = place.selection(choice.job_id)
    return [
        line(f"Suggested: {selection.n_types} types. {selection.reason}", "good"),
        gr.Plot(value=selection_figure(selection), visible=True),
        gr.Dataframe(value=fit_view.selection_rows(selection), visible=True),
        selection.n_types,
    ]


def allow_start(place: Workplace, data_id: str) -> list[Any]:
    """Return the line about the data, and whether a fit, a choice, an estimate can start."""
    try:
        data = usable(place, data_id)
        note, good = line(f"Data: {data.name}."), True
    except EmdpoError as error:
        note, good = line(one_line(error), "warning"), False
    return [
        note,
        gr.Button(visible=not good),
        *[gr.Button(interactive=good)] * 3,
    ]


def allow_bundle(place: Workplace, run_id: str) -> gr.Button:
    """Return whether there is a run to download: one that has a result."""
    run = status_or_none(place, run_id)
    return gr.Button(interactive=bool(run and run.has_result and run.kind != SELECTION))


def certainty(place: Workplace, run_id: str) -> str:
    """Return how sure a finished fit is of its types; nothing before."""
    run = status_or_none(place, run_id)
    if run is None or not run.has_result or run.kind == SELECTION:
        return ""
    try:
        return fit_view.certainty_html(place.fit(run_id))
    except Exception as error:  # noqa: BLE001 - shown as one line
        return line(one_line(error), "error")


def show_history(place: Workplace, mine: dict[str, Any], run_id: str) -> list[Any]:
    """Return the runs that this browser knows, as a table and as choices."""
    ids = mine.get("runs", []) if isinstance(mine, dict) else []
    found = [status_or_none(place, job_id) for job_id in ids]
    runs = [run for run in found if run is not None and run.kind != SELECTION]
    choices = fit_view.history_choices(runs)
    known = any(run.job_id == run_id for run in runs)
    rows = fit_view.history_rows(runs)
    return [rows, gr.Dropdown(choices=choices, value=run_id if known else None)]
