"""Log-likelihoods of the rankings fitted under two fits, user by user.

Of rankings that were not fitted: `prediction_changes`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emdpo.core.em import e_step, user_totals
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.resampling import Estimate, estimate_of, resampled_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings


class ScoredTypes(NamedTuple):
    """The types of a fit, by what they say of every candidate."""

    scores: NDArray[np.float64]
    """(K, A) DPO scores, nats."""
    weights: NDArray[np.float64]
    """(K,) mixture weights."""


@dataclass(frozen=True)
class LikelihoodChange:
    """Log-likelihoods of the rankings that both were fitted to, nats."""

    a: float
    b: float
    difference: Estimate
    """B less A; n users, percentile bootstrap over them."""
    n_rankings: int


def user_marginals(panel: Rankings, types: ScoredTypes) -> NDArray[np.float64]:
    """Return each user's log sum_k w_k prod_j P_k(ranking_ij), (N,)."""
    log_lik = log_likelihoods(panel.stages, types.scores[:, panel.candidate])  # (K, R)
    with np.errstate(divide="ignore"):
        log_weights = np.log(types.weights)
    _, marginal = e_step(user_totals(panel, log_lik), log_weights)
    return marginal


def fitted_change(
    panel: Rankings,
    a: ScoredTypes,
    b: ScoredTypes,
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> LikelihoodChange:
    """Return the log-likelihoods of rankings that both were fitted to: sums, which flatter."""
    before, after = user_marginals(panel, a), user_marginals(panel, b)
    n = panel.n_users
    draws = n * resampled_means((after - before)[:, None], n_bootstrap, rng)[:, 0]
    total = float(before.sum()), float(after.sum())
    change = estimate_of(total[1] - total[0], draws, confidence, n)
    return LikelihoodChange(*total, change, panel.n_rankings)
