"""EM: it never goes down, stops for the reason it says, and treats labels and users alike."""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from em_panels import random_panel, random_responsibilities, started
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_em import planted_panel, rankings_of
from scipy.optimize import minimize
from scipy.special import expit

from emdpo.core.em import (
    EMConfig,
    GainEstimate,
    StopReason,
    em_step,
    evaluate,
    m_step_weights,
    never,
    remaining_gain,
    run_em,
)
from emdpo.core.features import build_features
from emdpo.core.loglinear import untrained
from emdpo.core.rankings import rankings_from_table

NEVER = EMConfig(max_iter=60, tolerance=0.0)
"""No estimate is below zero: all iterations are used."""


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


def test_the_remaining_gain_is_exact_on_a_geometric_series():
    """Values 10 - 0.8^n leave exactly 0.8^n; two values tell nothing."""
    values = 10 - 0.8 ** np.arange(12)
    left = [remaining_gain(values[: n + 1]) for n in range(12)]
    one_by_one = GainEstimate()
    assert [one_by_one.after(value) for value in values] == left
    assert left[:2] == [np.inf, np.inf]
    np.testing.assert_allclose(left[2:], 0.8 ** np.arange(2, 12))


def test_the_remaining_gain_promises_nothing_while_gains_grow():
    """Values 2^n, and n: gains that double, and gains that stay the same."""
    for values in (2.0 ** np.arange(8), np.arange(8.0)):
        assert {remaining_gain(values[: n + 1]) for n in range(8)} == {np.inf}


def test_nothing_is_left_to_gain_on_a_plateau():
    assert remaining_gain([-5.0] * 3) == 0.0


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
