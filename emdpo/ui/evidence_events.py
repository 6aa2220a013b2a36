"""What the events of the part on rankings that nobody fitted do, and what they show."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import gradio as gr
import pandas as pd

from emdpo.core.prediction import ACCURACY, LOG_LOSS, TAU
from emdpo.core.tested import CANDIDATES, RANKING, SPLIT, USER
from emdpo.evidence_words import (
    MEASURE_LABELS,
    evidence_findings,
    evidence_note,
    evidence_rows,
)
from emdpo.jobs import JobState
from emdpo.ui import fit_view
from emdpo.ui.faults import one_line
from emdpo.ui.fit_events import status_or_none
from emdpo.ui.markup import line, listing, text
from emdpo.ui.results import missing
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emdpo.core.tested import Evidence
    from emdpo.fitting import Fit

WAYS = {
    "Rankings": RANKING,
    "Users": USER,
    "Candidates": CANDIDATES,
    "What the file held out": SPLIT,
}
"""What can be held out, by the name that people read."""

MEASURES = {
    "Log-loss against pooled DPO": (LOG_LOSS, True),
    "Log-loss": (LOG_LOSS, False),
    "Top choice right": (ACCURACY, False),
    "Kendall's tau-b": (TAU, False),
}
"""Measures, and whether the difference from pooled DPO is drawn, by the name that people read."""

FIRST = next(iter(MEASURES))

NOT_TESTED = "Not tested yet: choose what is held out, and press Test it."


def start(place: Workplace, run_id: str, way: str) -> list[Any]:
    """Start a test of the run, or find the one that is under way; updates of `watched`."""
    try:
        if message := missing(place, run_id):
            return [gr.skip(), gr.skip(), line(message, "warning"), gr.skip(), gr.skip()]
        job_id = place.jobs.start_evidence(run_id, WAYS.get(way, RANKING))
    except Exception as error:  # noqa: BLE001 - shown as one line
        return [gr.skip(), gr.skip(), line(one_line(error), "error"), gr.skip(), gr.skip()]
    return watch(place, run_id, job_id)


def attach(place: Workplace, run_id: str) -> list[Any]:
    """Find the test of a run that is under way, after a reload, say; updates of `watched`."""
    return watch(place, run_id, place.jobs.evidence_of(run_id) or "")


def stop(place: Workplace, job_id: str) -> str:
    """Stop a test, and say so."""
    try:
        if job_id:
            place.jobs.stop(job_id)
    except Exception as error:  # noqa: BLE001 - shown as one line
        return line(one_line(error), "error")
    return line("Stopping.", "good")


def watch(place: Workplace, run_id: str, job_id: str) -> list[Any]:
    """Return updates of `watched`: where the test stands; its id goes when it is over."""
    job = status_or_none(place, job_id)
    if job is not None and job.state.is_active:
        buttons = [gr.Button(interactive=False), gr.Button(interactive=True)]
        return [job_id, gr.Timer(active=True), fit_view.state_html(job), *buttons]
    note = _outcome(place, run_id) if job is None or job.has_result else _failed(job)
    buttons = [gr.Button(interactive=not missing(place, run_id)), gr.Button(interactive=False)]
    return ["", gr.Timer(active=False), note, *buttons]


def _outcome(place: Workplace, run_id: str) -> str:
    tested = _evidence(place, run_id)
    return line(NOT_TESTED if tested is None else evidence_note(tested))


def _failed(job: Any) -> str:
    words = f"{job.state}: {job.message}" if job.message else str(job.state)
    return line(words[:1].upper() + words[1:], "error" if job.state is JobState.FAILED else "note")


def _evidence(place: Workplace, run_id: str) -> Evidence | None:
    """Return the evidence that a finished run has; None where there is none."""
    try:
        return None if missing(place, run_id) else place.audit(run_id).evidence
    except Exception as error:  # noqa: BLE001 - logged; the audit says what is wrong
        one_line(error)
        return None


def show(place: Workplace, run_id: str) -> list[Any]:
    """Return updates of `shown` for the run: its evidence, if it has any."""
    from emdpo import plots

    if missing(place, run_id):
        return [gr.skip(), gr.Column(visible=False), *[gr.skip()] * 8]
    way, tested = _ways(place.fit(run_id)), _evidence(place, run_id)
    if tested is None:
        return [way, gr.Column(visible=False), *[gr.skip()] * 8]
    names = list(dict.fromkeys(str(group.attribute) for group in tested.groups))
    first = names[0] if names else None
    items = (f'<span class="finding">{text(found)}</span>' for found in evidence_findings(tested))
    has_posterior = tested.posterior is not None
    return [
        way,
        gr.Column(visible=True),
        f'<div class="report">{listing(items, "findings")}</div>',
        gr.Dropdown(choices=names, value=first, visible=bool(names)),
        gr.Radio(value=FIRST),
        _figure(tested, first, FIRST),
        plots.reliability_figure(tested),
        gr.Plot(
            value=plots.posterior_reliability_figure(tested) if has_posterior else None,
            visible=has_posterior,
        ),
        evidence_rows(tested),
        _group_rows(tested, first),
    ]


def _ways(fit: Fit) -> gr.Radio:
    """Return what can be held out of this run, the most telling first choice."""
    if fit.adapters is not None:
        return gr.Radio(choices=[name for name, way in WAYS.items() if way == SPLIT])
    alone = fit.rankings.n_rankings == fit.rankings.n_users
    names = {way: name for name, way in WAYS.items()}
    return gr.Radio(choices=list(WAYS), value=names[CANDIDATES if alone else RANKING])


def _figure(tested: Evidence, attribute: str | None, measure: str) -> go.Figure:
    from emdpo import plots

    name, above_pooled = MEASURES.get(measure, MEASURES[FIRST])
    return plots.prediction_figure(tested, attribute, name, above_pooled=above_pooled)


def _group_rows(tested: Evidence, attribute: str | None) -> pd.DataFrame:
    groups = [group for group in tested.groups if group.attribute == attribute]
    parts = []
    for group in groups:
        rows = evidence_rows(tested, group)
        rows.insert(0, "group", group.value)
        rows.insert(1, "users", f"{group.n:,}")
        parts.append(rows)
    columns = ["group", "users", "policy", *MEASURE_LABELS.values()]
    return pd.concat(parts) if parts else pd.DataFrame(columns=columns)


def show_choice(place: Workplace, run_id: str, attribute: str | None, measure: str) -> list[Any]:
    """Return figure and table of groups for the visitor's choices."""
    tested = _evidence(place, run_id)
    if tested is None:
        return [gr.skip(), gr.skip()]
    return [_figure(tested, attribute, measure), _group_rows(tested, attribute)]
