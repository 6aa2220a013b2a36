"""EM: it never goes down, stops for the reason it says, and treats labels and users alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_em import Panel, planted_panel, rankings_of
from scipy.optimize import minimize
from scipy.special import expit, softmax

from emdpo.core.em import (
    EMConfig,
    GainEstimate,
    ObservedObjective,
    StopReason,
    _ascend,
    _Tracer,
    e_step,
    em_step,
    evaluate,
    m_step_weights,
    never,
    run_em,
    user_log_likelihoods,
)
from emdpo.core.features import build_features
from emdpo.core.loglinear import LogLinearPolicies, untrained
from emdpo.core.rankings import rankings_from_table

NEVER = EMConfig(max_iter=60, tolerance=0.0)
"""No estimate is below zero: all iterations are used."""


def random_panel(seed, n_users=8, most_rankings=3, most_candidates=6):
    """Lengths, ties, unranked candidates, weights and two columns, all at random."""
    rng = np.random.default_rng(seed)
    rows = [(0, 0, item, rank) for item, rank in ((0, 1), (1, 2))]  # so that something varies
    n_rankings = 1
    for user in range(n_users):
        for _ in range(rng.integers(1, most_rankings + 1)):
            items = rng.permutation(7)[: rng.integers(1, most_candidates + 1)]
            rows += [(user, n_rankings, item, rng.integers(0, 5)) for item in items]
            n_rankings += 1
    table = pd.DataFrame(rows, columns=["user_id", "ranking_id", "response", "rank"])
    table = table.assign(
        prompt="p",
        x_a=rng.normal(size=len(table)),
        x_b=rng.integers(0, 4, size=len(table)).astype(float),
        weight=rng.choice([0.0, 0.5, 1.0, 3.0], size=n_rankings)[table["ranking_id"]],
    )
    return rankings_from_table(table.astype({"user_id": str, "response": str}))


def random_responsibilities(n_users, n_types, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(n_types, 0.4), size=n_users)


def started(rankings, n_types, *, kind="items", l2=0.0, seed=0, n_steps=0):
    """Return the state after the first M-step and `n_steps` EM steps."""
    policies = untrained(build_features(rankings, kind), n_types, l2)
    responsibilities = random_responsibilities(rankings.n_users, n_types, seed)
    state = run_em(policies, rankings, responsibilities, EMConfig(max_iter=0)).state
    for _ in range(n_steps):
        state = em_step(state, rankings)
    return state


# Monotone


@pytest.mark.parametrize("kind", ["items", "columns"])
@pytest.mark.parametrize("l2", [0.0, 0.5])
@settings(max_examples=12, deadline=None)
@given(seed=st.integers(0, 10**6), n_users=st.integers(1, 9), n_types=st.integers(1, 3))
def test_exact_steps_never_lower_the_objective(kind, l2, seed, n_users, n_types):
    """The theorem of Dempster, Laird and Rubin (1977), up to 1e-9 of the objective's size."""
    rankings = random_panel(seed, n_users)
    state = started(rankings, n_types, kind=kind, l2=l2, seed=seed)
    for _ in range(8):
        following = em_step(state, rankings)
        slack = 1e-9 * max(1.0, abs(state.objective))
        assert following.objective >= state.objective - slack
        state = following


def test_the_accelerated_trace_never_falls_either():
    """Every accepted point of the ascent passes a line search that asks for a decrease."""
    rankings = rankings_of(planted_panel(200, 5, 2, seed=1)[0])
    policies = untrained(build_features(rankings, "items"), 3, 0.0)
    run = run_em(policies, rankings, random_responsibilities(200, 3), NEVER)
    values = [row.log_likelihood for row in run.trace]
    assert len(values) > 10
    assert all(b >= a - 1e-9 * abs(a) for a, b in pairwise(values))


# The five ways to stop


@dataclass(frozen=True, eq=False)
class Scripted:
    """Policies whose every update moves to the next utilities of a script, whatever the data."""

    script: tuple[np.ndarray, ...]
    step: int = -1

    def scores(self, part):
        return self.script[self.step][:, part.candidate]

    def update(self, part, responsibilities, *, should_stop=never):
        return replace(self, step=self.step + 1)

    def log_prior(self):
        return 0.0


PAIR = rankings_of([[1, 2]] * 4)
"""Four users who all choose the first of two."""


