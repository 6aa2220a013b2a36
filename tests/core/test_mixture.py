"""Several starts: reproducible, independent of each other, resumable, and honestly summed up."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from reference_em import planted_panel, rankings_of
from sklearn.metrics import adjusted_rand_score

from emdpo.core.em import EMConfig, EMRun, EMState, StopReason, TraceRow, evaluate
from emdpo.core.features import build_features
from emdpo.core.loglinear import untrained
from emdpo.core.mixture import MixtureFit, by_falling_weight, fit_mixture

RANKINGS = rankings_of(planted_panel(150, 5, 3, seed=8, spread=2.0)[0])
FEATURES = build_features(RANKINGS, "items")


def fitted(n_types=3, n_restarts=5, seed=0, l2=0.0, **more):
    return fit_mixture(RANKINGS, FEATURES, n_types, l2=l2, n_restarts=n_restarts, seed=seed, **more)


def fingerprint(run):
    """Every byte of a run's outcome."""
    state = run.state
    arrays = (state.policies.theta, state.log_weights, state.log_resp)
    numbers = (state.log_likelihood, run.remaining_gain, str(run.stop_reason))
    return b"".join(array.tobytes() for array in arrays) + repr((numbers, run.trace)).encode()


def test_the_same_seed_gives_the_same_bytes():
    first, second = fitted(), fitted()
    assert [fingerprint(run) for run in first.runs] == [fingerprint(run) for run in second.runs]
    assert fingerprint(first.best) == fingerprint(second.best)


def test_restarts_and_seeds_differ():
    traces = {run.trace[0][2:] for seed in (0, 1) for run in fitted(seed=seed).runs}
    assert len(traces) >= 9  # the k-means starts of two seeds may coincide


def test_a_start_does_not_depend_on_how_many_there_are():
    few, many = fitted(n_restarts=2), fitted(n_restarts=5)
    assert [fingerprint(run) for run in few.runs] == [fingerprint(run) for run in many.runs[:2]]


@pytest.mark.parametrize("done", [[0], [0, 1, 2], [1, 3], [0, 1, 2, 3, 4]])
def test_finished_starts_are_taken_over_bit_for_bit(done):
    """Any subset taken over from an interrupted fit gives the uninterrupted one."""
    whole = fitted()
    announced = []
    resumed = fitted(
        finished={index: whole.runs[index] for index in done},
        on_finished=lambda index, run: announced.append(index),
    )
    assert announced == [index for index in range(5) if index not in done]
    assert [fingerprint(run) for run in resumed.runs] == [fingerprint(run) for run in whole.runs]
    assert fingerprint(resumed.best) == fingerprint(whole.best)
    assert resumed.trace == whole.trace
    assert resumed.n_reached_best == whole.n_reached_best
    assert resumed.restart_agreement == whole.restart_agreement


def test_a_cancelled_fit_continued_is_the_uninterrupted_one():
    """Cancelled in start 2: starts 0 and 1 are kept, start 2 begins again."""
    whole, kept = fitted(), {}
    cancelled = fitted(
        monitor=lambda row: row.restart == 2 and row.iteration == 4,
        on_finished=kept.__setitem__,
    )
    assert cancelled.stop_reason is StopReason.CANCELLED
    assert len(cancelled.runs) == 3
    assert sorted(kept) == [0, 1]
    resumed = fitted(finished=kept)
    assert [fingerprint(run) for run in resumed.runs] == [fingerprint(run) for run in whole.runs]


def test_types_are_numbered_by_falling_weight():
    for run in fitted().runs:
        weights = np.exp(run.state.log_weights)
        assert (np.diff(weights) <= 0).all()
        np.testing.assert_allclose(run.trace[-1].weights, weights, atol=1e-9)
        again = evaluate(run.state.policies, RANKINGS, run.state.log_weights)
        np.testing.assert_allclose(again.log_resp, run.state.log_resp, atol=1e-9)


