"""Answers written by models, on a tiny one."""

from __future__ import annotations

import json
import shutil

import pytest

pytest.importorskip("torch")
pytest.importorskip("peft")

from adapter_runs import make_base, make_run

from emdpo.collect.plans import RoomPlan, check_plan
from emdpo.jobs.folder import FIT, new_id, write_about
from emdpo.ui.collect import writing_part
from emdpo.ui.collect.plan_events import stopped
from emdpo.ui.collect.writing_part import THE_DEMO, offer_names, offer_writers, write

SETTINGS = (6, 1.0, 0)
"""Length, temperature, seed."""


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory):
    home = tmp_path_factory.mktemp("adapters")
    return make_run(home / "run", make_base(home / "base"))


@pytest.fixture(scope="module")
def run_id(place, run_folder):
    """Return a run with two types of adapters, as if it had been fitted here."""
    run_id = new_id()
    shutil.copytree(run_folder, place.home / run_id)
    about = json.loads((run_folder / "fit.json").read_text())
    write_about(place.home / run_id, FIT, "tiny", about["config"])
    return run_id


def written(place, run, prompts, names, draws=1, settings=SETTINGS):
    """Return the last questions and line, and how often something was told."""
    told = list(write(place, run, prompts, names, draws, *settings))
    return (*told[-1], len(told))


def test_each_policy_answers_each_question_and_its_id_says_who(place, run_id):
    names = ["type-2", "base", "type-1"]
    questions, line, _ = written(place, run_id, "Why?\n\n  How? ", names)
    assert [question.prompt for question in questions] == ["Why?", "How?"]
    ids = [each.response_id for each in questions[0].candidates]
    assert ids == ["q1-base", "q1-type-1", "q1-type-2"]
    assert "2 of 2" in line and "line-good" in line
    check_plan(RoomPlan("Tea", questions, per_person=2))


def test_what_a_policy_writes_here_is_what_it_says_in_chat(place, run_id):
    """The same question, policies and seed through the machinery of the Chat tab."""
    from emdpo.adapters.answers import Sampling

    names = ["base", "type-1", "type-2"]
    histories = [[{"role": "user", "content": "Why?"}]] * 3
    sampling = Sampling(*SETTINGS)
    *_, partials = place.models.answers(place.cast(run_id), histories, names, sampling)
    (question,), *_ = written(place, run_id, "Why?", names)
    said = [each.response for each in question.candidates]
    assert said == [partial.text.strip() for partial in partials]


def test_several_draws_come_from_several_seeds(place, run_id):
    (question,), *_ = written(place, run_id, "Why?", ["base"], draws=3)
    once = [written(place, run_id, "Why?", ["base", "type-1"], 1, (6, 1.0, s))[0] for s in range(3)]
    alone = [dict(_pairs(questions[0]))["q1-base"] for questions in once]
    assert _pairs(question) == [(f"q1-base-{n + 1}", text) for n, text in enumerate(alone)]


def _pairs(question):
    return [(each.response_id, each.response) for each in question.candidates]


@pytest.mark.parametrize(
    ("prompts", "names", "draws", "settings", "words"),
    [
        ("", ["base", "type-1"], 1, SETTINGS, "one a line; got 0"),
        ("\n".join("abcdefghijklmnopqrstu"), ["base", "type-1"], 1, SETTINGS, "got 21"),
        ("x" * 2001, ["base", "type-1"], 1, SETTINGS, "at most 2,000 characters"),
        ("Why?", ["base"], 1, SETTINGS, "2 to 8 answers"),
        ("Why?", None, 2, SETTINGS, "2 to 8 answers"),
        ("Why?", ["base", "type-1", "type-2"], 3, SETTINGS, "2 to 8 answers"),
        ("Why?", ["base", "type-1"], 1, (None, 1.0, 0), "length must be a number"),
        ("Why?", ["base", "base"], 2, (6, 0.0, 0), "all answer alike"),
    ],
)
def test_what_cannot_be_written_is_one_line(place, run_id, prompts, names, draws, settings, words):
    questions, line, _ = written(place, run_id, prompts, names, draws, settings)
    assert questions == () and words in line and "line-error" in line


def test_what_is_written_is_kept_when_a_later_question_fails(place, run_id, monkeypatch):
    answered = writing_part._answered

    def failing(place, cast, number, *rest):
        if number == 2:
            raise KeyError("secret path")
        return answered(place, cast, number, *rest)

    monkeypatch.setattr(writing_part, "_answered", failing)
    questions, line, _ = written(place, run_id, "Why?\nHow?", ["base", "type-1"])
    assert len(questions) == 1 and "log id" in line and "secret" not in line
    assert "1 question" in stopped(questions)


def test_runs_with_adapters_are_offered_and_the_shipped_one(
    place, run_id, demo_run, run_folder, monkeypatch
):
    mine = {"runs": [run_id, demo_run[1], "no such run", 7]}
    monkeypatch.setattr("emdpo.demo.DEMO_RUN", run_folder / "nowhere")
    runs, names, note = offer_writers(place, mine)
    assert [value for _, value in runs.choices] == [run_id] and runs.value == run_id
    assert names.value == ["base", "type-1", "type-2"] and note == ""
    assert [value for _, value in names.choices][-2:] == ["mixture", "consensus"]
    monkeypatch.setattr("emdpo.demo.DEMO_RUN", run_folder)
    assert offer_writers(place, None)[0].value == THE_DEMO


def test_who_cannot_write_says_why(place, demo_run):
    for run, words in ((None, "nobody can write"), ("x" * 22, "gone"), (demo_run[1], "log-linear")):
        names, note = offer_names(place, run)
        assert names.choices == [] and words in note
        assert words in written(place, run, "Why?", ["base", "type-1"])[1]
