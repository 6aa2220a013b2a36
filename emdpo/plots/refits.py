"""Figures of an audit with types found anew: what stands, and how much wider intervals become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from emdpo.core.findings import rule_label
from emdpo.core.refit_contrasts import differences, worst_fixed, worst_types
from emdpo.plots.auditing import KIND_AXES, KIND_NOTES, rule_marker, rules_shown, segments
from emdpo.plots.theme import (
    INK,
    MAX_GROUPS,
    group_label,
    label_text,
    question_figure,
    row_height,
    type_colour,
    type_marker,
    type_name,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.audit import Audit
    from emdpo.core.refits import RefitAudit

FIXED, ANEW = "Types held fixed", "Types found anew"

APART = 0.16
"""How far the two intervals of a row stand from its middle."""


def refit_worst_figure(audit: Audit, kind: str = "share") -> go.Figure:
    """Return what the worst-served type loses under each rule, with types fixed and found anew.

    Parameters
    ----------
    audit : Audit
        With refits.
    kind : str
        Of regret.
    """
    refit, rules = _refit(audit), rules_shown(audit)
    worst = worst_types(audit, kind, rules)
    fixed = worst_fixed(audit, kind, rules)
    over = f" Grey: types held fixed, over prompts (n = {audit.n_prompts:,})."
    figure = question_figure(
        "How sure is the worst-off type's loss?",
        f"A mark for each rule: further right is worse, {KIND_NOTES[kind]}. Coloured bars: "
        f"{refit.confidence:.0%} intervals of the worst of all types, found anew in "
        f"{refit.n_refits:,} draws of n = {audit.n_users:,} users."
        + (over if np.isfinite(fixed).any() else ""),
        height=40 * len(rules) + 30,
        legend=len(set(worst)) + 1,
    )
    places, (title, fmt) = np.arange(len(rules)), KIND_AXES[kind]
    if np.isfinite(fixed).any():
        _add_fixed(figure, fixed, places - APART)
    anew = np.array([refit.worst[kind][rule] for rule in rules])
    values = np.array([audit.regret[kind][rule][k] for rule, k in zip(rules, worst, strict=True)])
    for k in sorted(set(worst)):
        here = np.flatnonzero(np.array(worst) == k)
        figure.add_scatter(
            **segments(anew[here], places[here] + APART, type_colour(k), 4), showlegend=False
        )
        figure.add_scatter(
            x=values[here],
            y=places[here],
            mode="markers",
            marker=type_marker(k, 12),
            name=f"{type_name(k)} is worst served",
            text=[rule_label(rules[i]) for i in here],
            customdata=anew[here],
            hovertemplate=f"%{{text}}, {type_name(k)}: %{{x:{fmt}}}<br>found anew "
            f"%{{customdata[0]:{fmt}}} to %{{customdata[1]:{fmt}}}<extra></extra>",
        )
    figure.update_xaxes(title_text=title, tickformat=fmt)
    _name_rows(figure, [rule_label(rule) for rule in rules])
    return figure


def refit_groups_figure(
    audit: Audit, attribute: str, kind: str = "share", rule: str = "pooled"
) -> go.Figure:
    """Return how much more groups lose than everybody else, with types fixed and found anew.

    Parameters
    ----------
    audit : Audit
        With refits.
    attribute : str
        Whose groups are shown.
    kind, rule : str
        Of regret; whose.
    """
    refit, found = _refit(audit), differences(audit, attribute, kind, rule)
    cut = ""
    if len(found) > MAX_GROUPS:
        cut = f" The {MAX_GROUPS} of {len(found)} groups that differ most."
        found = sorted(found, key=lambda each: -abs(each.above))[:MAX_GROUPS]
    marker = rule_marker(rule, 12)
    labels = [group_label(each.value, each.n) for each in found]
    colour, symbol = str(marker["color"]), str(marker["symbol"])
    figure = question_figure(
        f"Is it sure who loses more, by {label_text(attribute, 30)}?",
        f"{rule_label(rule)}: what a group's users lose more than everybody else; dotted: nothing "
        f"more. {refit.confidence:.0%} intervals, grey with types held fixed, coloured with types "
        f"found anew in {refit.n_refits:,} draws. Hollow marks: that interval holds 0.{cut}",
        height=row_height(labels, 48) * len(found) + 30,
        legend=4,
    )
    places, (title, fmt) = np.arange(len(found)), KIND_AXES[kind]
    above = np.array([each.above for each in found])
    fixed, anew = (
        np.array([getattr(each, name) for each in found]).reshape(-1, 2)
        for name in ("fixed", "anew")
    )
    figure.add_vline(x=0, line={"color": INK, "dash": "dot"})
    _add_fixed(figure, fixed, places - APART)
    figure.add_scatter(**segments(anew, places + APART, colour, 4), name=ANEW)
    figure.add_scatter(
        x=above,
        y=places,
        mode="markers",
        marker=marker
        | {
            "symbol": [symbol if each.stands else f"{symbol}-open" for each in found],
            "line": {"color": colour, "width": 2},
        },
        showlegend=False,
        customdata=np.hstack([fixed, anew]),
        hovertemplate=f"%{{x:+{fmt}}}<br>fixed %{{customdata[0]:{fmt}}} to %{{customdata[1]:{fmt}}}"
        f"<br>found anew %{{customdata[2]:{fmt}}} to %{{customdata[3]:{fmt}}}<extra></extra>",
    )
    figure.update_xaxes(
        title_text=f"{title},<br>more than everybody else", tickformat=fmt, zeroline=False
    )
    _name_rows(figure, labels)
    return figure


def _refit(audit: Audit) -> RefitAudit:
    if audit.refit is None:
        raise ValueError("the types of this audit were not found anew")
    return audit.refit


def _add_fixed(figure: go.Figure, ends: NDArray[np.float64], heights: NDArray[Any]) -> None:
    figure.add_scatter(**segments(ends, heights, INK, 2), name=FIXED)


def _name_rows(figure: go.Figure, names: list[str]) -> None:
    figure.update_yaxes(
        tickvals=list(range(len(names))),
        ticktext=names,
        range=[len(names) - 0.5, -0.5],
        zeroline=False,
    )
