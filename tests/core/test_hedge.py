"""Hedge: its rounds by hand, its averages against the linear programme and its bound."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emdpo.core.aggregation import min_max_regret_mixture, verify
from emdpo.core.hedge import hedge, hedge_rounds

ROCK_PAPER_SCISSORS = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])

seeds = st.integers(0, 2**32 - 1)


def plain_hedge(matrix, n_rounds):
    """Multiplicative weights as a textbook has them: multiply, divide by the sum, no logarithms."""
    low, high = matrix.min(), matrix.max()
    losses = (matrix - low) / (high - low)
    rate = np.sqrt(8 * np.log(matrix.shape[1]) / n_rounds)
    weights, played, picked = np.ones(matrix.shape[1]), [], []
    for _ in range(n_rounds):
        mix = weights / weights.sum()
        worst = max(range(len(losses)), key=lambda k, mix=mix: sum(losses[k] * mix))
        played.append(mix)
        picked.append(worst)
        weights = weights * np.exp(-rate * losses[worst])
    return np.array(played), picked


def test_two_rounds_by_hand():
    """For ((0, 3), (1, 0)): losses are ((0, 1), (1/3, 0)) and the rate is sqrt(8 log 2 / 2).

    Round 1 plays halves; type 1 loses 3/2, type 2 1/2, so type 1 is picked and policy 2 shrinks
    by exp(-rate). With w = exp(-1.66511) = 0.18917, round 2 plays (1, w) / (1 + w); type 1 loses
    w / (1 + w) * 3 = 0.477, type 2 1 / (1 + w) = 0.841, so type 2 is picked.
    """
    rounds = hedge_rounds(np.array([[0.0, 3.0], [1.0, 0.0]]), 2)
    w = np.exp(-np.sqrt(4 * np.log(2)))
    second = np.array([1, w]) / (1 + w)
    np.testing.assert_allclose(rounds.played, [[0.5, 0.5], second])
    assert rounds.picked.tolist() == [0, 1]
    average = (0.5 + second) / 2
    np.testing.assert_allclose(rounds.average[1], average)
    np.testing.assert_allclose(rounds.worst, [1.5, max(3 * average[1], average[0])])
    np.testing.assert_allclose(rounds.adversary, [[1, 0], [0.5, 0.5]])
    np.testing.assert_allclose(rounds.floor, [0.0, 0.5])  # min(0, 3), then min(1/2, 3/2)
    np.testing.assert_allclose(rounds.gap, rounds.worst - rounds.floor)


@given(seeds)
def test_rounds_are_those_of_a_textbook_and_every_gap_keeps_its_bound(seed):
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=rng.integers(2, 5, size=2)) * 10.0 ** rng.integers(-3, 4)
    rounds = hedge_rounds(matrix, 60)
    played, picked = plain_hedge(matrix, 60)
    np.testing.assert_allclose(rounds.played, played, atol=1e-9)
    assert rounds.picked.tolist() == picked
    value = min_max_regret_mixture(matrix).value
    slack = 1e-9 * np.ptp(matrix)
    assert (rounds.floor <= value + slack).all() and (rounds.worst >= value - slack).all()
    assert (rounds.gap <= rounds.bound + slack).all()


@pytest.mark.parametrize("n_rounds", [100, 10_000])
def test_hedge_comes_within_its_bound(n_rounds):
    """The gap of T rounds is at most spread * sqrt(log 4 / (2 T))."""
    matrix = np.random.default_rng(1).normal(size=(4, 4))
    exact, approximate = min_max_regret_mixture(matrix), hedge(matrix, n_rounds)
    bound = np.ptp(matrix) * np.sqrt(np.log(4) / (2 * n_rounds))
    assert 0 <= approximate.value - exact.value <= approximate.duality_gap <= bound
    assert hedge_rounds(matrix, n_rounds).bound[-1] == pytest.approx(bound)
    verify(approximate, matrix, tolerance=bound / np.ptp(matrix))


def test_hedge_is_the_last_of_its_rounds():
    rounds, solution = hedge_rounds(ROCK_PAPER_SCISSORS, 30), hedge(ROCK_PAPER_SCISSORS, 30)
    np.testing.assert_allclose(solution.weights, rounds.average[-1])
    assert solution.value == pytest.approx(rounds.worst[-1])
    assert solution.duality_gap == pytest.approx(rounds.gap[-1])


def test_hedge_handles_one_policy_and_refuses_no_round():
    assert hedge(np.array([[1.0], [2.0]]), 5).value == 2.0
    np.testing.assert_array_equal(hedge_rounds(np.array([[1.0], [2.0]]), 5).played, np.ones((5, 1)))
    with pytest.raises(ValueError, match="n_rounds"):
        hedge(ROCK_PAPER_SCISSORS, 0)
