"""Log-likelihoods of two fits on the same rankings, against brute force."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from panels import planted

import emdpo
from emdpo.core.likelihood_changes import (
    ScoredTypes,
    fitted_change,
    held_out_change,
    user_marginals,
)

DRAW = {"n_bootstrap": 2000, "confidence": 0.95}


@pytest.fixture(scope="module")
def panel():
    return planted(n_users=30)


@pytest.fixture(scope="module")
def fits(panel):
    return [emdpo.fit(panel, k, restarts=2, features="columns") for k in (2, 3)]


def types_of(fit):
    return ScoredTypes(fit.policies.candidate_scores(), fit.weights)


def by_hand(panel, types, rankings):
    """Return sum_k w_k prod_j P_k over these rankings, each stage of each ranking in turn."""
    total = 0.0
    for k, weight in enumerate(types.weights):
        product = weight
        for r in rankings:
            rows = np.arange(panel.offsets[r], panel.offsets[r + 1])
            rows = rows[np.argsort(panel.ranks[rows])]
            left = [exp(s) for s in types.scores[k, panel.candidate[rows]]]
            while len(left) > 1:
                product *= left[0] / sum(left)
                left = left[1:]
        total += product
    return total


def test_each_user_s_log_likelihood_by_hand(panel, fits):
    types = types_of(fits[1])
    found = user_marginals(panel, types)
    for user in (0, 7, 29):
        mine = np.flatnonzero(panel.user == user)
        assert found[user] == pytest.approx(log(by_hand(panel, types, mine)))


def test_what_is_held_out_is_given_the_user_s_other_rankings(panel, fits):
    """log P(held out | others) = log P(all) - log P(others); nothing held out tells nothing."""
    types, held_out = types_of(fits[0]), np.zeros(panel.n_rankings, bool)
    held_out[[0, 5]] = True
    found = user_marginals(panel, types, held_out)
    for user in np.unique(panel.user[held_out]):
        mine = np.flatnonzero(panel.user == user)
        rest = mine[~held_out[mine]]
        expected = log(by_hand(panel, types, mine)) - log(by_hand(panel, types, rest))
        assert found[user] == pytest.approx(expected)
    others = np.setdiff1d(np.arange(30), panel.user[held_out])
    assert found[others] == pytest.approx(np.zeros(len(others)))


def test_sums_are_the_fits_own_log_likelihoods(panel, fits):
    told = fitted_change(panel, *map(types_of, fits), **DRAW, rng=np.random.default_rng(0))
    assert (told.a, told.b) == pytest.approx([fit.log_likelihood for fit in fits])
    assert told.difference.value == pytest.approx(told.b - told.a)
    assert (told.difference.n, told.n_rankings, told.per_ranking) == (30, 90, False)


def test_the_interval_of_a_sum_is_that_of_independent_users(panel, fits):
    by_user = np.subtract(*(user_marginals(panel, types_of(fit)) for fit in reversed(fits)))
    told = fitted_change(panel, *map(types_of, fits), **DRAW, rng=np.random.default_rng(0))
    half = 1.96 * by_user.std() * np.sqrt(30)
    ends = told.difference.low, told.difference.high
    assert ends == pytest.approx((by_user.sum() - half, by_user.sum() + half), abs=0.15 * half)


def test_held_out_rankings_are_averaged_over_rankings(panel, fits):
    held_out = np.random.default_rng(0).random(panel.n_rankings) < 0.3
    told = held_out_change(
        panel, held_out, *map(types_of, fits), **DRAW, rng=np.random.default_rng(0)
    )
    n = int(held_out.sum())
    for side, fit in ((told.a, fits[0]), (told.b, fits[1])):
        assert side == pytest.approx(user_marginals(panel, types_of(fit), held_out).sum() / n)
    assert told.n_rankings == n and told.per_ranking
    assert told.difference.n == len(np.unique(panel.user[held_out]))
    assert told.difference.low < told.difference.value < told.difference.high


def test_equal_fits_have_equal_likelihoods(panel, fits):
    types = types_of(fits[0])
    told = fitted_change(panel, types, types, **DRAW, rng=np.random.default_rng(0))
    assert told.difference == (0, 0, 0, 30)
