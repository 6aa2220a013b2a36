"""Figures of two runs: the counts and differences they show."""

from __future__ import annotations

import numpy as np
import pytest
from panels import planted

import emdpo
from emdpo import plots
from emdpo.core.findings import rule_label

QUICK = {"restarts": 2, "features": "columns"}


@pytest.fixture(scope="module")
def found():
    rankings = planted(n_users=45, answers=4)
    two, three = (emdpo.fit(rankings, k, **QUICK) for k in (2, 3))
    return emdpo.compare_runs(two, three, n_bootstrap=50)


def test_the_heat_map_counts_users_and_outlines_matched_types(found):
    figure = plots.movement_figure(found)
    (cells,) = figure.data
    order = [int(name.split()[1].split("<")[0]) - 1 for name in cells.x]
    assert sorted(order) == [0, 1, 2]
    assert [[int(n) for n in row] for row in cells.text] == found.contingency[:, order].tolist()
    assert np.asarray(cells.z).sum(axis=1) == pytest.approx([1, 1])
    outlined = {
        (round((shape.y0 + shape.y1) / 2), order[round((shape.x0 + shape.x1) / 2)])
        for shape in figure.layout.shapes
    }
    assert outlined == {(k - 1, m - 1) for k, m in found.pairs}
    assert [round((shape.x0 + shape.x1) / 2) for shape in figure.layout.shapes] == [0, 1]


@pytest.mark.parametrize("kind", ["share", "kl", "plain", "preference"])
@pytest.mark.parametrize("judge", ["own", "a", "b"])
def test_differences_are_drawn_with_their_intervals(found, kind, judge):
    figure = plots.regret_changes_figure(found, kind, judge)
    rows = found.regret.query("kind == @kind and judged_by == @judge and statistic == 'mean'")
    assert [trace.y[0] for trace in figure.data] == [rule_label(rule) for rule in rows["rule"]]
    for trace, row in zip(figure.data, rows.to_dict("records"), strict=True):
        value = trace.x[0]
        assert value == row["difference"]
        assert value + trace.error_x.array[0] == pytest.approx(row["high"])
        assert value - trace.error_x.arrayminus[0] == pytest.approx(row["low"])


def test_both_ask_a_question_and_say_n(found):
    for figure in (plots.movement_figure(found), plots.regret_changes_figure(found)):
        layout = figure.to_dict()["layout"]
        assert layout["title"]["text"].endswith("?</b>")
        note = layout["title"]["subtitle"]["text"].replace("<br>", " ")
        assert "n = 45" in note and layout["height"] >= 200
        assert {trace.type for trace in figure.data} <= {"scatter", "heatmap"}


def test_equal_runs_lie_on_the_diagonal():
    fit = emdpo.fit(planted(), 3, **QUICK)
    figure = plots.movement_figure(emdpo.compare_runs(fit, fit, n_bootstrap=10))
    assert np.array_equal(figure.data[0].z, np.eye(3))
