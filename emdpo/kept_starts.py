"""What a fit keeps in RUN/state to be resumed: ended starts, and a checkpoint of the one under way.

Each file has a fingerprint that shows damage; what is damaged is worked out again.
"""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from emdpo import files
from emdpo.core.em import Checkpoint, EMRun, EMState, StopReason, TraceRow, evaluate
from emdpo.core.errors import RunError
from emdpo.core.json_values import plain
from emdpo.core.loglinear import LogLinearPolicies

if TYPE_CHECKING:
    from pathlib import Path

    from emdpo.core.features import FeatureSet
    from emdpo.core.mixture import LogLinearCheckpoint, LogLinearRun
    from emdpo.core.rankings import Rankings
    from emdpo.fitting import FitConfig

SECONDS_BETWEEN_CHECKPOINTS = 1.0
"""Writing one takes milliseconds, most of them for the flush to disk."""

_CHECKPOINT = "checkpoint.json"
_DAMAGED = (RunError, KeyError, TypeError, ValueError)


def kept_files(state: Path) -> list[Path]:
    """Return what `save_restart` and `checkpoint_writer` have written."""
    checkpoint = state / _CHECKPOINT
    starts = sorted(state.glob("restart-*.json"))
    return [*starts, *([checkpoint] if files.exists(checkpoint) else [])]


def save_restart(state: Path, restart: int, outcome: LogLinearRun) -> None:
    """Keep a finished start at full precision, with a fingerprint that shows damage.

    Responsibilities are kept too: another E-step would give them up to rounding only, since types
    have been renumbered since and sums over types round by their order.
    """
    end = outcome.state
    value = {
        "theta": end.policies.theta.tolist(),
        "log_weights": end.log_weights.tolist(),
        "log_resp": end.log_resp.tolist(),
        "log_likelihood": end.log_likelihood,
        "stop_reason": outcome.stop_reason.value,
        "remaining_gain": outcome.remaining_gain,
        "trace": [row._asdict() for row in outcome.trace],
    }
    _keep(state / f"restart-{restart:04d}.json", value)


def checkpoint_writer(state: Path) -> Callable[[int, LogLinearCheckpoint], bool]:
    """Return what keeps the checkpoint of the start under way, a new one every second at most.

    It returns whether it kept one. Responsibilities are left out: an E-step at the checkpoint gives
    them back bit for bit.
    """
    written = time.monotonic()

    def write(restart: int, checkpoint: LogLinearCheckpoint) -> bool:
        nonlocal written
        if time.monotonic() - written < SECONDS_BETWEEN_CHECKPOINTS:
            return False
        value = {
            "restart": restart,
            "theta": checkpoint.state.policies.theta.tolist(),
            "log_weights": checkpoint.state.log_weights.tolist(),
            "steps_left": checkpoint.steps_left,
            "objectives": checkpoint.objectives,
            "trace": [row._asdict() for row in checkpoint.trace],
        }
        _keep(state / _CHECKPOINT, value)
        written = time.monotonic()
        return True

    return write


def _keep(path: Path, value: Mapping[str, Any]) -> None:
    files.write_json(path, {"sha256": _fingerprint(plain(value)), "outcome": value})


def _kept(path: Path) -> dict[str, Any]:
    """Return what `_keep` wrote; ValueError where it is damaged."""
    held = files.read_json(path)
    if _fingerprint(held["outcome"]) != held["sha256"]:
        raise ValueError(f"{path} is damaged")
    return held["outcome"]


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def load_restarts(state: Path, features: FeatureSet, config: FitConfig) -> dict[int, LogLinearRun]:
    """Return the finished starts of an interrupted fit, by number; a damaged one is run again."""
    found = {}
    for path in sorted(state.glob("restart-*.json")):
        with suppress(*_DAMAGED):
            restart = int(path.stem.removeprefix("restart-"))
            found[restart] = _restart(_kept(path), features, config)
    return found


def load_checkpoint(
    state: Path, features: FeatureSet, config: FitConfig, panel: Rankings
) -> dict[int, LogLinearCheckpoint]:
    """Return the last checkpoint by the number of its start; none where there is no whole one."""
    with suppress(*_DAMAGED):
        held = _kept(state / _CHECKPOINT)
        policies = LogLinearPolicies(features, np.array(held["theta"], float), config.l2)
        with threadpool_limits(1):  # as in the fit: another number of threads rounds differently
            there = evaluate(policies, panel, np.array(held["log_weights"], float))
        here = Checkpoint(there, _trace(held), held["steps_left"], tuple(held["objectives"]))
        return {held["restart"]: here}
    return {}


def _restart(held: dict[str, Any], features: FeatureSet, config: FitConfig) -> LogLinearRun:
    policies = LogLinearPolicies(features, np.array(held["theta"], float), config.l2)
    gain = held["remaining_gain"]
    return EMRun(
        state=EMState(
            policies=policies,
            log_weights=np.array(held["log_weights"], float),
            log_resp=np.array(held["log_resp"], float),
            log_likelihood=np.nan if held["log_likelihood"] is None else held["log_likelihood"],
        ),
        trace=_trace(held),
        stop_reason=StopReason(held["stop_reason"]),
        remaining_gain=np.nan if gain is None else gain,
    )


def _trace(held: Mapping[str, Any]) -> tuple[TraceRow, ...]:
    rows = (TraceRow(**row) for row in held["trace"])
    return tuple(row._replace(weights=tuple(row.weights)) for row in rows)
