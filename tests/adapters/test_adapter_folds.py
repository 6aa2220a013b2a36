"""What is kept apart, so that no policy is judged by what it was trained on."""

from __future__ import annotations

import numpy as np
import pytest
from text_panels import text_rankings

from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.folds import halves, plan_folds, shares_prompts


def plan(panel, seed=0, **settings):
    return plan_folds(panel, AdapterConfig(**settings), np.random.default_rng(seed))


def test_shared_prompts_hold_whole_prompts_out():
    panel = text_rankings(n_prompts=10, n_users=20)
    folds = plan(panel, held_out_share=0.2)
    assert not folds.cross_fitted
    held_out = np.unique(panel.prompt[folds.guard])
    assert len(held_out) == 2
    assert not np.isin(panel.prompt[~folds.guard], held_out).any()


def test_at_least_one_prompt_is_held_out_of_five_and_none_of_four():
    assert plan(text_rankings(n_prompts=5), held_out_share=0.01).guard.any()
    assert not plan(text_rankings(n_prompts=4)).guard.any()
    assert not plan(text_rankings(), held_out_share=0.0).guard.any()


def test_prompts_of_ones_own_are_cross_fitted():
    own, shared = text_rankings(shared=False), text_rankings()
    assert shares_prompts(shared) and not shares_prompts(own)
    assert plan(own).cross_fitted
    assert plan(shared, cross_fit="always").cross_fitted
    assert not plan(own, cross_fit="never").cross_fitted


def test_one_user_asked_twice_does_not_share_the_prompt():
    """Every prompt has two rankings, both by the same user."""
    own = text_rankings(shared=False, answers=2)
    twice = own.select(np.repeat(True, own.n_rankings))
    object.__setattr__(twice, "prompt", (own.prompt // 2).astype(np.int32))
    assert not shares_prompts(twice)


@pytest.mark.parametrize("answers", [1, 2, 5])
def test_halves_cut_every_user_in_two(answers):
    panel = text_rankings(answers=answers, n_users=9)
    half = halves(panel, np.random.default_rng(1))
    for user in range(panel.n_users):
        mine = half[panel.user == user]
        assert abs((mine == 0).sum() - (mine == 1).sum()) == answers % 2


def test_the_same_stream_gives_the_same_folds():
    panel = text_rankings(n_prompts=10)
    assert (plan(panel, 3).guard == plan(panel, 3).guard).all()
    assert any((plan(panel, 0).guard != plan(panel, seed).guard).any() for seed in range(1, 5))
