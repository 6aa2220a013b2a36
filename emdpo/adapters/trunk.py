"""The trunk cache: blocks below the adapters run once, and what leaves them is kept on disk.

Adapters sit on the top L blocks, so the hidden states that enter these depend on neither type,
round nor step. They are memory-mapped, and later passes run the top blocks only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from emdpo.adapters.lora import layer_container
from emdpo.adapters.packing import Pack, collate, in_batches

if TYPE_CHECKING:
    from emdpo.adapters.base_model import BaseModel
    from emdpo.adapters.packing import PackedBatch
    from emdpo.adapters.tokens import Tokens


class _Passage(nn.Module):
    """Stands where a block was and hands hidden states on, or other ones in their place."""

    def __init__(self) -> None:
        super().__init__()
        self.replacement: torch.Tensor | None = None
        self.seen: torch.Tensor | None = None

    def forward(self, hidden_states: torch.Tensor, *_args: object, **_kwargs: object):
        self.seen = hidden_states
        return hidden_states if self.replacement is None else self.replacement


@contextmanager
def _without(layers: nn.ModuleList, places: range) -> Iterator[_Passage]:
    """Let passages stand at `places` while open, and yield the one at the last of them.

    Blocks keep their places, so that what a model looks up by a block's number stays right.
    """
    held = {place: layers[place] for place in places}
    last = _Passage()
    for place in places:
        layers[place] = last if place == places[-1] else _Passage()
    try:
        yield last
    finally:
        for place, layer in held.items():
            layers[place] = layer


def run_decoder(
    base: BaseModel, batch: PackedBatch, *, top: int, entering: torch.Tensor | None
) -> torch.Tensor:
    """Return the last hidden states (B, T, H) of packed rows, after the final norm.

    `entering` (B, T, H) are the hidden states that enter the top blocks; None = run all blocks.
    """
    _, layers = layer_container(base.model)
    if entering is None:
        return _decode(base, batch)
    with _without(layers, range(base.n_layers - top)) as passage:
        passage.replacement = entering
        return _decode(base, batch)


def _decode(base: BaseModel, batch: PackedBatch) -> torch.Tensor:
    decoder = base.model.get_decoder()
    return decoder(
        input_ids=batch.input_ids,
        attention_mask=batch.mask,
        position_ids=batch.position_ids,
        use_cache=False,
    ).last_hidden_state


class TrunkCache:
    """What enters the top blocks, for every pack, memory-mapped."""

    def __init__(
        self, base: BaseModel, packs: Sequence[Pack], top: int, path: Path, budget: int
    ) -> None:
        self.top = top
        self._base, self._path, self._budget = base, path, budget
        starts = np.cumsum([0, *(pack.n_tokens for pack in packs)])
        self._start = {id(pack): int(start) for pack, start in zip(packs, starts, strict=False)}
        self._packs, self._n_tokens = packs, int(starts[-1])
        self._states: np.memmap | None = None

    @property
    def n_bytes(self) -> int:
        """Size of the file."""
        return self._n_tokens * self._base.hidden_size * _storage(self._base.dtype).itemsize

    def fill(self, tokens: Tokens) -> None:
        """Run the blocks below the adapters once for every pack."""
        shape = (self._n_tokens, self._base.hidden_size)
        dtype = _storage(self._base.dtype)
        states = np.memmap(self._path, dtype=dtype.type, mode="w+", shape=shape)
        _, layers = layer_container(self._base.model)
        first = self._base.n_layers - self.top
        for packs in in_batches(self._packs, self._budget):
            batch = collate(packs, tokens, self._base.device, self._base.dtype)
            # Passages in place of the top blocks: the last of them sees what enters the first.
            with torch.inference_mode(), _without(layers, range(first, len(layers))) as passage:
                _decode(self._base, batch)
            hidden = passage.seen
            assert hidden is not None  # noqa: S101  # the decoder has run
            for pack, row in zip(packs, hidden.cpu(), strict=True):
                start = self._start[id(pack)]
                states[start : start + pack.n_tokens] = _as_numpy(row[: pack.n_tokens])
        states.flush()
        self._states = np.memmap(self._path, dtype=dtype.type, mode="r", shape=shape)

    def entering(self, packs: Sequence[Pack]) -> torch.Tensor:
        """Return the hidden states that enter the top blocks, (B, T, H), zero where filled up."""
        if self._states is None:
            raise RuntimeError("the trunk cache is read before it is filled")
        width = max(pack.n_tokens for pack in packs)
        rows = np.zeros((len(packs), width, self._base.hidden_size), self._states.dtype)
        for row, pack in zip(rows, packs, strict=True):
            start = self._start[id(pack)]
            row[: pack.n_tokens] = self._states[start : start + pack.n_tokens]
        hidden = torch.from_numpy(rows)
        if self._base.dtype is torch.bfloat16:
            hidden = hidden.view(torch.bfloat16)
        return hidden.to(self._base.device)


def _storage(dtype: torch.dtype) -> np.dtype:
    """Return the numpy type that holds a tensor's bits: numpy has no bfloat16."""
    return np.dtype(np.uint16 if dtype is torch.bfloat16 else np.float32)


def _as_numpy(tensor: torch.Tensor) -> np.ndarray:
    whole = tensor.contiguous()
    return (whole.view(torch.uint16) if tensor.dtype is torch.bfloat16 else whole).numpy()
