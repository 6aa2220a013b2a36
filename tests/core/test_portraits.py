"""Telling pairs against brute force and by hand; sizes of types by counting."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from emdpo.core.features import build_features
from emdpo.core.loglinear import LogLinearPolicies
from emdpo.core.portraits import CLEAR, telling_pairs, type_portraits
from emdpo.core.rankings import rankings_from_table

LOG4 = np.log(4.0)


def panel(*sizes: int):
    """One user who ranks prompts q0, q1, ... with so many candidates each, a0 best."""
    rows = [
        {
            "user_id": "u",
            "prompt": f"q{p}",
            "response_id": f"q{p}-a{c}",
            "response": f"answer {c} to q{p}",
            "rank": c + 1,
        }
        for p, size in enumerate(sizes)
        for c in range(size)
    ]
    return rankings_from_table(pd.DataFrame(rows))


def brute_force(scores, prompt, k):
    """Return the best telling pair of each prompt, from every ordered pair of candidates."""
    best = {}
    for a, b in permutations(range(scores.shape[1]), 2):
        log_odds = scores[:, a] - scores[:, b]
        others = np.delete(log_odds, k)
        against = (others < 0).sum()
        gap = (log_odds[k] - others).min()
        if prompt[a] != prompt[b] or log_odds[k] < CLEAR or gap <= 0 or 2 * against <= len(others):
            continue
        best[prompt[a]] = max(best.get(prompt[a], (0, 0.0)), (against, gap))
    return sorted(best.values(), reverse=True)


def test_a_telling_pair_by_hand():
    """Type 1 scores answer 0 log 4, type 2 answer 1: odds of 4 to 1 each way.

    P(0 over 1) is 4/5 for type 1 and 1/5 for type 2; the log-odds differ by 2 log 4. Against
    answer 2 type 2 is undecided (log-odds 0), so that pair does not tell.
    """
    scores = np.array([[LOG4, 0.0, 0.0], [0.0, LOG4, 0.0]])
    (pair,) = telling_pairs(panel(3), scores, 0)
    assert (pair.prompt, pair.preferred, pair.other) == ("q0", "answer 0 to q0", "answer 1 to q0")
    assert pair.probabilities == pytest.approx((0.8, 0.2))
    assert pair.contrast == pytest.approx(2 * LOG4)
    assert pair.n_disagree == 1


def test_no_pair_where_only_half_of_the_others_disagree():
    """Types 1 and 3 agree, so of type 1's two others one is against: not more than half.

    Of type 2's others both are.
    """
    scores = np.array([[LOG4, 0.0], [0.0, LOG4], [LOG4, 0.0]])
    assert telling_pairs(panel(2), scores, 0) == ()
    assert telling_pairs(panel(2), scores, 1)[0].n_disagree == 2


def test_no_pair_without_a_clear_preference():
    """Log-odds of log 1.4 are below log 1.5."""
    small = np.log(1.4)
    assert telling_pairs(panel(2), np.array([[small, 0.0], [0.0, LOG4]]), 0) == ()


def test_one_type_shows_what_it_prefers_most():
    """With nobody to differ from, the widest log-odds of each prompt: 2 log 4, then log 4."""
    scores = np.array([[LOG4, 0.0, 0.0, 2 * LOG4]])
    pairs = telling_pairs(panel(2, 2), scores, 0)
    assert [pair.contrast for pair in pairs] == pytest.approx([2 * LOG4, LOG4])
    assert pairs[0].preferred == "answer 1 to q1"
    assert pairs[0].probabilities == pytest.approx((16 / 17,))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(2, 4))
def test_short_lists_match_brute_force(seed, n_types):
    """Up to ENDS candidates a prompt, every pair is looked at, so the search is exact."""
    rng = np.random.default_rng(seed)
    rankings = panel(*rng.integers(1, 8, size=5))
    scores = rng.normal(scale=1.5, size=(n_types, rankings.n_candidates))
    for k in range(n_types):
        expected = brute_force(scores, rankings.candidate_prompt, k)[:3]
        found = telling_pairs(rankings, scores, k)
        assert [pair.n_disagree for pair in found] == [against for against, _ in expected]
        assert [pair.contrast for pair in found] == pytest.approx([gap for _, gap in expected])


def test_long_lists_find_the_best_pair_of_two_types():
    """With two types the gap is the difference of the contrasts, whose ends are looked at.

    The best of all pairs in one list of 600 is taken from the full 600 x 600 table.
    """
    rng = np.random.default_rng(3)
    rankings = panel(600)
    scores = rng.normal(size=(2, 600))
    gap = np.subtract.outer(scores[0] - scores[1], scores[0] - scores[1])
    own = np.subtract.outer(scores[0], scores[0])
    against = np.subtract.outer(scores[1], scores[1]) < 0
    best = gap[(own >= CLEAR) & against].max()
    assert telling_pairs(rankings, scores, 0)[0].contrast == pytest.approx(best)


def test_pairs_follow_their_type_when_types_are_renumbered():
    scores = np.random.default_rng(4).normal(size=(3, 12))
    rankings = panel(4, 4, 4)
    moved = [telling_pairs(rankings, scores[[2, 0, 1]], k) for k in (1, 2, 0)]
    for k, pairs in enumerate(moved):
        straight = telling_pairs(rankings, scores, k)
        assert [(p.preferred, p.other) for p in pairs] == [(p.preferred, p.other) for p in straight]


def test_distinct_prompts_and_at_most_so_many():
    scores = np.array([[2.0, 0.0] * 5, [0.0, 2.0] * 5])
    rankings = panel(2, 2, 2, 2, 2)
    assert len({pair.prompt for pair in telling_pairs(rankings, scores, 0)}) == 3
    assert len(telling_pairs(rankings, scores, 0, n_pairs=1)) == 1


def test_portraits_count_people():
    """Responsibilities sum to 0.9 + 0.6 + 0.2 = 1.7 and 1.3; two users of three lean to type 1.

    Item utilities are (1, 0) and (0, 1): type 1 likes the first item by half the gap, and its
    difference from the average, (1/2, -1/2), says the same.
    """
    rankings = panel(2)
    features = build_features(rankings, "items")
    policies = LogLinearPolicies(features, np.array([[1.0, 0.0], [0.0, 1.0]]), 0.0)
    responsibilities = np.array([[0.9, 0.1], [0.6, 0.4], [0.2, 0.8]])
    first, second = type_portraits(rankings, policies, responsibilities, np.array([0.6, 0.4]))
    assert (first.number, first.weight, second.number) == (1, 0.6, 2)
    assert (first.n_expected, second.n_expected) == pytest.approx((1.7, 1.3))
    assert (first.n_most_likely, second.n_most_likely) == (2, 1)
    assert first.wishes[0] == ("prefers answer 0 to q0", 0.5)
    assert first.sets_apart[0] == ("prefers answer 0 to q0", 0.5)
    assert first.pairs[0].preferred == "answer 0 to q0"


def test_one_type_has_nothing_that_sets_it_apart():
    rankings = panel(2)
    policies = LogLinearPolicies(build_features(rankings, "items"), np.array([[1.0, 0.0]]), 0.0)
    (only,) = type_portraits(rankings, policies, np.ones((1, 1)), np.ones(1))
    assert only.sets_apart == ()
    assert only.pairs[0].contrast == pytest.approx(1.0)


def test_wishes_too_faint_to_matter_are_not_told():
    """Utilities 0.08 and 0 lie 0.04 from their mean, below 0.05."""
    rankings = panel(2)
    policies = LogLinearPolicies(build_features(rankings, "items"), np.array([[0.08, 0.0]]), 0.0)
    assert type_portraits(rankings, policies, np.ones((1, 1)), np.ones(1))[0].wishes == ()
