"""Prefix sharing: candidates of one prompt behind one copy of it, exactly as if each stood alone.

A pack is `prompt, response 1, response 2, ...` in one row. The attention mask lets a response see
the prompt and itself only, and each response's positions go on from the prompt's end. The last
token of a response predicts nothing and is left out.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.tokens import Tokens

WIDE = 768
"""Tokens from which a pack is cut in two: attention grows with the square of a row's length. At 33
answers of 50 tokens, packs of 768 take 0.65 times as long as one of 1,750."""

PROMPT_SHARE = 3
"""A pack has room for at least this many times its prompt, or copies of it would cost more than
attention does."""

PADDING = -1
"""Branch of the tokens that fill a row up; they see only one another."""


@dataclass(frozen=True, eq=False)
class Pack:
    """One prompt and some of its candidates."""

    prompt: int
    """Position in the rankings' prompts."""
    candidates: NDArray[np.int64]
    """(n,) positions in the rankings' candidates."""
    n_tokens: int
    """Length of the packed row."""


@dataclass(frozen=True, eq=False)
class PackedBatch:
    """B packs as tensors, filled up to T tokens."""

    candidates: NDArray[np.int64]
    """(c,) the candidates in the batch, pack after pack."""
    input_ids: torch.Tensor
    """(B, T)"""
    position_ids: torch.Tensor
    """(B, T)"""
    mask: torch.Tensor
    """(B, 1, T, T) added to attention's logits: 0 = seen, the least number = not."""
    predict_at: torch.Tensor
    """(n,) for every response token, the place in the flattened (B * T) rows that predicts it."""
    target: torch.Tensor
    """(n,) the response tokens."""
    owner: torch.Tensor
    """(n,) whose token it is: position in `candidates`."""
    lengths: tuple[int, ...]
    """Tokens of each pack."""


def make_packs(tokens: Tokens, candidates: NDArray[np.int64], limit: int) -> list[Pack]:
    """Return packs that hold every candidate once, longest first.

    A prompt whose candidates need more than `limit` tokens, or make a row too long to be fast, is
    cut into several packs, each with a copy of the prompt; a single candidate that needs more has a
    pack of its own.
    """
    order = candidates[np.argsort(tokens.candidate_prompt[candidates], kind="stable")]
    of_prompt = tokens.candidate_prompt[order]
    edges = np.flatnonzero(np.diff(of_prompt, prepend=-1, append=-1))
    packs = []
    for start, end in pairwise(edges):
        packs += _packs_of(tokens, int(of_prompt[start]), order[start:end], limit)
    return sorted(packs, key=lambda pack: -pack.n_tokens)


def _packs_of(
    tokens: Tokens, prompt: int, candidates: NDArray[np.int64], limit: int
) -> Iterator[Pack]:
    start = int(tokens.prompt_lengths[prompt])
    limit = min(limit, max(WIDE, PROMPT_SHARE * start))
    held: list[int] = []
    size = start
    for candidate in candidates.tolist():
        needed = int(tokens.response_lengths[candidate]) - 1
        if held and size + needed > limit:
            yield Pack(prompt, np.array(held), size)
            held, size = [], start
        held.append(candidate)
        size += needed
    yield Pack(prompt, np.array(held), size)


def in_batches(packs: Sequence[Pack], budget: int) -> Iterator[list[Pack]]:
    """Yield runs of packs whose rows, filled up to the longest, hold at most `budget` tokens."""
    batch: list[Pack] = []
    for pack in packs:
        longest = max(pack.n_tokens, *(other.n_tokens for other in batch), 0)
        if batch and longest * (len(batch) + 1) > budget:
            yield batch
            batch = []
        batch.append(pack)
    if batch:
        yield batch


def collate(
    packs: Sequence[Pack], tokens: Tokens, device: torch.device, dtype: torch.dtype
) -> PackedBatch:
    """Return packs as the tensors of one pass; `dtype` is the model's."""
    width = max(pack.n_tokens for pack in packs)
    ids = np.zeros((len(packs), width), np.int64)
    positions = np.zeros_like(ids)
    branch = np.full_like(ids, PADDING)
    predict_at, target, owner = [], [], []
    n_candidates = 0
    for row, pack in enumerate(packs):
        prompt = tokens.prompt_ids(pack.prompt)
        end = len(prompt)
        ids[row, :end], positions[row, :end], branch[row, :end] = prompt, np.arange(end), 0
        for number, candidate in enumerate(pack.candidates.tolist(), 1):
            response = tokens.response_ids(candidate)
            seen = len(response) - 1
            place = slice(end, end + seen)
            ids[row, place], branch[row, place] = response[:-1], number
            positions[row, place] = len(prompt) + np.arange(seen)
            at = np.concatenate([[len(prompt) - 1], np.arange(end, end + seen)])
            predict_at.append(row * width + at)
            target.append(response)
            owner.append(np.full(len(response), n_candidates))
            n_candidates += 1
            end += seen
    return PackedBatch(
        candidates=np.concatenate([pack.candidates for pack in packs]),
        input_ids=torch.from_numpy(ids).to(device),
        position_ids=torch.from_numpy(positions).to(device),
        mask=branch_mask(torch.from_numpy(branch).to(device), dtype),
        predict_at=torch.from_numpy(np.concatenate(predict_at)).to(device),
        target=torch.from_numpy(np.concatenate(target)).to(device),
        owner=torch.from_numpy(np.concatenate(owner)).to(device),
        lengths=tuple(pack.n_tokens for pack in packs),
    )


def branch_mask(branch: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return the additive mask (B, 1, T, T): a token sees the prompt and its own branch up to it.

    `branch` (B, T) is 0 for the prompt, 1, 2, ... for the responses and PADDING.
    """
    width = branch.shape[1]
    of_key, of_query = branch[:, None, :], branch[:, :, None]
    seen = (of_key == of_query) | ((of_key == 0) & (of_query != PADDING))
    seen &= torch.ones(width, width, dtype=torch.bool, device=branch.device).tril()
    hidden = torch.zeros(seen.shape, dtype=dtype, device=branch.device)
    return hidden.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
