"""Expectation-maximisation over users' preference types, for any kind of type policy.

The loop knows no policy: it asks for `scores` and for an `update` (`steps`). Policies with a
parameter vector are finished by a quasi-Newton ascent (`ascent`). Where to start is `starts`;
running several starts is `mixture`. This module is also the front of `steps` and `ascent`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Generic, NamedTuple

import numpy as np

from emdpo.core.ascent import ObservedObjective, ascend
from emdpo.core.steps import (
    NO_RESPONSIBILITY,
    EMState,
    P,
    SmoothTypePolicies,
    StopTest,
    TypePolicies,
    e_step,
    em_step,
    evaluate,
    m_step_weights,
    never,
    ranking_weights,
    user_log_likelihoods,
    user_totals,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

__all__ = [
    "DEFAULT_CONFIG",
    "NO_RESPONSIBILITY",
    "Checkpoint",
    "EMConfig",
    "EMRun",
    "EMState",
    "GainEstimate",
    "Monitor",
    "ObservedObjective",
    "SmoothTypePolicies",
    "StopReason",
    "StopTest",
    "TraceRow",
    "TypePolicies",
    "continue_em",
    "e_step",
    "em_step",
    "evaluate",
    "m_step_weights",
    "never",
    "ranking_weights",
    "remaining_gain",
    "run_em",
    "user_log_likelihoods",
    "user_totals",
]

MONOTONE_TOLERANCE = 1e-9
"""A fall of the objective by less than this share of its size is rounding."""

CONFIRMING_STEPS = 3
"""EM steps after a quasi-Newton ascent, from which what is left to gain is estimated."""


class StopReason(StrEnum):
    """Why EM ended. Only `converged` says that little is left to gain."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    DECREASED = "decreased"
    CANCELLED = "cancelled"
    NON_FINITE = "non_finite"


class TraceRow(NamedTuple):
    """One iteration, as shown in trace.csv and live in the page."""

    restart: int
    iteration: int
    log_likelihood: float
    weights: tuple[float, ...]


Monitor = Callable[[TraceRow], bool]
"""Called after every iteration; returning true cancels the fit."""


@dataclass(frozen=True)
class EMConfig:
    """When EM stops."""

    max_iter: int = 500
    """Iterations of one start, EM steps and quasi-Newton steps together, >= 0."""
    tolerance: float = 1e-3
    """`converged` when the log-likelihood (nats) still to be gained is estimated below this."""
    warm_up: int = 1
    """EM steps before the quasi-Newton ascent of policies that have a parameter vector, >= 0."""


DEFAULT_CONFIG = EMConfig()


@dataclass(frozen=True, eq=False)
class EMRun(Generic[P]):
    """The outcome of one start."""

    state: EMState[P]
    trace: tuple[TraceRow, ...]
    stop_reason: StopReason
    remaining_gain: float
    """Estimated nats still to be gained; nan where it could not be estimated."""


@dataclass(frozen=True, eq=False)
class Checkpoint(Generic[P]):
    """Where a start stands between EM steps and stretches of the ascent: all it takes to go on."""

    state: EMState[P]
    """Equal, bit for bit, to `evaluate` at its own policies and weights."""
    trace: tuple[TraceRow, ...]
    steps_left: int
    """EM steps before the next stretch of the ascent."""
    objectives: tuple[float, ...]
    """At most the last three since the ascent: what is left to gain is estimated from them."""


OnCheckpoint = Callable[[Checkpoint[P]], None]
"""Called at the start and after every EM step and stretch of the ascent."""


def remaining_gain(objectives: Sequence[float]) -> float:
    """Return what an iteration that gains geometrically less each time has left, from its values.

    Aitken's rule: with gains g_1, g_2 and rate a = g_2 / g_1 < 1, a g_2 / (1 - a) is left
    (McLachlan and Peel 2000, section 2.11). The last three values count; inf with fewer, and while
    gains still grow.
    """
    if len(objectives) < 3:
        return np.inf
    first, second = np.diff(objectives[-3:])
    noise = 1e-12 * max(1.0, abs(objectives[-1]))
    if abs(second) <= noise:
        return 0.0
    rate = second / first if first > 0 else 1.0
    return float(rate * second / (1 - rate)) if 0 <= rate < 1 else np.inf


class GainEstimate:
    """`remaining_gain` of values that come one by one."""

    def __init__(self) -> None:
        self._values: tuple[float, ...] = ()

    def after(self, value: float) -> float:
        """Return the estimate once `value` has been reached."""
        self._values = (*self._values[-2:], value)
        return remaining_gain(self._values)


class _Tracer:
    """Numbers the iterations of one start and asks after each whether to go on."""

    def __init__(
        self,
        restart: int,
        monitor: Monitor | None,
        should_stop: StopTest,
        rows: Sequence[TraceRow] = (),
    ) -> None:
        self.rows = list(rows)
        self.should_stop = should_stop
        self._restart, self._monitor = restart, monitor

    def cancelled_after(self, log_likelihood: float, log_weights: NDArray[np.float64]) -> bool:
        weights = tuple(np.exp(log_weights).tolist())
        self.rows.append(TraceRow(self._restart, len(self.rows), log_likelihood, weights))
        told = self._monitor is not None and bool(self._monitor(self.rows[-1]))
        return told or self.should_stop()

    def left(self, config: EMConfig) -> int:
        """Return the iterations still allowed; row 0 is the start, not an iteration."""
        return config.max_iter - len(self.rows) + 1


