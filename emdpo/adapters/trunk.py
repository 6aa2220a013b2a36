"""The trunk cache: blocks below the adapters run once, and what leaves them is kept on disk.

Adapters sit on the top L blocks, so the hidden states that enter these depend on neither type,
round nor step. They are memory-mapped, and later passes run the top blocks only.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from emdpo import files
from emdpo.adapters.lora import layer_container
from emdpo.adapters.packing import Pack, collate, in_batches
from emdpo.adapters.passes import Stopped
from emdpo.adapters.store import SECONDS_BETWEEN
from emdpo.core.em import StopTest, never
from emdpo.core.errors import RunError

if TYPE_CHECKING:
    from emdpo.adapters.base_model import BaseModel
    from emdpo.adapters.packing import PackedBatch
    from emdpo.adapters.tokens import Tokens


Told = Callable[[float, int], None]
"""Called after each batch with the share done, in [0, 1], and the batch's tokens."""


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

    def fill(self, tokens: Tokens, should_stop: StopTest = never, tell: Told | None = None) -> None:
        """Run the blocks below the adapters once for every pack; go on where a stop left off.

        Raises
        ------
        Stopped
            Told to stop before all packs were done.
        """
        shape = (self._n_tokens, self._base.hidden_size)
        dtype = _storage(self._base.dtype).type
        content, done = self._content(tokens), 0
        kept = self._kept(content)
        if not kept:
            self._manifest.unlink(missing_ok=True)  # or it would vouch for a file half written
        states = np.memmap(self._path, dtype=dtype, mode="r+" if kept else "w+", shape=shape)
        saved = time.monotonic()
        for packs in in_batches(self._packs[kept:], self._budget):
            if should_stop():
                self._keep(states, content, kept + done)
                raise Stopped
            for pack, row in zip(packs, self._entering_top(packs, tokens), strict=True):
                start = self._start[id(pack)]
                states[start : start + pack.n_tokens] = _as_numpy(row[: pack.n_tokens])
            done += len(packs)
            if time.monotonic() - saved >= SECONDS_BETWEEN:
                self._keep(states, content, kept + done)
                saved = time.monotonic()
            if tell is not None:
                share = (kept + done) / len(self._packs)
                tell(share, sum(pack.n_tokens for pack in packs))
        self._keep(states, content, kept + done)
        self._states = np.memmap(self._path, dtype=dtype, mode="r", shape=shape)

    def _entering_top(self, packs: Sequence[Pack], tokens: Tokens) -> torch.Tensor:
        """Return what leaves the blocks below the adapters, (B, T, H), on the CPU."""
        _, layers = layer_container(self._base.model)
        first = self._base.n_layers - self.top
        batch = collate(packs, tokens, self._base.device, self._base.dtype)
        # Passages in place of the top blocks: the last of them sees what enters the first.
        with torch.inference_mode(), _without(layers, range(first, len(layers))) as passage:
            _decode(self._base, batch)
        assert passage.seen is not None  # noqa: S101  # the decoder has run
        return passage.seen.cpu()

    @property
    def _manifest(self) -> Path:
        return self._path.with_suffix(".json")

    def _content(self, tokens: Tokens) -> str:
        """Return a SHA-256 of all that decides the states and their order."""
        about = (self._base.fingerprint, str(self._base.dtype), self.top, self._budget)
        digest = hashlib.sha256(repr(about).encode())
        for pack in self._packs:
            digest.update(tokens.prompt_ids(pack.prompt).tobytes())
            for candidate in pack.candidates.tolist():
                digest.update(b"|" + tokens.response_ids(candidate).tobytes())
        return digest.hexdigest()

    def _kept(self, content: str) -> int:
        """Return how many packs a file of the same content already has."""
        try:
            held = files.read_json(self._manifest)
            whole = self._path.stat().st_size == self.n_bytes
        except (OSError, RunError):
            return 0
        return int(held["done"]) if whole and held.get("content") == content else 0

    def _keep(self, states: np.memmap, content: str, done: int) -> None:
        states.flush()
        files.write_json(self._manifest, {"content": content, "done": done})

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
