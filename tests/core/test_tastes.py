"""Intervals of tastes: a closed form, and the information against differences of the gradient."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from scipy.linalg import block_diag
from scipy.special import ndtri

import emdpo
from emdpo.core import tastes
from emdpo.core.em import EMConfig, ObservedObjective, run_em
from emdpo.core.features import build_features
from emdpo.core.information import free_directions
from emdpo.core.loglinear import untrained
from emdpo.core.rankings import rankings_from_table
from emdpo.core.tastes import observed_information_matrix, style_profile


def choices(n_first: int, n: int):
    """Pair a, b shown to n users of whom n_first choose a."""
    rows = []
    for user in range(n):
        ranks = (1, 2) if user < n_first else (2, 1)
        for item, rank in zip("ab", ranks, strict=True):
            about = {"prompt": "q", "response_id": item, "response": item}
            rows.append({"user_id": f"u{user}", "rank": rank, **about})
    return rankings_from_table(pd.DataFrame(rows))


def converged(rankings, features, start, l2=0.0):
    """Return a fit to within 1e-9 nats, so that scores sum to zero as the theory assumes."""
    policies = untrained(features, start.shape[1], l2)
    return run_em(policies, rankings, start, EMConfig(tolerance=1e-9)).state


@pytest.fixture(scope="module")
def classroom():
    """Two types in a panel of 24 pupils with ties and partial rankings."""
    rankings = emdpo.load("assets/demo/classroom.csv")
    features = build_features(rankings, "text")
    start = np.random.default_rng(1).dirichlet([1, 1], size=rankings.n_users)
    return rankings, converged(rankings, features, start, l2=1.0)


def test_types_that_are_known_for_sure_are_as_good_as_given(classroom):
    """Responsibilities of 0 and 1: nothing is missing, so the information is the complete one."""
    rankings, state = classroom
    known = np.eye(2)[np.arange(rankings.n_users) % 2]
    policies = untrained(state.policies.features, 2, 1.0).update(rankings, known)
    parts = (rankings, policies, known, known.mean(axis=0))
    given, fitted = style_profile(*parts, types_given=True), style_profile(*parts)
    np.testing.assert_allclose(given.low, fitted.low, rtol=1e-6)
    np.testing.assert_array_equal(given.strength, fitted.strength)


def test_given_types_are_surer_than_those_found(classroom):
    """Here, where types are hard to tell: that they may be others is not counted."""
    rankings, state = classroom
    given, found = (profile_of(rankings, state, types_given=each) for each in (True, False))
    np.testing.assert_array_equal(given.strength, found.strength)
    assert np.median((given.high - given.low) / (found.high - found.low)) < 1


def profile_of(rankings, state, **settings):
    responsibilities = np.exp(state.log_resp)
    return style_profile(
        rankings, state.policies, responsibilities, responsibilities.mean(axis=0), **settings
    )


def test_one_pair_has_a_closed_form():
    """30 of 40 users choose a. The utility gap is log 3 and its information n p q = 40 x 3/16.

    The scatter of the users' scores y - p is n p q too, so the sandwich is 1 / 7.5, times n / (n -
    1). A strength is an item's distance from the mean of the two: half the gap.
    """
    rankings = choices(30, 40)
    state = converged(rankings, build_features(rankings, "items"), np.ones((40, 1)))
    profile = profile_of(rankings, state)
    error = 0.5 * np.sqrt(40 / 39 / 7.5)
    assert profile.labels == ("a", "b")
    assert profile.strength[0] == pytest.approx([np.log(3) / 2, -np.log(3) / 2], abs=1e-4)
    assert profile.high[0] - profile.strength[0] == pytest.approx(ndtri(0.975) * error, abs=1e-4)
    assert profile.strength[0] - profile.low[0] == pytest.approx(ndtri(0.975) * error, abs=1e-4)
    assert profile.n == pytest.approx([40])


def test_narrower_at_less_confidence():
    """The normal quantile at 50% is 0.674, at 95% 1.960."""
    rankings = choices(30, 40)
    state = converged(rankings, build_features(rankings, "items"), np.ones((40, 1)))
    wide, narrow = profile_of(rankings, state), profile_of(rankings, state, confidence=0.5)
    ratio = (wide.high - wide.low) / (narrow.high - narrow.low)
    assert ratio == pytest.approx(np.full((1, 2), ndtri(0.975) / ndtri(0.75)))


def test_information_is_minus_the_derivative_of_the_gradient(classroom):
    """Louis's formula against central differences of the observed log-likelihood's gradient.

    The gradient is tested on its own in test_em; here it is only differenced, along the same
    basis, with the prior taken out by setting l2 to 0.
    """
    rankings, state = classroom
    policies = replace(state.policies, l2=0.0)
    responsibilities = np.exp(state.log_resp)
    weights = responsibilities.mean(axis=0)
    basis = free_directions(rankings, policies.features)
    found, scores = observed_information_matrix(
        rankings, policies, responsibilities, weights, basis
    )

    contrast = np.linalg.qr(np.eye(2, 1) - 0.5)[0]
    directions = np.asarray(block_diag(basis, basis, contrast))
    point = np.concatenate([policies.parameters(), np.log(weights)])
    objective = ObservedObjective(policies, rankings)

    def gradient(vector):
        return -objective(vector)[1] * rankings.n_users @ directions

    step = 1e-5
    columns = [gradient(point - step * d) - gradient(point + step * d) for d in directions.T]
    assert found == pytest.approx(np.array(columns) / (2 * step), abs=2e-4)
    assert scores.sum(axis=0) == pytest.approx(gradient(point), abs=1e-4)


def test_types_can_be_renumbered(classroom):
    rankings, state = classroom
    swapped = replace(
        state,
        policies=replace(state.policies, theta=state.policies.theta[::-1]),
        log_resp=state.log_resp[:, ::-1],
    )
    straight, turned = profile_of(rankings, state), profile_of(rankings, swapped)
    assert turned.low == pytest.approx(straight.low[::-1])
    assert turned.high == pytest.approx(straight.high[::-1])


def test_too_many_parameters_give_no_interval_and_say_so(classroom, monkeypatch):
    rankings, state = classroom
    monkeypatch.setattr(tastes, "MAX_PARAMETERS", 3)
    profile = profile_of(rankings, state)
    assert np.isnan(profile.low).all() and np.isnan(profile.high).all()
    assert profile.note is not None and profile.note.startswith("no intervals for")
    assert np.isfinite(profile.strength).all()


def test_an_even_sample_stands_for_all_rankings(classroom, monkeypatch):
    """Half of the rows are differenced: 72 rankings by 24 pupils, three each, every second kept.

    The widths then come from another half of the curvature; they agree to a third.
    """
    rankings, state = classroom
    whole = profile_of(rankings, state)
    n_parameters = state.policies.theta.size
    monkeypatch.setattr(tastes, "MAX_WORK", rankings.n_rows / 2 * n_parameters)
    monkeypatch.setattr(tastes, "MIN_ROWS_PER_DIRECTION", 1)
    sampled = profile_of(rankings, state)
    ratio = (sampled.high - sampled.low) / (whole.high - whole.low)
    assert not np.allclose(ratio, 1)
    assert np.median(ratio) == pytest.approx(1, abs=1 / 3)


def test_too_few_sampled_rows_give_no_interval(classroom, monkeypatch):
    rankings, state = classroom
    monkeypatch.setattr(tastes, "MAX_WORK", state.policies.theta.size)
    assert profile_of(rankings, state).note is not None


def test_an_unpinned_fit_gives_no_interval_and_says_so():
    """Two types behind one pair a user: the information is singular (any split of the share fits).

    Without a prior it cannot be inverted.
    """
    rankings = choices(20, 40)
    features = build_features(rankings, "items")
    policies = untrained(features, 2, 0.0)
    half = np.full((40, 2), 0.5)
    profile = style_profile(rankings, policies, half, np.array([0.5, 0.5]))
    assert profile.note == "no intervals: these rankings do not pin all parameters down"
