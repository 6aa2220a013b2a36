"""What `check` says of a panel: doubts, numbers, and which theorem applies."""

import json

import numpy as np
import pandas as pd
import pytest

from emdpo.core.checks import Report, check, check_n_types
from emdpo.core.errors import EmdpoError
from emdpo.core.identifiability import (
    max_types_full_rankings,
    max_types_partial_rankings,
    pairs_only_single_answer,
    panel_identifiability,
    says_nothing,
)
from emdpo.core.readers import load


def panel(*answers, **columns):
    """Return rankings from (user, prompt, {response: rank}) triples, rank None = not ranked."""
    rows = [
        (user, prompt, f"{user} {number}", response, rank)
        for number, (user, prompt, ranks) in enumerate(answers)
        for response, rank in ranks.items()
    ]
    names = ["user_id", "prompt", "ranking_id", "response", "rank"]
    frame = pd.DataFrame(rows, columns=names, dtype=object)
    for name, values in columns.items():
        frame[name] = [values[user] for user in frame["user_id"]]
    return load(frame)


THREE = {"a": 1, "b": 2, "c": 3}


def messages(rankings):
    return [problem.message for problem in check(rankings).warnings]


def test_a_sound_panel_has_no_warnings():
    report = check(panel(("ann", "p", THREE), ("bob", "p", THREE)))
    assert report.errors == () and report.warnings == ()


@pytest.mark.parametrize(
    ("answers", "warning"),
    [
        ([("ann", "p", THREE)], "one user only"),
        ([("ann", "p", THREE), ("bob", "p", {"a": 1})], "1 of 2 rankings show a single candidate"),
        ([("ann", "p", THREE), ("bob", "p", {"a": 4, "b": 4})], "1 of 2 rankings tie all"),
        ([("ann", "p", THREE), ("bob", "p", {"a": None, "b": None})], "1 of 2 rankings rank noth"),
        ([("ann", "p", {"a": 1, "b": 2}), ("bob", "p", {"a": 1, "b": 2})], "pairs only"),
    ],
)
def test_doubts(answers, warning):
    (message,) = messages(panel(*answers))
    assert message.startswith(warning)


def test_doubts_about_what_is_left_to_fit():
    everyone = {"ann": "test", "bob": "test"}
    assert messages(panel(("ann", "p", THREE), ("bob", "p", THREE), split=everyone)) == [
        "every ranking is held out by split: nothing is left to fit"
    ]
    nothing = {"ann": 0, "bob": 0}
    assert messages(panel(("ann", "p", THREE), ("bob", "p", THREE), weight=nothing)) == [
        "every weight is zero: nothing is left to fit"
    ]


def test_warnings_of_reading_reach_the_report_of_a_panel():
    frame = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "bob", "bob", "bob"],
            "prompt": "p",
            "response": ["a", "b", "a", "b", "c"],
            "rank": [1, 2, 1, 2, 3],
            "mood": ["good", "bad", "good", "good", "good"],
        }
    )
    (warning,) = check(load(frame)).warnings
    assert (warning.row, warning.column) == (2, "mood")
    assert check(frame).warnings == (warning,)


def test_summary_counts_by_hand():
    """Four rankings: lengths 3, 2, 3, 2; one tied at the top, one partial, two pairs."""
    summary = check(
        panel(
            ("ann", "p", THREE),
            ("ann", "q", {"a": 1, "b": 2}),
            ("bob", "p", {"a": 1, "b": 1, "c": 2}),
            ("eve", "r", {"a": 1, "b": None}),
            country={"ann": "DE", "bob": "DE", "eve": None},
        )
    ).summary
    assert (summary.n_users, summary.n_prompts, summary.n_rankings) == (3, 3, 4)
    assert summary.n_candidates == 3 + 2 + 2
    length, answers = summary.list_length, summary.answers_per_user
    assert (length.min, length.median, length.max) == (2, 2.5, 3)
    assert (answers.min, answers.median, answers.max) == (1, 1, 2)
    assert (summary.tied_share, summary.partial_share, summary.pairs_share) == (0.25, 0.25, 0.5)
    assert (summary.shared_prompts, summary.held_out) == (1, 0)
    (group,) = summary.groups
    assert (group.attribute, group.sizes, group.not_known) == ("country", {"DE": 2}, 1)
    assert "group country: DE 2, not known 1" in summary.to_text()


def test_tied_candidates_at_the_bottom_count_only_if_ranked():
    panels = panel(("ann", "p", {"a": 1, "b": None, "c": None}), ("bob", "p", THREE))
    assert check(panels).summary.tied_share == 0


def test_reports_are_json_without_nan_and_text():
    report = check(panel(("ann", "p", {"a": 1, "b": 1})))
    assert json.loads(json.dumps(report.to_dict(), allow_nan=False))["summary"]["n_users"] == 1
    assert "warning: one user only" in report.to_text()
    failed = check(pd.DataFrame({"user_id": ["ann"]}))
    assert isinstance(failed, Report) and failed.summary is None
    assert json.loads(json.dumps(failed.to_dict(), allow_nan=False))["identifiability"] is None


def test_missing_roles_are_all_listed():
    columns = [problem.column for problem in check(pd.DataFrame({"user_id": ["ann"]})).errors]
    assert columns == ["prompt", "response", "rank"]


