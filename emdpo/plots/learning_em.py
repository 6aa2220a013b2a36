"""Figures of EM between two half-steps: policies on a triangle, responsibilities, the climb."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from emdpo.learn.half_steps import (
    ANSWERS,
    E_STEP,
    M_STEP,
    N_PEOPLE,
    N_TYPES,
    START,
    mean_liking,
    planted_policy,
    policy,
)
from emdpo.learn.triangle import CORNERS, to_plane
from emdpo.plots.theme import (
    INK,
    OUTLINE,
    TYPE_PATTERNS,
    question_figure,
    type_colour,
    type_marker,
    type_name,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from emdpo.learn.half_steps import Crowd, Half

GOLDEN_ANGLE = np.pi * (3.0 - np.sqrt(5.0))
"""Turn from one to the next of people who like the same, so that none covers another."""

APART = 0.014
"""Distance of such people, in sides of the triangle."""

MANY_HALVES = 12
"""Half-steps above which the climb numbers them instead of naming each."""

WHOSE = {
    START: "given by the start",
    M_STEP: "of the last E step",
    E_STEP: "of these policies",
}
"""Where the responsibilities shown come from, by the half-step that led here."""


def policies_figure(crowd: Crowd, halves: Sequence[Half]) -> go.Figure:
    """Return the types' policies and the people on the triangle of the three answers."""
    here = halves[-1]
    figure = question_figure(
        "Where are the policies and the people?",
        f"A corner: always that answer. Dots: n = {N_PEOPLE} people by what they rank high, "
        f"coloured by responsibilities {WHOSE[here.kind]}. Large: policies and their way. "
        "Stars: planted.",
        height=324,
        legend=N_TYPES + 1,
        headroom=4,
    )
    _add_triangle(figure)
    _add_people(figure, crowd, here)
    stars = to_plane(planted_policy())
    figure.add_scatter(
        x=stars[:, 0],
        y=stars[:, 1],
        mode="markers",
        marker={"symbol": "star-open", "size": 17, "color": INK, "line": {"width": 2}},
        name="planted",
        hovertemplate="a planted type<extra></extra>",
    )
    moved = [half for half in halves if half.kind != E_STEP]
    ways = to_plane(np.array([policy(crowd, half.policies) for half in moved]))  # (n, K, 2)
    for k in range(N_TYPES):
        _add_policy(figure, k, ways[:, k], policy(crowd, here.policies)[k])
    return figure


