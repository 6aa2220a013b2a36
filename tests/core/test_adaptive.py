"""Expected falls of entropy against brute force, closed forms and draws."""

from __future__ import annotations

import math
from itertools import combinations

import numpy as np
import pytest
from brute_orders import fall_of
from hypothesis import given, settings
from hypothesis import strategies as st

from emdpo.core.adaptive import (
    EXACT_UP_TO,
    all_ranks,
    drawn_entropy_fall,
    entropy,
    expected_entropy_fall,
    falls_of_sets,
    log_order_probabilities,
    most_informative,
    most_varied,
)

HALF = np.log([0.5, 0.5])


def binary_entropy(p):
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def fall(scores, log_posterior):
    orders = log_order_probabilities(np.asarray(scores, float)[:, None])
    return float(expected_entropy_fall(orders, np.asarray(log_posterior))[0])


def test_all_orders_are_there_once():
    ranks = all_ranks(4)
    assert ranks.shape == (24, 4) and len({tuple(row) for row in ranks.tolist()}) == 24
    assert (np.sort(ranks, axis=1) == [1, 2, 3, 4]).all()


@pytest.mark.parametrize("length", range(1, EXACT_UP_TO + 1))
def test_probabilities_of_all_orders_sum_to_one(length):
    scores = np.random.default_rng(length).normal(size=(3, 2, length)) * 3
    log_orders = log_order_probabilities(scores)
    assert log_orders.shape == (3, 2, math.factorial(length))
    np.testing.assert_allclose(np.exp(log_orders).sum(axis=-1), 1.0)


def test_one_order_by_hand():
    """Utilities log 3, 0, 0: order a, b, c is 3/5 x 1/2; b, a, c, ranks (2, 1, 3), 1/5 x 3/4."""
    log_orders = log_order_probabilities(np.array([[[math.log(3), 0.0, 0.0]]]))[0, 0]
    by_ranks = dict(zip(map(tuple, all_ranks(3).tolist()), np.exp(log_orders), strict=True))
    assert by_ranks[1, 2, 3] == pytest.approx(0.3)
    assert by_ranks[2, 1, 3] == pytest.approx(0.15)


def test_too_long_a_list_is_refused():
    with pytest.raises(ValueError, match="at most 5 candidates are enumerated, got 6"):
        log_order_probabilities(np.zeros((2, 1, 6)))


@pytest.mark.parametrize("length", [2, 3, 4])
@pytest.mark.parametrize("n_types", [2, 3])
def test_falls_agree_with_brute_force(n_types, length):
    rng = np.random.default_rng(10 * n_types + length)
    scores = rng.normal(size=(n_types, length)) * 1.5
    posterior = rng.dirichlet(np.ones(n_types))
    assert fall(scores, np.log(posterior)) == pytest.approx(fall_of(scores, posterior))


@pytest.mark.parametrize("gap", [0.1, 1.0, 4.0])
@pytest.mark.parametrize("share", [0.5, 0.8])
def test_a_pair_for_two_opposite_types_in_closed_form(gap, share):
    """A type picks with q = sigmoid(gap), the other with 1 - q, so I = h(mixed q) - h(q)."""
    q = 1 / (1 + math.exp(-gap))
    expected = binary_entropy(share * q + (1 - share) * (1 - q)) - binary_entropy(q)
    scores = [[gap, 0.0], [0.0, gap]]
    assert fall(scores, np.log([share, 1 - share])) == pytest.approx(expected)


def test_orders_that_types_never_share_tell_everything():
    """Scores of 0, 2,000 and 4,000 leave one order a type: the entropy falls to 0."""
    scores = 2_000.0 * np.array([[0, 1, 2], [1, 0, 2], [2, 1, 0]])
    log_posterior = np.log([0.5, 0.3, 0.2])
    assert fall(scores, log_posterior) == pytest.approx(entropy(log_posterior))


def test_entropy_by_hand():
    assert entropy(HALF) == pytest.approx(math.log(2))
    with np.errstate(divide="ignore"):
        assert entropy(np.log([1.0, 0.0])) == 0.0


def test_types_alike_tell_nothing_and_neither_does_one_that_is_certain():
    """Exactly: log P_k less the log of their mean is rounding where all are equal."""
    row = np.array([0.3, -1.0, 2.0, 0.0])
    assert fall([row, row, row], np.log([0.2, 0.3, 0.5])) == pytest.approx(0.0, abs=1e-14)
    with np.errstate(divide="ignore"):
        assert fall([row, -row], np.log([1.0, 0.0])) == 0.0
    assert fall([row], np.zeros(1)) == 0.0


numbers = st.floats(-4, 4, allow_nan=False)


