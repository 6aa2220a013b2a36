"""Figures of the data and of the fit under way: answers, log-likelihood, weights, choice of K."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from emdpo.plots.theme import (
    AXIS,
    INK,
    OUTLINE,
    TYPE_COLOURS,
    TYPE_DASHES,
    question_figure,
    type_colour,
    type_marker,
    type_name,
)

if TYPE_CHECKING:
    from emdpo.core.em import TraceRow
    from emdpo.core.rankings import Rankings
    from emdpo.core.selection import Selection

Trace = pd.DataFrame | Sequence["TraceRow"]
"""`Fit.trace_table()`, or the rows themselves while a fit runs."""


SAME_OPTIMUM = 0.01
"""Nats within which two starts count as equally good."""


SAME_SHARES = 0.01
"""Difference in final shares up to which two equally good starts show the same types."""


def _starts(trace: Trace) -> dict[int, tuple[list[int], list[float], np.ndarray]]:
    """Return iterations, log-likelihoods and weights (iterations, K) of each start."""
    if isinstance(trace, pd.DataFrame):
        names = [name for name in trace.columns if str(name).startswith("weight_")]
        rows = zip(
            trace["restart"],
            trace["iteration"],
            trace["log_likelihood"],
            trace[names].to_numpy(float),
            strict=True,
        )
    else:
        rows = ((row.restart, row.iteration, row.log_likelihood, row.weights) for row in trace)
    starts: dict[int, tuple[list, list, list]] = {}
    for restart, iteration, value, weights in rows:
        its, values, shares = starts.setdefault(int(restart), ([], [], []))
        its.append(int(iteration))
        values.append(float(value))
        shares.append(weights)
    return {start: (i, v, np.array(w, float)) for start, (i, v, w) in starts.items()}


def _best(starts: dict[int, tuple[list[int], list[float], np.ndarray]]) -> int:
    """Return the start to show: of those as good as the best, the one with the longest way."""
    best = max(starts, key=lambda start: starts[start][1][-1])
    _, values, weights = starts[best]
    as_good = [
        start
        for start, (_, v, w) in starts.items()
        if v[-1] >= values[-1] - SAME_OPTIMUM
        and np.allclose(np.sort(w[-1]), np.sort(weights[-1]), atol=SAME_SHARES)
    ]
    return max(as_good, key=lambda start: len(starts[start][0]))


def trace_figure(trace: Trace, step: str = "iteration") -> go.Figure:
    """Return the log-likelihood by iteration, one line a start, the best one highlighted.

    `step` is what an iteration is called: adapters have rounds, and no starts of their own.
    """
    starts = _starts(trace)
    lines = (
        f"Each line is one start (n = {len(starts)}); it should rise and flatten. Higher is "
        "better; thick: the best start, or the longest of equally good ones."
    )
    if step != "iteration":
        n_steps = max((len(values) - 1 for _, values, _ in starts.values()), default=0)
        lines = f"Of the rankings fitted, over n = {n_steps} {step}s; it should rise and flatten."
    figure = question_figure("Has the fit settled?", lines, height=300)
    if not starts:
        return figure
    best = _best(starts)
    for place, start in enumerate([s for s in starts if s != best] + [best]):
        iterations, values, _ = starts[start]
        bold = start == best
        figure.add_scatter(
            x=iterations,
            y=values,
            mode="lines+markers" if bold else "lines",
            line={"width": 3.5 if bold else 1.2, "color": TYPE_COLOURS[0] if bold else OUTLINE},
            marker={"size": 7},
            name=f"best start ({start + 1})" if bold else "other starts",
            legendgroup="best" if bold else "other",
            showlegend=step == "iteration" and (bold or place == 0),
            hovertemplate=f"start {start + 1}, {step} %{{x}}: %{{y:,.2f}}<extra></extra>",
        )
    figure.update_xaxes(title_text=step, rangemode="tozero")
    figure.update_yaxes(title_text="log-likelihood (nats)", tickformat=",.6~g")
    return figure


def rounds_figure(rounds: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Return the log-likelihood of rankings that no adapter saw, by round, in nats a ranking.

    `rounds` are JSON facts as in `Fit.evidence["rounds"]`, with the number of rankings `n_guard`.
    """
    n_guard = max((row["n_guard"] for row in rounds), default=0)
    figure = question_figure(
        "Does it predict unseen rankings?",
        f"Log-likelihood of rankings that no adapter learnt (n = {n_guard:,}); it should rise. "
        "The best round is kept.",
        height=300,
    )
    names = {"guard": "a model per type", "pooled_guard": "one model for everybody"}
    for place, (key, name) in enumerate(names.items()):
        told = [(row["round"], row[key] / n_guard) for row in rounds if row.get(key) is not None]
        if not told:
            continue
        figure.add_scatter(
            x=[number for number, _ in told],
            y=[value for _, value in told],
            mode="lines+markers",
            line={"width": 3.5 if place == 0 else 1.5, "color": (TYPE_COLOURS[0], INK)[place]},
            marker={"size": 7, "symbol": ("circle", "diamond")[place]},
            name=name,
            hovertemplate=f"{name}, round %{{x}}: %{{y:.4f}}<extra></extra>",
        )
    figure.update_xaxes(
        title_text="round", rangemode="tozero", dtick=1 if len(rounds) < 12 else None
    )
    figure.update_yaxes(title_text="log-likelihood a ranking (nats)", tickformat=".4~g")
    return figure


