"""Figures of two runs side by side: where users went, and what that does to regret."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import plotly.graph_objects as go

from emdpo.core.findings import rule_label
from emdpo.plots.auditing import KIND_AXES, rule_marker
from emdpo.plots.theme import OUTLINE, question_figure, type_name

if TYPE_CHECKING:
    from emdpo.run_comparison import RunComparison


def movement_figure(found: RunComparison) -> go.Figure:
    """Return how many users went from which type of A to which of B, matched types outlined.

    Types of B are in the order of the types of A that they are matched with.
    """
    order = _matched_first(found)
    table = found.contingency[:, order]  # (K, L)
    of_row = table.sum(axis=1, keepdims=True)
    share = np.divide(table, of_row, out=np.zeros(table.shape), where=of_row > 0)
    rows = [type_name(k) for k in range(len(table))]
    columns = [type_name(m) for m in order]
    figure = question_figure(
        "Who is of which type in the other run?",
        f"Users by most likely type in run A (rows) and in run B (columns), n = {found.n_users:,}; "
        "darker: more of the row. Outlined: matched types, whose users stay.",
        height=64 * len(table) + 60,
        legend=0,
    )
    figure.add_heatmap(
        z=share,
        x=[f"{name}<br>of B" for name in columns],
        y=[f"{name} of A" for name in rows],
        text=[[f"{n:,}" for n in row] for row in table.tolist()],
        texttemplate="%{text}",
        textfont={"size": 14, "color": "#111111"},
        colorscale=[[0, "#EAF3FA"], [1, "#5FA8D8"]],
        zmin=0,
        zmax=1,
        showscale=False,
        hovertemplate="%{y}, %{x}: %{text} users, %{z:.0%} of the row<extra></extra>",
        xgap=2,
        ygap=2,
    )
    for k, m in found.pairs:
        figure.add_shape(**_outline(k - 1, order.index(m - 1)))
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False)
    return figure


def _matched_first(found: RunComparison) -> list[int]:
    """Return the types of B, from 0: those matched in the order of A, then the others."""
    matched = [m - 1 for _, m in found.pairs]
    return [*matched, *(m for m in range(found.b.n_types) if m not in matched)]


def _outline(row: int, column: int) -> dict[str, Any]:
    ends = {"x0": column - 0.47, "x1": column + 0.47, "y0": row - 0.47, "y1": row + 0.47}
    return {"type": "rect", "line": {"color": "#111111", "width": 2}, **ends}


def regret_changes_figure(found: RunComparison, kind: str = "share", judge: str = "a") -> go.Figure:
    """Return by how much mean regret differs under each rule, with intervals over users.

    Parameters
    ----------
    found : RunComparison
    kind : str
        One of plain, kl, share, preference.
    judge : str
        Whose types judge: own, a or b.
    """
    rows = [
        row
        for row in found.regret.to_dict("records")
        if (row["kind"], row["judged_by"], row["statistic"]) == (kind, judge, "mean")
    ]
    judges = {"own": "each run's own types", "a": "the types of A", "b": "the types of B"}[judge]
    _, form = KIND_AXES[kind]
    figure = question_figure(
        "Which run's rules leave users with less regret?",
        f"Mean regret under the rule of B less that under the same rule of A, over n = "
        f"{found.n_users:,} users, judged by {judges}. Left of the line: B is kinder. Bars: "
        f"{found.confidence:.0%} bootstrap intervals over users.",
        height=34 * len(rows) + 30,
        legend=0,
    )
    for row in rows:
        value, low, high = row["difference"], row["low"], row["high"]
        marker = rule_marker(row["rule"], 12)
        figure.add_scatter(
            x=[value],
            y=[rule_label(row["rule"])],
            error_x={
                "array": [high - value],
                "arrayminus": [value - low],
                "color": marker["color"],
                "thickness": 2,
                "width": 3,
            },
            mode="markers",
            marker=marker,
            showlegend=False,
            customdata=[[row["value_a"], row["value_b"], low, high]],
            hovertemplate=f"%{{y}}: %{{x:+{form}}} (%{{customdata[2]:+{form}}} to "
            f"%{{customdata[3]:+{form}}})<br>A %{{customdata[0]:{form}}}, "
            f"B %{{customdata[1]:{form}}}<extra></extra>",
        )
    figure.add_vline(x=0, line={"color": OUTLINE, "width": 1})
    unit = "" if form == ".0%" else " (nats)"
    figure.update_xaxes(title_text=f"B less A{unit}", tickformat=f"+{form}")
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