@pytest.mark.parametrize("n_types", [0, -1, 3, 1.0, "2", True, None, np.nan])
def test_numbers_of_types_that_make_no_sense(n_types):
    rankings = panel(("ann", "p", THREE), ("bob", "p", THREE))
    with pytest.raises(EmdpoError, match=rf"n_types must be in \[1, 2 users\], got {n_types}"):
        check_n_types(n_types, rankings)


def test_users_who_are_held_out_do_not_count_for_the_number_of_types():
    rankings = panel(("ann", "p", THREE), ("bob", "p", THREE), split={"ann": "", "bob": "test"})
    check_n_types(np.int64(1), rankings)
    with pytest.raises(EmdpoError, match="1 users"):
        check_n_types(2, rankings)


PAIR = {"a": 1, "b": 2}


@pytest.mark.parametrize(
    ("answers", "refused"),
    [
        ([("ann", "p", PAIR), ("bob", "p", PAIR)], True),
        ([("ann", "p", PAIR), ("ann", "q", PAIR), ("bob", "p", PAIR)], False),
        ([("ann", "p", PAIR), ("bob", "p", THREE)], False),
        ([("ann", "p", PAIR), ("bob", "p", {"a": 1, "b": None, "c": None})], False),
        # A second answer that orders nothing, or three candidates all tied, tell nothing.
        ([("ann", "p", PAIR), ("ann", "q", {"a": 1, "b": 1}), ("bob", "p", PAIR)], True),
        ([("ann", "p", PAIR), ("bob", "p", {"a": 1, "b": 1, "c": 1})], True),
        ([("ann", "p", {"a": None, "b": None, "c": None})], False),  # `says_nothing` instead
    ],
)
def test_pairs_with_one_answer_each(answers, refused):
    assert pairs_only_single_answer(panel(*answers)) is refused


def test_rankings_without_any_order_say_nothing():
    assert says_nothing(panel(("ann", "p", {"a": None, "b": None, "c": None})))
    assert says_nothing(panel(("ann", "p", {"a": 1, "b": 1}), ("bob", "p", {"a": 2, "b": 2})))
    assert not says_nothing(panel(("ann", "p", PAIR), ("bob", "p", {"a": 1, "b": 1})))


def test_held_out_answers_do_not_link():
    frame = pd.DataFrame(
        {
            "user_id": "ann",
            "prompt": ["p", "p", "q", "q"],
            "response": ["a", "b"] * 2,
            "rank": [1, 2] * 2,
            "split": ["", "", "test", "test"],
        }
    )
    assert pairs_only_single_answer(load(frame))


def test_bounds_of_the_two_theorems():
    """Not identifiable for m <= 2K - 1: three items rule out two types, four items three."""
    for m in range(2, 20):
        most = max_types_full_rankings(m)
        assert m > 2 * most - 1 and m <= 2 * (most + 1) - 1
        assert most == max_types_partial_rankings(m - 1, 1)
    assert max_types_partial_rankings(0, 2) == 1
    assert max_types_partial_rankings(2, 2) == 2


def theorem(rankings, name):
    (found,) = [t for t in panel_identifiability(rankings).theorems if name in t.name]
    return found


def test_full_rankings_are_bounded_by_their_length():
    four = {"a": 1, "b": 2, "c": 3, "d": 4}
    found = theorem(panel(("ann", "p", four), ("bob", "p", four)), "Zhao")
    assert found.name == "Zhao, Piech, Xia 2016" and found.max_types == 2 and found.applies


def test_choices_are_bounded_by_the_later_theorem():
    """Best one of three, all items shown: l1 = 1, l2 = 1, no more than one type."""
    choice = {"a": 1, "b": None, "c": None}
    found = theorem(panel(("ann", "p", choice), ("bob", "p", choice)), "Zhao")
    assert found.name == "Zhao, Xia 2019" and found.max_types == 1


def test_lists_of_some_of_the_items_count_by_their_length():
    """Orders of two or three of the four items of a prompt: l1 = 0, l2 = 3."""
    answers = [("ann", "p", THREE), ("bob", "p", {"c": 1, "d": 2})]
    found = theorem(panel(*answers), "Zhao")
    assert found.max_types == 1 and "l1 = 0" in found.conclusion and "l2 = 3" in found.conclusion


def test_linked_answers_lift_the_bound():
    answers = [("ann", "p", PAIR), ("ann", "q", PAIR), ("bob", "p", PAIR)]
    statement = panel_identifiability(panel(*answers))
    assert statement.linked_users == 1 and statement.pairs_only
    assert "linked answers do carry the information" in statement.verdict
    assert not theorem(panel(*answers), "Zhao").applies


def test_statement_names_premises_in_words():
    statement = panel_identifiability(panel(("ann", "p", THREE), ("bob", "p", THREE)))
    text = statement.to_text()
    assert "Fox, Kim, Ryan, Bajari 2012" in text and "2201.13132" in text
    assert "rewards are linear in the features" in text
    assert "Answers per user: 1; candidates per answer: 3." in text


def test_verdicts():
    single = panel_identifiability(panel(("ann", "p", PAIR), ("bob", "p", PAIR)))
    assert "cannot identify types" in single.verdict
    assert not single.theorems[0].applies
    nothing = panel_identifiability(panel(("ann", "p", {"a": 1, "b": 1})))
    assert "nothing can be learnt" in nothing.verdict
