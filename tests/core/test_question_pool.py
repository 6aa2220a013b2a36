"""Which questions there are, and which comes next."""

from __future__ import annotations

from itertools import combinations, pairwise
from math import comb

import numpy as np
import pytest
from brute_orders import fall_of

from emdpo.core import question_pool as module
from emdpo.core.adaptive import most_informative
from emdpo.core.question_pool import FIRST_AMONG, Question, question_pool

LOG_WEIGHTS = np.log([0.5, 0.3, 0.2])


def prompts_of(*lengths):
    return np.repeat(np.arange(len(lengths)), lengths)


def scores_of(n, n_types=3, seed=0):
    return np.random.default_rng(seed).normal(size=(n_types, n)) * 1.5


def test_short_prompts_are_a_question_each_and_lone_answers_none():
    prompt = prompts_of(4, 1, 2, 3)
    pool = question_pool(scores_of(10), prompt, LOG_WEIGHTS, 4)
    assert sorted((q.prompt, q.candidates) for q in pool) == [
        (0, (0, 1, 2, 3)),
        (2, (5, 6)),
        (3, (7, 8, 9)),
    ]
    assert len(pool) == 3
    with pytest.raises(IndexError):
        pool[3]


def test_answers_of_a_prompt_need_not_stand_together():
    """Prompt codes 1 0 1 0: each prompt has its own two."""
    pool = question_pool(scores_of(4), np.array([1, 0, 1, 0]), LOG_WEIGHTS, 4)
    assert [(q.prompt, q.candidates) for q in pool] == [(0, (1, 3)), (1, (0, 2))]


def test_one_long_prompt_gives_all_sets_of_its_items():
    """As a survey of seven items: 35 sets of four."""
    pool = question_pool(scores_of(7), prompts_of(7), LOG_WEIGHTS, 4)
    assert [q.candidates for q in pool] == list(combinations(range(7), 4))


def test_a_pool_stays_small_however_many_items_and_prompts_there_are():
    """Nineteen items make 3,876 sets of four, 20 would make 4,845; of 50 prompts each has 80."""
    pool = question_pool(scores_of(90), prompts_of(90), LOG_WEIGHTS, 4)
    assert len(pool) == comb(19, 4)
    many = question_pool(scores_of(50 * 9), prompts_of(*[9] * 50), LOG_WEIGHTS, 4)
    assert len(many) == 50 * comb(8, 4) <= module.MOST_QUESTIONS
    assert len(set(many)) == len(many)


@pytest.mark.parametrize("n_kept", [4, 8])
def test_the_most_informative_set_of_a_long_prompt_is_always_kept(monkeypatch, n_kept):
    """With room for one question it is that one; with room for 70, eight items are kept."""
    monkeypatch.setattr(module, "MOST_QUESTIONS", comb(n_kept, 4))
    scores = scores_of(20)
    pool = question_pool(scores, prompts_of(20), LOG_WEIGHTS, 4)
    assert len(pool) == comb(n_kept, 4)
    assert tuple(most_informative(scores, LOG_WEIGHTS, 4).tolist()) in {q.candidates for q in pool}
    assert len({c for q in pool for c in q.candidates}) == n_kept


def test_of_very_many_prompts_those_are_kept_where_types_differ_most(monkeypatch):
    monkeypatch.setattr(module, "MOST_PROMPTS", 2)
    scores = np.tile([[5.0, 0.0], [9.0, 4.0], [1.0, -4.0]], (1, 5))  # alike but for a constant
    scores[0, 2], scores[1, 7] = 6.0, 3.0
    pool = question_pool(scores, prompts_of(2, 2, 2, 2, 2), LOG_WEIGHTS, 4)
    assert [q.prompt for q in pool] == [1, 3]


def test_candidates_that_nobody_was_shown_are_not_asked():
    usable = np.array([True, False, True, True, False, False])
    pool = question_pool(scores_of(6), prompts_of(3, 3), LOG_WEIGHTS, 4, usable)
    assert [q.candidates for q in pool] == [(0, 2)]


@pytest.mark.parametrize("size", [1, 6])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(ValueError, match=r"size must be in \[2, 5\]"):
        question_pool(scores_of(4), prompts_of(4), LOG_WEIGHTS, size)


def test_falls_are_in_the_order_of_the_questions():
    scores, prompt = scores_of(12), prompts_of(4, 2, 3, 3)
    pool = question_pool(scores, prompt, LOG_WEIGHTS, 4)
    expected = [fall_of(scores[:, q.candidates], np.exp(LOG_WEIGHTS)) for q in pool]
    np.testing.assert_allclose(pool.falls(LOG_WEIGHTS), expected, atol=1e-12)


def test_the_best_question_depends_on_what_is_known():
    """Prompt 0 tells type 1 from the rest, prompt 1 type 2 from 3 only."""
    scores = np.array([[3.0, 0, 0, 0], [0, 3.0, 3.0, 0], [0, 3.0, 0, 3.0]])
    pool = question_pool(scores, prompts_of(2, 2), LOG_WEIGHTS, 4)
    assert pool.best(LOG_WEIGHTS).prompt == 0
    assert pool.best(np.log([0.02, 0.49, 0.49])).prompt == 1


def test_no_two_candidates_are_compared_twice():
    """Nine items by threes: 36 pairs, three a question, so at most 12 questions."""
    scores = scores_of(9)
    pool = question_pool(scores, prompts_of(9), LOG_WEIGHTS, 3)
    asked: list[Question] = []
    while (question := pool.best(LOG_WEIGHTS, asked)) is not None:
        asked.append(question)
    assert 4 <= len(asked) <= 12
    for one, other in combinations(asked, 2):
        assert len(set(one.candidates) & set(other.candidates)) < 2
    assert all(pool.falls(LOG_WEIGHTS)[~pool.are_new(asked)] > 0)
    falls = [fall_of(scores[:, q.candidates], np.exp(LOG_WEIGHTS)) for q in asked]
    assert all(a >= b - 1e-12 for a, b in pairwise(falls))  # at one posterior, best first


def test_nothing_is_asked_where_types_are_alike_or_there_is_one():
    alike = np.tile(scores_of(6)[:1], (3, 1))
    assert question_pool(alike, prompts_of(3, 3), LOG_WEIGHTS, 4).best(LOG_WEIGHTS) is None
    one = question_pool(alike[:1], prompts_of(3, 3), np.zeros(1), 4)
    assert one.best(np.zeros(1)) is None
    empty = question_pool(scores_of(3), prompts_of(1, 1, 1), LOG_WEIGHTS, 4)
    assert len(empty) == 0 and empty.best(LOG_WEIGHTS) is None


def test_a_start_at_random_is_drawn_among_the_best():
    pool = question_pool(scores_of(80), prompts_of(*[4] * 20), LOG_WEIGHTS, 4)
    best = np.argsort(-pool.falls(LOG_WEIGHTS))[:FIRST_AMONG]
    rng = np.random.default_rng(0)
    drawn = {pool.best(LOG_WEIGHTS, rng=rng) for _ in range(100)}
    assert drawn == {pool[int(place)] for place in best}


def test_an_empty_type_changes_nothing():
    """A type of weight 0 is as if it were not there."""
    scores = scores_of(8)
    with np.errstate(divide="ignore"):
        log_weights = np.log([0.6, 0.4, 0.0])
    three = question_pool(scores, prompts_of(4, 4), log_weights, 4)
    two = question_pool(scores[:2], prompts_of(4, 4), log_weights[:2], 4)
    np.testing.assert_allclose(three.falls(log_weights), two.falls(log_weights[:2]))
