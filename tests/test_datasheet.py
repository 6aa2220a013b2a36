"""The datasheet: figures by hand, small groups nowhere, blanks where the file is silent."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

import emdpo
from emdpo.datasheet import NOT_STATED, datasheet, datasheet_markdown
from emdpo.report.datasheet import datasheet_section

HOSTILE = "</dd><script>alert(1)</script>|*b*{{7*7}}${x}$\\alpha$\u202eback"
LONG = "x" * 10_000


def panel(**columns):
    """Return 30 users: one ranking of three each, and a second, of two, by the first ten."""
    rows = []
    for user in range(30):
        for prompt, places in (("p", (1, 2, np.nan)), ("q", (1, 1))):
            if prompt == "q" and user >= 10:
                continue
            rows += [
                {"user_id": f"secret-{user}", "prompt": prompt, "response": answer, "rank": place}
                | {name: values[user] for name, values in columns.items()}
                for answer, place in zip("abc", places, strict=False)
            ]
    return emdpo.load(pd.DataFrame(rows))


def question(sheet, words):
    return next(each for part in sheet for each in part.questions if words in each.question)


def test_counts_are_those_of_the_panel():
    """30 rankings of three and 10 of two: 110 answers shown, 5 distinct, of 2 prompts."""
    table = question(datasheet(panel()), "How many").table
    assert table["n"].tolist() == ["30", "40", "2", "5", "110"]


def test_quantiles_are_those_of_the_panel():
    """A quarter of the rankings show two answers; a third of the users gave two rankings."""
    table = question(datasheet(panel()), "How large").table.set_index("what")
    assert table.loc["answers shown per ranking"].tolist() == ["40", *"22", "2.8", *"3333"]
    assert table.loc["rankings per user"].tolist() == ["30", *"1111", *"222"]
    assert table.loc["words per answer", "median"] == "1"


def test_ties_partial_rankings_and_silent_ones_are_counted():
    answer = question(datasheet(panel()), "ties").answer
    for words in ("n = 40", "25.0% have ties", "75.0% leave", "25.0% are of two", "10 put no"):
        assert words in answer
    assert "every ranking has weight 1" in answer


def test_weights_are_told_by_their_spread():
    rankings = panel()
    weighted = replace(rankings, weight=np.linspace(0.5, 2, 40))
    assert "weights from 0.5 over a median of 1.25 to 2" in (
        question(datasheet(weighted), "weights").answer
    )


def test_groups_are_counted_and_small_ones_are_not():
    """Of 16, 11 and 3 users: 3 would be everybody less the others, so 11 goes, too."""
    sheet = datasheet(panel(team=["red"] * 16 + ["blue"] * 11 + ["rare"] * 3))
    table = question(sheet, "Which people").table
    assert table.to_numpy().tolist() == [
        ["team", "red", "16"],
        ["team", "(2 groups)", "suppressed"],
    ]
    text = datasheet_markdown(sheet)
    assert "rare" not in text and "blue" not in text and "red" in text


def test_a_limit_of_one_shows_every_group():
    sheet = datasheet(panel(team=["red"] * 27 + ["rare"] * 3), min_group=1)
    assert "rare" in datasheet_markdown(sheet)


@pytest.mark.parametrize(
    ("blank", "words"), [(12, "team: 12"), (3, "team: a number of users that")]
)
def test_blank_attributes_are_counted_unless_few(blank, words):
    values = [None] * blank + ["a"] * (30 - blank)
    answer = question(datasheet(panel(team=values)), "missing").answer
    assert words in answer and ("3" in answer) <= (blank != 3)


def test_without_attributes_it_says_so():
    sheet = datasheet(panel())
    assert question(sheet, "Which people").answer == "The file has no attributes of users."


def test_rankings_held_out_are_told_of_a_file_and_of_what_was_fitted():
    rankings = panel()
    held = replace(rankings, held_out=rankings.prompt == 1)
    assert question(datasheet(held), "held out").answer.startswith("10 of 40 rankings")
    assert "2 of its 5 answers" in question(datasheet(held.fitted()), "held out").answer


def test_what_only_people_know_is_a_blank():
    sheet = datasheet(panel())
    for words in ("purpose", "licence", "consent", "ethical", "Who keeps"):
        assert question(sheet, words).answer is None
    text, page = datasheet_markdown(sheet), "".join(map(str, datasheet_section(sheet)))
    blanks = [e for part in sheet for e in part.questions if e.answer is None and e.table is None]
    assert text.splitlines().count(f"*{NOT_STATED}*") == len(blanks) == 15
    assert page.count(f'class="blank">{NOT_STATED}') == len(blanks)


def test_no_text_and_no_id_is_in_it():
    rankings = emdpo.load(pd.DataFrame(
        [("secret-user", "secret question", f"secret answer {c}", c) for c in (1, 2, 3)],
        columns=["user_id", "prompt", "response", "rank"],
    ))  # fmt: skip
    sheet = datasheet(rankings, sha256="f00")
    text = datasheet_markdown(sheet) + "".join(map(str, datasheet_section(sheet)))
    assert "secret" not in text and "f00" in text


def test_hostile_names_stay_text_in_html_and_markdown():
    sheet = datasheet(panel(**{HOSTILE: [HOSTILE, LONG] * 15}))
    page = "".join(map(str, datasheet_section(sheet)))
    assert "<script" not in page and "&lt;script&gt;" in page and "\u202e" not in page
    text = datasheet_markdown(sheet)
    assert not any(raw in text for raw in ("<script", "{{", "${", "$\\alpha", "*b*", "\u202e"))
    assert LONG not in page + text and "(10,000 characters)" in text
    rows = [line for line in text.splitlines() if "lpha" in line]
    assert rows and all(line.replace("\\|", "").count("|") == 4 for line in rows)