def scripted(*advantages):
    """Two types that give the first candidate these advantages, one after the other.

    All four users choose it, so the log-likelihood is 4 log sigmoid(advantage) at any weights.
    """
    return Scripted(tuple(np.array([[a, 0.0], [a, 0.0]]) for a in advantages))


def test_a_fall_is_named_and_the_state_before_it_returned():
    """Advantages 0, 1, 2 raise the likelihood, 1.5 at iteration 3 lowers it."""
    run = run_em(scripted(0.0, 1.0, 2.0, 1.5, 9.0), PAIR, np.full((4, 2), 0.5), NEVER)
    assert run.stop_reason is StopReason.DECREASED
    assert run.state.policies.step == 2
    assert run.state.log_likelihood == pytest.approx(4 * np.log(expit(2.0)))
    assert [row.iteration for row in run.trace] == [0, 1, 2]


def test_a_fall_within_rounding_is_no_fall():
    """1e-9 of the objective is allowed: log sigmoid falls by less than 1e-10 for 1 - 1e-10."""
    policies = scripted(0.0, 1.0, 1.0 - 1e-10)
    run = run_em(policies, PAIR, np.full((4, 2), 0.5), EMConfig(max_iter=2))
    assert run.stop_reason is not StopReason.DECREASED
    assert run.state.policies.step == 2


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_non_finite_scores_end_the_fit_at_the_last_good_state(bad):
    run = run_em(scripted(0.0, 1.0, bad, 3.0), PAIR, np.full((4, 2), 0.5), NEVER)
    assert run.stop_reason is StopReason.NON_FINITE
    assert run.state.policies.step == 1
    assert np.isfinite(run.state.log_likelihood)


class Breaking(LogLinearPolicies):
    """Log-linear policies whose scores are lost once a utility passes 2."""

    def scores(self, part):
        return np.where(self.theta.max() > 2.0, np.nan, super().scores(part))


def test_an_ascent_that_is_not_finite_never_returns_a_lost_state():
    """Ninety of 91 users agree: on its way to log(90)/2 = 2.25 the utility must pass 2."""
    rankings = rankings_of([[1, 2]] * 90 + [[2, 1]])
    policies = untrained(build_features(rankings, "items"), 1, 0.0)
    start = Breaking(policies.features, np.array([[1.0, -1.0]]), 0.0)
    state = evaluate(start, rankings, np.zeros(1))
    run = _ascend(state, rankings, EMConfig(), _Tracer(0, None, never))
    assert np.isfinite(run.state.log_likelihood)
    assert run.state.log_likelihood >= state.log_likelihood
    assert run.stop_reason is StopReason.NON_FINITE


def test_a_start_that_is_not_finite_says_so():
    run = run_em(scripted(np.nan, 1.0), PAIR, np.full((4, 2), 0.5))
    assert run.stop_reason is StopReason.NON_FINITE
    assert run.trace == ()


def test_max_iter_is_a_reason_of_its_own():
    """Ever growing gains (0.5, 1, 2, ... nats) let nothing be extrapolated: not converged."""
    advantages = [-40.0, -39.5, -38.5, -36.5, -32.5]
    run = run_em(scripted(*advantages), PAIR, np.full((4, 2), 0.5), EMConfig(max_iter=4))
    assert run.stop_reason is StopReason.MAX_ITER
    assert [row.iteration for row in run.trace] == [0, 1, 2, 3, 4]
    assert run.remaining_gain == np.inf


def test_scripted_policies_converge_when_gains_shrink():
    """Advantages 0, 4, 8, ...: each gain is about e^-4 of the one before, 4 e^-12 at 12."""
    run = run_em(scripted(*np.arange(0.0, 40.0, 4.0)), PAIR, np.full((4, 2), 0.5))
    assert run.stop_reason is StopReason.CONVERGED
    assert -run.state.log_likelihood < 1e-2  # the supremum is 0
    assert run.remaining_gain < 1e-3


