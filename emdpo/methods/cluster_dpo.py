"""Cluster-DPO: k-means on users, then DPO in each cluster; the baseline of the EM-DPO paper."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from emdpo.core.aggregation import kl_consensus
from emdpo.core.loglinear import untrained
from emdpo.core.plackett_luce import log_likelihoods_vjp
from emdpo.core.regret import log_policies, log_reference
from emdpo.methods.base import Floats, Problem, TypeScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings

USERS_AT_ONCE = 2_000


@dataclass(frozen=True)
class ClusterDPO:
    """Users' mean preferences are clustered, and each cluster has a DPO policy of its own."""

    name: ClassVar[str] = "cluster_dpo"
    source: ClassVar[str] = "Chidambaram, Seetharaman, Syrgkanis 2026, arXiv 2510.15716, baseline"
    assumes: ClassVar[str] = "K kinds of people, told apart by their answers before any policy is"
    changed: ClassVar[str] = "users are the mean gradient of their rankings at the untuned model"

    n_types: int = 2
    l2: float = 1.0

    @classmethod
    def grid(cls) -> Sequence[ClusterDPO]:
        """Return 2, 3, 4 clusters with two priors."""
        return [cls(k, l2) for k, l2 in product((2, 3, 4), (1.0, 10.0))]

    def fit(self, problem: Problem) -> Clusters:
        """Cluster the users, then fit every cluster's policy."""
        features = problem.features
        member, centres = clustered(problem, self.n_types)
        policies = untrained(features, len(centres), self.l2).update(problem.panel, member)
        scores = policies.candidate_scores()
        return Clusters.of(problem, member, centres, scores, policies.theta.size)


def clustered(problem: Problem, n_types: int) -> tuple[Floats, Floats]:
    """Return the users' clusters as 0 and 1, (N, K), and centres (K, D); K where users differ."""
    from sklearn.cluster import KMeans  # a second to load, for fits alone

    vectors = user_vectors(problem.panel, problem.features)
    n_types = min(n_types, len(np.unique(vectors, axis=0)))
    clusters = KMeans(n_types, n_init=10, random_state=problem.seed)  # type: ignore[arg-type]
    member = np.eye(n_types)[clusters.fit_predict(vectors)]
    return member, clusters.cluster_centers_


@dataclass(frozen=True, eq=False)
class Clusters(TypeScores):
    """Types whose users are told by the nearest centre."""

    centres: Floats = field(kw_only=True)
    """(K, D)"""
    features: FeatureSet = field(kw_only=True)

    @classmethod
    def of(
        cls, problem: Problem, member: Floats, centres: Floats, scores: Floats, n_parameters: int
    ) -> Clusters:
        """Return the model of clusters (N, K), each with scores (K, A)."""
        return cls(
            scores=scores,
            log_weights=np.log(member.mean(axis=0)),
            one_policy=consensus_scores(scores, problem.prompt, problem.beta),
            n_parameters=n_parameters,
            hard=True,
            centres=centres,
            features=problem.features,
        )

    def posterior(self, known: Rankings) -> Floats:
        """Return 1 for the nearest cluster of a user; the clusters' shares where none is known."""
        vectors = user_vectors(known, self.features)
        distance = ((vectors[:, None, :] - self.centres) ** 2).sum(axis=2)
        member = np.eye(len(self.centres))[distance.argmin(axis=1)]
        unknown = np.bincount(known.user, minlength=known.n_users) == 0
        member[unknown] = np.exp(self.log_weights)
        return member


def user_vectors(panel: Rankings, features: FeatureSet) -> Floats:
    """Return each user's mean gradient of log P(ranking) by theta at theta = 0, (N, D).

    It points to what a user ranks high, beside what they were shown; 0 for users without rankings.
    """
    rows = np.zeros((1, panel.n_rows))
    _, pull_back = log_likelihoods_vjp(panel.stages, rows)
    by_row = pull_back(np.ones((1, panel.n_rankings)))[0]  # (C,)
    user = panel.user[panel.ranking_of_row]
    counts = np.maximum(np.bincount(panel.user, minlength=panel.n_users), 1)
    vectors = np.empty((panel.n_users, features.n_features))
    for start in range(0, panel.n_users, USERS_AT_ONCE):
        some = slice(start, min(start + USERS_AT_ONCE, panel.n_users))
        vectors[some] = features.score_gradient(_by_candidate(panel, user, by_row, some))
    return vectors / counts[:, None]


def _by_candidate(
    panel: Rankings, user: NDArray[np.integer], by_row: Floats, some: slice
) -> Floats:
    """Return sums of `by_row` (C,) by user of a slice and candidate, (n, A)."""
    n = some.stop - some.start
    rows = (user >= some.start) & (user < some.stop)
    cell = (user[rows].astype(np.int64) - some.start) * panel.n_candidates + panel.candidate[rows]
    sums = np.bincount(cell, by_row[rows], n * panel.n_candidates)
    return sums.reshape(n, -1).astype(np.float64)


def consensus_scores(scores: Floats, prompt: NDArray[np.integer], beta: float) -> Floats:
    """Return beta log(pi / pi_ref) of the policy with the least worst KL regret, (A,)."""
    solution = kl_consensus(log_policies(scores, prompt, beta), prompt, beta)
    return beta * (solution.log_policy - log_reference(prompt))
