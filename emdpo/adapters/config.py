"""Every setting of adapter policies; free of torch, so that run folders are read without it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from emdpo.core.errors import EmdpoError

MODULES = ("all-linear", "attention")
"""Which linear layers carry LoRA: all of a block, or only those of its attention."""

CROSS_FIT = ("auto", "always", "never")
"""When the E-step scores only rankings that the scoring policy was not trained on."""


PRESETS: Mapping[str, Mapping[str, Any]] = {
    "quick": {"top_layers": 0.25, "rounds": 2},
    "normal": {},
    "thorough": {"top_layers": None, "learning_rate": 1e-3},
}
"""Settings by name, from the curve of held-out likelihood against time in docs/adapters.md; deeper
adapters want a lower rate."""

FEWEST_STEPS = 12
"""Optimiser steps of an M-step on few prompts: with one pass two prompts would make one step."""


@dataclass(frozen=True)
class AdapterConfig:
    """How one LoRA adapter per type is shaped and trained."""

    rank: int = 8
    """Rank of every LoRA update, >= 1."""
    alpha: float = 16.0
    """LoRA's alpha, > 0: updates are scaled by alpha / rank."""
    modules: str = "all-linear"
    """One of MODULES."""
    top_layers: int | float | None = 0.5
    """Adapters sit on the top L blocks, in 1..n_layers, or, below 1, on that share of them, and
    what enters these is computed once; None = on all blocks."""
    learning_rate: float = 2e-3
    """Of AdamW, > 0, after a short warm-up; in round t it falls from learning_rate / t to 0."""
    rounds: int = 6
    """Most rounds of generalised EM, >= 0: an M-step of every adapter, then an E-step."""
    epochs: int | None = None
    """Passes over the prompts in each M-step, >= 1; None = as many as make FEWEST_STEPS steps."""
    prompts_per_step: int = 3
    """Prompts whose rankings make one optimiser step, >= 1."""
    held_out_share: float = 0.1
    """Share of prompts kept out of the M-steps to guard each round, in [0, 0.5]."""
    cross_fit: str = "auto"
    """One of CROSS_FIT; auto = where most prompts are answered by one user each."""
    max_length: int = 1024
    """Longest prompt and response together, in tokens; longer ones are cut, and counted."""
    tokens_per_pass: int = 4096
    """Tokens that go through the model at once, >= 1; less needs less memory, nothing else."""

    def __post_init__(self) -> None:
        whole = (("rank", 1), ("rounds", 0), ("prompts_per_step", 1))
        for name, least in (*whole, ("max_length", 2), ("tokens_per_pass", 1)):
            _check_whole(name, getattr(self, name), least)
        if self.epochs is not None:
            _check_whole("epochs", self.epochs, 1)
        top = self.top_layers
        if top is not None and not (_is_share(top) or _is_whole(top, 1)):
            raise EmdpoError(
                f"top_layers must be a whole number of at least 1 or a share below 1, got {top}"
            )
        for name in ("alpha", "learning_rate"):
            value = getattr(self, name)
            if not (np.isfinite(value) and value > 0):
                raise EmdpoError(f"{name} must be a number above 0, got {value}")
        if not 0 <= self.held_out_share <= 0.5:
            raise EmdpoError(f"held_out_share must be in [0, 0.5], got {self.held_out_share}")
        for name, choices in (("modules", MODULES), ("cross_fit", CROSS_FIT)):
            if getattr(self, name) not in choices:
                given = getattr(self, name)
                raise EmdpoError(f"{name} must be one of {', '.join(choices)}, got {given!r}")

    def depth(self, n_layers: int) -> int:
        """Return L for a model of so many blocks.

        >>> [AdapterConfig(top_layers=top).depth(30) for top in (None, 4, 0.5)]
        [30, 4, 15]
        """
        top = n_layers if self.top_layers is None else self.top_layers
        return max(1, round(top * n_layers)) if _is_share(top) else int(top)

    def passes(self, n_prompts: int) -> int:
        """Return how often an M-step passes over so many prompts (>= 1).

        >>> [AdapterConfig(prompts_per_step=3).passes(n) for n in (2, 10, 60)]
        [12, 3, 1]
        """
        n_steps = -(-n_prompts // self.prompts_per_step)
        return self.epochs or -(-FEWEST_STEPS // n_steps)

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)


def _is_share(value: Any) -> bool:
    return isinstance(value, float) and 0 < value < 1


def _is_whole(value: Any, least: int) -> bool:
    is_number = isinstance(value, int | np.integer) and not isinstance(value, bool)
    return is_number and bool(value >= least)


def _check_whole(name: str, value: Any, least: int) -> None:
    if not _is_whole(value, least):
        raise EmdpoError(f"{name} must be a whole number of at least {least}, got {value}")