def _add_triangle(figure: go.Figure) -> None:
    hidden = {"visible": False, "showgrid": False, "zeroline": False}
    figure.update_xaxes(hidden | {"range": [-0.06, 1.06], "constrain": "domain"})
    figure.update_yaxes(hidden | {"range": [-0.13, 1.0], "scaleanchor": "x", "constrain": "domain"})
    figure.update_layout(margin={"l": 8, "r": 8})
    ring = np.vstack([CORNERS, CORNERS[:1]])
    figure.add_scatter(
        x=ring[:, 0],
        y=ring[:, 1],
        mode="lines",
        line={"color": OUTLINE, "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    for place, (x, y) in enumerate(CORNERS.tolist()):
        figure.add_annotation(
            x=x,
            y=y,
            text=f"<b>{ANSWERS[place]}</b>",
            showarrow=False,
            yshift=14 if place == 2 else -14,
            xanchor=("left", "right", "center")[place],
        )


def _add_people(figure: go.Figure, crowd: Crowd, here: Half) -> None:
    at = to_plane(mean_liking(crowd)) + _apart(mean_liking(crowd))
    told = [
        f"person {i + 1}: " + ", ".join(f"{type_name(k)} {r:.0%}" for k, r in enumerate(row))
        for i, row in enumerate(here.resp.tolist())
    ]
    figure.add_scatter(
        x=at[:, 0],
        y=at[:, 1],
        mode="markers",
        marker={
            "size": 8,
            "color": blended(here.resp),
            "line": {"color": OUTLINE, "width": 0.8},
        },
        customdata=told,
        hovertemplate="%{customdata}<extra></extra>",
        showlegend=False,
    )


def _apart(liking: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return a small shift of each person (N, 2), so that those who like the same lie apart."""
    _, group = np.unique(liking.round(9), axis=0, return_inverse=True)
    turn = np.array([(group[:i] == g).sum() for i, g in enumerate(group)])
    far, angle = APART * np.sqrt(turn), GOLDEN_ANGLE * turn
    return np.stack([far * np.cos(angle), far * np.sin(angle)], axis=1)


def blended(resp: NDArray[np.float64]) -> list[str]:
    """Return the types' colours mixed by responsibilities (n, K), as "#rrggbb".

    >>> blended(np.array([[1.0, 0.0], [0.5, 0.5]]))
    ['#0072b2', '#738859']
    """
    codes = [type_colour(k)[1:] for k in range(resp.shape[1])]
    palette = np.array([[int(code[i : i + 2], 16) for i in (0, 2, 4)] for code in codes])
    mixed = np.rint(resp @ palette).astype(int)
    return [f"#{red:02x}{green:02x}{blue:02x}" for red, green, blue in mixed.tolist()]


def _add_policy(
    figure: go.Figure, k: int, way: NDArray[np.float64], shares: NDArray[np.float64]
) -> None:
    figure.add_scatter(
        x=way[:, 0],
        y=way[:, 1],
        mode="lines",
        line={"color": type_colour(k), "width": 2},
        hoverinfo="skip",
        showlegend=False,
    )
    told = ", ".join(f"{answer} {p:.0%}" for answer, p in zip(ANSWERS, shares, strict=True))
    figure.add_scatter(
        x=way[-1:, 0],
        y=way[-1:, 1],
        mode="markers",
        marker=type_marker(k, 19) | {"line": {"color": "#ffffff", "width": 2}},
        name=type_name(k),
        hovertemplate=f"{type_name(k)}: {told}<extra></extra>",
    )


def responsibilities_figure(crowd: Crowd, here: Half) -> go.Figure:
    """Return each person's responsibilities as a bar, sorted by planted type."""
    figure = question_figure(
        "Which type does each person belong to?",
        f"A bar a person, n = {N_PEOPLE}: responsibilities {WHOSE[here.kind]}. Between the "
        "dotted lines are the people of one planted type, by the answer that they like.",
        height=302,
        legend=N_TYPES + 1,
        headroom=26,
    )
    for k in range(N_TYPES):
        figure.add_bar(
            x=np.arange(1, N_PEOPLE + 1),
            y=here.resp[:, k],
            name=type_name(k),
            marker={
                "color": type_colour(k),
                "pattern": {"shape": TYPE_PATTERNS[k], "size": 5},
                "line": {"width": 0},
            },
            hovertemplate=f"person %{{x}}, {type_name(k)}: %{{y:.1%}}<extra></extra>",
        )
    figure.update_layout(barmode="stack", bargap=0.08, legend_traceorder="normal")
    figure.update_yaxes(range=[0, 1], tickformat=".0%", nticks=5)
    figure.update_xaxes(title_text="people", showgrid=False, range=[0.4, N_PEOPLE + 0.6])
    sizes = np.bincount(crowd.planted)
    ends = np.cumsum(sizes)
    for end in ends[:-1].tolist():
        figure.add_vline(x=end + 0.5, line={"color": INK, "dash": "dot", "width": 2})
    for answer, middle in zip(ANSWERS, (ends - sizes / 2 + 0.5).tolist(), strict=True):
        figure.add_annotation(
            x=middle,
            y=1,
            yref="paper",
            yanchor="bottom",
            text=f"like {answer}",
            showarrow=False,
        )
    return figure


def climb_figure(halves: Sequence[Half], best: float | None = None) -> go.Figure:
    """Return the log-likelihood and the bound by half-step; `best` is that of other starts."""
    figure = question_figure(
        "Does every half-step climb?",
        "An M step raises the bound, and with it the log-likelihood. An E step leaves the "
        "log-likelihood as it is and brings the bound up to it. Both with the log prior; "
        f"n = {N_PEOPLE} people.",
        height=324,
        legend=4,
        headroom=4,
    )
    numbers = [half.number for half in halves]
    lines = {
        "log-likelihood": ([half.objective for half in halves], 0, "circle", "solid"),
        "bound": ([half.bound for half in halves], 4, "square-open", "dot"),
    }
    marked = len(halves) <= 4 * MANY_HALVES
    for name, (values, colour, symbol, dash) in lines.items():
        figure.add_scatter(
            x=numbers,
            y=values,
            mode="lines+markers" if marked else "lines",
            name=name,
            line={"color": type_colour(colour), "dash": dash, "width": 2},
            marker={"symbol": symbol, "size": 8},
            hovertemplate=f"{name} after half-step %{{x}}: %{{y:.3f}} nats<extra></extra>",
        )
    if best is not None:
        figure.add_scatter(
            x=[0, numbers[-1]],
            y=[best, best],
            mode="lines",
            name="best of five starts",
            line={"color": type_colour(2), "dash": "dash", "width": 2},
            hovertemplate=f"best of five starts: {best:.3f} nats<extra></extra>",
        )
    _name_halves(figure, halves)
    figure.update_yaxes(title_text="nats")
    return figure


def _name_halves(figure: go.Figure, halves: Sequence[Half]) -> None:
    last = max(halves[-1].number, 4)
    figure.update_xaxes(title_text="half-steps", range=[-0.03 * last, 1.03 * last])
    if len(halves) <= MANY_HALVES + 1:
        names = [half.kind for half in halves]
        figure.update_xaxes(tickvals=[half.number for half in halves], ticktext=names)
