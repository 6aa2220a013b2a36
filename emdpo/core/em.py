"""Expectation-maximisation over users' preference types, for any kind of type policy.

The loop knows no policy: it asks for `scores` and for an `update`. Policies with a parameter vector
are finished by a quasi-Newton ascent on the observed log-likelihood, because plain EM can creep for
thousands of iterations. Where to start is `starts`; running several starts is `mixture`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import (
    TYPE_CHECKING,
    Any,
    Generic,
    NamedTuple,
    Protocol,
    Self,
    TypeVar,
    runtime_checkable,
)

import numpy as np
from scipy.optimize import OptimizeResult, minimize

from emdpo.core.plackett_luce import log_likelihoods, log_likelihoods_vjp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

MONOTONE_TOLERANCE = 1e-9
"""A fall of the objective by less than this share of its size is rounding."""

NO_RESPONSIBILITY = 1e-6
"""A type with a smaller sum of responsibilities (in users) is empty and is left as it is."""


CONFIRMING_STEPS = 3
"""EM steps after a quasi-Newton ascent, from which what is left to gain is estimated."""


class StopReason(StrEnum):
    """Why EM ended. Only `converged` says that little is left to gain."""

    CONVERGED = "converged"
    MAX_ITER = "max_iter"
    DECREASED = "decreased"
    CANCELLED = "cancelled"
    NON_FINITE = "non_finite"


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


class TraceRow(NamedTuple):
    """One iteration, as shown in trace.csv and live in the page."""

    restart: int
    iteration: int
    log_likelihood: float
    weights: tuple[float, ...]


Monitor = Callable[[TraceRow], bool]
"""Called after every iteration; returning true cancels the fit."""


P = TypeVar("P", bound=TypePolicies)
S = TypeVar("S", bound=SmoothTypePolicies)


@dataclass(frozen=True)
class EMConfig:
    """When EM stops."""

    max_iter: int = 500
    """Iterations of one start, EM steps and quasi-Newton steps together, >= 0."""
    tolerance: float = 1e-3
    """`converged` when the log-likelihood (nats) still to be gained is estimated below this."""
    warm_up: int = 1
    """EM steps before the quasi-Newton ascent of policies that have a parameter vector, >= 0."""


DEFAULT_CONFIG = EMConfig()


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


@dataclass(frozen=True, eq=False)
class EMRun(Generic[P]):
    """The outcome of one start."""

    state: EMState[P]
    trace: tuple[TraceRow, ...]
    stop_reason: StopReason
    remaining_gain: float
    """Estimated nats still to be gained; nan where it could not be estimated."""


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


class GainEstimate:
    """Extrapolates how much an iteration that gains geometrically less each time has left.

    Aitken's rule: with gains g_1, g_2 and rate a = g_2 / g_1 < 1, a g_2 / (1 - a) is left
    (McLachlan and Peel 2000, section 2.11). Needs three values; inf while gains still grow.
    """

    def __init__(self) -> None:
        self._values: list[float] = []

    def after(self, value: float) -> float:
        """Return the estimate once `value` has been reached."""
        self._values = [*self._values[-2:], value]
        if len(self._values) < 3:
            return np.inf
        first, second = np.diff(self._values)
        noise = 1e-12 * max(1.0, abs(value))
        if abs(second) <= noise:
            return 0.0
        rate = second / first if first > 0 else 1.0
        return float(rate * second / (1 - rate)) if 0 <= rate < 1 else np.inf


class _Tracer:
    """Numbers the iterations of one start and asks after each whether to go on."""

    def __init__(self, restart: int, monitor: Monitor | None, should_stop: StopTest) -> None:
        self.rows: list[TraceRow] = []
        self.should_stop = should_stop
        self._restart, self._monitor = restart, monitor

    def cancelled_after(self, log_likelihood: float, log_weights: NDArray[np.float64]) -> bool:
        weights = tuple(np.exp(log_weights).tolist())
        self.rows.append(TraceRow(self._restart, len(self.rows), log_likelihood, weights))
        told = self._monitor is not None and bool(self._monitor(self.rows[-1]))
        return told or self.should_stop()

    def left(self, config: EMConfig) -> int:
        """Return the iterations still allowed; row 0 is the start, not an iteration."""
        return config.max_iter - len(self.rows) + 1


def run_em(
    policies: P,
    rankings: Rankings,
    responsibilities: NDArray[np.float64],
    config: EMConfig = DEFAULT_CONFIG,
    *,
    restart: int = 0,
    monitor: Monitor | None = None,
    should_stop: StopTest = never,
) -> EMRun[P]:
    """Return the fit reached from starting responsibilities (N, K).

    Exact M-steps never lower the objective. A fall therefore ends the run with `decreased`, and
    the best state is returned; nothing is called converged on a fall.
    """
    tracer = _Tracer(restart, monitor, should_stop)
    with np.errstate(divide="ignore"):
        log_weights = m_step_weights(np.log(responsibilities))
    first = policies.update(rankings, responsibilities, should_stop=should_stop)
    state = evaluate(first, rankings, log_weights)
    if not np.isfinite(state.objective):
        return EMRun(state, (), StopReason.NON_FINITE, np.nan)
    if tracer.cancelled_after(state.log_likelihood, state.log_weights):
        return EMRun(state, tuple(tracer.rows), StopReason.CANCELLED, np.nan)
    smooth = isinstance(policies, SmoothTypePolicies)
    steps = min(config.warm_up, config.max_iter) if smooth else config.max_iter
    run = _iterate(state, rankings, steps, config, tracer)
    while smooth and run.stop_reason is StopReason.MAX_ITER and tracer.left(config) > 0:
        run = _ascend(run.state, rankings, config, tracer)
        if run.stop_reason is StopReason.MAX_ITER:
            steps = min(CONFIRMING_STEPS, tracer.left(config))
            run = _iterate(run.state, rankings, steps, config, tracer)
    return run


def _iterate(
    state: EMState[P], rankings: Rankings, steps: int, config: EMConfig, tracer: _Tracer
) -> EMRun[P]:
    """Plain EM steps, at most `steps`."""
    estimate = GainEstimate()
    remaining = estimate.after(state.objective)
    reason = StopReason.MAX_ITER
    for _ in range(steps):
        following = em_step(state, rankings, tracer.should_stop)
        if not np.isfinite(following.objective):
            reason = StopReason.NON_FINITE
            break
        slack = MONOTONE_TOLERANCE * max(1.0, abs(state.objective))
        if following.objective < state.objective - slack:
            reason = StopReason.DECREASED
            break
        state = following
        remaining = estimate.after(state.objective)
        if tracer.cancelled_after(state.log_likelihood, state.log_weights):
            reason = StopReason.CANCELLED
            break
        if remaining < config.tolerance:
            reason = StopReason.CONVERGED
            break
    return EMRun(state, tuple(tracer.rows), reason, remaining)


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


def _ascend(
    state: EMState[Any], rankings: Rankings, config: EMConfig, tracer: _Tracer
) -> EMRun[Any]:
    """One L-BFGS ascent on the observed objective, until it stands still.

    It stands still on saddles too, such as a type that has lost its users. So it never says that
    it has converged: the gains of the EM steps that follow do.
    """
    objective = ObservedObjective(state.policies, rankings)
    start = np.concatenate([state.policies.parameters(), state.log_weights])
    reason = StopReason.MAX_ITER

    def after_step(intermediate_result: OptimizeResult) -> None:
        nonlocal reason
        _, log_weights = objective.split(intermediate_result.x)
        if tracer.cancelled_after(objective.log_likelihood, log_weights):
            reason = StopReason.CANCELLED
            raise StopIteration

    size = max(rankings.n_users, abs(state.objective))
    options = {"ftol": 1e-2 * config.tolerance / size, "gtol": 1e-9}
    options |= {"maxiter": tracer.left(config), "maxcor": 20, "maxfun": 10**6}
    with np.errstate(invalid="ignore"):  # as in `evaluate`
        result = minimize(
            objective, start, jac=True, method="L-BFGS-B", callback=after_step, options=options
        )
    if not np.isfinite(result.fun):
        return EMRun(state, tuple(tracer.rows), StopReason.NON_FINITE, np.nan)
    policies, log_weights = objective.split(result.x)
    final = evaluate(policies, rankings, log_weights)
    return EMRun(final, tuple(tracer.rows), reason, np.inf)
