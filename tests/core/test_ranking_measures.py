"""Accuracy and tau-b of scores against rankings, with ties and candidates that nobody ranked."""

from __future__ import annotations

import numpy as np
import pytest
from em_panels import random_panel
from reference_em import rankings_of
from scipy.stats import kendalltau

from emdpo.core.ranking_measures import (
    best_share,
    has_order,
    kendall_tau_b,
    top_choice_credit,
    top_choice_probability,
)


def one(ranks):
    return rankings_of(np.array([ranks], float))


def test_tau_b_is_scipy_s():
    """Ranks with ties and unranked candidates, scores with ties and minus infinity."""
    panel = random_panel(seed=2, n_users=40)
    panel = panel.select(has_order(panel))
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(3, panel.n_rows)).round(1)
    scores[1] = rng.integers(2, size=panel.n_rows)
    scores[2] = np.where(scores[2] < 0, -np.inf, scores[2])
    found = kendall_tau_b(scores, panel)
    place = np.where(panel.ranks == 0, 99, panel.ranks)
    n_tied = 0
    for r in range(panel.n_rankings):
        rows = slice(panel.offsets[r], panel.offsets[r + 1])
        for j in range(3):
            wanted = kendalltau(np.maximum(scores[j, rows], -1e9), -place[rows]).statistic
            n_tied += np.isnan(wanted)
            assert np.isclose(found[j, r], np.nan_to_num(wanted))
    assert n_tied > 0
    assert (panel.ranks == 0).any()


def test_the_highest_score_is_right_where_it_is_the_best_and_ties_share():
    """Best: A. Scores name A; B; A and B; A, B and C."""
    panel = one([1, 2, 3])
    scores = np.array([[3.0, 1, 0], [0, 2, 1], [2, 2, 1], [1, 1, 1]])
    assert top_choice_credit(scores, panel)[:, 0].tolist() == [1, 0, 0.5, pytest.approx(1 / 3)]


def test_any_of_several_best_is_right():
    panel = one([1, 1, 2, 0])
    scores = np.array([[1.0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 1]])
    assert top_choice_credit(scores, panel)[:, 0].tolist() == [1, 0.5, 0]
    assert best_share(panel).tolist() == [0.5, 0.5, 0, 0]


def test_only_rankings_that_order_something_have_an_order():
    ranks = np.array([[1, 1, 1], [0, 0, 0], [1, 0, 0], [2, 1, np.nan], [1, np.nan, np.nan]])
    panel = rankings_of(ranks, np.arange(5))
    assert has_order(panel).tolist() == [False, False, True, True, False]


def test_probabilities_are_plackett_luce_s_first_stage():
    panel = rankings_of(np.array([[1.0, 2, 3], [2, 1, np.nan]]), np.arange(2))
    scores = np.log(np.array([[1.0, 2, 5, 3, 1], [1, 0.0001, 1, 1, 1]]))
    scores[1, 1] = -np.inf
    found = top_choice_probability(scores, panel)
    assert np.allclose(found[0], [1 / 8, 2 / 8, 5 / 8, 3 / 4, 1 / 4])
    assert np.isnan(found[1]).all()