@given(
    st.lists(st.lists(numbers, min_size=3, max_size=3), min_size=2, max_size=4),
    st.randoms(use_true_random=False),
    st.lists(numbers, min_size=4, max_size=4),
)
@settings(max_examples=60, deadline=None)
def test_falls_know_no_labels_and_no_constants(rows, random, constants):
    """Renumbering types or candidates, or adding a constant to a type's scores, changes nothing."""
    scores = np.array(rows)
    n_types = len(scores)
    log_posterior = np.log(np.arange(1, n_types + 1) / np.arange(1, n_types + 1).sum())
    types = random.sample(range(n_types), n_types)
    candidates = random.sample(range(3), 3)
    told = fall(scores, log_posterior)
    assert 0 <= told <= entropy(log_posterior) + 1e-12
    renumbered = scores[types][:, candidates]
    assert fall(renumbered, log_posterior[types]) == pytest.approx(told, abs=1e-10)
    moved = scores + np.array(constants)[:n_types, None]
    assert fall(moved, log_posterior) == pytest.approx(told, abs=1e-10)


@given(st.lists(st.lists(numbers, min_size=4, max_size=4), min_size=2, max_size=3))
@settings(max_examples=40, deadline=None)
def test_one_more_candidate_never_tells_less(rows):
    scores = np.array(rows)
    log_posterior = np.full(len(scores), -math.log(len(scores)))
    told = [fall(scores[:, :length], log_posterior) for length in (2, 3, 4)]
    assert told[0] <= told[1] + 1e-10 and told[1] <= told[2] + 1e-10


@pytest.mark.parametrize("length", [3, 5])
def test_drawn_falls_agree_with_enumerated_ones(length):
    """Within four standard errors of the draw; the seeds are fixed."""
    rng = np.random.default_rng(length)
    scores, log_posterior = rng.normal(size=(3, length)), np.log([0.5, 0.3, 0.2])
    drawn = drawn_entropy_fall(scores, log_posterior, rng, 4_000)
    assert 0 < drawn.standard_error < 0.02
    assert abs(drawn.fall - fall(scores, log_posterior)) < 4 * drawn.standard_error


def test_drawn_falls_go_beyond_the_enumerated_length():
    """Eight candidates tell more than their first four, of which all orders are enumerated."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(2, 8))
    drawn = drawn_entropy_fall(scores, HALF, rng)
    assert fall(scores[:, :4], HALF) < drawn.fall < math.log(2)


def test_falls_of_many_sets_are_those_of_each():
    """600 sets go in three parts."""
    rng = np.random.default_rng(3)
    scores = rng.normal(size=(2, 30))
    sets = np.array(list(combinations(range(30), 2)) + [(29, 0)] * 165)
    falls = falls_of_sets(scores, sets, HALF)
    assert falls.shape == (600,)
    for place in (0, 255, 256, 599):
        assert falls[place] == pytest.approx(fall(scores[:, sets[place]], HALF))
    assert falls_of_sets(scores, np.zeros((0, 2), int), HALF).shape == (0,)


def test_the_most_informative_pair_is_the_best_of_all_pairs():
    rng = np.random.default_rng(5)
    scores, log_posterior = rng.normal(size=(3, 9)), np.log([0.5, 0.3, 0.2])
    best = max(combinations(range(9), 2), key=lambda pair: fall(scores[:, pair], log_posterior))
    assert tuple(most_informative(scores, log_posterior, 2)) == best


@pytest.mark.parametrize("seed", range(5))
def test_a_chosen_set_comes_near_the_best_of_all_sets(seed):
    """Of all 70 sets of four out of eight, by enumeration."""
    rng = np.random.default_rng(seed)
    scores, log_posterior = rng.normal(size=(3, 8)), np.log([0.5, 0.3, 0.2])
    falls = {
        members: fall(scores[:, members], log_posterior) for members in combinations(range(8), 4)
    }
    chosen = most_informative(scores, log_posterior, 4)
    assert (np.diff(chosen) > 0).all()
    told = falls[tuple(chosen.tolist())]
    assert told >= 0.9 * max(falls.values())
    assert sum(value > told for value in falls.values()) <= 7  # among the best tenth


def test_a_short_list_is_shown_whole():
    assert most_informative(np.zeros((2, 3)), HALF, 4).tolist() == [0, 1, 2]


def test_candidates_that_types_value_alike_are_left_out_of_the_search():
    """Of 100 only three differ between the types, and those by more than a type's own constant."""
    scores = np.zeros((2, 100))
    scores[0, [7, 40, 99]] = [2.0, -2.0, 1.0]
    scores[1] = 5.0
    assert most_varied(scores, HALF, 3).tolist() == [7, 40, 99]
    assert set(most_informative(scores, HALF, 2)) == {7, 40}
