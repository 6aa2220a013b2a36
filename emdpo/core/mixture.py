"""The best of several starts of EM with log-linear policies, and how far the starts agree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
from threadpoolctl import threadpool_limits

from emdpo.core.em import (
    DEFAULT_CONFIG,
    Checkpoint,
    EMConfig,
    EMRun,
    EMState,
    Monitor,
    StopReason,
    StopTest,
    TraceRow,
    continue_em,
    never,
    run_em,
)
from emdpo.core.loglinear import LogLinearPolicies, untrained
from emdpo.core.starts import starting_responsibilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings

SAME_OPTIMUM = 0.01
"""Starts whose objective is within this of the best (nats) have reached the same optimum."""

EMPTY_TYPE = 0.5
"""A type that holds fewer users than this is empty: no rule protects it, no figure counts it."""

AGREEMENT_STARTS = 5
"""Restart agreement is the mean adjusted Rand index of this many next best starts to the best."""

LogLinearRun = EMRun[LogLinearPolicies]
LogLinearCheckpoint = Checkpoint[LogLinearPolicies]


@dataclass(frozen=True, eq=False)
class MixtureFit:
    """K types fitted from several starts; types are numbered by falling weight."""

    best: LogLinearRun
    runs: tuple[LogLinearRun, ...]
    """Every start, in order; fewer than asked for if cancelled."""
    stop_reason: StopReason
    """Of the best start, or `cancelled`."""

    @property
    def trace(self) -> tuple[TraceRow, ...]:
        """Every iteration of every start."""
        return tuple(row for run in self.runs for row in run.trace)

    @property
    def n_reached_best(self) -> int:
        """Starts that ended within SAME_OPTIMUM of the best objective."""
        best = self.best.state.objective
        return sum(run.state.objective >= best - SAME_OPTIMUM for run in self.runs)

    @property
    def restart_agreement(self) -> float | None:
        """Mean ARI of the next best starts' hard assignments with the best's; None with one start.

        1 = they put the same users together; near 0 = no more than chance.
        """
        from sklearn.metrics import adjusted_rand_score  # a second to load, for fits alone

        ordered = sorted(self.runs, key=lambda run: -run.state.objective)[: AGREEMENT_STARTS + 1]
        if len(ordered) < 2:
            return None
        best, *others = (run.state.log_resp.argmax(axis=1) for run in ordered)
        return float(np.mean([adjusted_rand_score(best, other) for other in others]))


def fit_mixture(
    rankings: Rankings,
    features: FeatureSet,
    n_types: int,
    *,
    l2: float,
    n_restarts: int,
    seed: int,
    config: EMConfig = DEFAULT_CONFIG,
    monitor: Monitor | None = None,
    should_stop: StopTest = never,
    finished: Mapping[int, LogLinearRun] | None = None,
    on_finished: Callable[[int, LogLinearRun], None] | None = None,
    under_way: Mapping[int, LogLinearCheckpoint] | None = None,
    on_checkpoint: Callable[[int, LogLinearCheckpoint], None] | None = None,
) -> MixtureFit:
    """Return the best of `n_restarts` starts by penalised log-likelihood.

    Every start draws from its own random stream, so that it does not depend on the others:
    `finished` starts (of an interrupted fit) are taken over as they are, and those `under_way` go
    on from their checkpoint. One type has one optimum and is started once.
    """
    finished, under_way = finished or {}, under_way or {}
    streams = np.random.SeedSequence(seed).spawn(n_restarts)
    runs: list[LogLinearRun] = []
    for restart, stream in enumerate(streams[: 1 if n_types == 1 else n_restarts]):
        run = finished.get(restart)
        if run is None:
            watching: dict[str, Any] = {"monitor": monitor, "should_stop": should_stop}
            if on_checkpoint is not None:
                watching["on_checkpoint"] = partial(on_checkpoint, restart)
            # Vectors are short: a second BLAS or OpenMP thread costs more than it brings.
            with threadpool_limits(1):
                if restart in under_way:
                    go = partial(continue_em, under_way[restart])
                else:
                    rng = np.random.default_rng(stream)
                    start = starting_responsibilities(
                        rankings, features, n_types, restart, rng, l2=l2, should_stop=should_stop
                    )
                    go = partial(run_em, untrained(features, n_types, l2), responsibilities=start)
                run = go(rankings=rankings, config=config, restart=restart, **watching)
            run = by_falling_weight(run)
            if on_finished is not None and run.stop_reason is not StopReason.CANCELLED:
                on_finished(restart, run)
        runs.append(run)
        if run.stop_reason is StopReason.CANCELLED:
            break
    best = max(runs, key=_rank_key)
    cancelled = runs[-1].stop_reason is StopReason.CANCELLED
    reason = StopReason.CANCELLED if cancelled else best.stop_reason
    return MixtureFit(best, tuple(runs), reason)


def _rank_key(run: LogLinearRun) -> float:
    return run.state.objective if np.isfinite(run.state.objective) else -np.inf


def by_falling_weight(run: LogLinearRun) -> LogLinearRun:
    """Return the run with its types renumbered, largest first."""
    order = np.argsort(-run.state.log_weights, kind="stable")
    return replace(
        run,
        state=relabelled(run.state, order),
        trace=tuple(row._replace(weights=tuple(np.take(row.weights, order))) for row in run.trace),
    )


def relabelled(
    state: EMState[LogLinearPolicies], order: NDArray[np.intp]
) -> EMState[LogLinearPolicies]:
    """Return the state with type order[0] first, and so on."""
    return replace(
        state,
        policies=replace(state.policies, theta=state.policies.theta[order]),
        log_weights=state.log_weights[order],
        log_resp=state.log_resp[:, order],
    )


def occupied_types(weights: NDArray[np.float64], n_users: int) -> NDArray[np.bool_]:
    """Return which types hold at least half a user, (K,); the largest always counts."""
    held = weights * n_users >= EMPTY_TYPE
    held[np.argmax(weights)] = True
    return held
