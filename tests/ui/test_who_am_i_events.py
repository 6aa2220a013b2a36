"""The events of "Which type am I?", called as plain functions on the fitted demo."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import gradio as gr
import numpy as np
import pandas as pd
import pytest

import emdpo
from emdpo.core.errors import RunError
from emdpo.core.question_pool import Question
from emdpo.demo import demo_file
from emdpo.fitting import FitConfig
from emdpo.jobs import JobState
from emdpo.ui import who_am_i_events as module
from emdpo.ui import who_am_i_view as view
from emdpo.ui.types_view import posterior_html
from emdpo.ui.who_am_i_events import Interview, WhoAmIEvents, WhoAmIPart
from emdpo.who_am_i import Answer, answered, posterior, who_am_i

HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}"


def part_of():
    with gr.Blocks():
        parts = {name: gr.State() for name in WhoAmIPart.__dataclass_fields__}
        parts["cards"] = tuple(gr.State() for _ in range(4))
        return WhoAmIPart(**parts)


@pytest.fixture(scope="module")
def events(place):
    return WhoAmIEvents(place, part_of())


@pytest.fixture(scope="module")
def part(events):
    return events._part


@pytest.fixture
def begun(events, part, demo_run):
    return events.begin(demo_run[1])[part.interview]


def fitted(place, wait_for, table, n_types, tmp_path, **settings):
    """Return the run id of a small fit made by the page's own job."""
    path = tmp_path / "own.csv"
    table.to_csv(path, index=False)
    config = FitConfig(n_types=n_types, restarts=2, **settings)
    run_id = place.jobs.start_fit(place.data(place.add_data(path)).job_input, config)
    assert wait_for(place, run_id).state is JobState.DONE
    return run_id


@pytest.fixture(scope="module")
def survey(place, wait_for, tmp_path_factory):
    """A run of one prompt with seven items, whose texts would be markup; two types."""
    rng, rows = np.random.default_rng(0), []
    for user in range(40):
        liked = np.linspace(2, -2, 7) * (1 if user % 2 else -1) + rng.gumbel(size=7)
        for item, rank in enumerate((-liked).argsort().argsort() + 1):
            text = f"{HOSTILE} {item}"
            rows.append((f"u{user}", f"Which? {HOSTILE}", f"i{item}", text, int(rank)))
    names = ["user_id", "prompt", "response_id", "response", "rank"]
    table = pd.DataFrame(rows, columns=names)
    return fitted(place, wait_for, table, 2, tmp_path_factory.mktemp("survey"))


def labels(shown, part):
    return [shown[card].value for card in part.cards if shown[card].visible]


def test_the_first_question_shows_four_answers_and_the_types_shares(events, part, place, demo_run):
    shown = events.begin(demo_run[1])
    interview = shown[part.interview]
    assert shown[part.asking].visible and not shown[part.begin].visible
    assert sorted(interview.shown) == sorted(interview.question.candidates)
    assert [label.split("\n")[0] for label in labels(shown, part)] == list("ABCD")
    texts = place.fit(demo_run[1]).rankings.candidates["response"]
    for label, one in zip(labels(shown, part), interview.shown, strict=True):
        assert label.split("\n", 1)[1] == texts[one]
    share = place.fit(demo_run[1]).weights[0]
    assert f"{share:.1%}" in shown[part.standing] and "was" not in shown[part.standing]


def test_visitors_do_not_all_begin_alike_nor_see_one_order(events, part, demo_run):
    starts = [events.begin(demo_run[1])[part.interview] for _ in range(40)]
    assert 2 <= len({start.question for start in starts}) <= 5
    assert len({start.shown for start in starts if start.question == starts[0].question}) > 1


def test_taps_place_answers_and_take_them_back(begun):
    a, b, c, d = begun.shown
    moved = begun.with_tap(2).with_tap(0)
    assert moved.tapped == moved.placed == (c, a)
    assert moved.with_tap(3).placed == (c, a, d, b)  # what is left has its place
    assert moved.with_tap(3).with_tap(1).tapped == (c, a, d, b)
    assert moved.with_tap(2).tapped == (a,)
    assert moved.with_tap(7) == moved and moved.with_tap(-1) == moved
    assert moved.with_tap(2).with_tap(2).tapped == (a, c)


