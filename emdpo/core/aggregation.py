"""One policy out of K type policies: mixtures, the min-max regret mixture and the KL consensus.

A mixture draws a type and lets its policy answer: pi = sum_j a_j pi_j. The consensus averages
scores: pi proportional to prod_k pi_k^a_k. Both come with a certificate: a duality gap that bounds
how far the stated worst regret is from the best one possible.

Letters: K types, J policies, A candidates, P prompts; `prompt` holds (A,) codes 0..P-1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import null_space
from scipy.optimize import linprog

from emdpo.core.regret import (
    Codes,
    Floats,
    check_beta,
    log_normalise,
    prompt_runs,
    sum_by_prompt,
)

LP_TOLERANCE = 1e-8
"""Largest duality gap of a mixture, as a share of the spread of the regrets."""
TIE = 1e-6
"""A mean regret lower by less than this share of the spread is no reason to change a solution."""
HIGHS = {"primal_feasibility_tolerance": 1e-10, "dual_feasibility_tolerance": 1e-10}
CONSENSUS_TOLERANCE = 1e-6
"""Largest duality gap of a consensus, as a share of its worst regret."""


class AggregationError(RuntimeError):
    """An optimisation ended without a certificate; no number of it may be used."""


@dataclass(frozen=True)
class MinMaxSolution:
    """A mixture of policies with the least worst regret, and the proof."""

    weights: Floats
    """(J,) mixture weights, a point of the simplex."""
    value: float
    """Worst regret max_k sum_j a_j R[k, j], nats; below 0 where every type gains."""
    adversary: Floats
    """(K,) weights over types under which no mixture does better than `value - duality_gap`."""
    duality_gap: float
    """>= 0, nats: the best worst regret lies in [value - duality_gap, value]."""


@dataclass(frozen=True)
class ConsensusSolution:
    """The policy with the least worst KL regret, and the proof."""

    weights: Floats
    """(K,) exponents a of prod_k pi_k^a_k, a point of the simplex; also the adversary's weights."""
    log_policy: Floats
    """(A,) log probabilities."""
    value: float
    """Worst KL regret max_k beta E_x KL(pi || pi_k), nats, >= 0."""
    duality_gap: float
    """>= 0, nats: no policy whatever has a worst KL regret below value - duality_gap."""


def mixture(log_types: Floats, weights: Floats) -> Floats:
    """Return the (A,) probabilities sum_j a_j pi_j of a mixture of (K, A) log policies.

    Raises ValueError unless the (K,) weights are >= 0 and sum to one.

    >>> mixture(np.log([[0.75, 0.25], [0.25, 0.75]]), np.array([0.5, 0.5])).round(6)
    array([0.5, 0.5])
    """
    weights = np.asarray(weights, dtype=np.float64)
    if not _in_simplex(weights):
        raise ValueError(f"mixture weights must be >= 0 and sum to 1, got {weights}")
    return weights @ np.exp(log_types)


def _in_simplex(weights: Floats) -> bool:
    return bool(np.all(weights >= 0.0) and abs(weights.sum() - 1.0) <= 1e-9)


def min_max_regret_mixture(
    regret_matrix: Floats, prevalence: Floats | None = None
) -> MinMaxSolution:
    """Return the mixture weights with the least worst raw plain regret, by linear programming.

    Minimises t over (a, t) subject to sum_j a_j R[k, j] <= t for every type k, a in the simplex.
    Where several mixtures reach that t, a second programme takes one of least mean regret.

    Parameters
    ----------
    regret_matrix : (K, J) float
        Plain regret of type k under policy j, nats, raw: entries may be negative.
    prevalence : (K,) float, optional
        Weights of the types in that mean, summing to one; equal by default.

    Raises
    ------
    AggregationError
        If the solver stops short or the certificate exceeds 1e-8 of the spread of the regrets.
        ValueError if the matrix is empty or not finite.

    Notes
    -----
    Min-max regret aggregation over the ensemble (AISTATS 2026, arXiv 2510.15716), solved exactly.
    Regrets are mapped to [0, 1] first, which moves t only. The dual prices are the adversary.

    Examples
    --------
    >>> solution = min_max_regret_mixture(np.array([[0.0, 3.0], [1.0, 0.0]]))
    >>> solution.weights.round(6).tolist(), round(solution.value, 6)
    ([0.75, 0.25], 0.75)
    """
    matrix = checked_regrets(regret_matrix)
    n_policies = matrix.shape[1]
    scaled = (matrix - matrix.min()) / (np.ptp(matrix) or 1.0)
    above = np.column_stack([scaled, -np.ones(len(scaled))])  # (K, J + 1), regrets less t
    least = solve_lp(np.eye(n_policies + 1)[-1], above, 0.0, n_policies)
    weights, adversary = to_simplex(least.x[:-1]), to_simplex(-least.ineqlin.marginals)
    means = np.average(scaled, axis=0, weights=prevalence)  # (J,)
    kindest = to_simplex(solve_lp(means, scaled, least.fun + 0.1 * LP_TOLERANCE, n_policies).x)
    if means @ kindest < means @ weights - TIE:
        weights = kindest
    solution = bracketed(matrix, weights, adversary)
    verify(solution, matrix)
    return solution


