"""How long a fit of adapters will take on this machine, and what room it needs: a measured probe.

The same code that fits is timed on a few prompts of the actual data with the actual base model;
what it needs a token is then multiplied by the tokens that the rounds will take.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np
import torch

from emdpo.adapters.base_model import BaseModel, load_base_model
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.estimated import Estimate
from emdpo.adapters.fitting import FOLDS_STREAM, adapter_names_of, check_base
from emdpo.adapters.folds import Folds, plan_folds
from emdpo.adapters.lora import attach
from emdpo.adapters.loss import RankingObjective
from emdpo.adapters.packing import Pack, make_packs
from emdpo.adapters.rounds import PATIENCE, trainees
from emdpo.adapters.scoring import ResponseScorer
from emdpo.adapters.tokens import Tokens, tokenise
from emdpo.adapters.training import AdapterTrainer, Batches, Step
from emdpo.adapters.trunk import TrunkCache
from emdpo.core.checks import check_n_types
from emdpo.settings import EMBEDDED, FitConfig

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

SAMPLED_PROMPTS = 200
"""Prompts whose tokens are counted; fewer where there are fewer."""

TIMED_STEPS = 3
"""Optimiser steps taken; the first warms up and is not counted."""

STATES = 4
"""Copies of an adapter while it is trained: itself, two moments of Adam, the best so far."""

FLOAT, TOKEN = 4, 4
"""Bytes of an adapter's number; of a token on disk."""


@dataclass(frozen=True)
class Workload:
    """What goes through the model, in units of all packed tokens."""

    training_low: float
    """In a round, if no type needs another type's prompts."""
    training_high: float
    scoring: float
    """In a round."""
    final_training: float
    """After the rounds."""
    final_scoring: float


@dataclass(frozen=True)
class _Probe:
    """Seconds a token, and bytes."""

    training: tuple[float, float]
    """Of the fastest and the slowest step."""
    scoring: float
    trunk: float
    activations: float
    """Bytes a token in training."""


