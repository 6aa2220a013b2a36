"""Figures of why pairs can hide types: what people answer, and what their answers leave open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from emdpo.learn.designs import INDIFFERENT, counts_of_jokes
from emdpo.learn.surfaces import CONFIDENT, MAX_THETA, leaning
from emdpo.plots.theme import INK, OUTLINE, question_figure, type_colour

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emdpo.learn.designs import Design, Population
    from emdpo.learn.opposed import Path
    from emdpo.learn.surfaces import Surface

BANDS = (3.0, 6.0, 9.0, 12.0)
"""Nats lost at which the surface gets paler."""

LOSS_COLOURS = [
    [0.0, "rgba(0,114,178,0.95)"],
    [0.24, "rgba(0,114,178,0.8)"],
    [0.26, "rgba(0,114,178,0.45)"],
    [1.0, "rgba(0,114,178,0)"],
]

TRUTH_LINE = {"color": "#000000", "width": 1}

THREE_PLACES = ("fewest jokes", "half-way", "most jokes")


def answers_figure(design: Design, population: Population) -> go.Figure:
    """Return the exact answer probabilities of a population beside an indifferent one."""
    places = _places(design)
    figure = question_figure(
        "Do the two populations answer differently?",
        "Exact probabilities; bars of one height: no number of people tells them apart.",
        height=210,
        legend=2,
        headroom=8,
    )
    worlds = {"everybody indifferent": INDIFFERENT, _name(population): population}
    for place, (name, world) in enumerate(worlds.items()):
        figure.add_bar(
            x=places,
            y=counts_of_jokes(design, world),
            name=name,
            marker={
                "color": (INK, type_colour(0))[place],
                "pattern": {"shape": ("", "/")[place]},
                "line": {"color": OUTLINE, "width": 1},
            },
            hovertemplate=f"{name}, %{{x}}: %{{y:.1%}}<extra></extra>",
        )
    figure.update_yaxes(range=[0, 1], tickformat=".0%")
    figure.update_xaxes(title_text=_asked(design), type="category")
    return figure


def _name(population: Population) -> str:
    if population.n_types == 2:
        return "half love, half hate"
    return f"{population.n_types} types, from hate to love"


def _places(design: Design) -> list[str]:
    if len(design.questions[0]) == 3:
        return list(THREE_PLACES)
    return ["never", "always"] if design.n_linked == 1 else _out_of(design.n_linked)


def _out_of(n: int) -> list[str]:
    return ["never", *(f"{k} of {n}" for k in range(1, n)), "always"]


def _asked(design: Design) -> str:
    if len(design.questions[0]) == 3:
        return "best of three"
    if design.n_linked == 1:
        return "takes the answer with more jokes"
    return f"takes more jokes in a person's {design.n_linked} pairs"


def surface_figure(
    surface: Surface, truth: Population, paths: Sequence[Path] = (), *, exact: bool = True
) -> go.Figure:
    """Return which strengths and shares the answers leave open, with the starts of EM on it.

    `exact`: the surface is the expectation over all samples, else that of the one sample drawn.
    """
    below = "the truth" if exact else "the best point of this sample"
    sliced = "" if truth.n_types == 2 else " A slice: EM's shares are free to leave it."
    figure = question_figure(
        "Which truths are left open?",
        f"Dark: within {CONFIDENT:g} nats of {below}, so not ruled out by n = "
        f"{surface.n_people:,} people. At the left edge everybody is indifferent.{sliced}",
        height=280,
        legend=4,
        headroom=8,
    )
    figure.add_contour(
        x=surface.theta,
        y=surface.leaning,
        z=np.minimum(surface.loss, BANDS[-1] + 1),
        customdata=surface.loss,
        colorscale=LOSS_COLOURS,
        zmin=0,
        zmax=BANDS[-1],
        contours={
            "start": CONFIDENT,
            "end": BANDS[-1],
            "size": CONFIDENT,
            "coloring": "heatmap",
        },
        line={"width": 0.6, "color": OUTLINE},
        showscale=False,
        hovertemplate="strength %{x:.1f}, leaning %{y:.0%}: %{customdata:.2f} nats lost"
        "<extra></extra>",
    )
    _add_paths(figure, paths)
    figure.add_scatter(
        x=[max(truth.tastes)],
        y=[leaning(np.array(truth.weights))],
        mode="markers",
        marker={"symbol": "star", "size": 17, "color": "#F0E442", "line": TRUTH_LINE},
        name="the truth",
        hovertemplate="the truth: strength %{x:.1f}, leaning %{y:.0%}<extra></extra>",
    )
    figure.update_xaxes(title_text="strength of the tastes", range=[-0.1, MAX_THETA + 0.1])
    share = "share of people who love" if truth.n_types == 2 else "0% all hate, 100% all love"
    figure.update_yaxes(title_text=share, range=[-0.02, 1.02], tickformat=".0%")
    return figure


def _add_paths(figure: go.Figure, paths: Sequence[Path]) -> None:
    """Draw where each start of EM went; ends beyond the right edge are shown at it."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    for path in paths:
        xs += [*(min(x, MAX_THETA) for x, _ in path.points), None]
        ys += [*(y for _, y in path.points), None]
    if not paths:
        return
    figure.add_scatter(
        x=xs,
        y=ys,
        mode="lines",
        line={"color": type_colour(4), "width": 1.2, "dash": "dot"},
        showlegend=False,
        hoverinfo="skip",
    )
    marks = {"EM starts": (0, "circle-open", 9), "EM ends": (-1, "diamond", 11)}
    for name, (place, symbol, size) in marks.items():
        at = [path.points[place] for path in paths]
        figure.add_scatter(
            x=[min(x, MAX_THETA) for x, _ in at],
            y=[y for _, y in at],
            customdata=[[x, path.log_likelihood] for (x, _), path in zip(at, paths, strict=True)],
            mode="markers",
            marker={"symbol": symbol, "size": size, "color": type_colour(4)},
            name=name,
            hovertemplate=f"{name}: strength %{{customdata[0]:.2f}}, leaning %{{y:.0%}}; reached "
            "%{customdata[1]:.3f} nats<extra></extra>",
        )
