"""The ascent: it follows the gradient, ends where EM would, and goes on bit for bit."""

from __future__ import annotations

import numpy as np
import pytest
from em_panels import random_panel, random_responsibilities
from hypothesis import given, settings
from hypothesis import strategies as st
from reference_em import Panel, planted_panel, rankings_of

from emdpo.core import ascent
from emdpo.core.em import (
    Checkpoint,
    EMConfig,
    ObservedObjective,
    StopReason,
    continue_em,
    evaluate,
    run_em,
)
from emdpo.core.features import build_features
from emdpo.core.loglinear import LogLinearPolicies, untrained


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
    in_ascent = Checkpoint(state, (), steps_left=0, objectives=(state.objective,))
    run = continue_em(in_ascent, rankings)
    assert np.isfinite(run.state.log_likelihood)
    assert run.state.log_likelihood >= state.log_likelihood
    assert run.stop_reason is StopReason.NON_FINITE


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


def same_run(one, other):
    """Whether two runs are equal to the last bit."""
    return (
        (one.state.policies.theta == other.state.policies.theta).all()
        and (one.state.log_weights == other.state.log_weights).all()
        and (one.state.log_resp == other.state.log_resp).all()
        and (one.trace, one.stop_reason, one.remaining_gain)
        == (other.trace, other.stop_reason, other.remaining_gain)
    )


@pytest.mark.parametrize("config", [EMConfig(), EMConfig(max_iter=9), EMConfig(warm_up=0)])
def test_a_run_goes_on_from_any_checkpoint_bit_for_bit(config, monkeypatch):
    """With stretches of five iterations, so that there are checkpoints within the ascent too."""
    monkeypatch.setattr(ascent, "STRETCH", 5)
    rankings = rankings_of(CREEPING)
    policies = untrained(build_features(rankings, "items"), 3, 0.0)
    start = random_responsibilities(300, 3, seed=5)
    kept = []
    run = run_em(policies, rankings, start, config, restart=4, on_checkpoint=kept.append)
    in_ascent = [each for each in kept if each.steps_left == 0]
    assert len(in_ascent) >= 2
    for checkpoint in kept:
        again = evaluate(checkpoint.state.policies, rankings, checkpoint.state.log_weights)
        np.testing.assert_array_equal(again.log_resp, checkpoint.state.log_resp)
        assert same_run(continue_em(checkpoint, rankings, config, restart=4), run)


@pytest.mark.parametrize("seed", range(3))
def test_stretches_end_where_one_long_ascent_does(seed, monkeypatch):
    """Beginning L-BFGS afresh costs some iterations and changes nothing else: within 1e-3 nats."""
    rankings = rankings_of(CREEPING)
    policies = untrained(build_features(rankings, "items"), 2, 0.0)
    start = random_responsibilities(300, 2, seed=seed)
    values = []
    for stretch in (10, 10_000):
        monkeypatch.setattr(ascent, "STRETCH", stretch)
        run = run_em(policies, rankings, start)
        assert run.stop_reason is StopReason.CONVERGED
        values.append(run.state.log_likelihood)
    assert values[0] == pytest.approx(values[1], abs=1e-3)