def test_taps_that_arrive_late_keep_the_place_of_their_time(events, part, begun):
    """Tapped d, b, a; that on b arrives last, after one on a that was taken back and renewed."""
    interview = begun
    for place, when in ((3, 10.0), (0, 130.0), (0, 140.0), (0, 150.0), (1, 70.0)):
        shown = events.tap(place, interview, when)
        interview = shown[part.interview]
    a, b, c, d = begun.shown
    assert interview.tapped == (d, b, a) and interview.placed == (d, b, a, c)
    assert labels(shown, part)[1].startswith("B · 2nd\n")


def test_a_tap_is_told_on_its_button(events, part, begun):
    shown = events.tap(1, begun)
    told = labels(shown, part)
    assert told[1].startswith("B · 1st\n") and told[0].startswith("A\n")
    assert "placed" in shown[part.cards[1]].elem_classes
    assert shown[part.send].value == "Send my best 1, rest undecided"
    interview = shown[part.interview]
    for place in (0, 2):
        shown = events.tap(place, interview)
        interview = shown[part.interview]
    assert [label.split("\n")[0] for label in labels(shown, part)] == [
        *("A · 2nd", "B · 1st", "C · 3rd", "D · 4th")
    ]
    assert shown[part.send].value == "Send this order"


def test_an_answer_moves_the_posterior_and_brings_another_question(events, part, place, begun):
    moved = begun.with_tap(0).with_tap(1).with_tap(2)
    shown = events.send(moved)
    after = shown[part.interview]
    assert after.answers == (Answer(begun.question, begun.shown, begun.shown),)
    assert after.question != begun.question and after.tapped == ()
    fit = place.fit(begun.run_id)
    now = posterior(fit, answered(fit, after.answers))
    assert f"{now.max():.1%}" in shown[part.standing]
    assert f"was {fit.weights[0]:.0%}" in shown[part.standing]
    assert "Question 2" in shown[part.question] and "After 1 order<" in shown[part.standing]


def test_a_skipped_question_counts_for_nothing_and_is_not_asked_again(events, part, begun):
    shown = events.skip(begun.with_tap(1))
    after = shown[part.interview]
    assert after.given == () and len(after.answers) == 1
    assert after.question != begun.question
    assert "Before any answer" in shown[part.standing]


def test_an_unfinished_order_can_be_sent(events, part, begun):
    after = events.send(begun.with_tap(3))[part.interview]
    assert after.answers[0].order == begun.shown[3:]


def test_nothing_tapped_and_nothing_given_are_told(events, part, begun):
    assert module.PLACE_ONE in events.send(begun)[part.hint].value
    assert module.ORDER_ONE in events.finish(begun)[part.hint].value
    for event in (events.send, events.skip):
        assert module.GONE in event(None)[part.hint].value
    assert module.GONE in events.tap(0, None)[part.hint].value


def answer_all(events, part, interview, key):
    """Answer like somebody who orders by `key` until the verdict comes; return its update."""
    while True:
        ordered = sorted(interview.shown, key=key)
        taps = tuple((float(when), one) for when, one in enumerate(ordered))
        shown = events.send(replace(interview, taps=taps))
        interview = shown[part.interview]
        if interview.question is None:
            return shown


def test_four_to_eight_orders_lead_to_a_verdict_that_says_what_it_rests_on(
    events, part, place, begun
):
    fit = place.fit(begun.run_id)
    liked = fit.policies.candidate_scores()[1]
    shown = answer_all(events, part, begun, lambda one: -liked[one])
    given = shown[part.interview].given
    assert 4 <= len(given) <= 8
    assert not shown[part.asking].visible and shown[part.result].visible
    found = who_am_i(fit, answered(fit, given))
    assert found.evidence.most_likely == 2
    told = shown[part.verdict]
    assert "You are over 99% Type 2." in told and "What this type wants" in told
    assert told.count("<details") == len(given) and "times as likely for Type 2" in told
    assert not shown[part.chat].visible  # log-linear types write nothing
    assert len(shown[part.course].data) == 3
    assert len(shown[part.course].data[0].x) == len(given) + 1


