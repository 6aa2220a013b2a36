"""One person's posterior: the E-step's, whatever file their rankings come from."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from brute_orders import order_probability
from panels import planted_table

import emdpo
from emdpo.core.em import evaluate
from emdpo.core.errors import EmdpoError
from emdpo.core.scored import ScoredPolicies
from emdpo.demo import DEMO_RUN, demo_file
from emdpo.who_am_i import (
    Answer,
    Question,
    answered,
    answers_table,
    is_enough,
    matched,
    next_question,
    posterior,
    questions,
    who_am_i,
)
from emdpo.who_am_i_words import doubts, percent, rests_on, times, verdict

COLUMNS = {"restarts": 2, "features": "columns"}


@pytest.fixture(scope="module")
def table():
    return planted_table(n_users=60, answers=4)


@pytest.fixture(scope="module")
def fit(table):
    return emdpo.fit(emdpo.load(table), 3, **COLUMNS)


@pytest.fixture(scope="module")
def by_hand(fit):
    """The fit with weights 1/4, 3/4, 0 and scores of the first prompt's answers set by hand.

    Type 1 gives its first answer log 3 and type 2 none any; type 3 has nobody.
    """
    scores = np.zeros((3, fit.rankings.n_candidates))
    scores[0, 0], scores[2] = math.log(3), 9.0
    return replace(fit, policies=ScoredPolicies(scores), weights=np.array([0.25, 0.75, 0.0]))


@pytest.fixture(scope="module")
def first(by_hand):
    """The first prompt as a question."""
    prompt = by_hand.rankings.candidate_prompt
    return Question(int(prompt[0]), tuple(np.flatnonzero(prompt == prompt[0]).tolist()))


@pytest.fixture(scope="module")
def survey():
    """Six items of one prompt, by 40 people: half like the first ones, half the last ones."""
    rng, rows = np.random.default_rng(0), []
    for user in range(40):
        liked = np.linspace(2, -2, 6) * (1 if user % 2 else -1) + rng.gumbel(size=6)
        for item, rank in enumerate((-liked).argsort().argsort() + 1):
            about = {"response_id": f"i{item}", "response": f"Item {item}", "rank": int(rank)}
            rows.append({"user_id": f"u{user}", "prompt": "Which?", **about})
    return emdpo.fit(emdpo.load(pd.DataFrame(rows)), 2, restarts=2, features="items")


def one_user(rankings, user):
    return rankings.select(rankings.user == user)


def test_a_fitted_users_posterior_is_the_e_steps(fit):
    for user in (0, 1, 2, 59):
        found = posterior(fit, one_user(fit.rankings, user))
        np.testing.assert_allclose(found, fit.responsibilities[user], atol=1e-12)


def test_so_it_is_when_the_rankings_come_from_a_file_of_their_own(fit, table):
    """Other tables, other codes, rows upside down; and the run's folder knows the same ids."""
    for user in ("u000", "u031"):
        own = emdpo.load(table[table["user_id"] == user].iloc[::-1])
        place = fit.rankings.users.index.get_loc(user)
        np.testing.assert_allclose(emdpo.posterior(fit, own), fit.responsibilities[place])


def test_adapters_are_read_by_their_final_policies():
    """The shipped run's own responsibilities are cross-fitted, so an E-step is made here."""
    fit = emdpo.load_fit(DEMO_RUN)
    policies = ScoredPolicies(fit.policies.candidate_scores())
    state = evaluate(policies, fit.rankings, np.log(fit.weights))
    everybody = emdpo.load(demo_file())
    for user in (0, 17):
        own = one_user(everybody, user)
        np.testing.assert_allclose(posterior(fit, own), np.exp(state.log_resp[user]), atol=1e-12)


def test_without_rankings_it_is_the_types_shares(fit, by_hand):
    np.testing.assert_allclose(posterior(fit, answered(fit, [])), fit.weights)
    nobody = fit.rankings.select(np.zeros(fit.rankings.n_rankings, bool))
    np.testing.assert_allclose(posterior(by_hand, nobody), [0.25, 0.75, 0.0])


def test_several_people_are_refused(fit):
    with pytest.raises(EmdpoError, match="the rankings must be of one person, got 60 people"):
        posterior(fit, fit.rankings)


