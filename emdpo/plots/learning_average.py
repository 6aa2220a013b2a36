"""Figures of whose average: what types think of answers, and who wins under which rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from emdpo.plots.theme import (
    label_text,
    question_figure,
    type_marker,
    type_name,
)

if TYPE_CHECKING:
    from emdpo.learn.whose_average import Case, Verdict

VERDICT_LABELS = {
    "mean": "Mean utility",
    "majority": "Majority: wins every duel",
    "borda": "Borda count",
    "pairs": "One reward, from all pairs",
    "orders": "One reward, from full rankings",
    "maximin": "Maximin",
    "regret": "Min-max regret",
}
"""Names of the rules of `emdpo.learn.whose_average.verdicts`."""

VERDICT_FORMATS = {
    "mean": ".2f",
    "majority": ".0%",
    "borda": ".2f",
    "pairs": "+.2f",
    "orders": "+.2f",
    "maximin": ".1f",
    "regret": ".1f",
}

WINNER, OTHER = "#F2C14E", "#DCE8F2"
"""Backgrounds of the table; winners also have a star."""


def utilities_figure(given: Case) -> go.Figure:
    """Return what each type thinks of each answer."""
    answers = [label_text(answer, 20) for answer in given.answers]
    figure = question_figure(
        "What does each type think of each answer?",
        f"Higher: better for that type, in the unit of the table. n = {len(answers)} answers; "
        "filled: the type's favourite.",
        height=230,
        legend=len(given.shares),
    )
    for k, (row, share) in enumerate(zip(given.utilities, given.shares, strict=True)):
        look = type_marker(k, 13)
        open_ones = [f"{look['symbol']}{'' if u == row.max() else '-open'}" for u in row]
        name = f"{type_name(k)} ({share:.0%})"
        figure.add_scatter(
            x=answers,
            y=row,
            mode="lines+markers",
            line={"color": look["color"], "width": 1, "dash": "dot"},
            marker={"color": look["color"], "size": 13, "symbol": open_ones, "line": {"width": 2}},
            name=name,
            hovertemplate=f"{name}, %{{x}}: %{{y}}<extra></extra>",
        )
    figure.update_xaxes(title_text="answer", type="category")
    figure.update_yaxes(title_text="utility")
    return figure


def verdicts_figure(given: Case, found: Mapping[str, Verdict]) -> go.Figure:
    """Return every rule's scores of the answers, winners starred.

    Parameters
    ----------
    given : Case
    found : dict of str to Verdict
        As `emdpo.learn.whose_average.verdicts`.
    """
    answers = [label_text(answer, 20) for answer in given.answers]
    figure = question_figure(
        "Which answer wins under each rule?",
        "A row is a rule, the numbers its scores of the answers; a star and yellow: the winner. "
        f"No star: nobody wins. n = {len(answers)} answers, {len(given.shares)} types.",
        height=42 * len(found),
        legend=0,
        headroom=16,
    )
    won = np.array([np.isin(np.arange(len(answers)), each.winners) for each in found.values()])
    figure.add_heatmap(
        x=answers,
        y=[_two_lines(VERDICT_LABELS[rule]) for rule in found],
        z=won.astype(float),
        text=[_cells(rule, each) for rule, each in found.items()],
        texttemplate="%{text}",
        textfont={"size": 14, "color": "#111111"},
        colorscale=[[0, OTHER], [1, WINNER]],
        zmin=0,
        zmax=1,
        showscale=False,
        hovertemplate="%{y}<br>answer %{x}: %{text}<extra></extra>",
        xgap=2,
        ygap=2,
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, type="category", side="top")
    return figure


def _cells(rule: str, verdict: Verdict) -> list[str]:
    """Return a row's scores as text; of regret the loss itself, which is least for the winner."""
    fmt = VERDICT_FORMATS[rule]
    shown = np.abs(verdict.scores) if rule == "regret" else verdict.scores
    stars = ["★ " if place in verdict.winners else "" for place in range(len(shown))]
    return [f"{star}{value:{fmt}}" for star, value in zip(stars, shown, strict=True)]


def _two_lines(label: str) -> str:
    """Return a rule's name on two lines where it has two parts, so that a phone has room."""
    return label.replace(": ", ":<br>").replace(", ", ",<br>")
