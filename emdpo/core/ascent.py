"""The finish of EM: a quasi-Newton ascent on the observed log-likelihood, stretch by stretch.

Plain EM can creep for thousands of iterations where types overlap.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, NamedTuple

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from emdpo.core.plackett_luce import log_likelihoods_vjp
from emdpo.core.steps import EMState, S, e_step, evaluate, ranking_weights, user_totals

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

STRETCH = 50
"""Iterations after which L-BFGS begins afresh, so that a fit can go on from there bit for bit."""

MAX_CORRECTIONS = 20
"""Pairs of steps and gradient changes that L-BFGS remembers."""

_REACHED_LIMIT = 1
"""SciPy's status for an ascent that ended at `maxiter`."""

AfterStep = Callable[[float, "NDArray[np.float64]"], bool]
"""Called with the log-likelihood and log weights (K,) after an iteration; true = leave off."""


class Stretch(NamedTuple):
    """The outcome of one stretch of the ascent."""

    state: EMState[Any] | None
    """None where the objective was not finite."""
    stands_still: bool
    """Whether there is no way up, at an optimum or on a saddle."""


class ObservedObjective(Generic[S]):
    """Minus (log-likelihood + log prior) per user, as a function of one vector.

    The vector holds the policies' parameters and K logits of the weights. By Fisher's identity
    the gradient of the observed log-likelihood is that of the expected complete one at the same
    point, so one pass gives both.
    """

    def __init__(self, policies: S, rankings: Rankings) -> None:
        self.policies, self.rankings = policies, rankings
        self.log_likelihood = np.nan
        """At the last point evaluated."""

    def split(self, vector: NDArray[np.float64]) -> tuple[S, NDArray[np.float64]]:
        """Return policies and log weights (K,) at a vector."""
        n = len(self.policies.parameters())
        logits = vector[n:]
        return self.policies.with_parameters(vector[:n]), logits - np.logaddexp.reduce(logits)

    def __call__(self, vector: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        """Return value and gradient (n + K,)."""
        policies, log_weights = self.split(vector)
        n_users = self.rankings.n_users
        scores = policies.scores(self.rankings)
        log_lik, pull_back = log_likelihoods_vjp(self.rankings.stages, scores)
        log_resp, log_marginal = e_step(user_totals(self.rankings, log_lik), log_weights)
        responsibilities = np.exp(log_resp)
        by_score = pull_back(ranking_weights(self.rankings, responsibilities))
        by_parameter = policies.pull_back(self.rankings, by_score) + policies.log_prior_gradient()
        by_logit = responsibilities.sum(axis=0) - n_users * np.exp(log_weights)
        self.log_likelihood = float(log_marginal.sum())
        value = self.log_likelihood + policies.log_prior()
        return -value / n_users, -np.concatenate([by_parameter, by_logit]) / n_users


def ascend(
    state: EMState[Any],
    rankings: Rankings,
    tolerance: float,
    max_iter: int,
    after_step: AfterStep,
) -> Stretch:
    """Return where at most STRETCH (and at most `max_iter`) iterations of L-BFGS lead.

    It stands still where an iteration gains a hundredth of `tolerance` (nats), on saddles too,
    such as a type that has lost its users.
    """
    objective = ObservedObjective(state.policies, rankings)
    start = np.concatenate([state.policies.parameters(), state.log_weights])

    def callback(intermediate_result: OptimizeResult) -> None:
        _, log_weights = objective.split(intermediate_result.x)
        if after_step(objective.log_likelihood, log_weights):
            raise StopIteration

    size = max(rankings.n_users, abs(state.objective))
    options = {"ftol": 1e-2 * tolerance / size, "gtol": 1e-9, "maxcor": MAX_CORRECTIONS}
    options |= {"maxiter": min(STRETCH, max_iter), "maxfun": 10**6}
    with np.errstate(invalid="ignore"):  # as in `evaluate`
        result = minimize(
            objective, start, jac=True, method="L-BFGS-B", callback=callback, options=options
        )
    if not np.isfinite(result.fun):
        return Stretch(None, False)
    policies, log_weights = objective.split(result.x)
    stands_still = result.status != _REACHED_LIMIT
    return Stretch(evaluate(policies, rankings, log_weights), stands_still)
