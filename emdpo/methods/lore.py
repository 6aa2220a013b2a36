"""LoRe: every user's reward is a mixture of a few basis rewards."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from emdpo.methods.base import Floats, Problem
from emdpo.methods.user_weights import (
    UserWeights,
    fit_user_weights,
    sums_by_candidate,
    sums_by_user,
)

if TYPE_CHECKING:
    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings

RESTARTS = 3


@dataclass(frozen=True)
class LoRe:
    """r_i(y) = softmax(w_i) . V phi(y): a convex combination of K linear rewards."""

    name: ClassVar[str] = "lore"
    source: ClassVar[str] = "Bose et al. 2025, arXiv 2504.14439"
    assumes: ClassVar[str] = "tastes of people lie between K basis tastes"
    changed: ClassVar[str] = "Plackett-Luce; a normal prior on logits; everybody: the mean user"

    n_corners: int = 2
    l2: float = 1.0

    @classmethod
    def grid(cls) -> Sequence[LoRe]:
        """Return 2, 3 basis rewards with three priors."""
        return [cls(k, l2) for k, l2 in product((2, 3), (1.0, 10.0, 100.0))]

    def fit(self, problem: Problem) -> UserWeights:
        """Return the best of several random starts."""
        rng = np.random.default_rng([problem.seed, 2])
        size = (self.n_corners, problem.features.n_features)
        starts = [Basis(problem.features, rng.normal(0, 0.5, size)) for _ in range(RESTARTS)]
        fits = [fit_user_weights(problem.panel, start, self.l2) for start in starts]
        return max(fits, key=lambda fit: fit[0])[1]


@dataclass(frozen=True, eq=False)
class Basis:
    """K linear rewards."""

    features: FeatureSet
    theta: Floats
    """(K, D)"""

    @property
    def n_corners(self) -> int:
        """K."""
        return len(self.theta)

    def vector(self) -> Floats:
        """Return theta flattened."""
        return self.theta.ravel()

    def with_vector(self, vector: Floats) -> Basis:
        """Return the basis at another theta."""
        return replace(self, theta=vector.reshape(self.theta.shape))

    def rows(self, panel: Rankings, weights: Floats) -> Floats:
        """Return sum_k w_ik V_k . phi of every row."""
        of_row = weights[panel.user[panel.ranking_of_row]].T  # (K, C)
        return (of_row * self.features.scores(self.theta)[:, panel.candidate]).sum(axis=0)

    def pull_back(self, panel: Rankings, weights: Floats, by_row: Floats) -> tuple[Floats, Floats]:
        """Return d/dtheta and d/dweights."""
        of_row = weights[panel.user[panel.ranking_of_row]].T
        by_theta = self.features.score_gradient(sums_by_candidate(panel, of_row * by_row))
        scores = self.features.scores(self.theta)[:, panel.candidate]
        return by_theta.ravel(), sums_by_user(panel, scores * by_row)

    def candidate_scores(self, weights: Floats) -> Floats:
        """Return the mixture of the basis rewards."""
        return weights @ self.features.scores(self.theta)
