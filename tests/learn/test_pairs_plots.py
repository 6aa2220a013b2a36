"""Figure 1: its pictures show what was computed."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emdpo.learn.designs import INDIFFERENT, counts_of_jokes, designs, love_and_hate
from emdpo.learn.opposed import Path
from emdpo.learn.surfaces import expected_surface
from emdpo.plots.learning_pairs import answers_figure, surface_figure

TRUTH = love_and_hate(1.5)
PATHS = (
    Path(((0.5, 0.2), (1.4, 0.5)), -10.0, "converged"),
    Path(((3.0, 0.9), (9.0, 0.6)), -11.0, "converged"),
)


@pytest.mark.parametrize("place", [0, 1, 2])
def test_bars_are_the_exact_probabilities_of_both_populations(place):
    design = designs(2)[place]
    figure = answers_figure(design, TRUTH)
    nobody, half = figure.data
    np.testing.assert_allclose(nobody.y, counts_of_jokes(design, INDIFFERENT))
    np.testing.assert_allclose(half.y, counts_of_jokes(design, TRUTH))
    assert np.allclose(nobody.y, half.y) == (design.key == "pair")
    assert len(half.x) == len(half.y) and half.name == "half love, half hate"
    assert half.marker.pattern.shape != nobody.marker.pattern.shape  # not by colour alone


def test_the_surface_names_its_reference_and_its_people():
    surface = expected_surface(designs(2)[1], TRUTH, 400)
    for exact, word in ((True, "of the truth"), (False, "of this sample")):
        title = surface_figure(surface, TRUTH, exact=exact).layout.title
        told = title.subtitle.text.replace("<br>", " ")
        assert title.text.endswith("?</b>") and "n = 400" in told and word in told
    contour = surface_figure(surface, TRUTH).data[0]
    assert np.asarray(contour.z).max() <= 13 and np.asarray(contour.customdata).max() > 100


def test_ends_beyond_the_edge_are_drawn_at_it_and_told_in_full():
    surface = expected_surface(designs(2)[0], TRUTH, 400)
    figure = surface_figure(surface, TRUTH, PATHS)
    drawn = {trace.name: trace for trace in figure.data if trace.name}
    assert list(drawn["EM starts"].x) == [0.5, 3.0] and list(drawn["EM ends"].x) == [1.4, 4.0]
    assert [row[0] for row in drawn["EM ends"].customdata] == [1.4, 9.0]
    assert (drawn["the truth"].x[0], drawn["the truth"].y[0]) == (1.5, 0.5)
    assert {trace.type for trace in figure.data} == {"contour", "scatter"}


def test_more_types_are_said_to_lie_between():
    truth = love_and_hate(1.0, 3)
    assert answers_figure(designs(1)[0], truth).data[1].name == "3 types, from hate to love"
    figure = surface_figure(expected_surface(designs(1)[0], truth, 50), truth)
    assert "all love" in json.dumps(figure.layout.yaxis.title.to_plotly_json())
