"""Figures of the what-if: what types and groups would lose with weights of one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import plotly.graph_objects as go

from emdpo.core.findings import rule_label
from emdpo.core.rules import GIVEN
from emdpo.plots.auditing import KIND_AXES, KIND_NOTES, rule_marker
from emdpo.plots.theme import (
    GRID,
    MAX_GROUPS,
    group_label,
    question_figure,
    row_height,
    type_name,
)

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.core.blends import BlendRegret

COMPARED = "pooled"
"""The rule that a blend is set beside: what everybody gets today."""


class Loss(NamedTuple):
    """What a type or a group loses under a blend, and under the rule COMPARED."""

    label: str
    """A type's name, or a group's value: user text."""
    n: int | None
    """Users of a group; None for a type."""
    regret: float
    low: float
    high: float
    compared: float


def type_losses(audit: Audit, found: BlendRegret, kind: str) -> list[Loss]:
    """Return what each type with users loses, largest type first."""
    before, after, ends = audit.regret[kind][COMPARED], found.types[kind], found.type_interval[kind]
    return [
        Loss(
            label=f"{type_name(k)} ({audit.prevalence[k]:.0%})",
            n=None,
            regret=float(after[k]),
            low=float(ends[k, 0]),
            high=float(ends[k, 1]),
            compared=float(before[k]),
        )
        for k in np.flatnonzero(audit.occupied).tolist()
    ]


def group_losses(audit: Audit, found: BlendRegret, kind: str, attribute: str | None) -> list[Loss]:
    """Return what each group of an attribute loses; groups that the audit hides are not here."""
    after, ends = found.groups[kind], found.group_interval[kind]
    return [
        Loss(
            label=group.value,
            n=group.n,
            regret=float(after[g]),
            low=float(ends[g, 0]),
            high=float(ends[g, 1]),
            compared=group.regret[kind][COMPARED],
        )
        for g, group in enumerate(audit.groups)
        if group.attribute == attribute
    ]


def what_if_figure(
    audit: Audit, found: BlendRegret, kind: str = "share", attribute: str | None = None
) -> go.Figure:
    """Return what types and the groups of an attribute lose under a blend, beside pooled DPO.

    Parameters
    ----------
    audit : Audit
    found : BlendRegret
        Of a blend of the audit's types; its groups are the audit's.
    kind : str
        Of regret.
    attribute : str, optional
        Whose groups are shown; none by default.
    """
    groups = group_losses(audit, found, kind, attribute)
    cut = ""
    if len(groups) > MAX_GROUPS:
        cut = f" The {MAX_GROUPS} of {len(groups)} groups that lose most."
        groups = sorted(groups, key=lambda loss: -loss.regret)[:MAX_GROUPS]
    losses = [*type_losses(audit, found, kind), *groups]
    labels = [loss.label if loss.n is None else group_label(loss.label, loss.n) for loss in losses]
    figure = question_figure(
        "Who would lose how much?",
        f"Further right is worse: {KIND_NOTES[kind]}. Grey: from {rule_label(COMPARED)} to your "
        f"weights. Bars: {audit.config.confidence:.0%} intervals, of types over prompts "
        f"(n = {audit.n_prompts:,}), of groups over users.{cut}",
        height=row_height(labels, 38) * len(losses) + 40,
        legend=2,
    )
    title, fmt = KIND_AXES[kind]
    before = np.array([loss.compared for loss in losses])
    after = np.array([loss.regret for loss in losses])
    ends = np.array([[loss.low, loss.high] for loss in losses])
    places = np.arange(len(losses))
    figure.add_scatter(
        x=np.column_stack([before, after, np.full(len(losses), np.nan)]).ravel(),
        y=np.repeat(places, 3),
        mode="lines",
        line={"color": GRID, "width": 6},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=before,
        y=places,
        mode="markers",
        marker=rule_marker(COMPARED, 9),
        name=rule_label(COMPARED),
        hovertemplate=f"{rule_label(COMPARED)}: %{{x:{fmt}}}<extra></extra>",
    )
    figure.add_scatter(
        x=after,
        y=places,
        error_x={
            "array": ends[:, 1] - after,
            "arrayminus": after - ends[:, 0],
            "color": rule_marker(GIVEN, 13)["color"],
            "thickness": 2,
            "width": 3,
        },
        mode="markers",
        marker=rule_marker(GIVEN, 13),
        name="Your weights",
        customdata=ends,
        hovertemplate=f"Your weights: %{{x:{fmt}}} "
        f"(%{{customdata[0]:{fmt}}} to %{{customdata[1]:{fmt}}})<extra></extra>",
    )
    figure.update_xaxes(title_text=title, tickformat=fmt)
    figure.update_yaxes(
        tickvals=places.tolist(),
        ticktext=labels,
        range=[len(losses) - 0.5, -0.5],
        zeroline=False,
    )
    return figure
