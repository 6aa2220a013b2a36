"""Maximin, Nash welfare and maximal lotteries: closed forms, grids, and what each promises."""

from __future__ import annotations

import numpy as np
import pytest
from grids import simplex_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from emdpo.core.welfare import (
    gains,
    lottery_policy,
    majority_margins,
    maximal_lottery,
    maximin_mixture,
    nash_mixture,
)

seeds = st.integers(0, 2**32 - 1)


def test_gains_are_values_over_the_reference():
    """Two prompts by hand: scores (0, 2) and (1, 4); a policy that takes the second of each."""
    scores, prompt = np.array([[0.0, 2.0, 1.0, 4.0]]), np.array([0, 0, 1, 1])
    policy = np.array([[0.0, 1.0, 0.0, 1.0]])
    assert gains(scores, policy, prompt) == pytest.approx(np.array([[(1.0 + 1.5) / 2]]))
    shifted = scores + np.array([5.0, 5.0, -3.0, -3.0])
    assert gains(shifted, policy, prompt) == pytest.approx(gains(scores, policy, prompt))


def test_two_types_in_closed_form():
    """G = diag(g): maximin equalises gains, a_1 = g_2 / (g_1 + g_2); Nash takes the shares."""
    gain, shares = np.diag([4.0, 1.0]), np.array([0.8, 0.2])
    found = maximin_mixture(gain, shares)
    np.testing.assert_allclose(found.weights, [0.2, 0.8], atol=1e-9)
    assert found.value == pytest.approx(0.8)
    nash = nash_mixture(gain, shares)
    np.testing.assert_allclose(nash.weights, shares, atol=1e-4)
    assert nash.value == pytest.approx(0.8 * np.log(3.2) + 0.2 * np.log(0.2), abs=1e-6)


@settings(max_examples=40)
@given(seeds)
def test_no_mixture_on_a_grid_does_better(seed):
    rng = np.random.default_rng(seed)
    gain = rng.normal(size=(3, 3)) + 2 * np.eye(3)
    shares = rng.dirichlet(np.full(3, 2.0))
    grid = simplex_grid(60) @ gain.T  # (points, K) gains
    maximin = maximin_mixture(gain, shares)
    assert maximin.value == pytest.approx((gain @ maximin.weights).min(), abs=1e-9)
    assert grid.min(axis=1).max() <= maximin.value + 1e-7
    nash = nash_mixture(gain, shares)
    better_off = (grid > 0).all(axis=1)
    if nash.weights is None:
        assert maximin.value <= 1e-2
        return
    products = np.log(grid[better_off]) @ shares
    assert products.max(initial=-np.inf) <= nash.value + nash.duality_gap + 1e-9
    assert (gain @ nash.weights > 0).all()


@settings(max_examples=40)
@given(seeds)
def test_nash_does_not_depend_on_a_type_s_scale(seed):
    rng = np.random.default_rng(seed)
    gain, shares = rng.uniform(0, 1, (3, 3)) + np.eye(3), rng.dirichlet(np.full(3, 2.0))
    scale = np.exp(rng.normal(size=3))
    one, other = nash_mixture(gain, shares), nash_mixture(gain * scale[:, None], shares)
    np.testing.assert_allclose(one.weights, other.weights, atol=5e-3)
    assert other.value == pytest.approx(one.value + shares @ np.log(scale), abs=2e-6)


@pytest.mark.parametrize("gain", [np.array([[1.0, -1.0], [-1.0, 1.0]]), np.zeros((2, 2))])
def test_where_somebody_must_lose_disagreement_stands(gain):
    """Two opposite types: what one gains the other loses, under every mixture."""
    found = nash_mixture(gain, np.array([0.9, 0.1]))
    assert found.weights is None and found.value == -np.inf
    assert maximin_mixture(gain).value == pytest.approx(0.0, abs=1e-9)


def test_margins_are_weighted_bradley_terry():
    scores, shares = np.array([[0.0, np.log(3.0)], [np.log(3.0), 0.0]]), np.array([0.75, 0.25])
    margins = majority_margins(scores, shares)
    np.testing.assert_allclose(margins, [[0.0, -0.25], [0.25, 0.0]], atol=1e-12)


def test_the_winner_of_every_majority_takes_all():
    """60 of 100 rank a > b > c, 40 rank c > b > a: a wins by 20 against both."""
    margins = np.array([[0.0, 0.2, 0.2], [-0.2, 0.0, 0.2], [-0.2, -0.2, 0.0]])
    np.testing.assert_array_equal(maximal_lottery(margins), [1.0, 0.0, 0.0])


def test_a_weighted_cycle_in_closed_form():
    """In a cycle each is drawn in proportion to the margin between the two others."""
    ab, bc, ca = 0.1, 0.3, 0.6
    margins = np.array([[0.0, ab, -ca], [-ab, 0.0, bc], [ca, -bc, 0.0]])
    np.testing.assert_allclose(maximal_lottery(margins), [0.3, 0.6, 0.1], atol=1e-8)


@settings(max_examples=60)
@given(seeds)
def test_nothing_beats_a_maximal_lottery(seed):
    rng = np.random.default_rng(seed)
    n = int(rng.integers(1, 8))
    margins = rng.uniform(-1, 1, (n, n))
    margins = margins - margins.T
    chances = maximal_lottery(margins)
    assert chances.sum() == pytest.approx(1.0)
    assert (chances @ margins).min() >= -1e-7


def test_where_nobody_cares_the_lottery_is_uniform():
    np.testing.assert_array_equal(maximal_lottery(np.zeros((4, 4))), np.full(4, 0.25))


def test_the_policy_is_the_lottery_of_every_prompt():
    rng = np.random.default_rng(5)
    prompt, shares = np.array([1, 0, 1, 0, 1]), np.array([0.6, 0.4])
    scores = rng.normal(size=(2, 5))
    policy = lottery_policy(scores, shares, prompt)
    for code in (0, 1):
        here = prompt == code
        np.testing.assert_allclose(
            policy[here], maximal_lottery(majority_margins(scores[:, here], shares))
        )
