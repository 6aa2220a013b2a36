"""The trade-off curve: closed form, brute force, shape, and every mixture on or above it."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from grids import simplex_grid
from hypothesis import given, settings
from hypothesis import strategies as st

from emdpo.core.aggregation import min_max_regret_mixture
from emdpo.core.audit import AuditConfig, audit_types
from emdpo.core.regret import kl_regret, log_normalise, log_policies
from emdpo.core.tradeoff import audit_trade_off, kl_trade_off, trade_off

seeds = st.integers(0, 2**32 - 1)


def random_game(seed, n_types=3):
    """Regrets with own policies at zero, as those of types are, and shares of users."""
    rng = np.random.default_rng(seed)
    matrix = rng.gamma(1.0, size=(n_types, n_types)) * rng.gamma(1.0, size=(n_types, 1))
    np.fill_diagonal(matrix, 0.0)
    return matrix, rng.dirichlet(np.ones(n_types))


def mean_and_worst(matrix, prevalence, mixtures):
    regret = np.atleast_2d(mixtures) @ matrix.T
    return regret @ prevalence, regret.max(axis=1)


def test_two_types_in_closed_form():
    """Rows (0, 4) and (1, 0) under (a, 1 - a): mean 0.7 * 4 (1 - a) + 0.3 a = 2.8 - 2.5 a.

    So the least mean, 0.3, is at a = 1 with worst 1; both types lose alike, 0.8, at a = 0.8, where
    the mean is 0.8 too. In between the bound 1 - t is reached with a = 1 - t, mean 0.3 + 2.5 t.
    """
    matrix, prevalence = np.array([[0.0, 4.0], [1.0, 0.0]]), np.array([0.7, 0.3])
    curve = trade_off(matrix, prevalence)
    np.testing.assert_allclose(curve.worst, [1.0, 0.8], atol=1e-9)
    np.testing.assert_allclose(curve.mean, [0.3, 0.8], atol=1e-9)
    np.testing.assert_allclose(curve.weights, [[1, 0], [0.8, 0.2]], atol=1e-9)
    np.testing.assert_allclose(curve.at(0.5), [0.9, 0.1], atol=1e-9)
    assert curve.least_mean(0.9) == pytest.approx(0.55)
    assert curve.least_mean(5.0) == pytest.approx(0.3)
    assert np.isnan(curve.least_mean(0.79))


def test_three_types_with_every_break_point_by_hand():
    """Policies 1 and 2 serve one type each, policy 3 all but type 3; shares 75%, 20%, 5%.

    Least mean: policy 1 (0.2), which leaves type 2 at 1. Moving b to policy 3 brings type 2 down to
    1 - 0.8 b and type 3 up to 0.5 b, at a price of 0.015 b: alike at b = 10/13, where both lose
    5/13. From there policy 2 is needed: with 0.3 b left to policy 1 these two stay alike at 0.5 b
    and the mean is 0.75 - 0.7 b, until type 1 loses as much, at b = 10/16: all three lose 5/16.
    """
    matrix = np.array([[0.0, 1.0, 0.2], [1.0, 0.0, 0.2], [0.0, 0.0, 0.5]])
    curve = trade_off(matrix, np.array([0.75, 0.2, 0.05]))
    np.testing.assert_allclose(curve.worst, [1.0, 5 / 13, 5 / 16], atol=1e-9)
    np.testing.assert_allclose(curve.mean, [0.2, 0.2 + 0.15 / 13, 5 / 16], atol=1e-9)
    expected = [[1, 0, 0], [3 / 13, 0, 10 / 13], [3 / 16, 3 / 16, 10 / 16]]
    np.testing.assert_allclose(curve.weights, expected, atol=1e-9)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_agrees_with_brute_force_on_a_grid(seed):
    """No grid point under a bound has a lower mean; one near the optimum has nearly as low a one.

    Rounding a mixture to a grid of 1/100 moves mean and worst by at most 0.02 of the spread, and
    the curve of a bound higher by that is then as low as any.
    """
    matrix, prevalence = random_game(seed)
    curve, spread = trade_off(matrix, prevalence), np.ptp(matrix)
    means, worsts = mean_and_worst(matrix, prevalence, simplex_grid(100))
    for position in (0.0, 0.2, 0.5, 0.9):
        bound = curve.worst[0] + position * (curve.worst[-1] - curve.worst[0])
        if (worsts <= bound).any():
            assert means[worsts <= bound].min() >= curve.least_mean(bound) - 1e-9 * spread
        near = worsts <= bound + 0.02 * spread
        assert means[near].min() <= curve.least_mean(bound) + 0.02 * spread


@settings(max_examples=40, deadline=None)
@given(seeds, st.integers(1, 6))
def test_monotone_convex_certified_and_from_least_mean_to_min_max(seed, n_types):
    matrix, prevalence = random_game(seed, n_types)
    curve, spread = trade_off(matrix, prevalence), np.ptp(matrix)
    assert (np.diff(curve.worst) < 0).all() and (np.diff(curve.mean) > 0).all()
    prices = np.diff(curve.mean) / -np.diff(curve.worst)
    assert (np.diff(prices) > -1e-6 * (1 + prices[1:])).all()  # each nat spared costs more
    assert curve.mean[0] == pytest.approx((prevalence @ matrix).min(), abs=1e-9 * spread)
    least = min_max_regret_mixture(matrix, prevalence).value
    assert curve.worst[-1] == pytest.approx(least, abs=1e-8 * spread)
    assert 0 <= curve.duality_gap <= 1e-8 * spread + 1e-12
    for position in (0.0, 0.3, 1.0):
        weights = curve.at(position)
        mean, worst = mean_and_worst(matrix, prevalence, weights)
        assert weights.min() >= 0 and weights.sum() == pytest.approx(1)
        bound = max(worst[0], curve.worst[-1])  # of the last point, by rounding
        assert mean[0] == pytest.approx(curve.least_mean(bound), abs=1e-7 * spread)


@settings(max_examples=30, deadline=None)
@given(seeds)
def test_the_gap_bounds_every_mixture(seed):
    """On every line of the curve, no mixture's weighted sum is lower by more than the gap."""
    matrix, prevalence = random_game(seed, 4)
    curve = trade_off(matrix, prevalence)
    mixtures = np.random.default_rng(seed).dirichlet(np.full(4, 0.5), 300)
    means, worsts = mean_and_worst(matrix, prevalence, mixtures)
    for i in range(len(curve.worst) - 1):
        paid, gained = np.diff(curve.mean)[i], -np.diff(curve.worst)[i]
        by = np.array([gained, paid]) / (paid + gained)
        line = by @ (curve.mean[i], curve.worst[i])
        assert (by[0] * means + by[1] * worsts >= line - curve.duality_gap - 1e-12).all()