def estimate_fit(rankings: Rankings, config: FitConfig) -> Estimate:
    """Return what `fit` will take with these rankings and settings; nothing is kept.

    Raises
    ------
    EmdpoError
        As `fit`: too many types, no such base model.
    """
    check_base(config)
    check_n_types(config.n_types, rankings)
    settings = config.adapters or AdapterConfig()
    rng = np.random.default_rng([config.seed, FOLDS_STREAM])
    folds = plan_folds(rankings, settings, rng)
    shown = np.unique(rankings.prompt)
    sample = np.sort(rng.permutation(shown)[:SAMPLED_PROMPTS])
    share = len(sample) / len(shown)
    began = time.monotonic()
    base = load_base_model(config.base_model or EMBEDDED)
    loading = time.monotonic() - began
    with TemporaryDirectory(prefix="emdpo-") as folder:
        began = time.monotonic()
        part = rankings.select(np.isin(rankings.prompt, sample))
        tokens = tokenise(part, base, Path(folder), max_length=settings.max_length)
        assert tokens is not None  # noqa: S101  # nobody could stop it
        tokenising = (time.monotonic() - began) / share
        packs = make_packs(tokens, _shown(part), settings.tokens_per_pass)
        probe = _probe(base, part, tokens, config, settings, Path(folder))
    n_tokens = sum(pack.n_tokens for pack in packs) / share
    learnt = len(np.unique(rankings.prompt[~folds.guard]))
    n_passes = settings.passes(max(learnt // (2 if folds.cross_fitted else 1), 1))
    work = workload(rankings, config.n_types, folds)
    low, high = _seconds(n_tokens, n_passes, probe, work, settings)
    names = adapter_names_of(config.n_types, folds.cross_fitted)
    return Estimate(
        seconds_low=loading + tokenising + low,
        seconds_high=loading + tokenising + high,
        memory_bytes=int(_memory(base, len(names), probe, packs, settings)),
        disk_bytes=int(_disk(base, len(names), n_tokens, settings)),
        n_tokens=round(n_tokens),
        tokens_per_second=1 / probe.training[0],
        n_adapters=len(trainees(config.n_types, folds.cross_fitted)),
        rounds=settings.rounds,
        device=device_name(base.device),
    )


def workload(rankings: Rankings, n_types: int, folds: Folds) -> Workload:
    """Return what the rounds of a fit will run through the model."""
    pooled = float(n_types > 1)
    held_out = len(np.unique(rankings.prompt[folds.guard])) / len(np.unique(rankings.prompt))
    learnt = 1 - held_out
    if not folds.cross_fitted:
        training = learnt * (n_types + pooled)
        return Workload(training, training, n_types + pooled, 0.0, 0.0)
    return Workload(1.0 + pooled, n_types + pooled, n_types + pooled, n_types, n_types + pooled)


def _seconds(
    n_tokens: float, n_passes: int, probe: _Probe, work: Workload, settings: AdapterConfig
) -> tuple[float, float]:
    """Return the time of trunk, reference and rounds of so many passes each, low and high."""
    once = n_tokens * (probe.trunk + probe.scoring)
    fewest = min(settings.rounds, 1 + PATIENCE)
    ends = (fewest, work.training_low, 0), (settings.rounds, work.training_high, 1)
    low, high = (
        once
        + n_tokens * n_passes * probe.training[side] * (rounds * share + work.final_training)
        + n_tokens * probe.scoring * (rounds * work.scoring + work.final_scoring)
        for rounds, share, side in ends
    )
    return low, high


def _probe(
    base: BaseModel,
    part: Rankings,
    tokens: Tokens,
    config: FitConfig,
    settings: AdapterConfig,
    folder: Path,
) -> _Probe:
    """Time the trunk, a scoring pass and a few optimiser steps on the first prompts of a part."""
    prompts = np.unique(part.prompt).astype(np.int64)[: TIMED_STEPS * settings.prompts_per_step]
    part = part.select(np.isin(part.prompt, prompts))
    adapted = attach(base, ["probe"], settings, config.seed)
    budget = settings.tokens_per_pass
    scorer = ResponseScorer(adapted, tokens, _shown(part), budget=budget, folder=folder)
    n_tokens = sum(pack.n_tokens for pack in scorer.packs)
    began = time.monotonic()
    if scorer.trunk is not None:
        TrunkCache(base, scorer.packs, adapted.depth, folder / "again.bin", budget).fill(tokens)
    trunk = (time.monotonic() - began) / n_tokens
    began = time.monotonic()
    reference = scorer.score_all(None)
    assert reference is not None  # noqa: S101  # nobody could stop it
    scoring = (time.monotonic() - began) / n_tokens
    trainer = AdapterTrainer(scorer, "probe", reference, settings, config.beta)
    before = peak_memory(base.device)
    training, most = _timed_steps(trainer, part, prompts)
    activations = max(peak_memory(base.device) - before, 0) / most
    return _Probe(training, scoring, trunk, activations)


def _shown(part: Rankings) -> NDArray[np.int64]:
    return np.unique(part.candidate).astype(np.int64)


def _timed_steps(
    trainer: AdapterTrainer, part: Rankings, prompts: NDArray[np.int64]
) -> tuple[tuple[float, float], int]:
    """Return seconds a token of the fastest and the slowest step, and the most tokens in one."""
    size = trainer.config.prompts_per_step
    turns = (np.roll(prompts, -number * size) for number in range(TIMED_STEPS))
    batches = Batches(tuple(turn[:size] for turn in turns))
    objective = RankingObjective(part, part.weight, trainer.beta, 1.0)
    took, most = [], 1
    began = time.monotonic()
    for told in trainer.run(objective, batches):
        if isinstance(told, Step):
            took.append((time.monotonic() - began) / told.n_tokens)
            most = max(most, told.n_tokens)
        began = time.monotonic()
    counted = took[1:] or took
    return (min(counted), max(counted)), most


def peak_memory(device: torch.device) -> int:
    """Return the most bytes held at once so far: on a GPU, or by this process; 0 if unknown."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    try:
        import resource
        import sys
    except ImportError:  # Windows
        return 0
    unit = 1 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit


def _memory(
    base: BaseModel, n_adapters: int, probe: _Probe, packs: Sequence[Pack], settings: AdapterConfig
) -> float:
    """Return the peak of the probe with all adapters and a pass of the longest packs."""
    longest = sum(pack.n_tokens for pack in packs[: settings.prompts_per_step])
    activations = probe.activations * min(longest, settings.tokens_per_pass)
    adapters = (n_adapters - 1) * STATES * FLOAT * _adapter_size(base)
    return max(peak_memory(base.device), base.model.get_memory_footprint()) + activations + adapters


def _disk(base: BaseModel, n_adapters: int, n_tokens: float, settings: AdapterConfig) -> float:
    """Return the size of tokens, trunk, and the state and result of every adapter."""
    has_trunk = settings.depth(base.n_layers) < base.n_layers
    state = base.hidden_size * base.dtype.itemsize if has_trunk else 0
    adapters = n_adapters * (STATES + 1) * FLOAT * _adapter_size(base)
    return n_tokens * (TOKEN + state) + adapters


def _adapter_size(base: BaseModel) -> int:
    """Return the numbers in the one adapter that the probe attached."""
    named = base.model.named_parameters()
    return sum(value.numel() for name, value in named if ".probe." in name)


def device_name(device: torch.device) -> str:
    """Return cpu, or the name of a GPU."""
    return torch.cuda.get_device_name(device) if device.type == "cuda" else str(device)