def run_em(
    policies: P,
    rankings: Rankings,
    responsibilities: NDArray[np.float64],
    config: EMConfig = DEFAULT_CONFIG,
    *,
    restart: int = 0,
    monitor: Monitor | None = None,
    should_stop: StopTest = never,
    on_checkpoint: OnCheckpoint[P] | None = None,
) -> EMRun[P]:
    """Return the fit reached from starting responsibilities (N, K).

    Exact M-steps never lower the objective. A fall therefore ends the run with `decreased`, and
    the best state is returned; nothing is called converged on a fall.
    """
    tracer = _Tracer(restart, monitor, should_stop)
    with np.errstate(divide="ignore"):
        log_weights = m_step_weights(np.log(responsibilities))
    first = policies.update(rankings, responsibilities, should_stop=should_stop)
    state = evaluate(first, rankings, log_weights)
    if not np.isfinite(state.objective):
        return EMRun(state, (), StopReason.NON_FINITE, np.nan)
    if tracer.cancelled_after(state.log_likelihood, state.log_weights):
        return EMRun(state, tuple(tracer.rows), StopReason.CANCELLED, np.nan)
    smooth = isinstance(policies, SmoothTypePolicies)
    steps = config.warm_up if smooth else config.max_iter
    here = Checkpoint(state, tuple(tracer.rows), steps, (state.objective,))
    return _go_on(here, rankings, config, tracer, on_checkpoint)


def continue_em(
    checkpoint: Checkpoint[P],
    rankings: Rankings,
    config: EMConfig = DEFAULT_CONFIG,
    *,
    restart: int = 0,
    monitor: Monitor | None = None,
    should_stop: StopTest = never,
    on_checkpoint: OnCheckpoint[P] | None = None,
) -> EMRun[P]:
    """Return what `run_em` would have returned, bit for bit, from one of its checkpoints."""
    tracer = _Tracer(restart, monitor, should_stop, checkpoint.trace)
    return _go_on(checkpoint, rankings, config, tracer, on_checkpoint)


def _go_on(
    here: Checkpoint[P],
    rankings: Rankings,
    config: EMConfig,
    tracer: _Tracer,
    on_checkpoint: OnCheckpoint[P] | None,
) -> EMRun[P]:
    """EM steps and stretches of the ascent in turn, until there is a reason to stop."""
    reason = None
    while reason is None:
        if on_checkpoint is not None:
            on_checkpoint(here)
        if tracer.left(config) <= 0:
            reason = StopReason.MAX_ITER
        elif here.steps_left:
            here, reason = _step(here, rankings, config, tracer)
        else:
            here, reason = _ascend(here, rankings, config, tracer)
    return EMRun(here.state, tuple(tracer.rows), reason, remaining_gain(here.objectives))


def _step(
    here: Checkpoint[P], rankings: Rankings, config: EMConfig, tracer: _Tracer
) -> tuple[Checkpoint[P], StopReason | None]:
    """Return where one plain EM step leads, and the reason to stop there, if any."""
    before, state = here.state, em_step(here.state, rankings, tracer.should_stop)
    if not np.isfinite(state.objective):
        return here, StopReason.NON_FINITE
    if state.objective < before.objective - MONOTONE_TOLERANCE * max(1.0, abs(before.objective)):
        return here, StopReason.DECREASED
    cancelled = tracer.cancelled_after(state.log_likelihood, state.log_weights)
    objectives = (*here.objectives[-2:], state.objective)
    there = Checkpoint(state, tuple(tracer.rows), here.steps_left - 1, objectives)
    if cancelled:
        return there, StopReason.CANCELLED
    converged = remaining_gain(objectives) < config.tolerance
    return there, StopReason.CONVERGED if converged else None


def _ascend(
    here: Checkpoint[P], rankings: Rankings, config: EMConfig, tracer: _Tracer
) -> tuple[Checkpoint[P], StopReason | None]:
    """Return where a stretch of the ascent leads, and the reason to stop there, if any.

    An ascent never says that it has converged: it stands still on saddles too. The gains of the
    EM steps that follow say so.
    """
    cancelled = False

    def after_step(log_likelihood: float, log_weights: NDArray[np.float64]) -> bool:
        nonlocal cancelled
        cancelled = tracer.cancelled_after(log_likelihood, log_weights)
        return cancelled

    stretch = ascend(here.state, rankings, config.tolerance, tracer.left(config), after_step)
    if stretch.state is None:
        return replace(here, trace=tuple(tracer.rows)), StopReason.NON_FINITE
    there = Checkpoint(
        state=stretch.state,
        trace=tuple(tracer.rows),
        steps_left=CONFIRMING_STEPS if stretch.stands_still else 0,
        objectives=(stretch.state.objective,),
    )
    return there, StopReason.CANCELLED if cancelled else None
