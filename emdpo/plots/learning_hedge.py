"""Figures of Hedge: its averages walking to the linear programme's answer, and the gap falling."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from emdpo.core.aggregation import min_max_regret_mixture
from emdpo.core.findings import rule_label
from emdpo.learn.triangle import to_plane
from emdpo.plots.auditing import rule_marker
from emdpo.plots.learning_triangle import add_corners
from emdpo.plots.theme import INK, OUTLINE, question_figure, type_colour

if TYPE_CHECKING:
    from emdpo.core.hedge import HedgeRounds
    from emdpo.learn.triangle import ThreeTypes

PATH = "#E8590C"
"""Colour of what Hedge has reached."""


def hedge_path_figure(types: ThreeTypes, rounds: HedgeRounds, shown: int) -> go.Figure:
    """Return where Hedge's mixtures went in the first `shown` rounds, and where the LP stands.

    Parameters
    ----------
    types : ThreeTypes
    rounds : HedgeRounds
        Of the types' regret matrix.
    shown : int
        Rounds drawn, 1 .. T.
    """
    figure = question_figure(
        "Where does the learner's mixture go?",
        f"n = {shown:,} of {len(rounds.played):,} rounds. Dots: the mixture played in each. Line: "
        "the mean of all so far, which is what counts.",
        height=300,
        legend=3,
        headroom=4,
    )
    add_corners(figure, types)
    played, average = to_plane(rounds.played[:shown]), to_plane(rounds.average[:shown])
    figure.add_scatter(
        x=played[:, 0],
        y=played[:, 1],
        mode="markers",
        marker={"color": INK, "size": 4, "opacity": 0.6},
        name="Played",
        hovertemplate="round %{pointNumber}: played<extra></extra>",
    )
    figure.add_scatter(
        x=average[:, 0],
        y=average[:, 1],
        mode="lines+markers",
        line={"color": PATH, "width": 2},
        marker={"color": PATH, "size": [3] * (shown - 1) + [13], "symbol": "circle"},
        name="Mean so far (Hedge)",
        hoverinfo="skip",
    )
    best = to_plane(min_max_regret_mixture(types.regret_matrix, types.shares).weights)
    figure.add_scatter(
        x=best[:1],
        y=best[1:],
        mode="markers",
        marker=rule_marker("mixture", 16),
        name=f"{rule_label('mixture')} (LP)",
        hovertemplate="the linear programme's mixture<extra></extra>",
    )
    return figure


def hedge_gap_figure(types: ThreeTypes, rounds: HedgeRounds, shown: int) -> go.Figure:
    """Return bounds on the best worst regret after each round, closing in on the LP's value."""
    figure = question_figure(
        "How near has the game come?",
        "No mixture's worst regret is below the lower line; that of the mean so far is the upper. "
        f"The best lies between. n = {shown:,} of {len(rounds.gap):,} rounds; log scale.",
        height=250,
        legend=3,
    )
    turns = np.arange(1, shown + 1)
    for name, values, k, dash in (
        ("Mean so far: worst regret", rounds.worst, 4, "solid"),
        ("Proven by the adversary", rounds.floor, 0, "dash"),
    ):
        figure.add_scatter(
            x=turns,
            y=values[:shown],
            mode="lines+markers",
            line={"color": type_colour(k), "width": 2, "dash": dash},
            marker={"size": 4},
            name=name,
            hovertemplate=f"{name}, round %{{x}}: %{{y:.3f}} nats<extra></extra>",
        )
    value = min_max_regret_mixture(types.regret_matrix, types.shares).value
    figure.add_scatter(
        x=[1, len(rounds.gap)],
        y=[value, value],
        mode="lines",
        line={"color": OUTLINE, "width": 2, "dash": "dot"},
        name="Linear programme",
        hovertemplate="linear programme: %{y:.4f} nats<extra></extra>",
    )
    figure.update_xaxes(title_text="round", type="log", dtick=1)
    figure.update_yaxes(title_text="worst plain regret (nats)")
    return figure
