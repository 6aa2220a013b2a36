"""Figure 2: its pictures show the half-step that they are drawn from."""

from __future__ import annotations

import numpy as np
import pytest

from emdpo.learn.half_steps import begin, draw_crowd, mean_liking, policy, walk
from emdpo.learn.triangle import CORNERS
from emdpo.plots.learning_em import (
    blended,
    climb_figure,
    policies_figure,
    responsibilities_figure,
)

CROWD = draw_crowd(3, np.random.default_rng(0))
HALVES = walk(CROWD, begin(CROWD, "random", np.random.default_rng(1)), 5)


def traces(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


def told(figure):
    return figure.layout.title.subtitle.text.replace("<br>", " ")


@pytest.mark.parametrize(
    ("n", "whose"), [(1, "given by the start"), (2, "of the last E step"), (3, "of these policies")]
)
def test_figures_say_whose_responsibilities_they_show(n, whose):
    """After an M step they are those that it was made from, not those of the policies shown."""
    for figure in (
        policies_figure(CROWD, HALVES[:n]),
        responsibilities_figure(CROWD, HALVES[n - 1]),
    ):
        assert f"responsibilities {whose}" in told(figure)
        assert "n = 40" in told(figure) and figure.layout.title.text.endswith("?</b>")


@pytest.mark.parametrize("n", [1, 2, 3, 6])
def test_the_three_figures_are_of_one_height(n):
    """They stand side by side; their words must not take different numbers of lines."""
    figures = (
        policies_figure(CROWD, HALVES[:n]),
        responsibilities_figure(CROWD, HALVES[n - 1]),
        climb_figure(HALVES[:n]),
    )
    assert len({figure.layout.height for figure in figures}) == 1


def test_policies_stand_at_their_chances_at_the_end_of_their_way():
    figure = policies_figure(CROWD, HALVES)
    at = policy(CROWD, HALVES[-1].policies) @ CORNERS
    ways = [trace for trace in figure.data if trace.mode == "lines"][1:]  # after the triangle
    for k, way in enumerate(ways):
        mark = traces(figure)[f"Type {k + 1}"]
        np.testing.assert_allclose((mark.x[0], mark.y[0]), at[k])
        assert len(way.x) == 1 + 3  # the start and three M steps
        np.testing.assert_allclose((way.x[0], way.y[0]), CORNERS.mean(axis=0))
    assert len(ways) == 3


def test_people_lie_where_they_rank_apart_and_in_the_mix_of_their_types_colours():
    figure = policies_figure(CROWD, HALVES)
    people = next(trace for trace in figure.data if trace.customdata is not None)
    at = np.stack([people.x, people.y], axis=1)
    assert len(np.unique(at.round(6), axis=0)) == 40
    assert abs(at - mean_liking(CROWD) @ CORNERS).max() < 0.08
    assert list(people.marker.color) == blended(HALVES[-1].resp)
    assert blended(np.eye(3)) == ["#0072b2", "#e69f00", "#009e73"]


def test_bars_are_the_responsibilities_and_planted_types_are_marked():
    figure = responsibilities_figure(CROWD, HALVES[2])
    np.testing.assert_allclose(np.array([trace.y for trace in figure.data]).T, HALVES[2].resp)
    assert [shape.x0 for shape in figure.layout.shapes] == [14.5, 27.5]
    assert {trace.marker.pattern.shape for trace in figure.data} == {"", "/", "."}


def test_the_climb_has_a_point_a_half_step_and_names_few():
    drawn = traces(climb_figure(HALVES, best=-150.0))
    assert list(drawn["log-likelihood"].y) == [half.objective for half in HALVES]
    assert list(drawn["bound"].y) == [half.bound for half in HALVES]
    assert set(drawn["best of five starts"].y) == {-150.0}
    few = climb_figure(HALVES)
    assert list(few.layout.xaxis.ticktext) == ["start", "M", "E", "M", "E", "M"]
    assert "best of five starts" not in traces(few)
    many = climb_figure(walk(CROWD, HALVES[0], 60))
    assert many.layout.xaxis.ticktext is None
    assert traces(many)["bound"].mode == "lines"
