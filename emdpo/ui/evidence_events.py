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
from emdpo.jobs.folder import EVIDENCE
from emdpo.ui.markup import listing, text
from emdpo.ui.results import missing
from emdpo.ui.run_jobs import RunJob, audit_or_none
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    import plotly.graph_objects as go

    from emdpo.core.audit import Audit
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


def _outcome(audit: Audit | None) -> str:
    tested = None if audit is None else audit.evidence
    return NOT_TESTED if tested is None else evidence_note(tested)


TEST = RunJob(EVIDENCE, lambda way: {"by": WAYS.get(way, RANKING)}, _outcome)
"""Of a run on rankings that nobody fitted."""


def _evidence(place: Workplace, run_id: str) -> Evidence | None:
    """Return the evidence that a finished run has; None where there is none."""
    audit = audit_or_none(place, run_id)
    return None if audit is None else audit.evidence


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
