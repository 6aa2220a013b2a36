"""Questions from what people have."""

from __future__ import annotations

import json

import pandas as pd
import pytest

from emdpo.collect.plans import RoomPlan, check_plan
from emdpo.collect.reading import (
    demo_questions,
    file_questions,
    pasted_groups,
    pasted_questions,
)
from emdpo.core.errors import EmdpoError
from emdpo.demo import demo_file


def texts(questions):
    return [(q.prompt, [c.response for c in q.candidates]) for q in questions]


def ids(questions):
    return [(q.prompt_id, [c.response_id for c in q.candidates]) for q in questions]


PASTED = """
How do you make tea?
Be brief.
- Hot water.
- Ask somebody
  who knows.

- not a bullet of the first, but of nobody
"""


def test_pasted_text_of_several_lines():
    text = PASTED.rpartition("\n\n")[0] + "\r\n\r\nWhy?\r\n1. Because.\r\nb) So.\r\n* No.\r\n"
    found = pasted_questions(text)
    assert texts(found) == [
        ("How do you make tea?\nBe brief.", ["Hot water.", "Ask somebody\nwho knows."]),
        ("Why?", ["Because.", "So.", "No."]),
    ]
    assert ids(found) == [("q1", ["q1-a", "q1-b"]), ("q2", ["q2-a", "q2-b", "q2-c"])]


@pytest.mark.parametrize(
    ("text", "prompt", "answers"),
    [
        ("1. Which?\n- a\n- b", "Which?", ["a", "b"]),
        ("12) Which?\nof these\n• a\n• b", "Which?\nof these", ["a", "b"]),
        ("Which?\n-a\n-b", "Which?", ["a", "b"]),
        ("How cold?\n- -5\n-3 at least\n- 0", "How cold?", ["-5\n-3 at least", "0"]),
        ("Which?\n12. a\n13. b", "Which?", ["a", "b"]),
    ],
)
def test_what_begins_a_question_and_what_an_answer(text, prompt, answers):
    assert texts(pasted_questions(text)) == [(prompt, answers)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (" \n\n ", "no questions yet"),
        (PASTED, "question 2 has no text"),
        ("Why?\n- Because.", r"question 1 \('Why\?'\) has 1 answers"),
        ("Why?", "has 0 answers"),
        ("1. Why?\n2. Because.\n3. So.", "question 1 has no text"),
    ],
)
def test_pasted_text_that_is_none(text, message):
    with pytest.raises(EmdpoError, match=message):
        pasted_questions(text)


def test_the_demo_is_a_plan():
    found = demo_questions()
    assert len(found) == 60
    check_plan(RoomPlan("Demo", found, 6))
    shipped = pd.read_csv(demo_file(), dtype=str)
    assert {c.response_id for q in found for c in q.candidates} == set(shipped.response_id)


def test_a_file_of_rankings_gives_its_distinct_answers():
    """The shipped rankings have 60 prompts of four answers, with their ids."""
    found = file_questions(demo_file())
    by_id = {q.prompt_id: q for q in demo_questions()}
    assert len(found) == 60
    for question in found:
        assert question.prompt == by_id[question.prompt_id].prompt
        assert set(question.candidates) == set(by_id[question.prompt_id].candidates)


def test_a_table_of_answers_alone(tmp_path):
    path = tmp_path / "answers.csv"
    path.write_text("prompt,response\nTea?,Yes\nCoffee?,No\nTea?,No\nCoffee?,Yes\nTea?,No\n")
    found = file_questions(path)
    assert texts(found) == [("Tea?", ["Yes", "No"]), ("Coffee?", ["No", "Yes"])]
    assert ids(found) == [("q1", ["q1-a", "q1-b"]), ("q2", ["q2-a", "q2-b"])]


def test_lists_of_answers(tmp_path):
    csv, jsonl = tmp_path / "a.csv", tmp_path / "a.jsonl"
    csv.write_text('prompt,responses\nTea?,"[""Yes"", ""No"", ""[x""]"\n')
    row = {"prompt": "Tea?", "responses": ["Yes", "No", "[x"]}
    jsonl.write_text(json.dumps(row) + "\n")
    expected = [("Tea?", ["Yes", "No", "[x"])]
    assert texts(file_questions(csv)) == expected
    assert texts(file_questions(jsonl)) == expected
    assert len(file_questions(demo_file("classroom.csv"))) == 3


def test_an_answer_that_looks_like_a_list_is_an_answer(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text('prompt,response\nTea?,"[1]"\nTea?,"[oh"\n')
    assert texts(file_questions(path)) == [("Tea?", ["[1]", "[oh"])]


def test_conversations_are_shown_as_text(tmp_path):
    path = tmp_path / "a.jsonl"
    talk = [{"role": "user", "content": "Tea?"}]
    rows = [{"prompt": talk, "response": answer} for answer in ("Yes", "No")]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert texts(file_questions(path)) == [("user: Tea?", ["Yes", "No"])]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("question,answer\na,b\n", "prompt"),
        ("prompt,text\na,b\n", "responses"),
        ('prompt,responses\na,"[1, 2]"\n', "no text"),
        ('prompt,responses\na,"[oh"\n', "not JSON"),
        ("prompt,response\n", "no rows"),
        ("prompt_id,prompt,response\n1,p,a\n1,p,b\n1,r,c\n", "one id has two prompts, 'p' and 'r'"),
    ],
)
def test_files_that_hold_no_questions(tmp_path, text, message):
    path = tmp_path / "a.csv"
    path.write_text(text)
    with pytest.raises(EmdpoError, match=message):
        file_questions(path)


def test_questions_about_people():
    found = pasted_groups("age: under 30 | 30 or more \n\n  town \nclass:5a|5b|\nat 10:30: a|b")
    assert [(g.name, g.choices) for g in found] == [
        ("age", ("under 30", "30 or more")),
        ("town", ()),
        ("class", ("5a", "5b")),
        ("at 10:30", ("a", "b")),
    ]
