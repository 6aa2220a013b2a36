"""Figures of a comparison of methods: the differences, intervals and seconds they show."""

from __future__ import annotations

import pytest
from comparisons import renamed_comparison, small_comparison

from emdpo import plots
from emdpo.head_to_head.findings import verdict

PARTS = [("seen", None), ("new", 0), ("new", 2)]


@pytest.mark.parametrize("measure", ["log_loss", "accuracy", "tau"])
@pytest.mark.parametrize("part", PARTS)
def test_differences_are_drawn_with_their_intervals_and_verdicts(measure, part):
    found = small_comparison()
    figure = plots.differences_figure(found, measure, *part)
    rows = {each.method: each for each in found.of(measure, *part) if each.method != "dpo"}
    drawn = {}
    for trace in figure.data:
        for place, method in enumerate(trace.y):
            low, high = rows[method].above_interval
            value = trace.x[place]
            assert value == rows[method].above
            assert value + trace.error_x.array[place] == pytest.approx(high)
            assert value - trace.error_x.arrayminus[place] == pytest.approx(low)
            drawn[method] = trace.name
    assert set(drawn) == set(rows)
    words = {"better": "clearly better", "open": "not told apart", "worse": "clearly worse"}
    assert drawn == {method: words[verdict(each)] for method, each in rows.items()}
    assert list(figure.layout.yaxis.categoryarray) == list(rows)  # the best on top
    assert figure.layout.xaxis.tickformat in (".2f", ".0%")  # plotly.js refuses a sign before ".2f"


@pytest.mark.parametrize("compared", [small_comparison, renamed_comparison])
def test_seconds_are_drawn_against_the_measure_on_a_logarithmic_axis(compared):
    found = compared()
    figure = plots.cost_figure(found, "log_loss", "new", 2)
    rows = {each.method: each for each in found.of("log_loss", "new", 2)}
    assert [trace.name for trace in figure.data] == found.methods
    assert figure.layout.xaxis.type == "log"
    for trace, facts in zip(figure.data, found.facts, strict=True):
        assert trace.x[0] == max(facts.seconds_in_all, 0.01)
        assert trace.y[0] == rows[facts.method].mean
        low, high = rows[facts.method].interval
        assert trace.y[0] + trace.error_y.array[0] == pytest.approx(high)
        assert trace.y[0] - trace.error_y.arrayminus[0] == pytest.approx(low)


def test_both_ask_a_question_and_say_n():
    found = small_comparison()
    for draw in (plots.differences_figure, plots.cost_figure):
        layout = draw(found, "tau", "new", 0).to_dict()["layout"]
        assert layout["title"]["text"].endswith("?</b>")
        note = layout["title"]["subtitle"]["text"].replace("<br>", " ")
        assert "n = 25 users" in note and "new users of whom nothing is known" in note
        assert layout["height"] >= 200
