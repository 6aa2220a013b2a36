"""Rounds of generalised EM as values: which adapters they train, where they stand, why they end."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emdpo.adapters.saved import POOLED, type_name
from emdpo.core.em import GainEstimate, StopReason, TraceRow

if TYPE_CHECKING:
    from numpy.typing import NDArray

GAIN = 5e-3
"""Nats per guarding ranking below which a round has gained nothing worth its time."""

PATIENCE = 2
"""Rounds without such a gain, after one with it, that show that little is left to gain."""


@dataclass(frozen=True)
class Trainee:
    """An adapter of the fit: which type's rankings it learns, and which half of them."""

    name: str
    k: int | None
    """Its type, counted from 0; None = everybody's."""
    half: int | None = None
    """The half of the rankings that it is trained on; None = all."""


def half_name(k: int, half: int) -> str:
    """Return the name of type k's adapter that is trained on one half (0 or 1) of the rankings."""
    return f"{type_name(k)}-half-{half + 1}"


def trainees(n_types: int, cross_fitted: bool, final: bool = False) -> tuple[Trainee, ...]:
    """Return the adapters that a round trains, or, where cross-fitted, those of the final pass."""
    pooled = (Trainee(POOLED, None),) if n_types > 1 else ()
    whole = tuple(Trainee(type_name(k), k) for k in range(n_types))
    if not cross_fitted:
        return (*whole, *pooled)
    if final:
        return whole
    split = (Trainee(half_name(k, half), k, half) for k in range(n_types) for half in (0, 1))
    return (*split, *pooled)


@dataclass(frozen=True, eq=False)
class Round:
    """The state after one round: an E-step, and how well it predicts what guards it."""

    number: int
    log_weights: NDArray[np.float64]
    """(K,)"""
    log_resp: NDArray[np.float64]
    """(N, K)"""
    log_likelihood: float
    """Observed, of the rankings fitted; cross-fitted where E-steps are."""
    guard: NDArray[np.float64]
    """(N,) each user's log-likelihood of the rankings that guard."""
    pooled: float
    """Log-likelihood of the guarding rankings under the one policy for everybody."""


_ARRAYS = ("log_weights", "log_resp", "guard")


@dataclass(frozen=True, eq=False)
class Course:
    """How far the rounds have come."""

    now: Round
    best: Round
    """By what guards, not by the rankings that adapters were trained on."""
    rows: tuple[dict[str, Any], ...]
    """JSON facts of every round, the start included."""

    @property
    def trace(self) -> tuple[TraceRow, ...]:
        """The rounds as EM traces them."""
        return tuple(
            TraceRow(0, row["round"], row["log_likelihood"], tuple(row["weights"]))
            for row in self.rows
        )

    @property
    def remaining_gain(self) -> float:
        """Nats that the guarding rankings may still gain; inf or nan where unknown."""
        estimate, remaining = GainEstimate(), np.nan
        for row in self.rows:
            remaining = estimate.after(row["guard"])
        return remaining

    def to_tensors(self) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
        """Return the course as tensors and JSON facts."""
        states = {"now": self.now, "best": self.best}
        tensors = {
            f"{label}.{key}": as_tensor(getattr(state, key))
            for label, state in states.items()
            for key in _ARRAYS
        }
        numbers = {label: state.number for label, state in states.items()}
        return tensors, {"rows": self.rows, **numbers}

    @classmethod
    def from_tensors(cls, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]) -> Course:
        """Return the course that `to_tensors` gave."""
        rows = tuple(facts["rows"])

        def state(label: str) -> Round:
            number = facts[label]
            return Round(
                number=number,
                log_likelihood=rows[number]["log_likelihood"],
                pooled=rows[number]["pooled_guard"],
                **{key: tensors[f"{label}.{key}"].numpy() for key in _ARRAYS},
            )

        now = state("now")
        best = now if facts["best"] == facts["now"] else state("best")
        return cls(now, best, rows)

    def after(self, following: Round, seconds: float, n_guard: int) -> Course:
        """Return the course with one more round."""
        gain = float(following.guard.sum() - self.best.guard.sum())
        best = following if gain > 0 else self.best
        last = following.number if gain >= GAIN * n_guard else self.rows[-1]["last_gain"]
        return Course(following, best, (*self.rows, facts_of(following, seconds, last)))

    def reason(self, n_guard: int, rounds: int) -> StopReason | None:
        """Return why the rounds end here, None if they do not."""
        if not np.isfinite(self.now.log_likelihood):
            return StopReason.NON_FINITE
        gap = self.best.guard - self.now.guard  # (N,)
        error = gap.std() * np.sqrt(len(gap))
        if gap.sum() > max(error, GAIN * n_guard):
            return StopReason.DECREASED
        last_gain = self.rows[-1]["last_gain"]
        if last_gain > 0 and self.now.number - last_gain >= PATIENCE:
            return StopReason.CONVERGED
        return StopReason.MAX_ITER if self.now.number >= rounds else None


def as_tensor(array: NDArray[np.float64]) -> torch.Tensor:
    """Return a copy of an array as a tensor."""
    return torch.from_numpy(np.ascontiguousarray(array)).clone()


def facts_of(state: Round, seconds: float, last_gain: int) -> dict[str, Any]:
    """Return what is told and kept of a round, as JSON values."""
    return {
        "round": state.number,
        "log_likelihood": state.log_likelihood,
        "weights": np.exp(state.log_weights).tolist(),
        "guard": float(state.guard.sum()),
        "pooled_guard": state.pooled,
        "seconds": seconds,
        "last_gain": last_gain,
    }