def weights_figure(trace: Trace, start: int | None = None, step: str = "iteration") -> go.Figure:
    """Return the weights of the types by iteration, of one start (by default the best so far)."""
    starts = _starts(trace)
    shown = _best(starts) if starts and start is None else (start or 0)
    iterations, _, weights = starts.get(shown, ([], [], np.empty((0, 0))))
    figure = question_figure(
        "How large is each type?",
        f"Share of users by {step}{f' of start {shown + 1}' * (step == 'iteration')}; level lines "
        "mean that the shares have settled.",
        height=300,
        legend=weights.shape[1],
    )
    for k in range(weights.shape[1]):
        figure.add_scatter(
            x=iterations,
            y=weights[:, k],
            mode="lines+markers",
            line={"color": type_colour(k), "dash": TYPE_DASHES[k % len(TYPE_DASHES)]},
            marker=type_marker(k, 8),
            name=type_name(k),
            hovertemplate=f"{type_name(k)}, {step} %{{x}}: %{{y:.1%}}<extra></extra>",
        )
    figure.update_xaxes(title_text=step, rangemode="tozero")
    figure.update_yaxes(title_text="share of users", range=[0, 1], tickformat=".0%")
    return figure


def selection_figure(selection: Selection) -> go.Figure:
    """Return held-out log-likelihood and BIC by number of types, the recommendation marked."""
    table = selection.table
    figure = question_figure(
        "How many types do the rankings support?",
        f"Upper: log-likelihood of held-out rankings ({selection.held_out}), higher is better; "
        "bars are one standard error of the gap to the best. Lower: BIC, lower is better. "
        f"The star is the recommendation, K = {selection.n_types}.",
        height=380,
        legend=0,
    )
    layout = figure.layout
    figure = make_subplots(rows=2, cols=1, shared_xaxes=True, vertical_spacing=0.08)
    figure.update_layout(layout, overwrite=False)
    chosen = table["recommended"].to_numpy(bool)
    marker = {
        "opacity": 1.0,
        "symbol": np.where(chosen, "star", "circle").tolist(),
        "size": np.where(chosen, 18, 9).tolist(),
        "color": np.where(chosen, TYPE_COLOURS[1], TYPE_COLOURS[0]).tolist(),
        "line": {"color": OUTLINE, "width": 1},
    }
    series = {"held_out": "held-out, nats a ranking", "bic": "BIC"}
    for row, (column, label) in enumerate(series.items(), start=1):
        error = {"array": table["held_out_se"], "color": INK} if column == "held_out" else None
        figure.add_scatter(
            x=table["n_types"],
            y=table[column],
            error_y=error,
            mode="lines+markers",
            marker=marker,
            line={"color": TYPE_COLOURS[0]},
            hovertemplate=f"K = %{{x}}: {label} %{{y:,.4~f}}<extra></extra>",
            row=row,
            col=1,
        )
        figure.update_yaxes(title_text=label, row=row, col=1)
    figure.update_xaxes(AXIS | {"dtick": 1})
    figure.update_xaxes(title_text="number of types K", row=2, col=1)
    figure.update_yaxes(AXIS)
    return figure


def data_table(rankings: Rankings) -> pd.DataFrame:
    """Return how often each number of answers per user and each list length occurs."""
    answers = np.bincount(rankings.user, minlength=rankings.n_users)
    parts = []
    for what, values in (("rankings per user", answers), ("candidates per list", rankings.lengths)):
        sizes, counts = np.unique(values, return_counts=True)
        parts.append(pd.DataFrame({"what": what, "size": sizes, "count": counts}))
    return pd.concat(parts, ignore_index=True)


def data_figure(rankings: Rankings) -> go.Figure:
    """Return how many rankings each user gave and how long the lists were."""
    about = question_figure(
        "What is in the data?",
        f"n = {rankings.n_users:,} users, {rankings.n_rankings:,} rankings of "
        f"{rankings.n_candidates:,} answers to {rankings.n_prompts:,} prompts. More rankings a "
        "user and longer lists tell types apart better.",
        height=360,
        legend=0,
    )
    figure = make_subplots(rows=2, cols=1, vertical_spacing=0.3)
    figure.update_layout(about.layout, overwrite=False)
    table = data_table(rankings)
    sides = (("rankings per user", "users"), ("candidates per list", "rankings"))
    for row, (what, counted) in enumerate(sides, start=1):
        part = table[table["what"] == what]
        figure.add_bar(
            x=part["size"],
            y=part["count"],
            marker={"color": TYPE_COLOURS[row - 1], "line": {"color": OUTLINE, "width": 1}},
            hovertemplate=f"%{{x}} {what}: %{{y:,}} {counted}<extra></extra>",
            row=row,
            col=1,
        )
        figure.update_xaxes(title_text=what, row=row, col=1)
        figure.update_yaxes(title_text=counted, row=row, col=1)
        if len(part) <= 8:
            figure.update_xaxes(tickvals=part["size"].tolist(), row=row, col=1)
        if len(part) == 1:
            only = int(part["size"].tolist()[0])
            figure.update_xaxes(range=[only - 1, only + 1], row=row, col=1)
    figure.update_xaxes(AXIS)
    figure.update_yaxes(AXIS)
    return figure
