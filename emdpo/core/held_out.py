"""How well policies predict rankings that none of them was fitted to, type by type.

By observed group, and with all aggregation rules: `tested`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.em import e_step, user_totals
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.prediction import POOLED, REFERENCE, mixed_log_likelihoods
from emdpo.core.user_means import totals_by_user, user_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

OWN = "own type"
"""The policy of the user's type; the others are POOLED (of everybody) and REFERENCE (untuned)."""

CONFIDENCE = 0.95


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
    types = log_lik[: len(scores)]
    log_resp, _ = e_step(user_totals(panel, types * ~held_out), log_weights)  # (N, K)
    own = mixed_log_likelihoods(types, np.exp(log_resp), panel)  # (R,)
    weight = panel.weight * held_out
    loss = -np.stack([own, log_lik[-2], log_lik[-1]]) * weight  # (3, R)
    totals = totals_by_user(panel.user, loss, panel.n_users)
    n_by_user = totals_by_user(panel.user, weight[None], panel.n_users)[:, 0]
    kind = log_resp.argmax(axis=1)
    found = []
    for k in (-1, *range(len(scores))):
        users = np.flatnonzero((n_by_user > 0) & ((kind == k) | (k < 0)))
        if len(users):
            told = user_means(
                totals[users],
                n_by_user[users],
                against=0,
                n_bootstrap=n_bootstrap,
                confidence=CONFIDENCE,
                rng=rng,
            )
            found += [
                HeldOutLoss(
                    k=k,
                    policy=policy,
                    n_users=len(users),
                    n_rankings=int(round(n_by_user[users].sum())),
                    log_loss=float(told.mean[j]),
                    interval=_pair(told.interval[j]),
                    above_own=float(told.above[j]),
                    above_own_interval=_pair(told.above_interval[j]),
                )
                for j, policy in enumerate((OWN, POOLED, REFERENCE))
            ]
    return found


def _pair(ends: NDArray[np.float64]) -> tuple[float, float]:
    low, high = ends.tolist()
    return low, high