def test_one_answer_by_hand(by_hand, first):
    """All four ordered, the liked one first: 3/6 against 1/4, then alike; 1/4 and 3/4 before.

    1/4 x 1/2 : 3/4 x 1/4 = 2 : 3. A random order has 1/24, which is type 2's own.
    """
    a, b, c, d = first.candidates
    rankings = answered(by_hand, [Answer(first, (a, c, b, d))])
    np.testing.assert_allclose(posterior(by_hand, rankings), [0.4, 0.6, 0.0])
    found = who_am_i(by_hand, rankings)
    assert verdict(found) == "You are 60% Type 2."
    assert found.over_chance == pytest.approx(0.0)
    assert found.evidence.prior_influence == pytest.approx(math.log(3))
    assert [one.influence for one in found.evidence.rankings] == pytest.approx([-math.log(2)])
    assert rests_on(found) == (
        "Type 2 is 3.0 times as common as Type 1 (+1.10).",
        "Your order is 2.0 times as likely for Type 1 as for Type 2 (-0.69).",
    )
    assert "Orders at random would explain your answers about as well" in doubts(found)[0]


def test_the_undecided_rest_of_an_answer_is_below_all_ordered_ones(by_hand, first):
    """Only the best is named: 3/6 against 1/4, so that a second such answer would add as much."""
    a, *_, d = first.candidates
    best_only = posterior(by_hand, answered(by_hand, [Answer(first, (a,))]))
    np.testing.assert_allclose(best_only, [0.4, 0.6, 0.0])
    other = posterior(by_hand, answered(by_hand, [Answer(first, (d,))]))
    np.testing.assert_allclose(other, np.array([1 / 6, 3 / 4, 0]) / (1 / 6 + 3 / 4))


def test_unknown_answers_are_taken_out_and_what_is_left_counts_exactly(fit, table):
    """Plackett-Luce of the three answers left: by plain loops."""
    rows = table[(table["user_id"] == "u000") & (table["prompt_id"] == "p0")].copy()
    rows.loc[rows.index[1], "response_id"] = "never seen"
    elsewhere = rows.assign(prompt_id="never seen", ranking_id="other")
    own = emdpo.load(pd.concat([rows, elsewhere]))
    part = matched(fit, own)
    assert part.lengths.tolist() == [3]
    scores = fit.policies.candidate_scores()[:, part.candidate]
    order = np.argsort(part.ranks).tolist()
    joint = fit.weights * [order_probability(s, order) for s in scores]
    np.testing.assert_allclose(posterior(fit, own), joint / joint.sum())
    found = who_am_i(fit, own)
    assert found.n_left_out == 1
    assert "1 of your rankings are of answers that the run lacks." in doubts(found)


def test_nothing_known_at_all_is_one_clear_line(fit, table):
    own = emdpo.load(table[table["user_id"] == "u000"].assign(prompt_id="other"))
    np.testing.assert_allclose(posterior(fit, own), fit.weights)
    with pytest.raises(EmdpoError, match="knows no two answers of any of these rankings"):
        who_am_i(fit, own)


def test_influences_add_up_to_the_posterior(fit):
    found = who_am_i(fit, one_user(fit.rankings, 3))
    assert found.evidence.adds_up
    assert len(rests_on(found)) == 1 + len(found.evidence.rankings)


def test_over_chance_by_hand(by_hand, first):
    """Twice the liked one first, 2 x log(3/6) - 2 x log(1/4): for type 1, who is then ahead."""
    prompt = by_hand.rankings.candidate_prompt
    scores = np.where(np.isin(np.arange(len(prompt)), [0, 4, 8]), math.log(3), 0.0)
    three = [Question(int(prompt[i]), tuple(range(i, i + 4))) for i in (0, 4, 8)]
    liked = replace(by_hand, policies=ScoredPolicies(np.stack([scores, 0 * scores, 0 * scores])))
    found = who_am_i(liked, answered(liked, [Answer(q, q.candidates[:1]) for q in three]))
    assert found.evidence.most_likely == 1  # 8 to 3 by now
    assert found.over_chance == pytest.approx(3 * math.log(2))
    assert doubts(found) == ()


def test_questions_are_answered_one_after_another_until_nothing_is_new(fit):
    """Six prompts of four: six questions, the first by what is expected of it, each once."""
    pool, answers = questions(fit), []
    while (question := next_question(fit, pool, answers)) is not None:
        falls = pool.falls(np.log(posterior(fit, answered(fit, answers))))
        new = pool.are_new([answer.question for answer in answers])
        assert falls[list(pool).index(question)] == falls[new].max()
        order = question.candidates if len(answers) % 2 else ()  # every other one is skipped
        answers.append(Answer(question, order))
    assert len({answer.question for answer in answers}) == len(answers) == 6
    assert answered(fit, answers).n_rankings == 3