@pytest.mark.parametrize("last", [0, 1, 2, 5, 9])
def test_cancel_is_obeyed_within_one_iteration(last):
    """Before, during and after the change from EM steps (three of them) to the ascent."""
    rankings = rankings_of(planted_panel(150, 5, 2, seed=4)[0])
    policies = untrained(build_features(rankings, "items"), 2, 0.0)
    seen = []

    def monitor(row):
        seen.append(row.iteration)
        return row.iteration == last

    start = random_responsibilities(150, 2)
    run = run_em(policies, rankings, start, NEVER, restart=7, monitor=monitor)
    assert run.stop_reason is StopReason.CANCELLED
    assert seen == list(range(last + 1))
    assert [row.iteration for row in run.trace] == seen
    assert {row.restart for row in run.trace} == {7}
    assert run.state.log_likelihood == pytest.approx(run.trace[-1].log_likelihood, rel=1e-12)


def test_max_iter_zero_returns_the_start():
    """The start is the first M-step from the given responsibilities, at theta where it leads."""
    rankings = rankings_of(planted_panel(60, 4, 2, seed=0)[0])
    policies = untrained(build_features(rankings, "items"), 2, 0.0)
    start = random_responsibilities(60, 2)
    run = run_em(policies, rankings, start, EMConfig(max_iter=0))
    assert run.stop_reason is StopReason.MAX_ITER
    assert [row.iteration for row in run.trace] == [0]
    np.testing.assert_allclose(np.exp(run.state.log_weights), start.mean(axis=0))
    np.testing.assert_array_equal(run.state.policies.theta, policies.update(rankings, start).theta)


@pytest.mark.parametrize("max_iter", [1, 2, 3, 4, 5, 8])
def test_max_iter_counts_em_steps_and_ascent_together(max_iter):
    rankings = rankings_of(planted_panel(150, 5, 2, seed=4)[0])
    policies = untrained(build_features(rankings, "items"), 3, 0.0)
    config = EMConfig(max_iter=max_iter, tolerance=0.0)
    run = run_em(policies, rankings, random_responsibilities(150, 3), config)
    assert run.stop_reason is StopReason.MAX_ITER
    assert [row.iteration for row in run.trace] == list(range(max_iter + 1))


# Convergence


def test_gain_estimate_is_exact_on_a_geometric_series():
    """Values 10 - 0.8^n leave exactly 0.8^n."""
    estimate = GainEstimate()
    left = [estimate.after(10 - 0.8**n) for n in range(12)]
    assert left[:2] == [np.inf, np.inf]
    np.testing.assert_allclose(left[2:], 0.8 ** np.arange(2, 12))


def test_gain_estimate_promises_nothing_while_gains_grow():
    """Values 2^n, and n: gains that double, and gains that stay the same."""
    for values in (2.0 ** np.arange(8), np.arange(8.0)):
        estimate = GainEstimate()
        assert {estimate.after(value) for value in values} == {np.inf}


def test_gain_estimate_sees_nothing_left_on_a_plateau():
    estimate = GainEstimate()
    assert [estimate.after(-5.0) for _ in range(3)][-1] == 0.0


CREEPING = planted_panel(300, 4, 3, seed=11, spread=0.7)[0]
"""Four items and three types: rankings of four hardly tell three types apart, and EM creeps."""


@pytest.fixture(scope="module")
def creeping_fits():
    """Return, from one start, the accelerated run, 200 and 2,000 EM steps, and the optimum."""
    rankings = rankings_of(CREEPING)
    features = build_features(rankings, "items")
    policies = untrained(features, 3, 0.0)
    start = random_responsibilities(300, 3, seed=5)
    first = run_em(policies, rankings, start, EMConfig(max_iter=0)).state
    accelerated = run_em(policies, rankings, start)
    columns = np.argsort([int(name.removeprefix("item ")) for name in features.names])
    panel = Panel(CREEPING)
    theta, weights = first.policies.theta[:, columns], np.exp(first.log_weights)
    early = panel.em(theta, weights, 200)
    plain = panel.em(early.theta, early.weights, 1800)
    optimum = panel.to_the_end(plain.theta, plain.weights)
    return accelerated, early, plain, optimum


def test_plain_em_does_creep_here(creeping_fits):
    """The premise: after 200 iterations it is still over 0.1 below where it ends."""
    _, early, _, optimum = creeping_fits
    assert early.objective < optimum.objective - 0.1


def test_acceleration_gives_at_least_two_thousand_plain_iterations(creeping_fits):
    accelerated, _, plain, _ = creeping_fits
    assert accelerated.state.log_likelihood >= plain.objective - 1e-3
    assert len(accelerated.trace) < 300


