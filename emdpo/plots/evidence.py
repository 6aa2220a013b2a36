"""Figures of evidence: how well rankings that nobody fitted are predicted, and how honestly."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from emdpo.core.prediction import ACCURACY, LOG_LOSS, OWN, POOLED, REFERENCE, TAU
from emdpo.evidence_words import policy_label
from emdpo.plots.auditing import RULE_LOOKS
from emdpo.plots.theme import (
    GRID,
    INK,
    MAX_GROUPS,
    OUTLINE,
    group_label,
    label_text,
    question_figure,
)

if TYPE_CHECKING:
    from emdpo.core.calibration import Calibration
    from emdpo.core.tested import Evidence, GroupEvidence

POLICY_LOOKS = {OWN: ("#0A8F7A", "circle"), REFERENCE: ("#8A8A8A", "x"), **RULE_LOOKS}
"""Colour and symbol of each policy."""

DEFAULT_POLICIES = (OWN, POOLED, "mixture", "consensus", REFERENCE)

MEASURE_AXES = {
    LOG_LOSS: ("log-loss, nats a ranking", ".2~f", "further left is better"),
    ACCURACY: ("top choice right", ".0%", "further right is better"),
    TAU: ("Kendall's tau-b", ".2~f", "further right is better"),
}
"""Axis title, format of numbers, and which way is better."""


def prediction_figure(
    evidence: Evidence,
    attribute: str | None = None,
    measure: str = LOG_LOSS,
    policies: Sequence[str] = DEFAULT_POLICIES,
    *,
    above_pooled: bool = True,
) -> go.Figure:
    """Return how well policies predict rankings of everybody, and of each group of an attribute.

    Parameters
    ----------
    evidence : Evidence
    attribute : str, optional
        Everybody alone by default.
    measure : str
        `log_loss`, `accuracy` or `tau`.
    policies : sequence of str
        Those that have the measure are drawn.
    above_pooled : bool
        The paired difference from pooled DPO, instead of the measure itself.
    """
    groups = [group for group in evidence.groups if group.attribute == attribute]
    rows = [evidence.everybody, *groups[: MAX_GROUPS - 1]]
    shown = [
        name
        for name in policies
        if np.isfinite(evidence.everybody.mean[measure].get(name, np.nan))
        and not (above_pooled and name == POOLED)
    ]
    title, fmt, better = MEASURE_AXES[measure]
    of_whom = "" if attribute is None else f", by {label_text(attribute, 30)}"
    compared = "Less that of pooled DPO (dotted) on the same rankings. " if above_pooled else ""
    figure = question_figure(
        f"Who is predicted well, and by which policy{of_whom}?",
        f"Rankings that nobody fitted; {better}. {compared}Bars: "
        f"{evidence.config.confidence:.0%} bootstrap intervals over users; n: users."
        + ("" if len(groups) < MAX_GROUPS else f" The first {MAX_GROUPS - 1} groups."),
        height=max(60, 15 * len(shown) + 14) * len(rows) + 60,
        legend=len(shown),
    )
    for place, policy in enumerate(shown):
        offset = 0.62 * (place - (len(shown) - 1) / 2) / max(len(shown), 1)
        figure.add_trace(_prediction_trace(rows, measure, policy, offset, fmt, above_pooled))
    if above_pooled:
        figure.add_vline(x=0, line={"color": _look(POOLED)[0], "dash": "dot"})
    figure.update_xaxes(title_text=title + ", above pooled" * above_pooled, tickformat=fmt)
    figure.update_yaxes(
        tickvals=list(range(len(rows))),
        ticktext=[group_label(row.value or "Everybody", row.n) for row in rows],
        range=[len(rows) - 0.5, -0.5],
        zeroline=False,
    )
    return figure


def _look(policy: str) -> tuple[str, str]:
    return POLICY_LOOKS.get(policy, (INK, "circle"))


def _marker(policy: str) -> dict[str, object]:
    colour, symbol = _look(policy)
    return {
        "color": colour,
        "symbol": symbol,
        "size": 10,
        "line": {"color": OUTLINE, "width": 1},
    }


def _error_bars(values: np.ndarray, ends: np.ndarray, policy: str) -> dict[str, object]:
    return {
        "array": ends[:, 1] - values,
        "arrayminus": values - ends[:, 0],
        "color": _look(policy)[0],
        "thickness": 2,
        "width": 3,
    }


def _prediction_trace(
    rows: Sequence[GroupEvidence],
    measure: str,
    policy: str,
    offset: float,
    fmt: str,
    above_pooled: bool,
) -> go.Scatter:
    tables = [
        (row.above_pooled, row.above_pooled_interval) if above_pooled else (row.mean, row.interval)
        for row in rows
    ]
    values = np.array([mean[measure][policy] for mean, _ in tables], float)
    ends = np.array([interval[measure][policy] for _, interval in tables], float)
    n = np.array([row.n_rankings for row in rows])
    name = policy_label(policy)
    return go.Scatter(
        x=values,
        y=np.arange(len(rows)) + offset,
        error_x=_error_bars(values, ends, policy),
        mode="markers",
        marker=_marker(policy),
        name=name,
        customdata=np.column_stack([ends, n]),
        hovertemplate=f"{name}: %{{x:{fmt}}} (%{{customdata[0]:{fmt}}} to "
        f"%{{customdata[1]:{fmt}}}), %{{customdata[2]:,d}} rankings<extra></extra>",
    )


def reliability_figure(
    evidence: Evidence, policies: Sequence[str] = (OWN, POOLED, "consensus")
) -> go.Figure:
    """Return how often a candidate was the best shown, against how likely that was said to be."""
    shown = {name: evidence.top_choice[name] for name in policies if name in evidence.top_choice}
    n = sum(next(iter(shown.values())).n) if shown else 0
    figure = _diagonal(
        "Are probabilities of the best answer to be trusted?",
        f"Each mark holds a tenth of the candidates shown (n = {n:,}). On the diagonal: what was "
        f"said came true. {_bars(evidence)}",
        len(shown),
    )
    for name, found in shown.items():
        figure.add_trace(_reliability_trace(found, name, policy_label(name)))
    _zoom(figure, list(shown.values()))
    figure.update_xaxes(title_text="probability of being the best shown", tickformat=".0%")
    figure.update_yaxes(title_text="how often it was", tickformat=".0%")
    return figure


def posterior_reliability_figure(evidence: Evidence) -> go.Figure:
    """Return the mean later posterior of types against the posterior before more rankings."""
    found = evidence.posterior
    n = 0 if found is None else sum(found.n)
    figure = _diagonal(
        "Are people's types as certain as is said?",
        f"Each mark holds a tenth of all probabilities of a type (n = {n:,}). On the diagonal: "
        f"further rankings bear them out on average. {_bars(evidence)}",
        0,
    )
    if found is not None:
        figure.add_trace(_reliability_trace(found, OWN, "Posterior of a type"))
        _zoom(figure, [found])
    figure.update_xaxes(title_text="probability by the rankings known", tickformat=".0%")
    figure.update_yaxes(title_text="mean by further rankings, too", tickformat=".0%")
    return figure


def _bars(evidence: Evidence) -> str:
    return f"Bars: {evidence.config.confidence:.0%} bootstrap intervals over users."


def _diagonal(title: str, how_to_read: str, legend: int) -> go.Figure:
    figure = question_figure(title, how_to_read, height=320, legend=legend)
    figure.add_scatter(
        x=[0, 1],
        y=[0, 1],
        mode="lines",
        line={"color": GRID, "width": 4},
        hoverinfo="skip",
        showlegend=False,
    )
    return figure


def _zoom(figure: go.Figure, shown: Sequence[Calibration]) -> None:
    """Let both axes run from 0 to a little above the largest mark."""
    marks = [max(*found.predicted, *(high for _, high in found.interval)) for found in shown]
    top = min(1.04 * max(marks, default=1.0), 1.04)
    figure.update_xaxes(range=[0, top])
    figure.update_yaxes(range=[0, top])


def _reliability_trace(found: Calibration, policy: str, name: str) -> go.Scatter:
    observed, ends = np.array(found.observed), np.array(found.interval)
    return go.Scatter(
        x=np.array(found.predicted),
        y=observed,
        error_y=_error_bars(observed, ends, policy),
        mode="lines+markers",
        line={"color": _look(policy)[0], "width": 1.5},
        marker=_marker(policy),
        name=name,
        customdata=np.column_stack([ends, found.n, found.n_users]),
        hovertemplate=f"{name}<br>said %{{x:.1%}}, was %{{y:.1%}} (%{{customdata[0]:.1%}} to "
        "%{customdata[1]:.1%})<br>n = %{customdata[2]:,d} of %{customdata[3]:,d} users"
        "<extra></extra>",
    )
