"""A trainer of adapters that trains nothing: what it finds is known beforehand."""

from __future__ import annotations

import sys
from types import ModuleType

import numpy as np
import pytest

from emdpo.adapters.saved import Adapter, AdapterOutcome, BaseModelCard, type_name
from emdpo.core.em import StopReason, TraceRow
from emdpo.settings import FitConfig

QUICK = {"features": "columns", "restarts": 2}
"""Settings of a log-linear fit that takes little time."""

ADAPTERS = {**QUICK, "policy": "adapters"}

THREE_TYPES = FitConfig(n_types=3, **ADAPTERS)

BASE = BaseModelCard("tiny", "f" * 64, 1234, hub_id="nobody/tiny", licence="apache-2.0")

LAYER = "base_model.model.model.layers.0.self_attn.q_proj"

CONFIG = {
    "peft_type": "LORA",
    "task_type": "CAUSAL_LM",
    "base_model_name_or_path": "nobody/tiny",
    "r": 2,
    "lora_alpha": 16,
    "lora_dropout": 0.0,
    "target_modules": ["q_proj"],
    "bias": "none",
    "inference_mode": True,
    "modules_to_save": None,
    "rank_pattern": {},
    "megatron_core": "megatron.core",
}


def adapter(name: str, value: float) -> Adapter:
    """Return a tiny adapter whose every entry is `value`."""
    a, b = np.full((2, 3), value, np.float32), np.full((5, 2), value, np.float32)
    return Adapter(name, CONFIG, {f"{LAYER}.lora_A.weight": a, f"{LAYER}.lora_B.weight": b})


def turned(loglinear) -> AdapterOutcome:
    """Return the log-linear fit as if adapters had found it, with the types in reverse order.

    The adapter of type k of K (from 1, log-linear order) holds the value k, and the pooled one 9.
    """
    n_types = len(loglinear.log_weights)
    last = tuple(np.exp(loglinear.log_weights[::-1]).tolist())
    adapters = {type_name(k): adapter(type_name(k), n_types - k) for k in range(n_types)}
    return AdapterOutcome(
        scores=loglinear.policies.candidate_scores()[::-1],
        pooled_scores=loglinear.policies.candidate_scores().mean(axis=0),
        log_weights=loglinear.log_weights[::-1],
        log_resp=loglinear.log_resp[:, ::-1],
        log_likelihood=loglinear.log_likelihood,
        trace=(
            TraceRow(0, 0, loglinear.log_likelihood - 1, last),
            TraceRow(0, 1, loglinear.log_likelihood, last),
        ),
        stop_reason=StopReason.CONVERGED,
        n_iter=1,
        remaining_gain=np.nan,
        adapters={**adapters, "pooled": adapter("pooled", 9)},
        base_model=BASE,
        warnings=("2 of 7 answers were cut",),
        evidence={"held_out": [-2.5, np.float64(-2.25)]},
    )


class ByHand:
    """Stands in for emdpo.adapters.fitting.fit_adapters and remembers what it was asked."""

    def __init__(self, outcome=turned) -> None:
        self.outcome, self.calls = outcome, []

    def __call__(self, panel, loglinear, config, **watching) -> AdapterOutcome:
        self.calls.append((panel, loglinear, config, watching))
        found = self.outcome(loglinear)
        for row in found.trace:
            if watching["monitor"] is not None:
                watching["monitor"](row)
        if watching["on_progress"] is not None:
            watching["on_progress"]("step", round=1, rounds=2, done=0.5)
        return found


def install(patch: pytest.MonkeyPatch, trainer) -> None:
    """Let `fit` find this trainer."""
    module = ModuleType("emdpo.adapters.fitting")
    module.fit_adapters = trainer  # type: ignore[attr-defined]
    module.check_base = lambda config: None  # type: ignore[attr-defined]
    patch.setitem(sys.modules, "emdpo.adapters.fitting", module)
