"""Figures of the audit: who loses how much under which rule."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from emdpo.core.findings import rule_label
from emdpo.plots.theme import (
    GRID,
    INK,
    MAX_GROUPS,
    OUTLINE,
    group_label,
    label_text,
    question_figure,
    row_height,
    type_colour,
    type_marker,
    type_name,
    type_symbol,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.audit import Audit, GroupRegret

RULE_LOOKS = {
    "pooled": ("#D81B60", "octagon"),
    "uniform": ("#8C8C8C", "hexagon"),
    "prevalence": ("#8C6D31", "hourglass"),
    "maximin": ("#6A8F3C", "triangle-down"),
    "nash": ("#3E8E8E", "triangle-left"),
    "mixture": ("#B07AA1", "star-diamond"),
    "consensus": ("#7B61C9", "hexagram"),
    "distilled": ("#4F3F8F", "star"),
    "lottery": ("#C4793A", "triangle-right"),
    "given": ("#E8590C", "diamond-wide"),
}
"""Colour and symbol of each rule, apart from those of the types."""

KIND_AXES = {
    "share": ("share of its own gain lost", ".0%"),
    "kl": ("KL regret (nats)", ".2~f"),
    "plain": ("plain regret (nats)", ".2~f"),
    "clipped": ("plain regret, at least 0 (nats)", ".2~f"),
    "preference": ("how much more often its own answer wins", ".0%"),
}

KIND_NOTES = {
    "share": "0% = as good as its own model, 100% = no better than the untuned model",
    "kl": "0 = its own model; higher is worse; nats",
    "plain": "0 = its own model; higher is worse; nats, scales differ between types",
    "clipped": "0 = its own model or a better one; nats, scales differ between types",
    "preference": "0% = as good as its own model, 100% = its own answer is always preferred",
}

DEFAULT_RULES = ("pooled", "consensus")


def _rule_look(rule: str) -> tuple[str, str]:
    if rule.startswith("type-"):
        k = int(rule[5:]) - 1
        return type_colour(k), type_symbol(k)
    return RULE_LOOKS.get(rule, (INK, "circle"))


def rule_marker(rule: str, size: int) -> dict[str, object]:
    """Return marker settings of a rule."""
    colour, symbol = _rule_look(rule)
    line = {"color": OUTLINE, "width": 1}
    return {"color": colour, "symbol": symbol, "size": size, "line": line}


def rules_shown(audit: Audit) -> list[str]:
    """Return the rules but the policies of types without users."""
    empty = {f"type-{k + 1}" for k in np.flatnonzero(~audit.occupied)}
    return [rule for rule in audit.rules if rule not in empty]


def regret_by_rule_figure(audit: Audit, kind: str = "share") -> go.Figure:
    """Return each type's regret under each rule, `kind` one of plain, kl, share."""
    figure = question_figure(
        "Which rule serves which type badly?",
        f"Each mark is a type (n = {audit.n_users:,} users in all); further right is worse: "
        f"{KIND_NOTES[kind]}. A short line: types fare alike.",
        height=34 * len(rules_shown(audit)) + 30,
        legend=int(audit.occupied.sum()),
    )
    rules, held = rules_shown(audit), np.flatnonzero(audit.occupied)
    labels = [rule_label(rule) for rule in rules]
    table = np.stack([audit.regret[kind][rule] for rule in rules])  # (J, K)
    for label, row in zip(labels, table, strict=True):
        row = row[held]
        row = row[np.isfinite(row)]
        figure.add_scatter(
            x=[row.min(), row.max()] if len(row) else [],
            y=[label, label] if len(row) else [],
            mode="lines",
            line={"color": GRID, "width": 6},
            hoverinfo="skip",
            showlegend=False,
        )
    title, fmt = KIND_AXES[kind]
    for k in held.tolist():
        figure.add_scatter(
            x=table[:, k],
            y=labels,
            mode="markers",
            marker=type_marker(k, 12),
            name=f"{type_name(k)} ({audit.prevalence[k]:.0%})",
            hovertemplate=f"%{{y}}<br>{type_name(k)}: %{{x:{fmt}}}<extra></extra>",
        )
    figure.update_xaxes(title_text=title, tickformat=fmt)
    figure.update_yaxes(autorange="reversed", type="category")
    return figure


def group_regret_figure(
    audit: Audit,
    attribute: str,
    kind: str = "share",
    rules: Sequence[str] = DEFAULT_RULES,
) -> go.Figure:
    """Return the regret of each group of an attribute under some rules, with intervals and n."""
    shown = [rule for rule in rules if rule in audit.rules]
    groups, note = _groups_shown(audit, attribute, kind, shown)
    labels = [group_label(group.value, group.n) for group in groups]
    figure = question_figure(
        f"Who loses most, by {label_text(attribute, 30)}?",
        f"Mean over a group's users; further right is worse: {KIND_NOTES[kind]}. Thick bars: "
        f"{audit.config.confidence:.0%} bootstrap intervals; thin: for all these groups at once. "
        f"Dotted: everybody.{note}",
        height=row_height(labels, max(50, 14 * len(shown) + 12)) * len(groups) + 30,
        legend=len(shown),
    )
    title, fmt = KIND_AXES[kind]
    for place, rule in enumerate(shown):
        figure.add_trace(_simultaneous_trace(groups, kind, rule, place, len(shown)))
        figure.add_trace(_group_trace(groups, kind, rule, place, len(shown), fmt))
        overall = audit.mean(kind)[rule]
        if np.isfinite(overall):
            figure.add_vline(x=overall, line={"color": _rule_look(rule)[0], "dash": "dot"})
    figure.update_xaxes(title_text=title, tickformat=fmt)
    figure.update_yaxes(
        tickvals=list(range(len(groups))),
        ticktext=labels,
        range=[len(groups) - 0.5, -0.5],
        zeroline=False,
    )
    return figure


