"""Figures of a room: which types its people are of."""

from __future__ import annotations

import plotly.graph_objects as go

from emdpo.core.composition import Composition
from emdpo.plots.theme import (
    OUTLINE,
    TYPE_PATTERNS,
    question_figure,
    type_colour,
    type_name,
)

ROW_HEIGHT = 46


def room_shares_figure(everybody: Composition) -> go.Figure:
    """Return the share of each type among all people, with its interval.

    Parameters
    ----------
    everybody : Composition
        Of one group, which has everybody in it.
    """
    shares, low, high = everybody.shares[0], everybody.low[0], everybody.high[0]
    n_types = len(shares)
    figure = question_figure(
        "How many of us are of each type?",
        f"Each person (n = {everybody.n[0]:,}) counts as much for a type as they probably are of "
        f"it. Lines: {everybody.confidence:.0%} intervals over people, for these types.",
        height=ROW_HEIGHT * n_types + 20,
        legend=0,
    )
    names = [type_name(k) for k in range(n_types)]
    figure.add_bar(
        x=shares,
        y=names,
        orientation="h",
        marker={
            "color": [type_colour(k) for k in range(n_types)],
            "pattern": {"shape": [TYPE_PATTERNS[k % len(TYPE_PATTERNS)] for k in range(n_types)]},
            "line": {"color": OUTLINE, "width": 1},
        },
        error_x={
            "type": "data",
            "symmetric": False,
            "array": high - shares,
            "arrayminus": shares - low,
            "color": OUTLINE,
            "thickness": 2,
        },
        customdata=list(zip(low, high, strict=True)),
        hovertemplate="%{y}: %{x:.0%} (%{customdata[0]:.0%} to %{customdata[1]:.0%})"
        "<extra></extra>",
    )
    for name, share, end in zip(names, shares, high, strict=True):
        figure.add_annotation(
            x=end,
            y=name,
            text=f"<b>{share:.0%}</b>",
            showarrow=False,
            xanchor="left",
            xshift=6,
            font={"size": 15},
        )
    figure.update_xaxes(range=[0, 1.12], tickvals=[0, 0.25, 0.5, 0.75, 1], tickformat=".0%")
    figure.update_yaxes(autorange="reversed")
    return figure
