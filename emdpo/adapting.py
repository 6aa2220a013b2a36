"""Adapter policies as the library sees them: found, put in order, and read in plain features."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from threadpoolctl import threadpool_limits

from emdpo.adapters.saved import POOLED, AdapterOutcome, adapter_names, type_name
from emdpo.core.errors import EmdpoError
from emdpo.core.loglinear import untrained
from emdpo.settings import ADAPTERS

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from emdpo.adapters.estimated import Estimate
    from emdpo.core.em import EMState, Monitor, StopTest
    from emdpo.core.loglinear import LogLinearPolicies
    from emdpo.core.rankings import Rankings
    from emdpo.settings import FitConfig

Progress = Callable[..., None]
"""Called with the name of an event and its facts by keyword."""


class Trainer(Protocol):
    """Trains one adapter a type, starting from a log-linear fit."""

    def __call__(
        self,
        panel: Rankings,
        loglinear: EMState[LogLinearPolicies],
        config: FitConfig,
        *,
        also: NDArray[np.bool_] | None = None,
        monitor: Monitor | None,
        should_stop: StopTest,
        folder: Path | None = None,
        on_progress: Progress | None = None,
        rounds: Callable[..., Any] | None = None,
        shared: Path | None = None,
    ) -> AdapterOutcome | None:
        """Return what training found; None where it was stopped before it found anything."""
        ...


def adapter_trainer(config: FitConfig) -> Trainer:
    """Return what trains adapters, on a base model that is there.

    Raises
    ------
    EmdpoError
        A library that only adapters need is not installed, or the base model cannot be had or
        does not carry these adapters; found out before any work.
    """
    with told_what_to_install():
        from emdpo.adapters.fitting import check_base, fit_adapters
    check_base(config)
    return fit_adapters


def estimate(rankings: Rankings, config: FitConfig) -> Estimate:
    """Return the time and the room that a fit of adapters will take on this machine.

    Raises
    ------
    EmdpoError
        Log-linear policies, which need no estimate; or as `fit`.
    """
    if config.policy != ADAPTERS:
        raise EmdpoError(f"only policy {ADAPTERS} needs an estimate: log-linear fits take seconds")
    with told_what_to_install():
        from emdpo.adapters.estimate import estimate_fit
    return estimate_fit(rankings.fitted(), config)


@contextmanager
def told_what_to_install() -> Iterator[None]:
    """Turn a missing library into one line on how to get it."""
    try:
        yield
    except ImportError as error:
        if error.name is not None and error.name.split(".")[0] == "emdpo":
            raise
        raise EmdpoError(
            f'adapters need torch and its companions ({error}): pip install "emdpo[adapters]"'
        ) from None


def by_falling_weight(outcome: AdapterOutcome) -> AdapterOutcome:
    """Return the outcome with its types renumbered, largest first."""
    order = np.argsort(-outcome.log_weights, kind="stable")
    old = [*(type_name(k) for k in order), POOLED]
    adapters = zip(adapter_names(len(order)), old, strict=True)
    return replace(
        outcome,
        scores=outcome.scores[order],
        log_weights=outcome.log_weights[order],
        log_resp=outcome.log_resp[:, order],
        trace=tuple(
            row._replace(weights=tuple(np.take(row.weights, order).tolist()))
            for row in outcome.trace
        ),
        adapters={new: replace(outcome.adapters[name], name=new) for new, name in adapters},
    )


def reading_of(
    outcome: AdapterOutcome, start: LogLinearPolicies, panel: Rankings
) -> LogLinearPolicies:
    """Return log-linear policies fitted to an outcome's types: one exact M-step.

    They say what the rankings of each type prefer in features that people can read.
    """
    blank = untrained(start.features, start.n_types, start.l2)
    with threadpool_limits(1):  # vectors are short: a second thread costs more than it brings
        return blank.update(panel, np.exp(outcome.log_resp))
