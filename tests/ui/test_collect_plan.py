"""The form of a plan: questions from every source, and what it refuses."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from emdpo.collect.plans import CONSENT, GroupQuestion, check_plan
from emdpo.collect.reading import pasted_questions
from emdpo.core.errors import EmdpoError
from emdpo.ui.collect.plan_events import choose, preview
from emdpo.ui.collect.plan_form import DEMO, EXAMPLE, FILE, MODELS, PASTE, plan_of

HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}"


def planned(source=PASTE, pasted=EXAMPLE, file=None, written=(), **changes):
    settings = {"title": "Tea", "per_person": 8, "groups": "", "consent": CONSENT} | changes
    title, per_person, groups, consent = settings.values()
    return plan_of(title, source, pasted, file, written, per_person, groups, consent)


def test_the_example_in_the_form_is_a_plan():
    """Two questions, so that everybody gets both although the form asks for eight."""
    plan = planned(groups="age: young | old\ntown")
    check_plan(plan)
    assert [len(question.candidates) for question in plan.questions] == [3, 3]
    assert plan.per_person == 2
    assert plan.groups == (GroupQuestion("age", ("young", "old")), GroupQuestion("town"))


def test_questions_come_from_a_file_the_demo_or_models(tmp_path):
    path = tmp_path / "mine.jsonl"
    rows = [{"prompt": "p", "response": f"{letter}"} for letter in "abc"]
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    (question,) = planned(FILE, file=str(path)).questions
    assert [each.response for each in question.candidates] == ["a", "b", "c"]
    assert len(planned(DEMO).questions) == 60
    written = pasted_questions("p\n- a\n- b")
    assert planned(MODELS, written=written).questions == written


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"pasted": " \n"}, "write one"),
        ({"pasted": "p\n- a"}, "has 1 answers"),
        ({"source": FILE}, "choose a file"),
        ({"source": MODELS}, "let the models write"),
        ({"per_person": None}, "how many questions"),
        ({"per_person": 2.5}, "whole number, got 2.5"),
        ({"per_person": 0}, "expected 1 to 2, got 0"),
        ({"title": " "}, "title is empty"),
        ({"title": None}, "title is empty"),
        ({"consent": ""}, "consent is empty"),
        ({"groups": "rank"}, "is a column"),
        ({"groups": "age: young"}, "expected 2 to 12, got 1"),
    ],
)
def test_what_is_no_plan_is_refused_in_one_line(changes, words):
    with pytest.raises(EmdpoError, match=words):
        check_plan(planned(**changes))


def test_only_the_part_of_the_chosen_source_is_seen():
    assert [part.visible for part in choose(DEMO)] == [False, False, True, False]


def test_the_preview_counts_and_escapes():
    shown = preview(PASTE, f"{HOSTILE}\n- {HOSTILE}\n- b\n\nq\n- a\n- b\n- c", None, ())
    assert "2 questions, 2 to 3 answers each" in shown
    assert "<img" not in shown and "${" not in shown
    many = "\n\n".join(f"q{n}\n- a\n- b" for n in range(63))
    assert "3 more are not shown" in preview(PASTE, many, None, ())


def test_the_preview_says_what_is_wrong_and_nothing_of_an_empty_form():
    assert preview(PASTE, "", None, ()) == ""
    assert "line-warning" in preview(PASTE, "no answers", None, ())
    assert "choose a file" in preview(FILE, "", None, ())


def test_a_plan_of_models_keeps_the_ids_that_say_who_wrote():
    (question,) = pasted_questions("p\n- a\n- b")
    named = (replace(question.candidates[0], response_id="q1-type-1"), question.candidates[1])
    plan = planned(MODELS, written=(replace(question, candidates=named),))
    assert plan.questions[0].candidates[0].response_id == "q1-type-1"
