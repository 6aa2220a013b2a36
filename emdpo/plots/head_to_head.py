"""Figures of a comparison of methods: who is clearly better, and what that costs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import plotly.graph_objects as go

from emdpo.head_to_head.findings import verdict, whom
from emdpo.plots.theme import OUTLINE, question_figure, type_marker

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emdpo.head_to_head.comparison import Comparison, Measured

VERDICT_LOOKS = {
    "better": ("clearly better", "#0072B2", "circle"),
    "open": ("not told apart", "#8A8A8A", "circle-open"),
    "worse": ("clearly worse", "#D55E00", "x"),
}
"""Words, colour and symbol of each verdict."""

MEASURE_AXES = {
    "log_loss": ("log-loss, nats a ranking", ".2f", "lower"),
    "accuracy": ("best answer named", ".0%", "higher"),
    "tau": ("Kendall's tau-b", ".2f", "higher"),
}
"""Axis title, format of numbers, and which way is better."""

SHORTEST = 0.01
"""Seconds: a time below is drawn as this on the logarithmic axis."""


def differences_figure(
    found: Comparison, measure: str, users: str, known: int | None = None
) -> go.Figure:
    """Return every method's paired difference from the baseline on one part, with intervals.

    Parameters
    ----------
    found : Comparison
    measure : str
        log_loss, accuracy or tau.
    users, known
        The part: seen, None; or new and how many rankings are known.
    """
    title, form, better = MEASURE_AXES[measure]
    rows = [each for each in found.of(measure, users, known) if each.method != found.baseline]
    n = rows[0].n_users if rows else 0
    figure = question_figure(
        f"Which methods differ from {found.baseline}?",
        f"{title[:1].upper()}{title[1:]}, less that of {found.baseline} (dotted) for the same "
        f"{whom(users, known)}, n = {n:,} users; {better} is better. Bars: "
        f"{found.confidence:.0%} bootstrap intervals over users.",
        height=30 * len(rows) + 40,
        legend=len(VERDICT_LOOKS),
    )
    for name, (words, colour, symbol) in VERDICT_LOOKS.items():
        shown = [each for each in rows if verdict(each) == name]
        if shown:
            marker = {"color": colour, "symbol": symbol, "size": 11, "line": {"width": 2}}
            figure.add_trace(_differences(shown, words, marker, form))
    figure.add_vline(x=0, line={"color": OUTLINE, "width": 1.5, "dash": "dot"})
    title = f"{title}, less {found.baseline}"
    figure.update_xaxes(title_text=title, tickformat=form, zeroline=False)
    figure.update_yaxes(
        type="category",
        categoryorder="array",
        categoryarray=[each.method for each in rows],
        range=[len(rows) - 0.5, -0.5],
    )
    return figure


def _differences(
    shown: Sequence[Measured], words: str, marker: dict[str, Any], form: str
) -> go.Scatter:
    ends = [each.above_interval for each in shown]
    return go.Scatter(
        x=[each.above for each in shown],
        y=[each.method for each in shown],
        error_x=_bars([each.above for each in shown], ends, marker["color"]),
        mode="markers",
        marker=marker,
        name=words,
        customdata=[[low, high] for low, high in ends],
        hovertemplate=f"%{{y}}: %{{x:{form}}} (%{{customdata[0]:{form}}} to "
        f"%{{customdata[1]:{form}}}), {words}<extra></extra>",
    )


def cost_figure(found: Comparison, measure: str, users: str, known: int | None = None) -> go.Figure:
    """Return a measure of every method on one part against the seconds that it took.

    Parameters are those of `differences_figure`.
    """
    title, form, better = MEASURE_AXES[measure]
    rows = {each.method: each for each in found.of(measure, users, known)}
    n = max((each.n_users for each in rows.values()), default=0)
    figure = question_figure(
        "What does it cost to predict well?",
        f"Seconds to fit all settings tried, and {title}, for "
        f"{whom(users, known)}, n = {n:,} users; {better} is better. Bars: {found.confidence:.0%} "
        "bootstrap intervals over users.",
        height=380,
        legend=len(rows),
    )
    for place, facts in enumerate(found.facts):
        each = rows[facts.method]
        marker = type_marker(place, 12)
        low, high = each.interval
        figure.add_scatter(
            x=[max(facts.seconds_in_all, SHORTEST)],
            y=[each.mean],
            error_y=_bars([each.mean], [each.interval], marker["color"]),
            mode="markers",
            marker=marker,
            name=facts.method,
            customdata=[[low, high]],
            hovertemplate=f"{facts.method}: %{{y:{form}}} (%{{customdata[0]:{form}}} to "
            f"%{{customdata[1]:{form}}}), %{{x:.2f}} s<extra></extra>",
        )
    figure.update_xaxes(type="log", title_text="seconds (each line: ten times more)", dtick=1)
    figure.update_yaxes(title_text=title, tickformat=form)
    return figure


def _bars(
    values: Sequence[float], ends: Sequence[tuple[float, float]], colour: object
) -> dict[str, Any]:
    return {
        "array": [high - value for value, (_, high) in zip(values, ends, strict=True)],
        "arrayminus": [value - low for value, (low, _) in zip(values, ends, strict=True)],
        "color": colour,
        "thickness": 2,
        "width": 3,
    }
