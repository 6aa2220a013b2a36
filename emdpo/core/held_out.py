"""How well policies predict rankings that none of them was fitted to, type by type."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.em import e_step, user_totals
from emdpo.core.plackett_luce import log_likelihoods

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

OWN, POOLED, REFERENCE = "own type", "pooled", "reference"
"""The policies compared: of the user's type, of everybody, and the untuned model."""

TAILS = (0.025, 0.975)
"""Of percentile intervals that cover 95%."""


@dataclass(frozen=True)
class HeldOutLoss:
    """Mean log-loss of one type's held-out rankings under one policy."""

    k: int
    """The type, counted from 0; -1 = everybody."""
    policy: str
    """OWN, POOLED or REFERENCE."""
    n_users: int
    """Users of the type with a held-out ranking."""
    n_rankings: int
    log_loss: float
    """Nats per ranking, lower is better."""
    interval: tuple[float, float]
    """95%, percentile bootstrap over users."""
    above_own: float
    """This log-loss less that of the user's own type: what is lost by not knowing types."""
    above_own_interval: tuple[float, float]
    """Of the paired difference, over the same draws of users."""


def held_out_losses(
    panel: Rankings,
    held_out: NDArray[np.bool_],
    scores: NDArray[np.float64],
    pooled: NDArray[np.float64],
    log_weights: NDArray[np.float64],
    *,
    n_bootstrap: int = 1000,
    rng: np.random.Generator,
) -> list[HeldOutLoss]:
    """Return the log-loss of held-out rankings by type and policy; first of everybody.

    Parameters
    ----------
    panel, held_out
        Rankings, and which of them (R,) no policy was fitted to.
    scores, pooled, log_weights
        (K, A), (A,) DPO scores and (K,) log mixture weights.

    Notes
    -----
    A user's type is the most likely one given the rankings that are not held out; a ranking's loss
    under "own type" is minus the log of its probability averaged over that posterior.
    """
    tables = np.concatenate([scores, pooled[None], np.zeros_like(pooled)[None]])  # (K + 2, A)
    log_lik = log_likelihoods(panel.stages, tables[:, panel.candidate])  # (K + 2, R)
    seen = user_totals(panel, log_lik[: len(scores)] * ~held_out)
    log_resp, _ = e_step(seen, log_weights)  # (N, K)
    own = np.logaddexp.reduce(log_resp[panel.user] + log_lik[: len(scores)].T, axis=1)  # (R,)
    by_policy = {OWN: own, POOLED: log_lik[-2], REFERENCE: log_lik[-1]}
    weight = panel.weight * held_out
    totals = {name: _by_user(panel, -values * weight) for name, values in by_policy.items()}
    n_by_user = _by_user(panel, weight)
    kind = log_resp.argmax(axis=1)
    found = []
    for k in (-1, *range(len(scores))):
        users = np.flatnonzero((n_by_user > 0) & ((kind == k) | (k < 0)))
        if len(users):
            found += _losses(k, users, totals, n_by_user, n_bootstrap, rng)
    return found


def _by_user(panel: Rankings, values: NDArray[np.float64]) -> NDArray[np.float64]:
    totals = np.bincount(panel.user, values, minlength=panel.n_users)
    return totals.astype(np.float64)


def _losses(
    k: int,
    users: NDArray[np.intp],
    totals: Mapping[str, NDArray[np.float64]],
    n_by_user: NDArray[np.float64],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> list[HeldOutLoss]:
    equal = np.full(len(users), 1 / len(users))
    draws = rng.multinomial(len(users), equal, size=n_bootstrap)  # (B, users)
    n, n_drawn = n_by_user[users], draws @ n_by_user[users]
    drawn = {name: draws @ total[users] / n_drawn for name, total in totals.items()}
    mean = {name: float(total[users].sum() / n.sum()) for name, total in totals.items()}
    return [
        HeldOutLoss(
            k=k,
            policy=name,
            n_users=len(users),
            n_rankings=int(round(n.sum())),
            log_loss=mean[name],
            interval=_interval(drawn[name]),
            above_own=mean[name] - mean[OWN],
            above_own_interval=_interval(drawn[name] - drawn[OWN]),
        )
        for name in totals
    ]


def _interval(draws: NDArray[np.float64]) -> tuple[float, float]:
    low, high = np.quantile(draws, TAILS)
    return float(low), float(high)