@pytest.mark.parametrize(
    ("matrix", "weights"),
    [
        (np.zeros((2, 2)), None),
        (np.full((3, 3), -1.5), None),
        (np.array([[0.0, 3.0], [0.0, 1.0]]), [1.0, 0.0]),
        (np.array([[2.0]]), [1.0]),
    ],
    ids=["nothing lost", "all lose alike", "one policy best for all", "one type"],
)
def test_where_nothing_is_to_trade_the_curve_is_a_point(matrix, weights):
    curve = trade_off(matrix, np.full(len(matrix), 1 / len(matrix)))
    assert len(curve.worst) == len(curve.mean) == 1
    if weights is not None:
        np.testing.assert_allclose(curve.at(0.5), weights, atol=1e-9)
    assert curve.duality_gap <= 1e-12


def test_of_equal_means_the_least_worst_begins_the_curve():
    """Both policies cost 1 on average; half and half spares the worst-off and costs nothing."""
    curve = trade_off(np.array([[0.0, 2.0], [2.0, 0.0]]), np.array([0.5, 0.5]))
    np.testing.assert_allclose(curve.weights, [[0.5, 0.5]], atol=1e-9)


@pytest.mark.parametrize("scale", [1e-9, 1e9])
@pytest.mark.parametrize("shift", [0.0, -5.0])
def test_units_and_shifts_leave_the_weights(scale, shift):
    matrix, prevalence = random_game(3)
    plain, moved = trade_off(matrix, prevalence), trade_off(scale * (matrix + shift), prevalence)
    np.testing.assert_allclose(moved.weights, plain.weights, atol=1e-6)
    np.testing.assert_allclose(moved.worst, scale * (plain.worst + shift), rtol=1e-6)


