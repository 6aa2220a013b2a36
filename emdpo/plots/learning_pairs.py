"""Figures of why pairs can hide types: what people answer, and what their answers leave open."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from emdpo.learn.designs import INDIFFERENT, counts_of_jokes
from emdpo.plots.theme import INK, OUTLINE, question_figure, type_colour

if TYPE_CHECKING:
    from emdpo.learn.designs import Design, Population

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
