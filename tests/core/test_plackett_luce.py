"""Plackett-Luce against brute force over permutations and numerical gradients."""

from __future__ import annotations

from itertools import permutations
from math import factorial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from scipy.special import logsumexp

from emdpo.core.plackett_luce import (
    log_likelihoods,
    log_likelihoods_vjp,
    stage_layout,
)


def log_likelihoods_and_gradient(layout, scores):
    """The derivative of the sum over rankings."""
    log_lik, pull_back = log_likelihoods_vjp(layout, scores)
    return log_lik, pull_back(np.ones_like(log_lik))


def layout_of(*rankings):
    offsets = np.concatenate([[0], np.cumsum([len(ranks) for ranks in rankings])])
    return stage_layout(offsets, np.concatenate(rankings).astype(np.int32))


def order_log_probability(scores, order):
    """One strict order, best first, straight from the definition."""
    ordered = np.asarray(scores)[list(order)]
    return sum(ordered[t] - logsumexp(ordered[t:]) for t in range(len(ordered)))


def exact_log_probability(scores, ranks):
    """Sum over every strict order that agrees with `ranks` outside ties (0 = last group)."""
    level = np.where(np.asarray(ranks) == 0, 99, ranks)
    total = [
        order_log_probability(scores, order)
        for order in permutations(range(len(level)))
        if (np.diff(level[list(order)]) >= 0).all()
    ]
    return logsumexp(total)


def test_full_order_of_three_by_hand():
    """S = (log 3, log 2, log 1), order 1 > 2 > 3: P = 3/6 * 2/3 = 1/3."""
    scores = np.log([[3.0, 2.0, 1.0]])
    assert np.exp(log_likelihoods(layout_of([1, 2, 3]), scores)) == pytest.approx(1 / 3)


def test_pair_is_the_logistic_of_the_difference():
    """For m = 2 this is DPO: -log P = log(1 + exp(-(s_w - s_l)))."""
    log_lik = log_likelihoods(layout_of([2, 1]), np.array([[0.3, 1.7]]))
    assert -log_lik[0, 0] == pytest.approx(np.log1p(np.exp(-1.4)))


def test_zero_scores_cost_log_factorial():
    """At zero scores every strict order of m has P = 1/m!; a pair costs log 2."""
    log_lik = log_likelihoods(layout_of([1, 2], [3, 1, 2], [1, 2, 3, 4]), np.zeros((1, 9)))
    np.testing.assert_allclose(-log_lik[0], np.log([2, 6, 24]))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_partial_orders_equal_the_exact_marginal(data):
    """Best k of m, a choice, or a full order: no ties above the last group, nothing approximate."""
    size = data.draw(st.integers(1, 6))
    n_ranked = data.draw(st.integers(0, size))
    ranks = np.zeros(size, int)
    chosen = data.draw(st.permutations(range(size)))[:n_ranked]
    ranks[list(chosen)] = np.arange(1, n_ranked + 1)
    scores = np.array(data.draw(st.lists(st.floats(-5, 5), min_size=size, max_size=size)))
    log_lik = log_likelihoods(layout_of(ranks), scores[None])[0, 0]
    assert log_lik == pytest.approx(exact_log_probability(scores, ranks), abs=1e-9)


def test_explicit_last_tie_equals_unranked():
    scores = np.random.default_rng(0).normal(size=(3, 5))
    blank = log_likelihoods(layout_of([1, 0, 2, 0, 0]), scores)
    tied = log_likelihoods(layout_of([1, 7, 2, 7, 7]), scores)
    np.testing.assert_array_equal(blank, tied)


def test_efron_is_exact_where_tied_scores_are_equal_up_to_the_factorial():
    """D tied equals: every order has the same P, so the sum over d! orders is d! times Efron's."""
    scores = np.array([0.4, 0.4, 0.4, -1.0, 2.0])
    ranks = [1, 1, 1, 2, 3]
    log_lik = log_likelihoods(layout_of(ranks), scores[None])[0, 0]
    exact = exact_log_probability(scores, ranks) - np.log(factorial(3))
    assert log_lik == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("ranks", [[1, 1, 2, 3], [2, 1, 1, 3], [1, 1, 1, 2], [1, 2, 2, 3, 3, 4]])
