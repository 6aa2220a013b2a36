"""Bootstrap over users (or prompts): who is drawn how often, and percentile intervals.

Efron and Tibshirani 1993, chapter 13.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

COUNTS_AT_ONCE = 2_000_000
"""Entries of a block of draws, so that many users take no more memory than few."""


class Estimate(NamedTuple):
    """A number, its percentile interval and the people (or prompts) behind it."""

    value: float
    low: float
    """nan where there is no interval: too few to draw from."""
    high: float
    n: int


def resampled_counts(
    n: int, n_bootstrap: int, rng: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Yield how often each of n is drawn when n are drawn with replacement, (b, n) at a time."""
    at_once = max(1, COUNTS_AT_ONCE // n)
    for start in range(0, n_bootstrap, at_once):
        size = min(at_once, n_bootstrap - start)
        drawn = rng.integers(n, size=(size, n)) + n * np.arange(size)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=size * n)
        yield counts.reshape(size, n).astype(np.float64)


def resampled_means(
    values: NDArray[np.float64], n_bootstrap: int, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Return the mean of values (N, S) over each draw of N rows, (B, S)."""
    n = len(values)
    return np.concatenate([counts @ values / n for counts in resampled_counts(n, n_bootstrap, rng)])


def interval_of(
    draws: NDArray[np.float64], confidence: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the percentile intervals of draws (B, ...), each (...).

    >>> low, high = interval_of(np.arange(101.0), 0.9)
    >>> round(float(low), 6), round(float(high), 6)
    (5.0, 95.0)
    """
    tail = (1.0 - confidence) / 2
    low, high = np.quantile(draws, (tail, 1.0 - tail), axis=0)
    return low, high


def estimate_of(value: float, draws: NDArray[np.float64], confidence: float, n: int) -> Estimate:
    """Return a number with the percentile interval of its draws (B,)."""
    low, high = interval_of(draws, confidence)
    return Estimate(value, float(low), float(high), n)
