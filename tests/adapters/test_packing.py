"""Packed rows: every candidate once, each blind to the others."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from emdpo.adapters.packing import PADDING, branch_mask, collate, in_batches, make_packs


def tokens_of(prompts, responses):
    """Return tokens as `tokenise` would: prompts are lists, responses (prompt, list)."""
    return SimpleNamespace(
        prompt_ids=lambda p: np.array(prompts[p]),
        response_ids=lambda a: np.array(responses[a][1]),
        prompt_lengths=np.array([len(ids) for ids in prompts]),
        response_lengths=np.array([len(ids) for _, ids in responses]),
        candidate_prompt=np.array([prompt for prompt, _ in responses]),
    )


TWO = tokens_of([[1, 2, 3], [4]], [(0, [5, 6]), (1, [7]), (0, [8, 9, 10])])


def test_a_pack_holds_a_prompt_once_and_no_last_tokens():
    """Prompt 0: 3 tokens, then 2 - 1 and 3 - 1 of its responses; prompt 1: 1 + (1 - 1)."""
    packs = make_packs(TWO, np.arange(3), 100)
    assert [(p.prompt, p.candidates.tolist(), p.n_tokens) for p in packs] == [
        (0, [0, 2], 6),
        (1, [1], 1),
    ]


def test_the_first_token_of_a_response_is_predicted_by_the_end_of_the_prompt():
    batch = collate(make_packs(TWO, np.arange(3), 100), TWO, torch.device("cpu"), torch.float32)
    assert batch.input_ids.tolist() == [[1, 2, 3, 5, 8, 9], [4, 0, 0, 0, 0, 0]]
    assert batch.position_ids[0].tolist() == [0, 1, 2, 3, 3, 4]
    assert batch.candidates.tolist() == [0, 2, 1]
    assert batch.target.tolist() == [5, 6, 8, 9, 10, 7]
    assert batch.predict_at.tolist() == [2, 3, 2, 4, 5, 6]
    assert batch.owner.tolist() == [0, 0, 1, 1, 1, 2]


def test_branches_see_the_prompt_and_themselves_only():
    """Tokens: prompt, prompt, branch 1, branch 2, padding."""
    branch = torch.tensor([[0, 0, 1, 2, PADDING]])
    seen = branch_mask(branch, torch.float32)[0, 0] == 0
    assert seen.int().tolist() == [
        [1, 0, 0, 0, 0],
        [1, 1, 0, 0, 0],
        [1, 1, 1, 0, 0],
        [1, 1, 0, 1, 0],
        [0, 0, 0, 0, 1],
    ]


def test_a_prompt_of_many_candidates_is_cut_into_packs():
    tokens = tokens_of([[1, 2]], [(0, [3, 4, 5])] * 5)
    packs = make_packs(tokens, np.arange(5), 6)
    assert [pack.candidates.tolist() for pack in packs] == [[0, 1], [2, 3], [4]]
    assert all(pack.n_tokens <= 6 for pack in packs)


def test_rows_that_would_be_slow_are_cut_unless_the_prompt_is_most_of_them():
    short = tokens_of([[1] * 8], [(0, [2] * 101)] * 20)
    assert [p.n_tokens for p in make_packs(short, np.arange(20), 4096)] == [708, 708, 608]
    long = tokens_of([[1] * 500], [(0, [2] * 101)] * 10)
    assert [p.n_tokens for p in make_packs(long, np.arange(10), 4096)] == [1500]


@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(1, 9)), min_size=1, max_size=20),
    st.integers(1, 40),
)
def test_every_candidate_is_in_one_pack_and_every_pack_in_one_batch(sizes, limit):
    tokens = tokens_of([[1] * (p + 1) for p in range(5)], [(p, [2] * n) for p, n in sizes])
    packs = make_packs(tokens, np.arange(len(sizes)), limit)
    held = np.concatenate([pack.candidates for pack in packs])
    assert sorted(held.tolist()) == list(range(len(sizes)))
    for pack in packs:
        assert (tokens.candidate_prompt[pack.candidates] == pack.prompt).all()
        assert pack.n_tokens <= limit or len(pack.candidates) == 1
    batches = list(in_batches(packs, limit))
    assert [pack for batch in batches for pack in batch] == packs
    for batch in batches:
        assert len(batch) * max(p.n_tokens for p in batch) <= limit or len(batch) == 1


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_what_is_hidden_is_finite(dtype):
    mask = branch_mask(torch.tensor([[0, 1, 2]]), dtype)
    assert torch.isfinite(mask).all()
    assert mask.dtype is dtype
