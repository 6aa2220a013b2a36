"""What figures 3 and 4 draw is what the library computes; and the programs shown do run."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emdpo.core.aggregation import min_max_regret_mixture
from emdpo.core.hedge import hedge_rounds
from emdpo.learn.designs import designs, love_and_hate
from emdpo.learn.examples import EXAMPLES
from emdpo.learn.opposed import em_paths
from emdpo.learn.sampling import sample_answers
from emdpo.learn.surfaces import expected_surface
from emdpo.learn.triangle import CORNERS, EXAMPLE, marks, regrets, to_plane
from emdpo.learn.whose_average import FOUR_WINNERS, case, verdicts
from emdpo.plots.learning_average import VERDICT_LABELS, utilities_figure, verdicts_figure
from emdpo.plots.learning_hedge import hedge_gap_figure, hedge_path_figure
from emdpo.plots.learning_pairs import surface_figure
from emdpo.plots.learning_triangle import YOURS, triangle_figure, type_regrets_figure

MINE = np.array([0.2, 0.3, 0.5])
ROUNDS = hedge_rounds(EXAMPLE.regret_matrix, 40)

FIGURES = {
    "triangle": triangle_figure(EXAMPLE, MINE),
    "consensus": triangle_figure(EXAMPLE, MINE, "consensus", "kl"),
    "bars": type_regrets_figure(EXAMPLE, MINE, "mixture", "plain"),
    "path": hedge_path_figure(EXAMPLE, ROUNDS, 7),
    "gap": hedge_gap_figure(EXAMPLE, ROUNDS, 7),
    "utilities": utilities_figure(FOUR_WINNERS),
    "verdicts": verdicts_figure(FOUR_WINNERS, verdicts(FOUR_WINNERS)),
}


def traces(figure):
    return {trace.name: trace for trace in figure.data if trace.name}


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_asks_a_question_says_how_to_read_it_and_has_a_height(name):
    layout = FIGURES[name].to_dict()["layout"]
    assert layout["title"]["text"].endswith("?</b>")
    assert len(layout["title"]["subtitle"]["text"]) > 40
    assert layout["height"] >= 200
    assert {trace.type for trace in FIGURES[name].data} <= {"scatter", "bar", "heatmap"}
    assert "n = " in json.dumps(layout["title"]) or name == "bars"


def test_marks_stand_where_the_rules_are_and_open_where_the_form_is_the_other():
    for form, name in (("mixture", "triangle"), ("consensus", "consensus")):
        drawn = traces(FIGURES[name])
        for label, rule in (
            ("Min-max mixture", "mixture"),
            ("Maximin value", "maximin"),
            ("Nash welfare", "nash"),
            ("Min-max consensus", "consensus"),
        ):
            mark = marks(EXAMPLE)[rule]
            point = (drawn[label].x[0], drawn[label].y[0])
            np.testing.assert_allclose(point, mark.weights @ CORNERS, atol=1e-12)
            assert drawn[label].marker.symbol.endswith("-open") == (mark.form != form)
        np.testing.assert_allclose((drawn[YOURS].x[0], drawn[YOURS].y[0]), MINE @ CORNERS)


def test_the_heat_is_least_near_the_min_max_mixture_by_plain_regret():
    """The grid's cells are 1/120 apart, so that the best cell is within two of the best point."""
    heat = triangle_figure(EXAMPLE, MINE, "mixture", "plain").data[0]
    z = np.array(heat.z)
    row, column = np.unravel_index(np.nanargmin(z), z.shape)
    best = to_plane(marks(EXAMPLE)["mixture"].weights)
    assert np.hypot(heat.x[column] - best[0], heat.y[row] - best[1]) < 0.03


def test_bars_are_each_type_s_regret():
    bar = FIGURES["bars"].data[0]
    np.testing.assert_allclose(bar.x, regrets(EXAMPLE, "mixture", MINE).plain[:, 0])
    assert list(bar.y) == ["Type 1 (50%)", "Type 2 (30%)", "Type 3 (20%)"]


def test_the_game_is_drawn_as_far_as_it_was_played():
    path, gap = traces(FIGURES["path"]), traces(FIGURES["gap"])
    assert len(path["Played"].x) == len(path["Mean so far (Hedge)"].x) == 7
    mean = ROUNDS.played[:7].mean(axis=0) @ CORNERS
    reached = path["Mean so far (Hedge)"]
    np.testing.assert_allclose((reached.x[-1], reached.y[-1]), mean)
    exact = min_max_regret_mixture(EXAMPLE.regret_matrix)
    assert list(gap["Linear programme"].y) == [exact.value] * 2
    upper, lower = gap["Mean so far: worst regret"].y, gap["Proven by the adversary"].y
    assert all(u >= exact.value - 1e-9 >= low - 2e-9 for u, low in zip(upper, lower, strict=True))


def test_stars_stand_on_the_winners():
    heat = FIGURES["verdicts"].data[0]
    starred = {
        rule: [answer for answer, cell in zip("ABCD", cells, strict=True) if "★" in cell]
        for rule, cells in zip(VERDICT_LABELS, heat.text, strict=True)
    }
    assert starred["majority"] == ["C"] and starred["borda"] == ["A"]
    assert starred["maximin"] == ["D"] and starred["regret"] == ["B"]
    assert heat.text[-1][1] == "★ 5.0"  # a regret is shown as a loss
    assert [["★" in cell for cell in row] for row in heat.text] == (np.array(heat.z) == 1).tolist()


def test_where_nobody_wins_no_cell_is_starred():
    tied = case([[1, 0], [0, 1]], [1, 1], "AB")
    rows = verdicts_figure(tied, verdicts(tied)).data[0].text
    assert not any("★" in cell for cell in rows[list(VERDICT_LABELS).index("majority")])


def test_the_favourite_of_each_type_is_filled():
    symbols = [list(trace.marker.symbol) for trace in FIGURES["utilities"].data]
    filled = [[not symbol.endswith("-open") for symbol in row] for row in symbols]
    assert [row.index(True) for row in filled] == [0, 2, 2]
    assert all(sum(row) == 1 for row in filled)


def test_what_people_call_an_answer_stays_text():
    hostile = case([[1, 0]], [1], ("<b>$x$</b>", "B"))
    for figure in (utilities_figure(hostile), verdicts_figure(hostile, verdicts(hostile))):
        assert figure.data[0].x[0] == "&lt;b&gt;&#36;x&#36;&lt;/b&gt;"


def linked_pairs():
    """Return the last picture of figure 1 at the settings that the page opens with."""
    truth, design = love_and_hate(1.5), designs(2)[2]
    sample = sample_answers(design, truth, 400, np.random.default_rng(0))
    paths = em_paths(sample.rankings(), 2, np.random.default_rng(0))
    return surface_figure(expected_surface(design, truth, 400), truth, paths)


SAME = {
    "pairs": linked_pairs,
    "triangle": lambda: triangle_figure(EXAMPLE, np.array([0.5, 0.3, 0.2])),
    "hedge": lambda: hedge_gap_figure(EXAMPLE, hedge_rounds(EXAMPLE.regret_matrix, 100), 100),
    "whose average": lambda: FIGURES["verdicts"],
}


@pytest.mark.parametrize("name", EXAMPLES)
def test_the_program_shown_draws_the_figure(name, capsys):
    world = {}
    exec(compile(EXAMPLES[name], name, "exec"), world)  # noqa: S102 - our own text
    assert world["figure"].to_json() == SAME[name]().to_json()
    assert capsys.readouterr().out
