"""Log-likelihoods of the same rankings under two fits, user by user."""

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
    """Log-likelihoods of the same rankings by two fits, nats."""

    a: float
    b: float
    difference: Estimate
    """B less A; n users, percentile bootstrap over them."""
    n_rankings: int
    per_ranking: bool
    """Whether the numbers are means over rankings, not sums."""


def user_marginals(
    panel: Rankings, types: ScoredTypes, held_out: NDArray[np.bool_] | None = None
) -> NDArray[np.float64]:
    """Return each user's log sum_k w_k prod_j P_k(ranking_ij), (N,).

    With `held_out` (R,): that of the rankings held out, given the user's other rankings.
    """
    log_lik = log_likelihoods(panel.stages, types.scores[:, panel.candidate])  # (K, R)
    with np.errstate(divide="ignore"):
        log_weights = np.log(types.weights)
    _, marginal = e_step(user_totals(panel, log_lik), log_weights)
    if held_out is None:
        return marginal
    _, seen = e_step(user_totals(panel, log_lik * ~held_out), log_weights)
    return marginal - seen


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
    return LikelihoodChange(*total, change, panel.n_rankings, per_ranking=False)


def held_out_change(
    panel: Rankings,
    held_out: NDArray[np.bool_],
    a: ScoredTypes,
    b: ScoredTypes,
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> LikelihoodChange:
    """Return the log-likelihoods of rankings (R,) that neither was fitted to, per ranking.

    Each user's type is told from their other rankings; users without one held out do not count.
    """
    by_user = np.bincount(panel.user[held_out], minlength=panel.n_users)
    users = np.flatnonzero(by_user)
    before, after = (user_marginals(panel, types, held_out)[users] for types in (a, b))
    n = int(by_user.sum())
    columns = np.stack([after - before, by_user[users].astype(float)], axis=1)
    drawn = resampled_means(columns, n_bootstrap, rng)  # (B, 2)
    mean = float(before.sum() / n), float(after.sum() / n)
    draws = drawn[:, 0] / drawn[:, 1]
    change = estimate_of(mean[1] - mean[0], draws, confidence, len(users))
    return LikelihoodChange(*mean, change, n, per_ranking=True)
