"""Means over users' rankings with intervals, and paired differences from one of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emdpo.core.resampling import interval_of, resampled_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]


class UserMeans(NamedTuple):
    """Means per ranking of several policies, and how far each is above one of them."""

    mean: Floats
    """(..., J)"""
    interval: Floats
    """(..., J, 2) percentile bootstrap over users."""
    above: Floats
    """(..., J) the mean less that of the policy compared with."""
    above_interval: Floats
    """(..., J, 2) of the paired difference, over the same draws of users."""


def user_means(
    totals: Floats,
    counts: Floats,
    against: int,
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> UserMeans:
    """Return means per ranking over users, who are drawn again whole.

    Parameters
    ----------
    totals : (U, ..., J)
        Each user's sum over their rankings; nan where there is none.
    counts : (U,)
        Each user's number of rankings, or sum of their weights, > 0.
    against : int
        The policy (last axis) that all are compared with.
    n_bootstrap, confidence, rng
        Resamples, and the intervals' confidence in (0, 1).
    """
    draws = _drawn_means(totals, counts, n_bootstrap, rng)
    mean = totals.sum(axis=0) / counts.sum()

    def above(values: Floats) -> Floats:
        return values - values[..., against, None]

    def ends(values: Floats) -> Floats:
        return np.stack(interval_of(values, confidence), axis=-1)

    return UserMeans(mean, ends(draws), above(mean), ends(above(draws)))


def paired_intervals(
    totals: Floats,
    counts: Floats,
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> Floats:
    """Return the interval of every paired difference, (J, J, 2): of row less column.

    From totals (U, J) and counts (U,), as `user_means` with the same `rng` has them for one column.
    """
    draws = _drawn_means(totals, counts, n_bootstrap, rng)
    columns = [interval_of(draws - draws[:, [j]], confidence) for j in range(draws.shape[1])]
    return np.stack([np.stack(ends, axis=-1) for ends in columns], axis=1)


def _drawn_means(
    totals: Floats, counts: Floats, n_bootstrap: int, rng: np.random.Generator
) -> Floats:
    """Return the means per ranking of every draw of users, (B, ..., J)."""
    shape, flat = totals.shape[1:], totals.reshape(len(totals), -1)
    draws = [
        (drawn @ flat) / (drawn @ counts)[:, None]
        for drawn in resampled_counts(len(counts), n_bootstrap, rng)
    ]
    return np.concatenate(draws).reshape(-1, *shape)


def totals_by_user(user: NDArray[np.integer], values: Floats, n_users: int) -> Floats:
    """Return each user's sums (N, J) of values (J, R) of rankings by `user` (R,)."""
    sums = [np.bincount(user, row, minlength=n_users) for row in values]
    return np.stack(sums, axis=1).astype(np.float64)