def test_the_answers_can_be_downloaded_and_read_again(events, part, place, begun):
    shown = events.finish(begun.with_answer(begun.shown[:2]))
    path = Path(shown[part.download].value["path"])
    assert path.name == "my-answers.jsonl"
    mine = emdpo.load(path)
    fit = place.fit(begun.run_id)
    given = shown[part.interview].given
    np.testing.assert_allclose(posterior(fit, mine), posterior(fit, answered(fit, given)))
    ids = fit.rankings.candidates["response_id"]
    shown_ids = [ids[one] for one in begun.shown]
    assert mine.candidates["response_id"].tolist() == shown_ids
    assert str(mine.users.index[0]).startswith("visitor-")


def test_a_survey_shows_its_items_and_escapes_them(events, part, survey):
    shown = events.begin(survey)
    assert "<img" not in shown[part.question] and "&lt;img" in shown[part.question]
    first = shown[part.interview]
    # Seven items make at most two fours that share no pair, but up to seven threes.
    assert len(first.shown) == 3
    shown = answer_all(events, part, first, lambda one: one)
    assert 3 <= len(shown[part.interview].given) <= 7
    assert "<img" not in shown[part.verdict] and "&lt;img" in shown[part.verdict]


def test_with_one_type_nothing_is_asked(events, part, place, wait_for, tmp_path):
    table = pd.read_csv(demo_file()).iloc[:400]
    run_id = fitted(place, wait_for, table, 1, tmp_path)
    shown = events.show(run_id)
    assert module.ONE_TYPE in shown[part.note].value and not shown[part.begin].visible
    assert "order all answers alike" in events.begin(run_id)[part.note].value


def test_a_damaged_run_is_one_line(events, part, place, demo_run, monkeypatch):
    def damaged(run_id):
        raise RunError(f"{run_id}: damaged run folder")

    monkeypatch.setattr(place, "fit", damaged)
    shown = events.show(demo_run[1])
    assert "damaged run folder" in shown[part.note].value and not shown[part.begin].visible


def test_another_run_starts_afresh(events, part, demo_run):
    shown = events.show(demo_run[1])
    assert shown[part.interview] is None and shown[part.begin].visible
    assert not shown[part.asking].visible and not shown[part.result].visible
    assert "No fitted run yet" in events.begin("")[part.note].value


def test_a_run_that_went_away_is_one_line(events, part, begun):
    gone = replace(begun, run_id="x" * 22).with_tap(0)
    told = events.send(gone)[part.hint].value
    assert "line" in told and "Traceback" not in told


def test_with_adapters_the_type_can_be_asked(events, part, place):
    run_id = place.add_demo_run()
    begun = events.begin(run_id)[part.interview]
    liked = place.fit(run_id).policies.candidate_scores()[2]
    shown = answer_all(events, part, begun, lambda one: -liked[one])
    assert shown[part.chat].visible and shown[part.chat].value == "Ask Type 3 in 4 Chat"


def test_questions_that_ran_out_without_an_order_end_in_one_line(events, part, begun, place):
    """Every question of the run was skipped."""
    pool = events._pool(begun.run_id)
    skipped = tuple(Answer(question, ()) for question in pool)
    last = replace(begun, answers=skipped[:-1], question=skipped[-1].question)
    shown = events.skip(last)
    assert "No more questions" in shown[part.note].value and shown[part.begin].visible


def test_an_interview_without_a_question_stays_as_it_is():
    nothing = Interview("run", 0)
    assert nothing.with_tap(0) == nothing and nothing.with_answer((1,)) == nothing
    asked = nothing.with_question(Question(0, (4, 5)))
    assert asked.with_question(Question(0, (4, 5))) == asked  # the seed decides


def test_bars_tell_what_was_and_nothing_as_certain():
    told = posterior_html([0.9999, 0.0001], [0.5, 0.5])
    assert re.findall(r"<b>(.*?)</b>", told) == ["&gt; 99.9%", "&lt; 0.1%"]
    assert told.count("was 50%") == 2


def test_long_answers_are_cut_on_their_buttons():
    label = view.card_label(0, "x" * 5_000, None)
    assert len(label) <= view.ANSWER_LIMIT + 2 and label.endswith("…")
    assert view.card_label(1, "short", 2) == "B · 2nd\nshort"