def _groups_shown(
    audit: Audit, attribute: str, kind: str, rules: Sequence[str]
) -> tuple[list[GroupRegret], str]:
    """Return the groups to draw, all or those that lose most, and what to say of it."""
    groups = [group for group in audit.groups if group.attribute == attribute]
    if len(groups) <= MAX_GROUPS or not rules:
        return groups[:MAX_GROUPS], ""
    groups.sort(key=lambda group: -group.regret[kind][rules[0]])
    return groups[:MAX_GROUPS], f" The {MAX_GROUPS} of {len(groups)} groups that lose most."


def segments(
    ends: NDArray[np.float64], heights: NDArray[Any], colour: str, width: float
) -> dict[str, object]:
    """Return settings of a trace that draws n intervals (n, 2) at n heights: lines with ends."""
    gap = np.full(len(ends), np.nan)
    return {
        "x": np.column_stack([ends, gap]).ravel(),
        "y": np.repeat(heights, 3),
        "mode": "lines+markers",
        "line": {"color": colour, "width": width},
        "marker": {"symbol": "line-ns", "size": 7, "line": {"color": colour, "width": width}},
        "hoverinfo": "skip",
    }


def _heights(n_groups: int, place: int, n_rules: int) -> NDArray[Any]:
    """Return where the marks of a rule stand, (n_groups,), one below the other for each group."""
    return np.arange(n_groups) + 0.5 * (place - (n_rules - 1) / 2) / n_rules


def _simultaneous_trace(
    groups: Sequence[GroupRegret], kind: str, rule: str, place: int, n_rules: int
) -> go.Scatter:
    nowhere = (np.nan, np.nan)
    ends = [group.simultaneous.get(kind, {}).get(rule, nowhere) for group in groups]
    heights = _heights(len(groups), place, n_rules)
    drawn = segments(np.array(ends, float).reshape(-1, 2), heights, _rule_look(rule)[0], 1.5)
    return go.Scatter(**drawn, showlegend=False)


def _group_trace(
    groups: Sequence[GroupRegret], kind: str, rule: str, place: int, n_rules: int, fmt: str
) -> go.Scatter:
    values = np.array([group.regret[kind][rule] for group in groups], float)
    ends = np.array([group.interval[kind][rule] for group in groups], float).reshape(-1, 2)
    return go.Scatter(
        x=values,
        y=_heights(len(groups), place, n_rules),
        error_x={
            "array": ends[:, 1] - values,
            "arrayminus": values - ends[:, 0],
            "color": _rule_look(rule)[0],
            "thickness": 4,
            "width": 0,
        },
        mode="markers",
        marker=rule_marker(rule, 11),
        name=rule_label(rule),
        customdata=ends,
        hovertemplate=f"{rule_label(rule)}: %{{x:{fmt}}} "
        f"(%{{customdata[0]:{fmt}}} to %{{customdata[1]:{fmt}}})<extra></extra>",
    )


def regret_matrix_figure(audit: Audit) -> go.Figure:
    """Return the plain regret of each type when served by each type's model."""
    held = np.flatnonzero(audit.occupied)
    names = [type_name(k) for k in held.tolist()]
    matrix = audit.regret_matrix[np.ix_(held, held)]
    figure = question_figure(
        "What if a type gets another's model?",
        f"Row: who is served; column: whose model serves. Plain regret in nats, mean over "
        f"prompts (n = {audit.n_prompts:,}); 0 = its own model, darker is worse.",
        height=64 * len(held) + 60,
        legend=0,
    )
    interval = audit.regret_matrix_interval
    ends = np.full((*matrix.shape, 2), np.nan) if interval is None else interval[np.ix_(held, held)]
    figure.add_heatmap(
        z=matrix,
        x=[f"{name}'s<br>model" for name in names],
        y=names,
        customdata=ends,
        texttemplate="%{z:.2f}",
        textfont={"size": 14, "color": "#111111"},
        colorscale=[[0, "#EAF3FA"], [1, "#5FA8D8"]],
        zmin=min(0.0, float(matrix.min())),
        showscale=False,
        hovertemplate="%{y} with %{x}: %{z:.3f} nats "
        "(%{customdata[0]:.3f} to %{customdata[1]:.3f})<extra></extra>",
        xgap=2,
        ygap=2,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure
