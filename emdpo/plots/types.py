"""Figures of the types: who is how surely of which type, what types want, who their people are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emdpo.core.mixture import EMPTY_TYPE
from emdpo.plots.theme import (
    CLEAR,
    GRID,
    MAX_GROUPS,
    OUTLINE,
    TYPE_PATTERNS,
    group_label,
    label_text,
    question_figure,
    text_on,
    type_colour,
    type_marker,
    type_name,
    wrapped_label,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.portraits import Composition, StyleProfile

MAX_POINTS = 5_000
"""Users drawn as points; more make a page slow and show nothing new."""

MAX_ROWS = 500
"""Rows of the heatmap; more are averaged into so many."""

N_BINS = 20


def posterior_figure(responsibilities: NDArray[np.float64]) -> go.Figure | None:
    """Return how sure the type of each user is, from responsibilities (N, K).

    One type: None. Two: a histogram. Three: a triangle. More: a heatmap.
    """
    n_types = responsibilities.shape[1]
    if n_types == 1:
        return None
    if n_types == 2:
        return _posterior_histogram(responsibilities)
    if n_types == 3:
        return _posterior_triangle(responsibilities)
    return _posterior_heatmap(responsibilities)


POSTERIOR_QUESTION = "How sure is each person's type?"


def _posterior_histogram(responsibilities: NDArray[np.float64]) -> go.Figure:
    figure = question_figure(
        POSTERIOR_QUESTION,
        f"Users (n = {len(responsibilities):,}) by probability of Type 1. Bars at both ends: clear "
        "cases; in the middle: unsure.",
        height=300,
    )
    counts, edges = np.histogram(responsibilities[:, 0], bins=N_BINS, range=(0, 1))
    centres = (edges[:-1] + edges[1:]) / 2
    for k, members in ((1, centres < 0.5), (0, centres > 0.5)):
        figure.add_bar(
            x=centres[members],
            y=counts[members],
            width=1 / N_BINS,
            marker=_bar_marker(k),
            name=f"more likely {type_name(k)}",
            hovertemplate="about %{x:.0%}: %{y:,} users<extra></extra>",
        )
    figure.update_xaxes(title_text="probability of Type 1", range=[0, 1], tickformat=".0%")
    figure.update_yaxes(title_text="users")
    return figure


def _posterior_triangle(responsibilities: NDArray[np.float64]) -> go.Figure:
    n = len(responsibilities)
    shown = np.unique(np.linspace(0, n - 1, min(n, MAX_POINTS)).astype(int))
    note = "" if len(shown) == n else f" An even sample of {len(shown):,} is drawn."
    figure = question_figure(
        POSTERIOR_QUESTION,
        f"Each mark is one user (n = {n:,}; the legend counts most likely types). In a corner: "
        f"surely that type; in the middle: unsure.{note}",
        height=360,
        headroom=30,
    )
    points = responsibilities[shown]
    likely = points.argmax(axis=1)
    for k in range(3):
        part = points[likely == k]
        figure.add_scatterternary(
            a=part[:, 0],
            b=part[:, 1],
            c=part[:, 2],
            mode="markers",
            marker=type_marker(k, 8) | {"opacity": 0.7},
            name=f"{type_name(k)}: {np.count_nonzero(responsibilities.argmax(axis=1) == k):,}",
            cliponaxis=False,
            hovertemplate="Type 1 %{a:.0%}, Type 2 %{b:.0%}, Type 3 %{c:.0%}<extra></extra>",
        )
    axis = {
        "gridcolor": GRID,
        "linecolor": OUTLINE,
        "tickformat": ".0%",
        "tickvals": [0.25, 0.5, 0.75],
    }
    corners = {
        f"{letter}axis": axis | {"title": {"text": type_name(k)}} for k, letter in enumerate("abc")
    }
    figure.update_layout(ternary={"sum": 1, "bgcolor": CLEAR} | corners)
    figure.update_layout(margin={"l": 50, "r": 50})
    return figure


def _posterior_heatmap(responsibilities: NDArray[np.float64]) -> go.Figure:
    n, n_types = responsibilities.shape
    likely = responsibilities.argmax(axis=1)
    order = np.lexsort((-responsibilities.max(axis=1), likely))
    parts = np.array_split(responsibilities[order], min(n, MAX_ROWS))
    rows = np.stack([part.mean(axis=0) for part in parts])
    note = "" if len(rows) == n else f" Each row averages about {n / len(rows):.0f} users."
    figure = question_figure(
        POSTERIOR_QUESTION,
        f"Users (n = {n:,}) from top to bottom by most likely type, surest first. A full cell: "
        f"surely that type; a row of half-full cells: unsure.{note}",
        height=360,
        legend=0,
    )
    figure.add_heatmap(
        z=rows,
        x=[type_name(k) for k in range(n_types)],
        y=np.arange(1, len(rows) + 1) * n / len(rows),
        zmin=0,
        zmax=1,
        colorscale=PROBABILITY_SCALE,
        colorbar={"tickformat": ".0%", "title": {"text": "probability"}, "outlinewidth": 0},
        hovertemplate="user %{y:.0f}, %{x}: %{z:.0%}<extra></extra>",
    )
    figure.update_yaxes(title_text="users", autorange="reversed", showgrid=False)
    return figure


PROBABILITY_SCALE = [[0, "rgba(0,114,178,0.04)"], [1, "rgb(0,114,178)"]]


def _bar_marker(k: int) -> dict[str, object]:
    pattern = {
        "shape": TYPE_PATTERNS[k % len(TYPE_PATTERNS)],
        "solidity": 0.15,
        "fgopacity": 0.3,
        "size": 7,
    }
    return {
        "color": type_colour(k),
        "pattern": pattern,
        "line": {"color": OUTLINE, "width": 1},
    }


def style_table(profile: StyleProfile) -> pd.DataFrame:
    """Return one row per type and feature: strength of the preference with its interval."""
    n_types, n_features = profile.strength.shape
    return pd.DataFrame(
        {
            "type": np.repeat([type_name(k) for k in range(n_types)], n_features),
            "feature": np.tile(profile.labels, n_types),
            "strength": profile.strength.ravel(),
            "low": profile.low.ravel(),
            "high": profile.high.ravel(),
            "n": np.repeat(profile.n, n_features),
        }
    )


def style_figure(profile: StyleProfile, top: int = 12) -> go.Figure:
    """Return what each type prefers: the `top` features on which types differ or care most."""
    n_types = len(profile.strength)
    held = np.flatnonzero(profile.n >= EMPTY_TYPE)
    spread = np.ptp(profile.strength, axis=0) if n_types > 1 else np.abs(profile.strength[0])
    chosen = np.argsort(-spread, kind="stable")[:top]
    sizes = ", ".join(f"{type_name(k)} n = {profile.n[k]:.0f}" for k in held.tolist())
    figure = question_figure(
        "What does each type like and dislike?",
        "Right of zero: liked; left: disliked; marks further apart: types differ more. Bars are "
        f"{profile.confidence:.0%} intervals. Expected users: {sizes}.",
        height=34 * len(chosen) + 20 * len(held),
        legend=len(held),
    )
    place = np.arange(len(chosen))
    for k in held.tolist():
        offset = 0.5 * (k - (n_types - 1) / 2) / n_types
        figure.add_scatter(
            x=profile.strength[k, chosen],
            y=place + offset,
            error_x=_error(profile.strength[k], profile.low[k], profile.high[k], chosen, k),
            mode="markers",
            marker=type_marker(k, 9),
            name=type_name(k),
            customdata=np.stack([profile.low[k, chosen], profile.high[k, chosen]], axis=1),
            hovertemplate=f"{type_name(k)}: %{{x:.2f}} "
            "(%{customdata[0]:.2f} to %{customdata[1]:.2f})<extra></extra>",
        )
    figure.update_xaxes(title_text="score per standard deviation (nats)")
    figure.update_yaxes(
        tickvals=place,
        ticktext=[wrapped_label(profile.labels[d], 40, 20) for d in chosen],
        range=[len(chosen) - 0.5, -0.5],
        zeroline=False,
    )
    return figure


def _error(
    middle: NDArray[np.float64],
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    chosen: NDArray[np.intp],
    k: int,
) -> dict[str, object] | None:
    if np.isnan(low).all():
        return None
    return {
        "array": (high - middle)[chosen],
        "arrayminus": (middle - low)[chosen],
        "color": type_colour(k),
        "thickness": 1.8,
        "width": 0,
    }


def composition_table(composition: Composition) -> pd.DataFrame:
    """Return one row per group: users, and the mean responsibility of each type."""
    table = pd.DataFrame({composition.attribute: composition.values, "n": composition.n})
    for k in range(composition.shares.shape[1]):
        table[f"type_{k + 1}"] = composition.shares[:, k]
    return table


def composition_figure(composition: Composition) -> go.Figure:
    """Return the share of each type among the people of each group, as stacked bars."""
    name = label_text(composition.attribute, 30)
    largest = np.argsort(-np.array(composition.n), kind="stable")[:MAX_GROUPS]
    groups = np.sort(largest)
    left_out = len(composition.n) - len(groups)
    users = np.array(composition.n) @ composition.shares  # (K,)
    held = np.flatnonzero(users >= EMPTY_TYPE).tolist()
    note = f" The {left_out} smallest groups are left out." if left_out else ""
    figure = question_figure(
        f"Which types are common in each {name}?",
        f"Length of a part: share of the group's users of that type. {_association(composition)} "
        f"Types are patterns in rankings, not groups of people.{note}",
        height=50 * len(groups) + 20,
        legend=len(held),
    )
    labels = [group_label(composition.values[g], composition.n[g]) for g in groups]
    for k in held:
        figure.add_trace(_composition_bar(k, composition.shares[groups, k], labels))
    figure.update_layout(barmode="stack", bargap=0.3, legend_traceorder="normal")
    figure.update_xaxes(title_text="share of users", range=[0, 1], tickformat=".0%")
    figure.update_yaxes(
        tickvals=np.arange(len(groups)),
        ticktext=labels,
        range=[len(groups) - 0.5, -0.5],
        zeroline=False,
        showgrid=False,
    )
    return figure


def _composition_bar(k: int, shares: NDArray[np.float64], labels: list[str]) -> go.Bar:
    return go.Bar(
        x=shares,
        y=np.arange(len(shares)),
        customdata=labels,
        orientation="h",
        marker=_bar_marker(k),
        name=type_name(k),
        text=[f"<b>{share:.0%}</b>" if share >= 0.1 else "" for share in shares],
        textposition="inside",
        textangle=0,
        insidetextanchor="middle",
        insidetextfont={"color": text_on(type_colour(k))},
        hovertemplate=f"%{{customdata}}<br>{type_name(k)}: %{{x:.1%}}<extra></extra>",
    )


def _association(composition: Composition) -> str:
    if composition.cramers_v is None or composition.interval is None:
        return f"n = {sum(composition.n):,}."
    low, high = composition.interval
    return (
        f"Cramér's V {composition.cramers_v:.2f} ({composition.confidence:.0%} interval "
        f"{low:.2f} to {high:.2f}; 0 = unrelated, 1 = the group gives the type away), "
        f"n = {sum(composition.n):,}."
    )
