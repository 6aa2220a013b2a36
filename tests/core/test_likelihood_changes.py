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


def test_sums_are_the_fits_own_log_likelihoods(panel, fits):
    told = fitted_change(panel, *map(types_of, fits), **DRAW, rng=np.random.default_rng(0))
    assert (told.a, told.b) == pytest.approx([fit.log_likelihood for fit in fits])
    assert told.difference.value == pytest.approx(told.b - told.a)
    assert (told.difference.n, told.n_rankings) == (30, 90)


def test_the_interval_of_a_sum_is_that_of_independent_users(panel, fits):
    by_user = np.subtract(*(user_marginals(panel, types_of(fit)) for fit in reversed(fits)))
    told = fitted_change(panel, *map(types_of, fits), **DRAW, rng=np.random.default_rng(0))
    half = 1.96 * by_user.std() * np.sqrt(30)
    ends = told.difference.low, told.difference.high
    assert ends == pytest.approx((by_user.sum() - half, by_user.sum() + half), abs=0.15 * half)


def test_equal_fits_have_equal_likelihoods(panel, fits):
    types = types_of(fits[0])
    told = fitted_change(panel, types, types, **DRAW, rng=np.random.default_rng(0))
    assert told.difference == (0, 0, 0, 30)
