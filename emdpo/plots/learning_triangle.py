"""Figures of three types on a triangle: the worst regret everywhere, the rules, and one's own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import plotly.graph_objects as go

from emdpo.core.findings import rule_label
from emdpo.core.rules import GIVEN, MIXTURE
from emdpo.learn.triangle import CORNERS, marks, regrets, to_plane, worst_map
from emdpo.plots.auditing import KIND_AXES, KIND_NOTES, RULE_LOOKS, rule_marker
from emdpo.plots.theme import (
    OUTLINE,
    question_figure,
    type_colour,
    type_marker,
    type_name,
)

if TYPE_CHECKING:
    from emdpo.core.regret import Floats
    from emdpo.learn.triangle import ThreeTypes

HEAT = [[0.0, "#F7FBFF"], [0.15, "#C9DFF1"], [0.5, "#7FB3DA"], [1.0, "#2E6FA7"]]
"""Darker is worse."""

RIM = {"color": "#ffffff", "width": 1.5}
"""Around marks, so that they stand out from the heat."""

YOURS = "Your policy"

FORM_WORDS = {
    "mixture": "how often each type's policy answers",
    "consensus": "how much each type's policy counts in the product",
}
"""What the weights of a point are."""


def triangle_figure(
    types: ThreeTypes, weights: Floats, form: str = MIXTURE, kind: str = "share"
) -> go.Figure:
    """Return the worst regret all over the triangle, with the rules and a policy of one's own.

    Parameters
    ----------
    types : ThreeTypes
    weights : (3,) float
        Of the policy chosen: a point of the simplex.
    form : str
        mixture or consensus: how points make policies.
    kind : str
        Of regret: plain, kl or share.
    """
    figure = question_figure(
        "Where is the worst-served type served best?",
        f"A point says {FORM_WORDS[form]}; a corner is one type's own policy. Darker: the "
        f"worst-served type loses more. Open marks belong to the other form. "
        f"Exact, n = {len(types.answers)} answers to one question.",
        height=330,
        legend=7,
        headroom=4,
    )
    figure.add_trace(_heat(types, form, kind))
    add_corners(figure, types)
    for rule, mark in marks(types).items():
        same = mark.form == form or rule in ("uniform", "prevalence")
        look = rule_marker(rule, 14) | ({"line": RIM} if same else {})
        if not same:
            look |= {"symbol": f"{look['symbol']}-open", "line": {"width": 2.5}}
        _add_point(figure, mark.weights, look, rule_label(rule))
    colour = RULE_LOOKS[GIVEN][0]
    ring = {"color": colour, "symbol": "circle-open", "size": 22, "line": {"width": 4}}
    _add_point(figure, weights, ring, YOURS)
    return figure


def _heat(types: ThreeTypes, form: str, kind: str) -> go.Heatmap:
    held = worst_map(types, form, kind)
    fmt = KIND_AXES[kind][1]
    return go.Heatmap(
        x=held.x,
        y=held.y,
        z=held.worst.astype(np.float32),
        colorscale=HEAT,
        colorbar={
            "orientation": "h",
            "thickness": 9,
            "len": 0.7,
            "x": 0.5,
            "y": 0.0,
            "yanchor": "top",
            "tickformat": fmt,
            "nticks": 5,
        },
        hovertemplate=f"worst regret %{{z:{fmt}}}<extra></extra>",
        showlegend=False,
    )


def add_corners(figure: go.Figure, types: ThreeTypes) -> None:
    """Draw the sides of a triangle without axes, and the types at its corners."""
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
    for k, (x, y) in enumerate(CORNERS.tolist()):
        name = f"{type_name(k)} ({types.shares[k]:.0%})"
        figure.add_scatter(
            x=[x],
            y=[y],
            mode="markers",
            marker=type_marker(k, 13),
            hovertemplate=f"{name}: its own policy for all<extra></extra>",
            showlegend=False,
        )
        figure.add_annotation(
            x=x,
            y=y,
            text=f"<b>{name}</b>",
            showarrow=False,
            yshift=18 if k == 2 else -16,
            xanchor=("left", "right", "center")[k],
            xshift=(-8, 8, 0)[k],
        )


def _add_point(figure: go.Figure, weights: Floats, marker: dict[str, object], name: str) -> None:
    x, y = to_plane(weights).tolist()
    shares = ", ".join(f"{share:.0%}" for share in weights)
    figure.add_scatter(
        x=[x],
        y=[y],
        mode="markers",
        marker=marker,
        name=name,
        hovertemplate=f"{name}: {shares}<extra></extra>",
    )


def type_regrets_figure(
    types: ThreeTypes, weights: Floats, form: str = MIXTURE, kind: str = "share"
) -> go.Figure:
    """Return what each type loses under a policy of one's own, with the mean over people."""
    found = getattr(regrets(types, form, weights), kind)[:, 0]
    title, fmt = KIND_AXES[kind]
    figure = question_figure(
        "What does each type lose under your policy?",
        f"Longer is worse: {KIND_NOTES[kind]}. Dotted: mean over people.",
        height=150,
        legend=0,
    )
    names = [f"{type_name(k)} ({share:.0%})" for k, share in enumerate(types.shares)]
    figure.add_bar(
        x=found,
        y=names,
        orientation="h",
        marker={"color": [type_colour(k) for k in range(3)]},
        text=[f"{value:{fmt.replace('~', '')}}" for value in found],
        textposition="outside",
        cliponaxis=False,
        hovertemplate=f"%{{y}}: %{{x:{fmt}}}<extra></extra>",
    )
    figure.add_vline(x=float(types.shares @ found), line={"color": OUTLINE, "dash": "dot"})
    low, high = min(0.0, float(found.min())), max(float(found.max()), 0.1)
    figure.update_xaxes(title_text=title, tickformat=fmt, range=[low * 1.25, high * 1.25])
    figure.update_yaxes(autorange="reversed", type="category")
    return figure
