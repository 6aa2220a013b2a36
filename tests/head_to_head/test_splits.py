"""Who is seen, who is new, and that no ranking is in two parts."""

from __future__ import annotations

import numpy as np
import pytest

from emdpo.head_to_head.simulations import Simulation, simulate
from emdpo.head_to_head.splits import make_split


def panel_of(answers, n_users=40):
    return simulate(Simulation(n_users=n_users, answers=answers, length=3, n_prompts=30)).panel


@pytest.mark.parametrize("answers", [1, 2, 3, 8, 16])
def test_every_ranking_has_one_part_and_every_user_one_side(answers):
    panel = panel_of(answers)
    split = make_split(panel, 0.25, np.random.default_rng(0))
    parts = (split.train, split.validation, split.test, split.pool, split.new_test)
    np.testing.assert_array_equal(sum(part.astype(int) for part in parts), 1)
    new = np.unique(panel.user[split.pool | split.new_test])
    seen = np.unique(panel.user[split.train | split.validation | split.test])
    assert len(new) == 10 and not set(new) & set(seen)
    assert split.validation.any() and split.train.any()


@pytest.mark.parametrize(("answers", "sizes"), [(8, (6, 1, 1, 4, 4)), (16, (10, 3, 3, 8, 8))])
def test_sizes_of_a_users_parts(answers, sizes):
    """A fifth each for validation and test, half of a new user's to be known."""
    panel = panel_of(answers)
    split = make_split(panel, 0.25, np.random.default_rng(1))
    parts = (split.train, split.validation, split.test, split.pool, split.new_test)
    for part, size in zip(parts, sizes, strict=True):
        counts = np.bincount(panel.user[part], minlength=panel.n_users)
        assert set(counts) == {0, size}


def test_rankings_become_known_one_after_another():
    panel = panel_of(8)
    split = make_split(panel, 0.25, np.random.default_rng(2))
    known = [split.known(n) for n in (0, 1, 2, 4, 8)]
    assert [part.sum() for part in known] == [0, 10, 20, 40, 40]
    for fewer, more in zip(known, known[1:], strict=False):
        assert not (fewer & ~more).any()


def test_where_everybody_ranked_once_validation_is_of_whole_users():
    panel = panel_of(1, n_users=200)
    split = make_split(panel, 0.25, np.random.default_rng(3))
    assert not split.test.any() and not split.pool.any()
    assert 15 <= split.validation.sum() <= 45  # a fifth of 150, drawn
