"""One step of EM: what type policies must offer, the E-step, the M-step of the weights, and both.

When to stop is `em`; how policies with a parameter vector are finished is `ascent`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, Protocol, Self, TypeVar, runtime_checkable

import numpy as np

from emdpo.core.plackett_luce import log_likelihoods

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

NO_RESPONSIBILITY = 1e-6
"""A type with a smaller sum of responsibilities (in users) is empty and is left as it is."""

StopTest = Callable[[], bool]
"""Asked between the steps of long work; true = leave off at once with what there is."""


def never() -> bool:
    """Return false: nobody asks to stop."""
    return False


class TypePolicies(Protocol):
    """K type policies, as EM sees them; immutable: `update` returns new ones."""

    def scores(self, part: Rankings) -> NDArray[np.float64]:
        """Return the DPO scores s_k of every candidate row of `part`, (K, C)."""
        ...

    def update(
        self,
        part: Rankings,
        responsibilities: NDArray[np.float64],
        *,
        should_stop: StopTest = never,
    ) -> Self:
        """Return policies that raise sum_i r_ik sum_j log P_k on `part`; r is (N, K)."""
        ...

    def log_prior(self) -> float:
        """Return the log prior density of the parameters, up to a constant; 0 without one."""
        ...


@runtime_checkable
class SmoothTypePolicies(TypePolicies, Protocol):
    """Policies whose scores are a smooth function of a parameter vector."""

    def parameters(self) -> NDArray[np.float64]:
        """Return the parameter vector, (n,)."""
        ...

    def with_parameters(self, vector: NDArray[np.float64]) -> Self:
        """Return the policies at another parameter vector, (n,)."""
        ...

    def pull_back(self, part: Rankings, gradient: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the gradient by the parameters, (n,), given the one by `scores(part)`, (K, C)."""
        ...

    def log_prior_gradient(self) -> NDArray[np.float64]:
        """Return the gradient of `log_prior`, (n,)."""
        ...


P = TypeVar("P", bound=TypePolicies)
S = TypeVar("S", bound=SmoothTypePolicies)


@dataclass(frozen=True, eq=False)
class EMState(Generic[P]):
    """A point of the fit, after an E-step: responsibilities match the policies."""

    policies: P
    log_weights: NDArray[np.float64]
    """(K,) log mixture weights."""
    log_resp: NDArray[np.float64]
    """(N, K) log responsibilities."""
    log_likelihood: float
    """Observed, unpenalised, natural log."""

    @property
    def objective(self) -> float:
        """What EM never lowers: log-likelihood plus log prior."""
        return self.log_likelihood + self.policies.log_prior()


def e_step(
    log_lik: NDArray[np.float64], log_weights: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return log responsibilities (N, K) and each user's observed log-likelihood (N,).

    log r_ik = log w_k + log P_k(all rankings of i) - logsumexp over k, with `log_lik` (N, K).
    """
    log_joint = log_lik + log_weights
    log_marginal = np.logaddexp.reduce(log_joint, axis=1, keepdims=True)
    return log_joint - log_marginal, log_marginal[:, 0]


def m_step_weights(log_resp: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log w_k = log mean_i r_ik, (K,), kept finite for an empty type."""
    return np.log(np.maximum(np.exp(log_resp).mean(axis=0), np.finfo(float).tiny))


def user_totals(rankings: Rankings, log_lik: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each user's weighted sum (N, K) of per-ranking log-likelihoods (K, R)."""
    weighted = log_lik * rankings.weight
    totals = np.empty((rankings.n_users, len(log_lik)))
    for k, row in enumerate(weighted):
        totals[:, k] = np.bincount(rankings.user, row, minlength=rankings.n_users)
    return totals


def user_log_likelihoods(policies: TypePolicies, rankings: Rankings) -> NDArray[np.float64]:
    """Return log P_k of all rankings of each user, (N, K): one user's answers are one panel."""
    return user_totals(rankings, log_likelihoods(rankings.stages, policies.scores(rankings)))


def ranking_weights(
    rankings: Rankings, responsibilities: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return each ranking's weight in the M-step of each type, (K, R), for r (N, K)."""
    return np.take(responsibilities.T, rankings.user, axis=1) * rankings.weight


def evaluate(policies: P, rankings: Rankings, log_weights: NDArray[np.float64]) -> EMState[P]:
    """Return the state at these policies and weights: one E-step."""
    with np.errstate(invalid="ignore"):  # scores that are not finite are an outcome: NON_FINITE
        log_resp, log_marginal = e_step(user_log_likelihoods(policies, rankings), log_weights)
    return EMState(policies, log_weights, log_resp, float(log_marginal.sum()))


def em_step(state: EMState[P], rankings: Rankings, should_stop: StopTest = never) -> EMState[P]:
    """Return the state after one M-step and the E-step that follows it."""
    responsibilities = np.exp(state.log_resp)
    policies = state.policies.update(rankings, responsibilities, should_stop=should_stop)
    return evaluate(policies, rankings, m_step_weights(state.log_resp))