def test_efron_approximates_the_average_over_orders_to_second_order(ranks):
    """Halving the spread of tied scores cuts the error to a quarter (within noise: a third)."""
    directions = np.random.default_rng(3).normal(size=(40, len(ranks)))
    sizes = np.bincount(np.asarray(ranks))[:-1]  # the last group is free, not averaged
    log_orders = sum(np.log(factorial(size)) for size in sizes)

    def mean_error(spread):
        scores = spread * directions
        efron = log_likelihoods(layout_of(ranks), scores)[:, 0]
        average = [exact_log_probability(row, ranks) - log_orders for row in scores]
        return np.abs(efron - average).mean()

    assert mean_error(0.4) < 0.1
    assert mean_error(0.2) < mean_error(0.4) / 3


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_gradient_equals_numerical_derivative(data):
    """Random panels of mixed lengths with ties and unranked candidates."""
    sizes = data.draw(st.lists(st.integers(1, 11), min_size=1, max_size=4))
    rankings = [
        data.draw(st.lists(st.integers(0, 4), min_size=size, max_size=size)) for size in sizes
    ]
    layout = layout_of(*rankings)
    rng = np.random.default_rng(data.draw(st.integers(0, 1000)))
    scores = rng.normal(size=(2, layout.n_rows))
    log_lik, gradient = log_likelihoods_and_gradient(layout, scores)
    np.testing.assert_array_equal(log_lik, log_likelihoods(layout, scores))
    for k in range(2):
        numerical = approx_fprime(scores[k], lambda s: log_likelihoods(layout, s[None]).sum(), 1e-6)
        np.testing.assert_allclose(gradient[k], numerical, atol=1e-5)


@settings(max_examples=40, deadline=None)
@given(st.lists(st.integers(0, 4), min_size=2, max_size=9), st.integers(0, 99))
def test_log_domain_path_agrees_with_the_fast_one(ranks, seed):
    """A far-off extra ranking forces the whole block onto the slow path."""
    scores = np.random.default_rng(seed).normal(size=(2, len(ranks)))
    extreme = np.zeros_like(scores)
    extreme[:, 0] = -2000.0
    fast = log_likelihoods_and_gradient(layout_of(ranks), scores)
    both = np.concatenate([scores, extreme], axis=1)
    slow = log_likelihoods_and_gradient(layout_of(ranks, ranks), both)
    np.testing.assert_allclose(slow[0][:, 0], fast[0][:, 0], atol=1e-10)
    np.testing.assert_allclose(slow[1][:, : len(ranks)], fast[1], atol=1e-10)


@pytest.mark.parametrize("ranks", [[1, 2, 3], [3, 2, 1], [2, 2, 1], [1, 2, 2, 3], [0, 1, 0]])
def test_stable_for_scores_up_to_ten_thousand(ranks):
    scores = np.array([[1e4, 0.0, -1e4, 5e3][: len(ranks)]])
    log_lik, gradient = log_likelihoods_and_gradient(layout_of(ranks), scores)
    assert np.isfinite(log_lik).all()
    assert np.isfinite(gradient).all()
    assert -1e5 < log_lik[0, 0] <= 0


def test_hopeless_order_at_extreme_scores_by_hand():
    """Order 3 > 2 > 1 with scores 1e4, 0, -1e4: (-1e4 - 1e4) + (0 - 1e4) = -3e4."""
    log_lik = log_likelihoods(layout_of([3, 2, 1]), np.array([[1e4, 0.0, -1e4]]))
    assert log_lik[0, 0] == pytest.approx(-3e4)


def test_a_constant_per_ranking_changes_nothing():
    layout = layout_of([1, 2, 2, 3], [2, 1, 0])
    scores = np.random.default_rng(1).normal(size=(2, 7))
    shift = np.repeat([5.0, -3.0], [4, 3])
    np.testing.assert_allclose(
        log_likelihoods(layout, scores + shift), log_likelihoods(layout, scores), atol=1e-12
    )


def test_pull_back_weighs_each_ranking():
    layout = layout_of([1, 2, 3], [2, 1, 1, 0])
    scores = np.random.default_rng(2).normal(size=(2, 7))
    weights = np.array([[2.0, 0.0], [0.5, 3.0]])
    gradient = log_likelihoods_vjp(layout, scores)[1](weights)
    plain = log_likelihoods_and_gradient(layout, scores)[1]
    np.testing.assert_allclose(gradient, plain * np.repeat(weights, [3, 4], axis=1))


def test_long_lists_are_padded_without_effect():
    """Lengths 9..40 share blocks; each must equal its own single-ranking layout."""
    rng = np.random.default_rng(5)
    rankings = [rng.integers(0, 6, size=size) for size in range(9, 41)]
    scores = rng.normal(size=(2, sum(map(len, rankings))))
    together, gradient = log_likelihoods_and_gradient(layout_of(*rankings), scores)
    start = 0
    for index, ranks in enumerate(rankings):
        own = scores[:, start : start + len(ranks)]
        alone, own_gradient = log_likelihoods_and_gradient(layout_of(ranks), own)
        np.testing.assert_allclose(together[:, index], alone[:, 0], atol=1e-10)
        rows = slice(start, start + len(ranks))
        np.testing.assert_allclose(gradient[:, rows], own_gradient, atol=1e-10)
        start += len(ranks)
