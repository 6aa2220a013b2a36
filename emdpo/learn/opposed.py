"""EM for types whose tastes are a common strength times known levels: the model of the surface."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize
from threadpoolctl import threadpool_limits

from emdpo.core.em import EMConfig, StopTest, evaluate, never, ranking_weights, run_em
from emdpo.core.plackett_luce import log_likelihoods_vjp
from emdpo.learn.designs import levels
from emdpo.learn.sampling import FEATURE
from emdpo.learn.surfaces import MAX_THETA, leaning, tilted

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.em import Checkpoint
    from emdpo.core.rankings import Rankings

STARTS = 6
"""Starts of EM, spread over the surface."""


@dataclass(frozen=True, eq=False)
class OpposedPolicies:
    """K policies with scores theta levels(K) x: one parameter for all types."""

    theta: float
    """Strength; a negative one is the same model with the types in reverse."""
    n_types: int

    def scores(self, part: Rankings) -> NDArray[np.float64]:
        """Return theta level_k x of every candidate row, (K, C)."""
        return self.theta * self._slopes(part)

    def _slopes(self, part: Rankings) -> NDArray[np.float64]:
        jokes = part.candidates[FEATURE].to_numpy(np.float64)[part.candidate]
        return levels(self.n_types)[:, None] * jokes

    def update(
        self,
        part: Rankings,
        responsibilities: NDArray[np.float64],
        *,
        should_stop: StopTest = never,
    ) -> OpposedPolicies:
        """Return the M-step: the strength that suits all types best, by their responsibilities."""
        del should_stop  # one parameter: done at once
        weights = ranking_weights(part, responsibilities)  # (K, R)
        slopes = self._slopes(part)

        def objective(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            log_lik, pull_back = log_likelihoods_vjp(part.stages, vector[0] * slopes)
            value = (weights * log_lik).sum() / weights.sum()
            slope = (pull_back(weights) * slopes).sum() / weights.sum()
            return -float(value), np.array([-slope])

        found = minimize(objective, self.parameters(), jac=True, method="L-BFGS-B")
        return self.with_parameters(found.x)

    def log_prior(self) -> float:
        """Return 0: there is none."""
        return 0.0

    def log_prior_gradient(self) -> NDArray[np.float64]:
        """Return 0, (1,)."""
        return np.zeros(1)

    def parameters(self) -> NDArray[np.float64]:
        """Return theta, (1,)."""
        return np.array([self.theta])

    def with_parameters(self, vector: NDArray[np.float64]) -> OpposedPolicies:
        """Return the policies at another theta, (1,)."""
        return replace(self, theta=float(vector[0]))

    def pull_back(self, part: Rankings, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return d/dtheta, (1,), given d/dscores of the rows of `part`, (K, C)."""
        return np.array([(gradient * self._slopes(part)).sum()])


@dataclass(frozen=True)
class Path:
    """One start of EM on the surface."""

    points: tuple[tuple[float, float], ...]
    """Strength and leaning at the start and after every EM step or stretch of the ascent."""
    log_likelihood: float
    """Reached, nats."""
    stop_reason: str


def em_paths(
    rankings: Rankings, n_types: int, rng: np.random.Generator, n_starts: int = STARTS
) -> tuple[Path, ...]:
    """Return where emdpo's EM goes from starts spread over the surface."""
    strata = (rng.permutation(n_starts) + rng.random(n_starts)) / n_starts
    thetas = MAX_THETA * (np.arange(n_starts) + rng.random(n_starts)) / n_starts
    starts = zip(thetas.tolist(), (0.05 + 0.9 * strata).tolist(), strict=True)
    with threadpool_limits(1):
        return tuple(_path(rankings, n_types, *start) for start in starts)


def _path(rankings: Rankings, n_types: int, theta: float, share: float) -> Path:
    weights = tilted(share, n_types)
    policies = OpposedPolicies(theta, n_types)
    begun = evaluate(policies, rankings, np.log(weights))
    points = [(theta, leaning(weights))]

    def note(here: Checkpoint[OpposedPolicies]) -> None:
        points.append(_point(here.state.policies.theta, np.exp(here.state.log_weights)))

    config = EMConfig(max_iter=200)
    run = run_em(policies, rankings, np.exp(begun.log_resp), config, on_checkpoint=note)
    return Path(tuple(points), run.state.log_likelihood, str(run.stop_reason))


def _point(theta: float, weights: NDArray[np.float64]) -> tuple[float, float]:
    lean = leaning(weights)
    return (theta, lean) if theta >= 0 else (-theta, 1.0 - lean)
