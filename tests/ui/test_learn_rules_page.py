"""What the events of figures 3 and 4 return."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd
import pytest

pytest.importorskip("gradio")

import gradio as gr

from emdpo.learn.triangle import EXAMPLE, marks
from emdpo.learn.whose_average import FOUR_WINNERS
from emdpo.ui.learn import hedge, triangle, whose_average
from emdpo.ui.learn.triangle_view import rule_rows, types_html, verdict_html
from emdpo.ui.learn.whose_average_view import told_html


def test_moving_the_policy_renews_words_figures_and_table():
    note, heat, bars, table = triangle._show(0, 100, 0, 50, 30, 20, "mixture", "share")
    assert "Type 2 100.0%" in note and "Worst served" in note
    assert heat.data[-1].x[0] == pytest.approx(1.0)  # the corner of type 2
    assert bars.data[0].x[1] == pytest.approx(0.0)
    own = table.iloc[0]
    assert own["rule"] == "Your policy" and own["Type 2"] == "0.0%"
    assert set(table["made as"]) == {"mixture", "consensus"}


def test_sliders_all_at_zero_are_even():
    note, *_ = triangle._show(0, 0, 0, 1, 1, 1, "mixture", "plain")
    assert note.count("33.3%") == 3


def test_a_rule_sets_sliders_to_half_a_percent_and_its_form():
    *weights, form, note = triangle._on_rule("consensus", 50, 30, 20, "mixture")
    np.testing.assert_allclose(weights, 100 * marks(EXAMPLE)["consensus"].weights, atol=0.25)
    assert form == "consensus" and note == gr.skip()
    *weights, form, _ = triangle._on_rule("prevalence", 1, 1, 2, "consensus")
    assert (weights, form) == ([25.0, 25.0, 50.0], "consensus")


def test_a_rule_that_has_no_policy_is_said_to_have_none(monkeypatch):
    monkeypatch.setattr(triangle, "marks", lambda types: {})
    *others, note = triangle._on_rule("nash", 50, 30, 20, "mixture")
    assert "no Nash point" in note and others == [gr.skip()] * 4


def test_words_name_who_is_worst_served_and_the_mean_by_hand():
    """At corner 1 nobody but type 1 has its own; plain regrets are column 1 of the matrix."""
    column = EXAMPLE.regret_matrix[:, 0]
    told = verdict_html(EXAMPLE, np.eye(3)[0], "mixture", "plain")
    assert f"Type {column.argmax() + 1}, {column.max():.3f}" in told
    assert f"{0.5 * column[0] + 0.3 * column[1] + 0.2 * column[2]:.3f}" in told
    rows = rule_rows(EXAMPLE, np.eye(3)[0], "mixture", "plain").set_index("rule")
    assert rows.loc["Your policy", "Type 3"] == f"{column[2]:.3f}"
    worst = rows["worst"].astype(float)
    mixtures = worst[rows["made as"] == "mixture"]
    assert mixtures.idxmin() == "Min-max mixture"


def test_the_types_table_has_every_answer_and_chances_that_sum_to_one():
    table = types_html(EXAMPLE)
    shares = np.array(re.findall(r"<td>(\d+)%</td>", table), int).reshape(3, 5)
    assert (abs(shares.sum(axis=1) - 100) <= 2).all()
    assert re.findall(r'<th scope="col">(.+?)</th>', table) == ["type", *EXAMPLE.answers]


def test_the_game_stops_at_its_end():
    state, path, gap = hedge._show(50, 30, 20, 20, 500)  # more rounds than the game has
    assert "20" in state and len(path.data[-3].x) == 20
    assert len(gap.data[0].x) == 20


@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame([["x"]]),
        pd.DataFrame([["a", 1]], columns=["type", "people"]),
        pd.DataFrame([["a", 1, 50]], columns=["type", "A", "people"]),
        pd.DataFrame(columns=["type", "A", "B", "people"]),
        pd.DataFrame(1.0, index=range(13), columns=["A", "B", "people"]),
        pd.DataFrame(1.0, index=range(3), columns=[*"ABCDEFGHIJKLM", "people"]),
    ],
)
def test_a_table_that_is_no_case_or_too_large_is_refused_in_a_line(table):
    told, *figures = whose_average._show(table, 0)
    assert "1 to 12 types and 2 to 12 answers" in told and figures == [gr.skip()] * 2


def test_a_case_survives_the_table():
    back = whose_average.case_of(whose_average.table_of(FOUR_WINNERS))
    np.testing.assert_allclose(back.utilities, FOUR_WINNERS.utilities)
    np.testing.assert_allclose(back.shares, FOUR_WINNERS.shares)
    assert back.answers == FOUR_WINNERS.answers


@pytest.mark.parametrize("cell", ["", "many", None, "inf"])
def test_a_cell_that_is_no_number_is_told_and_keeps_the_figures(cell):
    table = whose_average.table_of(FOUR_WINNERS).astype(object)
    table.loc[0, "B"] = cell
    told, *figures = whose_average._show(table, 0.0)
    assert "must hold a number" in told and figures == [gr.skip()] * 2


def test_an_edited_table_changes_who_wins():
    """With D at 1 for type 1, C also wins duels there: Borda 0.45 + 0.9 + 0.75 = 2.1, A 1.85, and
    the least utilities are 2, 2, 3, 1."""
    table = whose_average.table_of(FOUR_WINNERS).astype(object)
    told, winners, _ = whose_average._show(table, 0.0)
    assert "<b>D</b>: Maximin" in told
    table.loc[0, "D"] = "1"
    told, winners, _ = whose_average._show(table, 0.0)
    assert re.search("<b>C</b>: Majority: wins every duel; Borda count; .*; Maximin<", told)
    assert "<b>D</b>" not in told
    assert "★" in winners.data[0].text[5][2]


def test_words_say_so_where_nobody_wins_every_duel():
    case = whose_average.CASES["One reward against the mean"]
    assert "no majority winner" in told_html(case, whose_average.verdicts(case))
