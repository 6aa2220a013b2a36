"""Bootstrap draws: who is drawn, how means spread, whatever the size of a block."""

from __future__ import annotations

import numpy as np
import pytest

from emdpo.core import resampling
from emdpo.core.resampling import estimate_of, interval_of, resampled_counts, resampled_means


def test_every_draw_draws_as_many_as_there_are():
    counts = np.concatenate(list(resampled_counts(7, 40, np.random.default_rng(0))))
    assert counts.shape == (40, 7)
    assert (counts.sum(axis=1) == 7).all()
    assert len(np.unique(counts, axis=0)) > 30


def test_everybody_is_drawn_as_often_as_a_binomial_says():
    """Each of n is drawn Binomial(n, 1/n) times: mean 1, variance 1 - 1/n."""
    counts = np.concatenate(list(resampled_counts(5, 20_000, np.random.default_rng(1))))
    assert counts.mean(axis=0) == pytest.approx(np.ones(5), abs=0.03)
    assert counts.var(axis=0) == pytest.approx(np.full(5, 0.8), abs=0.03)


def test_blocks_change_nothing(monkeypatch):
    """The generator fills row after row, so that the size of a block is only a matter of memory."""
    values = np.random.default_rng(2).normal(size=(9, 2))
    whole = resampled_means(values, 50, np.random.default_rng(3))
    monkeypatch.setattr(resampling, "COUNTS_AT_ONCE", 20)
    assert np.array_equal(resampled_means(values, 50, np.random.default_rng(3)), whole)


def test_means_spread_by_their_standard_error():
    """The standard deviation of the bootstrap mean is sqrt(var / n) with the divisor n."""
    values = np.random.default_rng(4).normal(size=(200, 1))
    draws = resampled_means(values, 4000, np.random.default_rng(5))
    assert draws.std() == pytest.approx(values.std() / np.sqrt(200), rel=0.05)
    assert draws.mean() == pytest.approx(values.mean(), abs=0.01)


def test_intervals_are_the_percentiles_of_each_column():
    draws = np.stack([np.arange(1001.0), np.arange(1001.0)[::-1] * 2], axis=1)
    low, high = interval_of(draws, 0.95)
    assert low == pytest.approx([25, 50]) and high == pytest.approx([975, 1950])


def test_an_estimate_holds_value_interval_and_n():
    assert estimate_of(3.0, np.full(10, 2.0), 0.9, 4) == (3.0, 2.0, 2.0, 4)