def test_converged_means_that_nothing_is_left(creeping_fits):
    """Within 1e-3 of the local optimum that long plain EM from the same point leads to."""
    accelerated, _, _, optimum = creeping_fits
    assert accelerated.stop_reason is StopReason.CONVERGED
    assert accelerated.state.log_likelihood == pytest.approx(optimum.objective, abs=1e-3)


@pytest.mark.parametrize("seed", range(6))
def test_converged_leaves_less_than_the_tolerance_to_gain(seed):
    """From where the library stops, the reference climbs on to a local optimum: at most 1e-3."""
    rankings = rankings_of(CREEPING)
    features = build_features(rankings, "items")
    start = random_responsibilities(300, 2 + seed % 2, seed=seed)
    run = run_em(untrained(features, start.shape[1], 0.0), rankings, start)
    assert run.stop_reason is StopReason.CONVERGED
    columns = np.argsort([int(name.removeprefix("item ")) for name in features.names])
    panel = Panel(CREEPING)
    theta, weights = run.state.policies.theta[:, columns], np.exp(run.state.log_weights)
    assert panel.posterior(theta, weights)[1] == pytest.approx(run.state.log_likelihood, abs=1e-8)
    beyond = panel.to_the_end(theta, weights, iterations=300)
    assert beyond.objective - run.state.log_likelihood < 1e-3


@pytest.mark.parametrize("seed", [0, 2, 4])
def test_a_type_that_begins_with_next_to_nobody_is_not_left_behind(seed):
    """A saddle: the likelihood is all but flat there, and 9 to 145 nats below where EM leads.

    What is reached must be the optimum that the planted types themselves lead to.
    """
    ranks, types = planted_panel(200, 5, 2, seed=seed)
    rankings = rankings_of(ranks)
    policies = untrained(build_features(rankings, "items"), 2, 0.0)
    second = 2e-3 * np.random.default_rng(0).dirichlet(np.full(200, 0.1))
    run = run_em(policies, rankings, np.stack([1 - second, second], axis=1))
    planted = run_em(policies, rankings, 0.9 * np.eye(2)[types] + 0.05)
    assert run.trace[0].log_likelihood < planted.state.log_likelihood - 9
    assert run.state.log_likelihood == pytest.approx(planted.state.log_likelihood, abs=2e-3)


# One type is DPO


@pytest.mark.parametrize("l2", [0.0, 2.0])
def test_one_type_on_pairs_is_logistic_regression(l2):
    """DPO on pairs: sum log sigmoid(theta . (x_chosen - x_rejected)), here by SciPy."""
    rng = np.random.default_rng(3)
    x = rng.normal(size=(80, 2, 2)) * [1.0, 5.0]
    first_wins = rng.random(80) < expit((x[:, 0] - x[:, 1]) @ [0.8, -0.2])
    table = pd.DataFrame(
        {
            "user_id": np.repeat([f"u{i % 20}" for i in range(80)], 2),
            "ranking_id": np.repeat(np.arange(80), 2),
            "prompt": "p",
            "response": [f"r{i}" for i in range(160)],
            "rank": np.where(first_wins[:, None], [1, 2], [2, 1]).ravel(),
            "x_a": x[:, :, 0].ravel(),
            "x_b": x[:, :, 1].ravel(),
        }
    )
    rankings = rankings_from_table(table)
    features = build_features(rankings, "columns")
    run = run_em(untrained(features, 1, l2), rankings, np.ones((20, 1)), EMConfig(tolerance=1e-9))

    difference = np.where(first_wins[:, None], x[:, 0] - x[:, 1], x[:, 1] - x[:, 0])

    def log_lik(theta):
        return -np.logaddexp(0, -difference @ theta).sum()

    def loss(theta):
        return -log_lik(theta) + 0.5 * l2 * np.square(theta * features.scale).sum()

    expected = minimize(loss, np.zeros(2), method="BFGS", options={"gtol": 1e-6}).x
    theta = features.raw_theta(run.state.policies.theta)[0]
    np.testing.assert_allclose(theta, expected, rtol=1e-4)
    assert run.state.log_likelihood == pytest.approx(log_lik(expected), abs=1e-6)
    assert run.state.log_weights == pytest.approx(0.0)


