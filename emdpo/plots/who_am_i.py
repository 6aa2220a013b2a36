"""How a person's type became clear: the posterior after every answer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go

from emdpo.plots.theme import (
    TYPE_DASHES,
    question_figure,
    type_colour,
    type_marker,
    type_name,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


def course_figure(course: NDArray[np.float64]) -> go.Figure:
    """Return the figure of a person's posterior (n + 1, K): before any answer, and after each."""
    n_answers, n_types = len(course) - 1, course.shape[1]
    figure = question_figure(
        "When did your type become clear?",
        "A line is a type: its probability before any answer (its share of the users), and after "
        f"each of your {n_answers} orders.",
        240,
        legend=n_types,
    )
    for k in range(n_types):
        figure.add_scatter(
            x=list(range(n_answers + 1)),
            y=course[:, k].tolist(),
            name=type_name(k),
            mode="lines+markers",
            marker=type_marker(k, 9),
            line={"color": type_colour(k), "width": 2, "dash": TYPE_DASHES[k % len(TYPE_DASHES)]},
            hovertemplate=f"{type_name(k)}: %{{y:.1%}} after %{{x}} orders<extra></extra>",
        )
    figure.update_xaxes(title_text="Orders given", dtick=1, range=[-0.15, n_answers + 0.15])
    figure.update_yaxes(title_text="Probability", range=[-0.04, 1.04], tickformat=".0%")
    return figure
