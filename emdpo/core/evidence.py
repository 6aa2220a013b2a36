"""Why a user is thought to be of a type: what each ranking adds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from emdpo.core.errors import EmdpoError
from emdpo.core.plackett_luce import log_likelihoods

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings
    from emdpo.core.scored import FittedPolicies

SAME_POSTERIOR = 1e-6
"""Difference of two probabilities that is rounding."""


@dataclass(frozen=True)
class RankingEvidence:
    """What one ranking says about its user's type."""

    ranking_id: str
    prompt: str
    order: tuple[str, ...]
    """The answers, best first; those shown but not ranked come last."""
    ranks: tuple[int, ...]
    """Rank of each answer of `order`; equal = tied, 0 = not ranked."""
    log_likelihoods: tuple[float, ...]
    """(K,) log P_k of the ranking, nats, times its weight."""
    influence: float
    """Its part of the log-odds of the most likely type against the runner-up, nats."""


@dataclass(frozen=True)
class UserEvidence:
    """One user's posterior over types, and why."""

    user_id: str
    posterior: tuple[float, ...]
    """(K,) responsibilities."""
    most_likely: int
    """1-based number of the most likely type."""
    runner_up: int | None
    """1-based number of the second most likely type; None with one type."""
    prior_influence: float
    """Log-odds of the two types before any ranking: the types' sizes, nats."""
    rankings: tuple[RankingEvidence, ...]
    """Sorted by the size of `influence`, largest first."""

    @property
    def adds_up(self) -> bool:
        """Whether the influences give the posterior.

        Not where it was cross-fitted: each ranking judged by policies trained without it.
        """
        if self.runner_up is None:
            return True
        told = self.prior_influence + sum(ranking.influence for ranking in self.rankings)
        first, second = (self.posterior[k - 1] for k in (self.most_likely, self.runner_up))
        return abs(first - (first + second) * float(expit(told))) < SAME_POSTERIOR


def user_evidence(
    rankings: Rankings,
    policies: FittedPolicies,
    responsibilities: NDArray[np.float64],
    weights: NDArray[np.float64],
    user_id: str,
) -> UserEvidence:
    """Return one user's posterior over types, and what each of their rankings adds to it.

    Raises
    ------
    EmdpoError
        No user of that id.

    Notes
    -----
    `prior_influence` and the rankings' `influence` add up to the posterior log-odds, unless the
    posterior was cross-fitted (`UserEvidence.adds_up`).
    """
    found = np.flatnonzero(rankings.users.index == user_id)
    if not len(found):
        raise EmdpoError(f"no user {user_id!r:.80} among the {rankings.n_users:,} users fitted")
    user = int(found[0])
    posterior = responsibilities[user]
    part = rankings.select(rankings.user == user)
    log_lik = log_likelihoods(part.stages, policies.scores(part)) * part.weight  # (K, R)
    best, *rest = np.argsort(-posterior, kind="stable")
    influence = log_lik[best] - (log_lik[rest[0]] if rest else log_lik[best])
    with np.errstate(divide="ignore"):
        log_weights = np.log(weights)
    order = np.argsort(-np.abs(influence), kind="stable")
    return UserEvidence(
        user_id=user_id,
        posterior=tuple(posterior.tolist()),
        most_likely=int(best) + 1,
        runner_up=int(rest[0]) + 1 if rest else None,
        prior_influence=float(log_weights[best] - log_weights[rest[0]]) if rest else 0.0,
        rankings=tuple(
            _ranking_evidence(part, r, log_lik[:, r], float(influence[r])) for r in order
        ),
    )


def _ranking_evidence(
    part: Rankings, r: int, log_lik: NDArray[np.float64], influence: float
) -> RankingEvidence:
    rows = np.arange(part.offsets[r], part.offsets[r + 1])
    ranks = part.ranks[rows]
    rows = rows[np.lexsort((ranks, ranks == 0))]
    return RankingEvidence(
        ranking_id=str(part.ranking_ids[r]),
        prompt=str(part.prompts["prompt"].iloc[part.prompt[r]]),
        order=tuple(map(str, part.candidates["response"].iloc[part.candidate[rows]])),
        ranks=tuple(part.ranks[rows].tolist()),
        log_likelihoods=tuple(log_lik.tolist()),
        influence=influence,
    )