@pytest.mark.parametrize("n_types", [1, 2, 5])
def test_untrained_policies_cost_log_two_a_pair(n_types):
    """At theta = 0 every DPO loss is log 2, under any weights; a triple costs log 6."""
    rankings = rankings_of([[1, 2, np.nan], [2, 1, np.nan], [np.nan, 1, 2], [3, 1, 2]])
    policies = untrained(build_features(rankings, "items"), n_types, 1.0)
    log_weights = np.log(np.random.default_rng(0).dirichlet(np.ones(n_types)))
    state = evaluate(policies, rankings, log_weights)
    assert -state.log_likelihood == pytest.approx(3 * np.log(2) + np.log(6))
    assert state.objective == state.log_likelihood


# Users and labels


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


# Edges


@pytest.mark.parametrize("n_types", [4, 5, 6])
@pytest.mark.parametrize("l2", [0.0, 1.0])
def test_as_many_types_as_users(n_types, l2):
    """Six users: empty types keep finite weights, and the likelihood is no lower than at K = 1."""
    ranks = planted_panel(6, 4, 2, seed=0)[0]
    rankings = rankings_of(ranks)
    features = build_features(rankings, "items")
    one = run_em(untrained(features, 1, l2), rankings, np.ones((6, 1)))
    run = run_em(untrained(features, n_types, l2), rankings, random_responsibilities(6, n_types))
    assert run.stop_reason in (StopReason.CONVERGED, StopReason.MAX_ITER)
    assert run.state.log_likelihood >= one.state.log_likelihood - 1e-3
    assert np.isfinite(run.state.log_weights).all()
    assert np.isfinite(run.state.policies.theta).all()
    np.testing.assert_allclose(np.exp(run.state.log_resp).sum(axis=1), 1.0)


def test_a_type_that_nobody_starts_in_stays_empty_and_harmless():
    """With an empty second type the fit is that of one type."""
    rankings = rankings_of(planted_panel(50, 4, 1, seed=0)[0])
    features = build_features(rankings, "items")
    start = np.tile([1.0, 0.0], (50, 1))
    two = run_em(untrained(features, 2, 0.0), rankings, start)
    one = run_em(untrained(features, 1, 0.0), rankings, np.ones((50, 1)))
    assert two.state.log_likelihood == pytest.approx(one.state.log_likelihood, abs=1e-3)
    assert np.exp(two.state.log_weights)[1] == pytest.approx(0.0, abs=1e-9)


def test_weights_stay_finite_for_an_empty_type():
    log_weights = m_step_weights(np.array([[0.0, -np.inf], [0.0, -np.inf]]))
    assert log_weights[0] == 0.0
    assert np.isfinite(log_weights[1])
    assert np.exp(log_weights[1]) < 1e-300


def test_rankings_that_say_nothing_leave_the_reference():
    """All tied, one candidate, nothing ranked: log P = 0 everywhere, whatever theta."""
    nan = np.nan
    rankings = rankings_of([[1, 1, nan], [1, nan, nan], [0, 0, 0]])
    policies = untrained(build_features(rankings, "items"), 2, 0.0)
    run = run_em(policies, rankings, random_responsibilities(3, 2))
    assert run.state.log_likelihood == pytest.approx(0.0, abs=1e-12)
    assert run.stop_reason is StopReason.CONVERGED
    np.testing.assert_array_equal(run.state.policies.theta, 0.0)


# The gradient that the ascent follows


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), kind=st.sampled_from(["items", "columns"]))
def test_the_observed_gradient_is_the_derivative(seed, kind):
    """Central differences at a random point, with weights, ties and a prior."""
    rankings = random_panel(seed)
    policies = untrained(build_features(rankings, kind), 2, 0.3)
    objective = ObservedObjective(policies, rankings)
    point = np.random.default_rng(seed).normal(size=policies.theta.size + 2)
    step = 1e-5 * np.eye(len(point))
    numerical = [(objective(point + h)[0] - objective(point - h)[0]) / 2e-5 for h in step]
    value, gradient = objective(point)
    np.testing.assert_allclose(gradient, numerical, atol=1e-7)
    there, log_weights = objective.split(point)
    state = evaluate(there, rankings, log_weights)
    assert -value * rankings.n_users == pytest.approx(state.objective)
    assert objective.log_likelihood == pytest.approx(state.log_likelihood)