@pytest.mark.parametrize("prevalence", [[0.5], [1.5, -0.5], [0.0, 0.0], [np.nan, 1.0]])
def test_prevalence_must_be_weights(prevalence):
    with pytest.raises(ValueError, match="prevalence must be 2 weights"):
        trade_off(np.eye(2), np.array(prevalence))


def test_a_position_off_the_curve_is_refused():
    with pytest.raises(ValueError, match="position"):
        trade_off(np.eye(2), np.array([0.5, 0.5])).at(1.5)


def audited(seed=0, n_types=3, prevalence=(0.6, 0.3, 0.1)):
    rng = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(6), 4)
    scores = rng.normal(size=(n_types, 24)) * rng.gamma(2.0, size=(n_types, 1))
    responsibilities = np.tile(prevalence, (40, 1))
    return audit_types(
        scores,
        scores.T @ np.array(prevalence),
        prompt,
        responsibilities,
        np.array(prevalence),
        0.5,
        pd.DataFrame(index=range(40)),
        AuditConfig(n_bootstrap=5),
    )


@pytest.mark.parametrize("kind", ["plain", "share", "preference"])
@pytest.mark.parametrize("seed", range(3))
def test_every_mixture_of_the_audit_lies_on_or_above_the_curve(kind, seed):
    audit = audited(seed)
    curve = audit_trade_off(audit, kind)
    mean, worst = audit.mean(kind), audit.worst(kind)
    mixtures = ["type-1", "type-2", "type-3", "uniform", "prevalence", "maximin", "mixture"]
    for rule in mixtures:
        assert mean[rule] >= curve.least_mean(worst[rule] + 1e-9) - 1e-7, rule
    if kind == "plain":
        assert worst["mixture"] == pytest.approx(curve.worst[-1], abs=1e-7)
        assert mean["mixture"] == pytest.approx(curve.mean[-1], abs=1e-5)


def test_kl_regret_has_no_such_curve_and_neither_has_a_share_that_does_not_exist():
    assert audit_trade_off(audited(), "kl") is None
    rng = np.random.default_rng(0)
    audit = audit_types(
        np.stack([rng.normal(size=4), np.zeros(4)]),
        np.zeros(4),
        np.zeros(4, int),
        np.full((20, 2), 0.5),
        np.array([0.5, 0.5]),
        0.5,
        pd.DataFrame(index=range(20)),
        AuditConfig(n_bootstrap=5),
    )
    assert audit_trade_off(audit, "share") is None
    assert audit_trade_off(audit, "plain") is not None


def test_a_type_without_users_gets_no_weight_and_bends_nothing():
    """0.4 of 40 users: type 3 counts neither in worst nor in mean, nor does its policy."""
    audit = audited(prevalence=(0.59, 0.4, 0.01))
    curve = audit_trade_off(audit, "plain")
    assert curve.weights.shape[1] == 3 and (curve.weights[:, 2] == 0).all()
    assert curve.worst[-1] == pytest.approx(audit.worst("plain")["mixture"], abs=1e-7)


def symmetric_pair():
    """Types (0.8, 0.2) and (0.2, 0.8) over two answers; policies are (q, 1 - q)."""
    return np.log([[0.8, 0.2], [0.2, 0.8]]), np.array([0, 0])


