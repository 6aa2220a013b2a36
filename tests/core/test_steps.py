"""One step: posteriors of users, not of rankings; renamed types and reordered users do as told."""

from __future__ import annotations

import numpy as np
import pytest
from em_panels import random_panel, random_responsibilities, started
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_em import planted_panel, rankings_of
from scipy.special import softmax

from emdpo.core.em import (
    EMConfig,
    e_step,
    evaluate,
    run_em,
    user_log_likelihoods,
)
from emdpo.core.features import build_features
from emdpo.core.loglinear import untrained


def test_responsibilities_are_per_user():
    """By hand: types choose A over B with 3/4 and 1/4, weights 1/2; a user says A, A, B.

    Joint: (3/4)^2 1/4 against (1/4)^2 3/4, so the posterior is 3 : 1. A posterior per ranking,
    averaged, would give (3/4 + 3/4 + 1/4) / 3 = 7/12. The second user says B once: 1 : 3.
    """
    rankings = rankings_of([[1, 2], [1, 2], [2, 1], [2, 1]], users=[0, 0, 0, 1])
    policies = untrained(build_features(rankings, "items"), 2, 0.0)
    theta = np.log([[3.0, 1.0], [1.0, 3.0]])
    state = evaluate(policies.with_parameters(theta.ravel()), rankings, np.log([0.5, 0.5]))
    np.testing.assert_allclose(np.exp(state.log_resp), [[3 / 4, 1 / 4], [1 / 4, 3 / 4]])
    expected = np.log((9 / 64 + 3 / 64) / 2) + np.log(1 / 2)
    assert state.log_likelihood == pytest.approx(expected)


def test_a_weight_multiplies_the_rankings_log_likelihood():
    """Weight 2 counts as twice the same answer, weight 0 as none: the same two users as above."""
    ranks = [[1, 2], [2, 1], [2, 1], [1, 2]]
    weighted = rankings_of(ranks, users=[0, 0, 1, 1], weight=np.array([2.0, 1.0, 1.0, 0.0]))
    policies = untrained(build_features(weighted, "items"), 2, 0.0)
    theta = np.log([[3.0, 1.0], [1.0, 3.0]])
    state = evaluate(policies.with_parameters(theta.ravel()), weighted, np.log([0.5, 0.5]))
    np.testing.assert_allclose(np.exp(state.log_resp), [[3 / 4, 1 / 4], [1 / 4, 3 / 4]])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n_types=st.integers(1, 4))
def test_responsibilities_and_weights_are_distributions(seed, n_types):
    rankings = random_panel(seed)
    state = started(rankings, n_types, l2=0.1, seed=seed, n_steps=2)
    assert state.log_resp.shape == (rankings.n_users, n_types)
    np.testing.assert_allclose(np.exp(state.log_resp).sum(axis=1), 1.0)
    assert np.exp(state.log_weights).sum() == pytest.approx(1.0)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), scale=st.sampled_from([1.0, 1e3]))
def test_e_step_is_bayes_rule(seed, scale):
    """Softmax of the joint, also where probabilities themselves underflow."""
    rng = np.random.default_rng(seed)
    log_lik, weights = scale * rng.normal(size=(6, 3)), rng.dirichlet(np.ones(3))
    log_resp, log_marginal = e_step(log_lik, np.log(weights))
    expected = softmax(log_lik + np.log(weights), axis=1)
    np.testing.assert_allclose(np.exp(log_resp), expected, rtol=1e-9, atol=1e-300)
    np.testing.assert_allclose(log_lik + np.log(weights), log_resp + log_marginal[:, None])


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), order=st.permutations(range(3)))
def test_renaming_the_types_renames_the_result(seed, order):
    """An exact M-step has one answer; the optimiser finds it to about 1e-5 in any order."""
    order = list(order)
    rankings = random_panel(seed, n_users=12)
    policies = untrained(build_features(rankings, "columns"), 3, 0.5)
    start = random_responsibilities(12, 3, seed)
    plain = run_em(policies, rankings, start, EMConfig(max_iter=3, tolerance=0.0)).state
    named = run_em(policies, rankings, start[:, order], EMConfig(max_iter=3, tolerance=0.0)).state
    np.testing.assert_allclose(named.policies.theta, plain.policies.theta[order], atol=1e-3)
    np.testing.assert_allclose(np.exp(named.log_resp), np.exp(plain.log_resp)[:, order], atol=1e-3)
    assert named.objective == pytest.approx(plain.objective, abs=1e-4)


def test_the_order_of_users_does_not_matter():
    """Permuted users get permuted responsibilities; nothing else changes."""
    ranks = planted_panel(120, 5, 2, seed=2)[0]
    order = np.random.default_rng(0).permutation(120)
    start = random_responsibilities(120, 2)
    runs = []
    for keep in (np.arange(120), order):
        rankings = rankings_of(ranks[keep], users=keep)
        policies = untrained(build_features(rankings, "items"), 2, 0.5)
        runs.append(run_em(policies, rankings, start[keep], EMConfig(tolerance=1e-8)))
    plain, permuted = (run.state for run in runs)
    resp = np.exp(plain.log_resp)
    np.testing.assert_allclose(np.exp(permuted.log_resp), resp[order], atol=1e-4)
    assert permuted.objective == pytest.approx(plain.objective, abs=1e-6)


def test_two_of_everybody_is_the_same_fit():
    """Twice the users: twice the log-likelihood, the same theta, weights, responsibilities."""
    ranks = planted_panel(120, 5, 2, seed=2)[0]
    start = random_responsibilities(120, 2)
    states = []
    for times in (1, 2):
        rankings = rankings_of(np.tile(ranks, (times, 1)))
        policies = untrained(build_features(rankings, "items"), 2, 0.0)
        config = EMConfig(tolerance=1e-8)
        states.append(run_em(policies, rankings, np.tile(start, (times, 1)), config).state)
    once, twice = states
    assert twice.log_likelihood == pytest.approx(2 * once.log_likelihood, abs=1e-6)
    np.testing.assert_allclose(twice.log_weights, once.log_weights, atol=1e-3)
    np.testing.assert_allclose(twice.policies.theta, once.policies.theta, atol=1e-3)
    np.testing.assert_allclose(np.exp(twice.log_resp[:120]), np.exp(once.log_resp), atol=1e-3)


def test_a_user_without_rankings_gets_the_weights():
    rankings = rankings_of(planted_panel(40, 4, 2, seed=2)[0])
    rankings = rankings.select(rankings.user != 3)
    state = started(rankings, 2, l2=1.0, n_steps=2)
    np.testing.assert_allclose(state.log_resp[3], state.log_weights)


def test_responsibilities_match_the_policies_they_are_stored_with():
    """The final E-step: recomputing it from theta and weights alone changes nothing."""
    rankings = rankings_of(planted_panel(150, 5, 2, seed=4)[0])
    policies = untrained(build_features(rankings, "items"), 2, 0.0)
    for config in (EMConfig(), EMConfig(max_iter=2), EMConfig(max_iter=5)):
        state = run_em(policies, rankings, random_responsibilities(150, 2), config).state
        log_lik = user_log_likelihoods(state.policies, rankings)
        log_resp, log_marginal = e_step(log_lik, state.log_weights)
        np.testing.assert_array_equal(state.log_resp, log_resp)
        assert state.log_likelihood == log_marginal.sum()