def test_a_start_at_random_draws_the_first_question_only(fit):
    pool = questions(fit)
    firsts = {next_question(fit, pool, [], np.random.default_rng(seed)) for seed in range(40)}
    assert len(firsts) == 5
    one = [Answer(next_question(fit, pool, []), pool[0].candidates[:0])]
    later = {next_question(fit, pool, one, np.random.default_rng(seed)) for seed in range(20)}
    assert len(later) == 1


def test_a_survey_asks_for_a_few_items_at_a_time(survey):
    pool, answers = questions(survey, 3), []
    assert len(pool) == 20
    while (question := next_question(survey, pool, answers)) is not None:
        answers.append(Answer(question, question.candidates))
    assert 2 <= len(answers) <= 5  # 15 pairs of items, three a question
    assert next_question(survey, questions(survey, 2), []).candidates == (0, 5)
    assert posterior(survey, answered(survey, answers)).max() > 0.99
    with pytest.raises(EmdpoError, match="a question shows 2 to 5 candidates, got 6"):
        questions(survey, 6)


def test_a_survey_of_few_items_asks_by_threes_where_that_makes_more_questions(survey, fit):
    """Any two fours of six items share a pair, threes need not. Of four items one four is best."""
    assert {len(question.candidates) for question in questions(survey)} == {3}
    assert {len(question.candidates) for question in questions(fit)} == {4}
    assert len(questions(fit)) == len(questions(fit, 4)) == 6
    items = fit.rankings.select(np.arange(fit.rankings.n_rankings) % 24 == 0)
    one = replace(fit, rankings=items)  # one prompt of four
    assert len(np.unique(items.prompt)) == 1
    assert [len(question.candidates) for question in questions(one)] == [4]


def test_answers_that_no_fitted_ranking_shows_are_not_asked(table):
    """Prompt p5 is held out: adapters would not have scored it."""
    split = np.where(table["prompt_id"] == "p5", "test", "train")
    fit = emdpo.fit(emdpo.load(table.assign(split=split)), 2, **COLUMNS)
    asked = {fit.rankings.prompts["prompt_id"][question.prompt] for question in questions(fit)}
    assert asked == {f"p{i}" for i in range(5)}


def test_with_one_type_there_is_nothing_to_ask(table):
    fit = emdpo.fit(emdpo.load(table), 1, **COLUMNS)
    assert next_question(fit, questions(fit), []) is None
    found = who_am_i(fit, one_user(fit.rankings, 0))
    assert verdict(found) == "You are over 99% Type 1."
    assert rests_on(found) == ("The run has one type: nothing can tell it from another.",)


def test_answers_leave_as_a_canonical_file_in_the_order_shown(fit, tmp_path):
    pool = questions(fit)
    a, b, c, d = pool[0].candidates
    answers = [
        Answer(pool[0], (c, a, b, d), shown=(d, c, b, a)),
        Answer(pool[1], ()),
        Answer(pool[2], pool[2].candidates[:2]),
    ]
    told = answers_table(fit, answers, "me")
    ids = fit.rankings.candidates["response_id"]
    assert told["response_id"].tolist()[:4] == [ids[x] for x in (d, c, b, a)]
    assert told["rank"].tolist()[:4] == [4, 1, 3, 2]
    path = tmp_path / "mine.jsonl"
    path.write_text(told.to_json(orient="records", lines=True))
    assert json.loads(path.read_text().splitlines()[-1])["rank"] is None
    np.testing.assert_allclose(
        posterior(fit, emdpo.load(path)), posterior(fit, answered(fit, answers))
    )


def test_enough_is_between_four_and_eight():
    sure, unsure = np.array([0.95, 0.05]), np.array([0.6, 0.4])
    assert [is_enough(sure, n) for n in (3, 4, 8)] == [False, True, True]
    assert [is_enough(unsure, n) for n in (4, 7, 8)] == [False, False, True]


def test_close_calls_and_certainty_are_told_in_words(by_hand, first):
    found = who_am_i(by_hand, answered(by_hand, [Answer(first, first.candidates[:1])] * 2))
    assert verdict(found) == "You are 57% Type 1."  # 1/4 x 1/4 : 3/4 x 1/16 = 4 : 3
    assert doubts(found)[0] == "That is close to a toss-up: Type 2 comes next with 43%."
    assert percent(0.9949) == "99%" and percent(0.0051) == "1%"
    assert times(math.log(9.96)) == "10 times" and times(800.0) == "over 1,000 times"
