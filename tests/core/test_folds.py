"""What is left out in turn: nothing twice, nobody in two folds, no order lost."""

from __future__ import annotations

from dataclasses import replace
from itertools import permutations

import numpy as np
import pytest
from em_panels import random_panel
from panels import planted
from reference_em import rankings_of

from emdpo.core.folds import (
    cut_lists,
    folds_of_users,
    folds_within_users,
    halves_of_candidates,
    known_half,
)
from emdpo.core.plackett_luce import log_likelihoods


def rng():
    return np.random.default_rng(3)


def test_every_user_s_rankings_are_spread_evenly():
    panel = planted(n_users=30, answers=4)
    folds = folds_within_users(panel, 3, rng())
    table = np.zeros((30, 3), int)
    np.add.at(table, (panel.user, folds), 1)
    assert set(table.ravel()) == {1, 2}
    assert len(set(map(tuple, table))) == 3  # not the same fold twice for everybody


def test_users_are_whole_in_folds_of_equal_size():
    panel = planted(n_users=31, answers=4)
    folds = folds_of_users(panel, 3, rng())
    of_user = [set(folds[panel.user == user]) for user in range(31)]
    assert all(len(found) == 1 for found in of_user)
    assert sorted(np.bincount([found.pop() for found in of_user])) == [10, 10, 11]


@pytest.mark.parametrize("answers", [1, 2, 3])
def test_half_of_each_user_s_rankings_are_known_and_one_is_always_left(answers):
    panel = planted(n_users=40, answers=answers)
    known = np.bincount(panel.user, known_half(panel, rng()), 40)
    assert set(known) == {1: {0}, 2: {1}, 3: {1, 2}}[answers]


def test_halves_share_no_candidate_and_keep_ranks():
    panel = random_panel(seed=1, n_users=30)
    first, second = halves_of_candidates(panel, rng())
    cut = panel.lengths >= 4
    assert cut.any() and not cut.all()

    def rows(part):
        ids = part.ranking_ids[part.ranking_of_row]
        return {
            (rid, int(c)): int(rank)
            for rid, c, rank in zip(ids, part.candidate, part.ranks, strict=True)
        }

    assert rows(first).keys().isdisjoint(rows(second))
    assert rows(first) | rows(second) == rows(panel)
    assert set(first.ranking_ids) == set(panel.ranking_ids[cut])
    assert first.lengths.tolist() == (panel.lengths[cut] // 2).tolist()
    again = halves_of_candidates(panel, np.random.default_rng(4))[0]
    assert rows(again) != rows(first)


def test_orders_of_disjoint_candidates_are_independent_under_plackett_luce():
    """Sum over all 24 orders of four: P(a > b and c > d) = P(a > b) P(c > d)."""
    scores = np.array([0.9, -0.3, 0.4, 1.6])
    places = np.array(list(permutations([1.0, 2, 3, 4])))  # rank of each item
    panel = rankings_of(places, np.arange(24))
    item = panel.candidates["response_id"].astype(str).rank().to_numpy(int) - 1
    chance = np.exp(log_likelihoods(panel.stages, scores[item][None, panel.candidate])[0])
    assert np.isclose(chance.sum(), 1)
    one, other = places[:, 0] < places[:, 1], places[:, 2] < places[:, 3]
    assert np.isclose(chance[one & other].sum(), chance[one].sum() * chance[other].sum())
    assert not np.isclose(chance[one].sum(), 0.5)


@pytest.mark.parametrize("length", [2, 3, 6, 9])
def test_lists_are_cut_into_disjoint_ones_that_keep_the_order(length):
    panel = random_panel(1)
    panel = replace(panel, weight=np.arange(1.0, panel.n_rankings + 1))
    cut = cut_lists(panel, length, rng())
    assert cut.n_rows == panel.n_rows
    assert cut.lengths.max() < 2 * length or cut.lengths.max() == panel.lengths.max()
    for r, name in enumerate(panel.ranking_ids):
        whole = slice(panel.offsets[r], panel.offsets[r + 1])
        rank_of = dict(zip(panel.candidate[whole], panel.ranks[whole], strict=True))
        pieces = [i for i, of in enumerate(cut.ranking_ids) if of == name]
        assert len(pieces) == max(len(rank_of) // length, 1)
        found = {}
        for i in pieces:
            rows = slice(cut.offsets[i], cut.offsets[i + 1])
            assert rows.stop - rows.start >= min(length, len(rank_of))
            assert (cut.user[i], cut.prompt[i], cut.weight[i]) == (
                *(panel.user[r], panel.prompt[r]),
                panel.weight[r],
            )
            found |= dict(zip(cut.candidate[rows], cut.ranks[rows], strict=True))
        assert found == rank_of
