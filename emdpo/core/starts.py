"""Where EM starts: responsibilities that differ enough to reach different optima."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.em import EMConfig, StopTest, evaluate, never, run_em
from emdpo.core.loglinear import LogLinearPolicies, untrained

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings

CONCENTRATION = 0.3
"""Of the random Dirichlet starts: below 1, so that users lean to one type each."""

CLUSTER_CONFIDENCE = 0.9
"""Responsibility that a k-means start gives to a user's own cluster."""

MAX_COMPONENTS = 10
"""Dimensions that users' preferences are reduced to before k-means."""


SCOUT_SCALES = (0.3, 8.0)
"""Range of the standard deviation of a scout's random theta, drawn afresh for each type."""

SCOUT_ITERATIONS = 30
"""Iterations after which scouts are compared: by then the best ones mostly lead."""

SCOUT_WORK = 100_000
"""Types x candidate rows x scouts of one start, so that scouting costs little on larger data, which
takes random responsibilities instead: a lone extreme start is slow and rarely the best."""

MAX_SCOUTS = 18
"""Scouts of one start on the smallest data, where optima are many and passes cheap."""


def starting_responsibilities(
    rankings: Rankings,
    features: FeatureSet,
    n_types: int,
    restart: int,
    rng: np.random.Generator,
    *,
    l2: float = 0.0,
    should_stop: StopTest = never,
) -> NDArray[np.float64]:
    """Return responsibilities (N, K) for one start.

    Start 0 clusters users by k-means on a spectral reduction of their standardised preferences;
    later starts take turns between the best of several scouts and a random Dirichlet draw.
    """
    if n_types == 1:
        return np.ones((rankings.n_users, 1))
    if rankings.n_users > n_types and restart == 0:
        directions = reduced_preferences(rankings, features)
        if len(np.unique(directions, axis=0)) >= n_types:
            return _clustered(directions, n_types, rng)
    n_scouts = int(min(SCOUT_WORK // (n_types * rankings.n_rows), MAX_SCOUTS))
    if rankings.n_users > n_types and restart % 2 == 1 and n_scouts > 1:
        starts = [_drawn(rankings, features, n_types, rng) for _ in range(n_scouts)]
        return best_scout(rankings, untrained(features, n_types, l2), starts, should_stop)
    return rng.dirichlet(np.full(n_types, CONCENTRATION), size=rankings.n_users)


def _clustered(
    directions: NDArray[np.float64], n_types: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    from sklearn.cluster import KMeans  # a second to load, for fits alone

    seed = int(rng.integers(2**31))
    clusters = KMeans(n_types, n_init=4, random_state=seed)  # type: ignore[arg-type]
    labels = clusters.fit_predict(directions)
    rest = (1.0 - CLUSTER_CONFIDENCE) / n_types
    return rest + CLUSTER_CONFIDENCE * np.eye(n_types)[labels]


def best_scout(
    rankings: Rankings,
    policies: LogLinearPolicies,
    starts: list[NDArray[np.float64]],
    should_stop: StopTest = never,
) -> NDArray[np.float64]:
    """Return the responsibilities (N, K) where the best of several short runs stands.

    Random responsibilities average out to near-equal types, from which small, extreme types are
    never found; a random theta, with a scale of its own for each type, begins far from equal.
    """
    config = EMConfig(max_iter=SCOUT_ITERATIONS)
    scouts = [
        run_em(policies, rankings, start, config, should_stop=should_stop).state for start in starts
    ]
    best = max(scouts, key=lambda state: np.nan_to_num(state.objective, nan=-np.inf))
    return np.exp(best.log_resp)


def _drawn(
    rankings: Rankings, features: FeatureSet, n_types: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the responsibilities under a random theta and equal weights."""
    scale = np.exp(rng.uniform(*np.log(SCOUT_SCALES), size=(n_types, 1)))
    theta = scale * rng.normal(size=(n_types, features.n_features))
    policies = LogLinearPolicies(features, theta, l2=0.0)
    return np.exp(evaluate(policies, rankings, np.full(n_types, -np.log(n_types))).log_resp)


def reduced_preferences(rankings: Rankings, features: FeatureSet) -> NDArray[np.float64]:
    """Return users' standardised preferences in at most ten dimensions, (N, d)."""
    from sklearn.decomposition import TruncatedSVD

    preferences = user_preferences(rankings, features)
    spread = preferences.std(axis=0)
    varies = spread > 1e-12  # what is less is rounding
    standardised = (preferences - preferences.mean(axis=0))[:, varies] / spread[varies]
    n_components = min(MAX_COMPONENTS, min(standardised.shape) - 1)
    if n_components < 1 or n_components >= standardised.shape[1]:
        return standardised
    return TruncatedSVD(n_components, random_state=0).fit_transform(standardised)


def user_preferences(rankings: Rankings, features: FeatureSet) -> NDArray[np.float64]:
    """Return each user's mean of phi weighted by standardised rank, (N, D).

    A crude answer to "which features does this user rank high", good enough to start from.
    """
    liking = standardised_ranks(rankings)  # (C,)
    user_of_row = rankings.user[rankings.ranking_of_row].astype(np.int64)
    n_users, n_features = rankings.n_users, features.n_features
    if features.codes is not None:
        cell = user_of_row * n_features + features.codes[rankings.candidate]
        totals = np.bincount(cell, liking, minlength=n_users * n_features)
        totals = totals.reshape(n_users, n_features)
    else:
        columns = features.matrix.T if features.matrix is not None else ()
        totals = np.stack(
            [
                np.bincount(user_of_row, liking * column[rankings.candidate], minlength=n_users)
                for column in columns
            ],
            axis=1,
        )
    n_rows = np.bincount(user_of_row, minlength=n_users)
    return totals / np.maximum(n_rows, 1)[:, None]


def standardised_ranks(rankings: Rankings) -> NDArray[np.float64]:
    """Return minus the rank, (C,), with mean 0 and variance 1 in each ranking (0 if all tied)."""
    worst = np.maximum.reduceat(rankings.ranks, rankings.offsets[:-1])
    place = np.where(rankings.ranks == 0, worst[rankings.ranking_of_row] + 1, rankings.ranks)
    lengths, of_row = rankings.lengths, rankings.ranking_of_row
    mean = np.bincount(of_row, place) / lengths
    centred = mean[of_row] - place
    spread = np.sqrt(np.bincount(of_row, centred**2) / lengths)
    return centred / np.where(spread > 0, spread, 1.0)[of_row]
