"""Held-out log-loss by type and policy, against sums by hand."""

from __future__ import annotations

import numpy as np
import pytest
from panels import planted

from emdpo.core.held_out import OWN, POOLED, REFERENCE, held_out_losses
from emdpo.core.plackett_luce import log_likelihoods


@pytest.fixture
def panel():
    return planted(n_users=30, answers=4)


@pytest.fixture
def held_out(panel):
    return panel.prompt == 0


def losses(panel, held_out, scores, pooled, seed=0):
    log_weights = np.full(len(scores), -np.log(len(scores)))
    found = held_out_losses(
        panel, held_out, scores, pooled, log_weights, rng=np.random.default_rng(seed)
    )
    return {(row.k, row.policy): row for row in found}


def planted_scores(panel):
    x = panel.candidates[["x_a", "x_b"]].to_numpy(float)
    return np.array([[2.0, 0.0], [-2.0, 0.0], [0.0, 3.0]]) @ x.T


def test_the_reference_finds_every_order_of_four_equally_likely(panel, held_out):
    found = losses(panel, held_out, np.zeros((2, panel.n_candidates)), np.zeros(panel.n_candidates))
    row = found[-1, REFERENCE]
    assert np.isclose(row.log_loss, np.log(24))
    assert row.interval == pytest.approx((np.log(24), np.log(24)))
    assert row.n_rankings == held_out.sum()
    assert found[-1, OWN].above_own == 0


def test_the_pooled_loss_is_the_mean_by_hand(panel, held_out):
    scores = planted_scores(panel)
    found = losses(panel, held_out, scores, scores[2])
    by_hand = -log_likelihoods(panel.stages, scores[2:][:, panel.candidate])[0][held_out].mean()
    assert np.isclose(found[-1, POOLED].log_loss, by_hand)


def test_own_type_is_judged_without_the_held_out_rankings(panel, held_out):
    """Turning the held-out rankings round changes nobody's type, and makes the loss worse."""
    scores = planted_scores(panel)
    found = losses(panel, held_out, scores, scores[2])
    turned_ranks = panel.ranks.copy()
    rows = held_out[panel.ranking_of_row]
    turned_ranks[rows] = 5 - turned_ranks[rows]
    turned = panel.select(np.ones(panel.n_rankings, bool))
    object.__setattr__(turned, "ranks", turned_ranks)
    worse = losses(turned, held_out, scores, scores[2])
    assert {key: row.n_users for key, row in worse.items()} == {
        key: row.n_users for key, row in found.items()
    }
    assert worse[-1, OWN].log_loss > found[-1, OWN].log_loss + 1


def test_planted_types_beat_pooled_and_reference_with_intervals():
    panel = planted(n_users=240, answers=4)
    held_out = panel.prompt == 0
    scores = planted_scores(panel)
    found = losses(panel, held_out, scores, scores.mean(axis=0))
    for k in range(3):
        for policy in (POOLED, REFERENCE):
            low, high = found[k, policy].above_own_interval
            assert 0 < low < found[k, policy].above_own < high


def test_the_same_stream_gives_the_same_intervals(panel, held_out):
    scores = planted_scores(panel)
    assert losses(panel, held_out, scores, scores[0]) == losses(panel, held_out, scores, scores[0])


def test_a_type_without_held_out_rankings_is_left_out(panel):
    scores = planted_scores(panel)
    nobody = np.zeros(panel.n_rankings, bool)
    assert losses(panel, nobody, scores, scores[0]) == {}
