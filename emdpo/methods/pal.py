"""PAL: users are ideal points between prototypes, in a space that answers are mapped to."""

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
DIMENSIONS = 4
"""Of the space of answers and ideal points; no more than there are features."""


@dataclass(frozen=True)
class PAL:
    """s_i(y) = -|f(y) - a_i|^2 with ideal points a_i = P w_i, w_i in the simplex (PAL-A)."""

    name: ClassVar[str] = "pal"
    source: ClassVar[str] = "Chen et al. 2025 (ICLR), arXiv 2406.08469, PAL-A"
    assumes: ClassVar[str] = "people have ideal points between K prototypes; nearer answers win"
    changed: ClassVar[str] = "linear f; Plackett-Luce loss; everybody: the mean user"

    n_corners: int = 2
    l2: float = 1.0

    @classmethod
    def grid(cls) -> Sequence[PAL]:
        """Return 2, 3 prototypes with three priors."""
        return [cls(k, l2) for k, l2 in product((2, 3), (1.0, 10.0, 100.0))]

    def fit(self, problem: Problem) -> UserWeights:
        """Return the best of several random starts."""
        rng = np.random.default_rng([problem.seed, 3])
        n_features = problem.features.n_features
        dims = min(DIMENSIONS, n_features)
        starts = [
            IdealPoints(
                problem.features,
                rng.normal(0, 0.5, (dims, n_features)),
                rng.normal(0, 1, (dims, self.n_corners)),
            )
            for _ in range(RESTARTS)
        ]
        fits = [fit_user_weights(problem.panel, start, self.l2) for start in starts]
        return max(fits, key=lambda fit: fit[0])[1]


@dataclass(frozen=True, eq=False)
class IdealPoints:
    """Where answers and prototypes lie."""

    features: FeatureSet
    to_space: Floats
    """(d, D) the linear map f."""
    prototypes: Floats
    """(d, K)"""

    @property
    def n_corners(self) -> int:
        """K."""
        return self.prototypes.shape[1]

    def vector(self) -> Floats:
        """Return map and prototypes flattened."""
        return np.concatenate([self.to_space.ravel(), self.prototypes.ravel()])

    def with_vector(self, vector: Floats) -> IdealPoints:
        """Return others."""
        n = self.to_space.size
        to_space = vector[:n].reshape(self.to_space.shape)
        return replace(
            self, to_space=to_space, prototypes=vector[n:].reshape(self.prototypes.shape)
        )

    def _away(self, panel: Rankings, weights: Floats) -> Floats:
        """Return f(y) - a_i of every row, (d, C)."""
        ideal = self.prototypes @ weights.T  # (d, N)
        user = panel.user[panel.ranking_of_row]
        return self.features.scores(self.to_space)[:, panel.candidate] - ideal[:, user]

    def rows(self, panel: Rankings, weights: Floats) -> Floats:
        """Return minus the squared distance of every row."""
        return -(self._away(panel, weights) ** 2).sum(axis=0)

    def pull_back(self, panel: Rankings, weights: Floats, by_row: Floats) -> tuple[Floats, Floats]:
        """Return d/dvector and d/dweights."""
        by_away = -2.0 * self._away(panel, weights) * by_row  # (d, C)
        by_map = self.features.score_gradient(sums_by_candidate(panel, by_away))
        by_ideal = -sums_by_user(panel, by_away)  # (N, d)
        by_vector = np.concatenate([by_map.ravel(), (by_ideal.T @ weights).ravel()])
        return by_vector, by_ideal @ self.prototypes

    def candidate_scores(self, weights: Floats) -> Floats:
        """Return minus the squared distance of every answer from one ideal point."""
        ideal = self.prototypes @ weights
        return -((self.features.scores(self.to_space) - ideal[:, None]) ** 2).sum(axis=0)
