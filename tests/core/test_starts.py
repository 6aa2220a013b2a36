"""Starts are proper, reproducible, and far enough apart to be worth having."""

from __future__ import annotations

from itertools import combinations

import numpy as np
import pytest
from reference_em import planted_panel, rankings_of
from sklearn.metrics import adjusted_rand_score

from emdpo.core.features import build_features
from emdpo.core.starts import (
    reduced_preferences,
    standardised_ranks,
    starting_responsibilities,
    user_preferences,
)

RANKS, TYPES = planted_panel(120, 6, 3, seed=3, spread=2.5)
RANKINGS = rankings_of(RANKS)
FEATURES = build_features(RANKINGS, "items")


def start(restart, seed=0, n_types=3, rankings=RANKINGS, features=FEATURES):
    rng = np.random.default_rng([seed, restart])
    return starting_responsibilities(rankings, features, n_types, restart, rng)


@pytest.mark.parametrize("restart", range(3))
@pytest.mark.parametrize("n_types", [2, 7])
def test_every_start_is_a_distribution_for_each_user(restart, n_types):
    responsibilities = start(restart, n_types=n_types)
    assert responsibilities.shape == (120, n_types)
    assert (responsibilities > 0).all() or restart % 2 == 1  # a Dirichlet draw may underflow
    assert (responsibilities >= 0).all()
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1.0)


def test_one_type_takes_everybody():
    np.testing.assert_array_equal(start(0, n_types=1), np.ones((120, 1)))


def test_starts_differ_from_each_other():
    """Identical starts would reach identical optima; equal types in a start would never part.

    Scouts (odd starts) may agree with each other on an easy panel: they are near its optimum.
    """
    starts = [start(restart) for restart in (0, 1, *range(2, 10, 2))]
    for a, b in combinations(starts, 2):
        assert np.abs(a - b).max() > 0.1
    for responsibilities in starts:
        for a, b in combinations(responsibilities.T, 2):
            assert np.abs(a - b).max() > 0.5


def test_the_best_scout_is_chosen():
    """Of 18 scouts of 30 iterations the best stands near the planted types, where one may not."""
    agreement = [adjusted_rand_score(TYPES, start(restart).argmax(axis=1)) for restart in (1, 3, 5)]
    assert min(agreement) > 0.9


def test_the_same_stream_gives_the_same_bytes():
    for restart in range(4):
        assert start(restart).tobytes() == start(restart).tobytes()


@pytest.mark.parametrize("restart", [1, 2])
def test_another_seed_gives_another_start(restart):
    assert np.abs(start(restart, seed=0) - start(restart, seed=1)).max() > 0.1


def test_the_first_start_already_sees_well_separated_types():
    """K-means on preferences: at spread 2.5 much better than chance (0)."""
    assert adjusted_rand_score(TYPES, start(0).argmax(axis=1)) > 0.5


def test_users_who_all_say_the_same_fall_back_to_a_random_start():
    """Fewer distinct users than types cannot be clustered; the types must still differ."""
    rankings = rankings_of([[1, 2, 3]] * 9)
    features = build_features(rankings, "items")
    responsibilities = start(0, n_types=2, rankings=rankings, features=features)
    assert np.abs(responsibilities[:, 0] - responsibilities[:, 1]).max() > 0.1


@pytest.mark.parametrize("n_users", [2, 3, 4])
@pytest.mark.parametrize("restart", range(3))
def test_as_few_users_as_types(n_users, restart):
    rankings = rankings_of(RANKS[:n_users])
    features = build_features(rankings, "items")
    responsibilities = start(restart, n_types=3, rankings=rankings, features=features)
    np.testing.assert_allclose(responsibilities.sum(axis=1), 1.0)


def test_standardised_ranks_by_hand():
    """Places 1, 2, 3: deviations 1, 0, -1 over sqrt(2/3). Unranked: a last place. Ties: all 0."""
    root = np.sqrt(1.5)
    rankings = rankings_of([[1, 2, 3], [2, 1, 0], [1, 1, 1], [0, 0, 0]])
    expected = [[root, 0, -root], [0, root, -root], [0, 0, 0], [0, 0, 0]]
    np.testing.assert_allclose(standardised_ranks(rankings).reshape(4, 3), expected, atol=1e-12)


def test_preferences_of_items_and_of_their_indicator_columns_agree():
    """The short way for items must equal liking times indicators, averaged over the user's rows."""
    preferences = user_preferences(RANKINGS, FEATURES)
    liking = standardised_ranks(RANKINGS)
    indicators = FEATURES.raw_matrix()[RANKINGS.candidate]
    user = RANKINGS.user[RANKINGS.ranking_of_row]
    for i in (0, 7, 119):
        rows = user == i
        expected = (liking[rows, None] * indicators[rows]).mean(axis=0)
        np.testing.assert_allclose(preferences[i], expected, atol=1e-12)


def test_preferences_are_reduced_to_ten_dimensions_at_most():
    rankings = rankings_of(planted_panel(60, 30, 2, seed=0)[0])
    reduced = reduced_preferences(rankings, build_features(rankings, "items"))
    assert reduced.shape == (60, 10)
    assert np.isfinite(reduced).all()