def test_renumbering_moves_everything_together():
    """Weights 0.2, 0.5, 0.3: types 2, 3, 1 in that order."""
    log_weights = np.log([0.2, 0.5, 0.3])
    policies = untrained(FEATURES, 3, 0.0).with_parameters(np.arange(15.0))
    state = evaluate(policies, RANKINGS, log_weights)
    row = TraceRow(0, 0, -1.0, (0.2, 0.5, 0.3))
    sorted_run = by_falling_weight(EMRun(state, (row,), StopReason.CONVERGED, 0.0))
    order = [1, 2, 0]
    np.testing.assert_array_equal(sorted_run.state.log_weights, log_weights[order])
    np.testing.assert_array_equal(sorted_run.state.policies.theta, policies.theta[order])
    np.testing.assert_array_equal(sorted_run.state.log_resp, state.log_resp[:, order])
    assert sorted_run.trace[0].weights == (0.5, 0.3, 0.2)
    assert sorted_run.state.log_likelihood == state.log_likelihood


def test_the_best_is_chosen_by_the_penalised_objective():
    """And it is at least as good as with fewer starts."""
    for l2 in (0.0, 1.0):
        five = fitted(l2=l2)
        assert five.best.state.objective == max(run.state.objective for run in five.runs)
        assert five.best.state.objective >= fitted(l2=l2, n_restarts=1).best.state.objective


def test_one_type_is_started_once():
    fit = fitted(n_types=1)
    assert len(fit.runs) == 1
    assert fit.restart_agreement is None
    assert fit.n_reached_best == 1


def run_with(objective, labels):
    """Return a finished run with this objective and these hard assignments."""
    log_resp = np.log(np.where(np.eye(3)[labels] > 0, 0.9, 0.05))
    policies = untrained(FEATURES, 3, 0.0)
    state = EMState(policies, np.log(np.full(3, 1 / 3)), log_resp, objective)
    return EMRun(state, (), StopReason.CONVERGED, 0.0)


def test_starts_at_the_best_are_counted_within_a_hundredth_of_a_nat():
    """-100, -100.009, -100.02 and nan: two reached the best."""
    labels = np.zeros(6, int)
    runs = tuple(run_with(value, labels) for value in (-100.009, -100.0, -100.02, np.nan))
    assert MixtureFit(runs[1], runs, StopReason.CONVERGED).n_reached_best == 2


def test_restart_agreement_is_the_mean_ari_of_the_next_five():
    """By hand from scikit-learn's index; the sixth best and the numbering of types do not count."""
    rng = np.random.default_rng(0)
    labels = [rng.integers(0, 3, 30) for _ in range(7)]
    labels[1] = (labels[0] + 1) % 3  # the same types by other numbers
    runs = [run_with(-100.0 - i, labels[i]) for i in range(7)]
    expected = np.mean([1.0] + [adjusted_rand_score(labels[0], labels[i]) for i in range(2, 6)])
    shuffled = tuple(runs[i] for i in (3, 6, 0, 5, 1, 4, 2))
    fit = MixtureFit(runs[0], shuffled, StopReason.CONVERGED)
    assert fit.restart_agreement == pytest.approx(expected)


def test_a_start_that_broke_is_never_the_best():
    whole = fitted(n_restarts=2)
    broken_state = replace(whole.runs[0].state, log_likelihood=np.nan)
    broken = EMRun(broken_state, (), StopReason.NON_FINITE, np.nan)
    fit = fitted(n_restarts=2, finished={0: broken, 1: whole.runs[1]})
    assert fingerprint(fit.best) == fingerprint(whole.runs[1])
    assert fit.stop_reason is whole.runs[1].stop_reason
    assert fit.n_reached_best == 1


def test_the_trace_lists_every_iteration_of_every_start():
    fit = fitted(n_restarts=3, config=EMConfig(max_iter=4, tolerance=0.0))
    assert [(row.restart, row.iteration) for row in fit.trace] == [
        (restart, iteration) for restart in range(3) for iteration in range(5)
    ]


def test_inputs_are_left_alone():
    theta_of_zeros = untrained(FEATURES, 2, 0.0).theta
    before = (RANKINGS.ranks.copy(), RANKINGS.weight.copy())
    fitted(n_types=2, n_restarts=2)
    np.testing.assert_array_equal(RANKINGS.ranks, before[0])
    np.testing.assert_array_equal(RANKINGS.weight, before[1])
    assert not theta_of_zeros.any()
