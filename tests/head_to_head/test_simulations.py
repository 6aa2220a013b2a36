"""Populations with planted tastes are what they say."""

from __future__ import annotations

import numpy as np
from scipy.stats import chisquare

from emdpo.core.plackett_luce import log_likelihoods
from emdpo.head_to_head.simulations import Simulation, simulate


def test_orders_come_as_often_as_plackett_luce_says():
    """One type, one prompt of three answers: counts of the six orders against probabilities."""
    drawn = simulate(Simulation(1, n_users=3000, answers=1, length=3, n_prompts=1), 0)
    panel = drawn.panel
    orders, counts = np.unique(panel.ranks.reshape(-1, 3), axis=0, return_counts=True)
    rows = drawn.scores[:, panel.candidate]
    log_lik = log_likelihoods(panel.stages, rows)[0]
    first = [
        np.flatnonzero((panel.ranks.reshape(-1, 3) == order).all(axis=1))[0] for order in orders
    ]
    expected = np.exp(log_lik[first])
    assert chisquare(counts, expected / expected.sum() * counts.sum()).pvalue > 1e-3
    assert expected.sum() > 0.99


def test_shares_noise_ties_and_sizes():
    drawn = simulate(Simulation(2, shares=(0.9, 0.1), n_users=1000, answers=2, ties=True), 1)
    assert abs((drawn.label == 1).mean() - 0.1) < 0.04
    ranks = drawn.panel.ranks.reshape(-1, 4)
    tied = np.array([len(set(row)) < 4 for row in ranks.tolist()])
    assert 0.3 < tied.mean() < 1.0
    noisy = simulate(Simulation(2, n_users=1000, noisy=1.0, answers=1), 1).panel
    best = np.flatnonzero(noisy.ranks == 1)
    features = noisy.candidates.filter(like="x_").to_numpy()[noisy.candidate[best]]
    assert np.abs(features.mean(axis=0)).max() < 0.15  # nobody prefers anything


def test_the_same_seed_gives_the_same_people():
    a, b = (simulate(Simulation(n_users=20), 5) for _ in range(2))
    np.testing.assert_array_equal(a.panel.ranks, b.panel.ranks)
    np.testing.assert_array_equal(a.label, b.label)
    assert not np.array_equal(a.panel.ranks, simulate(Simulation(n_users=20), 6).panel.ranks)
