"""Log-linear type policies: s_k(y, x) = theta_k . phi(x, y), fitted exactly in seconds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.optimize import minimize

from emdpo.core.em import NO_RESPONSIBILITY, StopTest, never, ranking_weights
from emdpo.core.plackett_luce import log_likelihoods_vjp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings

M_STEP_OPTIONS = {"maxiter": 200, "maxcor": 20, "ftol": 1e-8, "gtol": 1e-7}
"""L-BFGS ends an M-step that gains less than 1e-8 of its objective: most passes are made here, and
a sharper M-step reaches the same optima a third slower, since the ascent sharpens the end."""


@dataclass(frozen=True, eq=False)
class LogLinearPolicies:
    """K policies pi_k(y|x) proportional to exp(s_k / beta) over candidates, s_k = theta_k . phi."""

    features: FeatureSet
    theta: NDArray[np.float64]
    """(K, D) in standardised units of the features."""
    l2: float
    """Precision of a normal prior on every entry of theta, >= 0; 0 = maximum likelihood."""

    @property
    def n_types(self) -> int:
        """K."""
        return len(self.theta)

    def candidate_scores(self) -> NDArray[np.float64]:
        """Return s_k of every distinct candidate, (K, A)."""
        return self.features.scores(self.theta)

    def scores(self, part: Rankings) -> NDArray[np.float64]:
        """Return s_k of every candidate row of `part`, (K, C)."""
        return np.take(self.candidate_scores(), part.candidate, axis=1)

    def log_prior(self) -> float:
        """Return -l2/2 |theta|^2."""
        return -0.5 * self.l2 * float(np.square(self.theta).sum())

    def log_prior_gradient(self) -> NDArray[np.float64]:
        """Return -l2 theta, flattened (K * D,)."""
        return -self.l2 * self.theta.ravel()

    def parameters(self) -> NDArray[np.float64]:
        """Return theta flattened, (K * D,)."""
        return self.theta.ravel()

    def with_parameters(self, vector: NDArray[np.float64]) -> LogLinearPolicies:
        """Return the policies at another theta, given flattened (K * D,)."""
        return replace(self, theta=vector.reshape(self.theta.shape))

    def pull_back(self, part: Rankings, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return d/dtheta, flattened (K * D,), given d/dscores of the rows of `part`, (K, C)."""
        by_candidate = np.empty((len(gradient), part.n_candidates))
        for total, row in zip(by_candidate, gradient, strict=True):
            total[:] = np.bincount(part.candidate, row, minlength=part.n_candidates)
        return self.features.score_gradient(by_candidate).ravel()

    def update(
        self,
        part: Rankings,
        responsibilities: NDArray[np.float64],
        *,
        should_stop: StopTest = never,
    ) -> LogLinearPolicies:
        """Return the M-step: theta_k maximises sum_i r_ik sum_j log P_k + log prior.

        Concave, solved by L-BFGS from the present theta for all types in one vectorised pass. A
        type with next to no users stays as it is.
        """
        weights = ranking_weights(part, responsibilities)  # (K, R)
        occupied = responsibilities.sum(axis=0) >= NO_RESPONSIBILITY
        scale = max(float(weights.sum()), 1.0)

        def objective(vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            policies = self.with_parameters(vector)
            log_lik, pull_back = log_likelihoods_vjp(part.stages, policies.scores(part))
            by_theta = policies.pull_back(part, pull_back(weights)) + policies.log_prior_gradient()
            value = float((log_lik * weights).sum()) + policies.log_prior()
            by_theta.reshape(self.theta.shape)[~occupied] = 0.0
            return -value / scale, -by_theta / scale

        def after_step(_: NDArray[np.float64]) -> None:
            if should_stop():
                raise StopIteration

        result = minimize(
            objective,
            self.parameters(),
            jac=True,
            method="L-BFGS-B",
            callback=after_step,
            options=M_STEP_OPTIONS,
        )
        return self.with_parameters(result.x)


def untrained(features: FeatureSet, n_types: int, l2: float) -> LogLinearPolicies:
    """Return K policies equal to the reference: theta = 0."""
    return LogLinearPolicies(features, np.zeros((n_types, features.n_features)), l2)
