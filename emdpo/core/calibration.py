"""Do probabilities keep their word? What was predicted against what came, bin by bin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emdpo.core.resampling import interval_of, resampled_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

N_BINS = 10
"""Bins of as many probabilities each; fewer where many are equal."""

SAME_DIGITS = 9
"""Probabilities that differ after so many decimals are equal."""


@dataclass(frozen=True)
class Calibration:
    """Probabilities in bins, the smallest first, and what observed of them."""

    predicted: tuple[float, ...]
    """Mean probability in each bin."""
    observed: tuple[float, ...]
    """How often it observed true; of a posterior, the mean of the later posterior."""
    interval: tuple[tuple[float, float], ...]
    """Of `observed`: percentile bootstrap over users."""
    n: tuple[int, ...]
    """Probabilities in each bin."""
    n_users: tuple[int, ...]
    """Users whom they were predicted for."""
    error: float
    """Expected calibration error: mean over all of a bin's |observed - predicted|, 0 to 1."""
    error_interval: tuple[float, float]
    """At least as wide as its confidence says: it begins at 0 unless the error is larger than that
    of calibrated probabilities would be by chance."""

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Calibration:
        """Return what was written as JSON; KeyError, TypeError, ValueError where it is damaged."""
        pairs = [(float(low), float(high)) for low, high in told["interval"]]
        low, high = map(float, told["error_interval"])
        return cls(
            predicted=tuple(map(float, told["predicted"])),
            observed=tuple(map(float, told["observed"])),
            interval=tuple(pairs),
            n=tuple(map(int, told["n"])),
            n_users=tuple(map(int, told["n_users"])),
            error=float(told["error"]),
            error_interval=(low, high),
        )


def calibration(
    predicted: Floats,
    observed: Floats,
    user: NDArray[np.int64],
    weight: Floats | None = None,
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> Calibration:
    """Return how probabilities compare with what observed.

    Parameters
    ----------
    predicted : (n,)
        Probabilities.
    observed : (n,)
        What they were of: 1 or 0, a share, or a later probability of the same.
    user : (n,) int
        Whom each is about; users are drawn again whole.
    weight : (n,), optional
        > 0; all equal by default.
    n_bootstrap, confidence, rng
        Resamples, and the intervals' confidence in (0, 1).

    Notes
    -----
    Bins hold equally many probabilities (Naeini, Cooper, Hauskrecht 2015; the error is theirs).
    Chance alone makes the error larger than 0, and drawing again adds to it once more, so that no
    percentile interval of it would do. By the triangle inequality the error is no further from the
    true one than sum_b w_b |noise of bin b|, whose quantile comes from the draws.

    Examples
    --------
    >>> half, users = np.full(4, 0.5), np.arange(4)
    >>> kept = calibration(half, np.array([1.0, 0, 1, 0]), users, n_bootstrap=50, confidence=0.95,
    ...                    rng=np.random.default_rng(0))
    >>> kept.n, kept.observed, kept.error
    ((4,), (0.5,), 0.0)
    """
    weight = np.ones(len(predicted)) if weight is None else weight
    bins = _bins(predicted)
    n_bins = int(bins.max()) + 1
    users, user = np.unique(user, return_inverse=True)
    cell = user * n_bins + bins
    sums = [
        np.bincount(cell, values, minlength=len(users) * n_bins).reshape(len(users), n_bins)
        for values in (weight, weight * predicted, weight * observed)
    ]  # each (U, bins)
    draws = np.concatenate(
        [
            counts @ np.concatenate(sums, axis=1)
            for counts in resampled_counts(len(users), n_bootstrap, rng)
        ]
    )
    predicted_mean, observed_mean, gap = _compared(*(each.sum(axis=0) for each in sums))
    _, observed_drawn, gap_drawn = _compared(*np.split(draws, 3, axis=1))
    error = np.abs(gap).sum()
    noise = np.quantile(np.abs(gap_drawn - gap).sum(axis=1), confidence)
    ends = [interval_of(each[np.isfinite(each)], confidence) for each in observed_drawn.T]
    return Calibration(
        predicted=tuple(predicted_mean.tolist()),
        observed=tuple(observed_mean.tolist()),
        interval=tuple((float(low), float(high)) for low, high in ends),
        n=tuple(np.bincount(bins).tolist()),
        n_users=tuple(np.count_nonzero(sums[0], axis=0).tolist()),
        error=float(error),
        error_interval=(float(max(error - noise, 0.0)), float(error + noise)),
    )


def _bins(values: Floats) -> NDArray[np.int64]:
    """Return the bin of each value (n,), by quantiles; equal values share one, none is empty."""
    values = np.round(values, SAME_DIGITS)
    edges = np.quantile(values, np.arange(1, N_BINS) / N_BINS)
    return np.unique(np.searchsorted(edges, values, side="right"), return_inverse=True)[1]


def _compared(weight: Floats, predicted: Floats, observed: Floats) -> tuple[Floats, Floats, Floats]:
    """Return both means by bin, and the bin's share of all times their gap, of sums (..., bins)."""
    with np.errstate(invalid="ignore"):
        means = predicted / weight, observed / weight
    return *means, (observed - predicted) / weight.sum(axis=-1, keepdims=True)