def test_the_kl_curve_of_two_types_and_two_answers():
    """The least mean is at prod pi_k^w_k: with w = (3/4, 1/4), q / (1 - q) = 4^(3/4 - 1/4) = 2.

    The least worst is at q = 1/2, and every q between is the only policy with so low a worst. So
    the curve passes on or just above all of them, by at most the gap divided by the mean's share.
    """
    log_types, prompt = symmetric_pair()
    curve = kl_trade_off(log_types, prompt, 1.0, np.array([0.75, 0.25]))
    q = np.linspace(1 / 2, 2 / 3, 30)
    policies = np.column_stack([q, 1 - q])
    regret = kl_regret(log_types, policies, prompt, 1.0)  # (2, 30)
    mean, worst = np.array([0.75, 0.25]) @ regret, regret.max(axis=0)
    assert curve.mean[0] == pytest.approx(mean[-1]) and curve.worst[0] == pytest.approx(worst[-1])
    assert curve.mean[-1] == pytest.approx(mean[0]) and curve.worst[-1] == pytest.approx(worst[0])
    drawn = np.array([curve.least_mean(max(bound, curve.worst[-1])) for bound in worst])
    assert (drawn >= mean - 1e-9).all() and (drawn <= mean + 0.04 * np.ptp(mean)).all()
    assert curve.form == "consensus" and len(curve.worst) > 3


@settings(max_examples=5, deadline=None)
@given(seeds)
def test_no_policy_lies_below_a_line_of_the_kl_curve_by_more_than_the_gap(seed):
    """Policies of all kinds: mixtures, consensuses, and any others."""
    rng = np.random.default_rng(seed)
    prompt = np.repeat(np.arange(3), [2, 3, 4])
    log_types = log_policies(rng.normal(scale=2.0, size=(3, 9)), prompt, 1.0)
    prevalence = rng.dirichlet(np.ones(3))
    curve = kl_trade_off(log_types, prompt, 0.5, prevalence)
    weights = rng.dirichlet(np.full(3, 0.7), 150)
    others = [
        weights @ np.exp(log_types),
        np.exp(log_normalise(weights @ log_types, prompt)),
        np.exp(log_normalise(rng.normal(size=(50, 9)), prompt)),
    ]
    means, worsts = judged_by_kl(log_types, np.vstack(others), prompt, prevalence)
    assert (np.diff(curve.worst) < 0).all() and (np.diff(curve.mean) > 0).all()
    for i in range(len(curve.worst) - 1):
        paid, gained = np.diff(curve.mean)[i], -np.diff(curve.worst)[i]
        by = np.array([gained, paid]) / (paid + gained)
        line = by @ (curve.mean[i], curve.worst[i])
        assert (by[0] * means + by[1] * worsts >= line - curve.duality_gap - 1e-9).all()
    assert curve.duality_gap <= 0.021 * min(np.ptp(curve.mean), np.ptp(curve.worst)) + 1e-6


def judged_by_kl(log_types, policies, prompt, prevalence):
    regret = kl_regret(log_types, policies, prompt, 0.5)
    return prevalence @ regret, regret.max(axis=0)


def test_the_exponents_along_the_kl_curve_reach_what_it_says():
    """At its points exactly; between two of them the blend is no worse than the line."""
    rng = np.random.default_rng(3)
    prompt = np.repeat(np.arange(4), 3)
    log_types = log_policies(rng.normal(size=(3, 12)), prompt, 1.0)
    prevalence = np.array([0.7, 0.2, 0.1])
    curve = kl_trade_off(log_types, prompt, 0.5, prevalence)
    spread = curve.worst[0] - curve.worst[-1]
    for position in np.linspace(0, 1, 11):
        policy = np.exp(log_normalise(curve.at(position) @ log_types, prompt))
        mean, worst = judged_by_kl(log_types, policy[None], prompt, prevalence)
        bound = curve.worst[0] - position * spread
        assert worst[0] <= bound + 0.03 * spread
        assert mean[0] <= curve.least_mean(max(bound, curve.worst[-1])) + 0.03 * np.ptp(curve.mean)


def test_types_that_are_alike_have_one_point():
    log_types, prompt = symmetric_pair()
    curve = kl_trade_off(log_types[[0, 0]], prompt, 1.0, np.array([0.5, 0.5]))
    assert len(curve.worst) == 1 and curve.worst[0] == pytest.approx(0, abs=1e-12)