def solve_lp(cost: Floats, rows: Floats, limit: float, n_policies: int):
    """Minimise cost . z with every rows @ z <= limit; the first J of z lie in the simplex."""
    is_weight = np.arange(len(cost)) < n_policies
    result = linprog(
        cost,
        A_ub=rows,
        b_ub=np.full(len(rows), limit),
        A_eq=is_weight[None, :].astype(np.float64),
        b_eq=[1.0],
        bounds=[(0.0, None) if weight else (None, None) for weight in is_weight],
        method="highs",
        options=HIGHS,
    )
    if result.status != 0:
        raise AggregationError(f"min-max regret programme not solved: {result.message}")
    return result


def to_simplex(weights: Floats) -> Floats:
    """Return weights with the solver's rounding taken off: none below 0, summing to one."""
    clipped = np.maximum(weights, 0.0)
    return clipped / clipped.sum()


def checked_regrets(regret_matrix: Floats) -> Floats:
    """Return regrets (K, J) as floats; ValueError where they are no game."""
    matrix = np.asarray(regret_matrix, dtype=np.float64)
    if matrix.ndim != 2 or not matrix.size:
        raise ValueError(f"regret_matrix must be (K, J), both >= 1, got shape {matrix.shape}")
    if not np.isfinite(matrix).all():
        raise ValueError("regret_matrix must be finite")
    return matrix


def bracketed(matrix: Floats, weights: Floats, adversary: Floats) -> MinMaxSolution:
    """Bound the game's value from both sides, in the units of the matrix."""
    value = float((matrix @ weights).max())
    floor = float((adversary @ matrix).min())
    return MinMaxSolution(weights, value, adversary, max(value - floor, 0.0))


def verify(
    solution: MinMaxSolution, regret_matrix: Floats, tolerance: float = LP_TOLERANCE
) -> float:
    """Return the duality gap, computed afresh from the regrets, or raise.

    Uses nothing of how the solution was found: both weight vectors must lie in the simplex, and
    weak duality brackets the best worst regret between min_j (y R)_j and max_k (R a)_k.

    Parameters
    ----------
    solution : MinMaxSolution
    regret_matrix : (K, J) float
    tolerance : float
        Largest gap let through, as a share of the spread of the regrets.

    Raises
    ------
    AggregationError
        If weights leave the simplex, the stated value or gap is not that of the weights, or the
        gap exceeds the tolerance.
    """
    matrix = checked_regrets(regret_matrix)
    for name, weights in (("weights", solution.weights), ("adversary", solution.adversary)):
        if not _in_simplex(weights):
            raise AggregationError(f"{name} must be a point of the simplex, got {weights}")
    fresh = bracketed(matrix, solution.weights, solution.adversary)
    rounding = 1e-12 * float(np.abs(matrix).max())
    if not abs(fresh.value - solution.value) <= rounding:
        raise AggregationError(f"worst regret is {fresh.value}, not {solution.value}")
    if not abs(fresh.duality_gap - solution.duality_gap) <= rounding:
        raise AggregationError(f"duality gap is {fresh.duality_gap}, not {solution.duality_gap}")
    if fresh.duality_gap > tolerance * float(np.ptp(matrix)) + rounding:
        raise AggregationError(f"duality gap {fresh.duality_gap} above {tolerance} of the spread")
    return fresh.duality_gap


def kl_consensus(log_types: Floats, prompt: Codes, beta: float) -> ConsensusSolution:
    """Return the policy, out of all policies, with the least worst KL regret.

    It is pi proportional to prod_k pi_k^a_k at each prompt, with one a for all prompts that
    maximises the concave g(a) = -beta E_x log sum_y prod_k pi_k(y|x)^a_k. Types that are alike
    share their weight.

    Parameters
    ----------
    log_types : (K, A) float
        Log probabilities of the type policies, finite.
    prompt : (A,) int
    beta : float
        DPO inverse temperature, > 0.

    Raises
    ------
    AggregationError
        If the duality gap stays above 1e-6 of the worst regret. ValueError if beta is not positive,
        the log policies are not finite or the prompt codes have gaps.

    Notes
    -----
    The Chernoff centre of the type policies. For any a and pi, sum_k a_k KL(pi || pi_k) is least
    at the policy above, where it equals g(a) / beta, so g(a) bounds every policy's worst regret
    from below. Since g(a) = sum_k a_k R_k, the gap is max_k R_k - sum_k a_k R_k.

    Examples
    --------
    >>> solution = kl_consensus(np.log([[0.8, 0.2], [0.2, 0.8]]), np.array([0, 0]), beta=1.0)
    >>> solution.weights.round(6), round(solution.value, 6)
    (array([0.5, 0.5]), 0.223144)
    """
    check_beta(beta)
    log_types, prompt = np.asarray(log_types, dtype=np.float64), np.asarray(prompt)
    if not np.isfinite(log_types).all():
        raise ValueError("log_types must be finite")
    order, _, _ = prompt_runs(prompt)
    weights = _maximise_dual(log_types[:, order], prompt[order])
    log_policy = log_normalise(weights @ log_types, prompt)
    regrets = _regrets(log_types, log_policy, prompt)
    value, gap = _worst_and_gap(regrets, weights)
    if gap > CONSENSUS_TOLERANCE * value + 30.0 * _rounding(log_types):
        raise AggregationError(f"consensus not solved: gap {gap:.3g} of {value:.3g} (beta = 1)")
    return ConsensusSolution(weights, log_policy, beta * value, beta * gap)


def _regrets(log_types: Floats, log_policy: Floats, prompt: Codes) -> Floats:
    """Return the (K,) E_x KL(pi || pi_k)."""
    n_prompts = prompt.max() + 1
    return np.maximum((log_policy - log_types) @ np.exp(log_policy) / n_prompts, 0.0)


def _worst_and_gap(regrets: Floats, weights: Floats) -> tuple[float, float]:
    worst = float(regrets.max())
    return worst, max(worst - float(weights @ regrets), 0.0)


def _rounding(log_types: Floats) -> float:
    """Return the size of rounding in a regret at beta = 1."""
    return 1e-15 * (1.0 + float(np.abs(log_types).max()))


def _maximise_dual(log_types: Floats, prompt: Codes) -> Floats:
    """Return the (K,) weights that maximise g, by Newton steps along a central path.

    Where policies are nearly deterministic, g is nearly piecewise linear and plain Newton or SLSQP
    stalls at its kinks. So the policies start heated, pi_k^(1 / heat), and cool to heat 1, while a
    barrier mu sum_k log a_k keeps the weights positive and fades; it leaves a gap of K mu. The
    barrier starts as strong as the heat, or the weights would rush to a corner at high heat.
    """
    n_types = len(log_types)
    weights = np.full(n_types, 1.0 / n_types)
    heat = barrier = max(1.0, float(np.abs(log_types).max()))
    floor = 0.1 * _rounding(log_types)
    while heat > 1.0 or barrier > floor:
        heat, barrier = max(1.0, 0.3 * heat), max(floor, 0.3 * barrier)
        weights = _centre(log_types, prompt, weights, heat, barrier)
        regrets = _regrets(log_types, log_normalise(weights @ log_types, prompt), prompt)
        worst, gap = _worst_and_gap(regrets, weights)
        if heat == 1.0 and gap <= 0.01 * CONSENSUS_TOLERANCE * worst:
            break
    return weights


def _centre(
    log_types: Floats, prompt: Codes, weights: Floats, heat: float, barrier: float
) -> Floats:
    """Maximise g at this heat plus the barrier over the simplex by damped Newton steps."""

    def objective(a: Floats) -> float:
        return _heated_dual(log_types, prompt, a, heat) + barrier * float(np.log(a).sum())

    noise = _rounding(log_types)
    present = objective(weights)
    for _ in range(40):
        step, slope = _newton_step(log_types, prompt, weights, heat, barrier)
        size = min(1.0, 0.99 / max(-step.min(), 1e-300))
        while True:
            trial = to_simplex(weights * (1.0 + size * step))
            reached = objective(trial)
            if reached >= present + 1e-4 * size * slope - noise or size < 1e-12:
                break
            size *= 0.5
        weights, present = trial, reached
        if slope <= max(1e-4 * barrier, noise):
            break
    return weights


def _heated_dual(log_types: Floats, prompt: Codes, weights: Floats, heat: float) -> float:
    """Return -heat E_x log sum_y prod_k pi_k^(a_k / heat): g / beta at heat 1."""
    blend = weights @ log_types
    log_policy = log_normalise(blend / heat, prompt)
    return float(np.exp(log_policy) @ (heat * log_policy - blend)) / (prompt.max() + 1)


def _newton_step(
    log_types: Floats, prompt: Codes, weights: Floats, heat: float, barrier: float
) -> tuple[Floats, float]:
    """Return the relative step u (a becomes a (1 + u), sum_k a_k u_k = 0) and its ascent rate.

    The gradient of g is -E_x E_pi log pi_k, its Hessian -E_x Cov_pi(log pi_j, log pi_k) / heat.
    """
    n_prompts = prompt.max() + 1
    policy = np.exp(log_normalise(weights @ log_types / heat, prompt))
    means = sum_by_prompt(policy * log_types, prompt)  # (K, P)
    tangent = null_space(weights[None, :])  # (K, K - 1)
    centred = tangent.T @ ((log_types - means[:, prompt]) * weights[:, None])  # (K - 1, A)
    bends, axes = np.linalg.eigh((centred * policy) @ centred.T / (heat * n_prompts))
    axes = tangent @ axes  # (K, K - 1)
    ascent = axes.T @ (barrier - weights * means.mean(axis=-1))
    step = axes @ (ascent / (np.maximum(bends, 0.0) + barrier))
    return step, float(ascent @ (axes.T @ step))
