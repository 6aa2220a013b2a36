"""Rules from social choice: maximin value, Nash welfare and maximal lotteries.

The first two weigh what types gain over the untuned model. Preferences fix a type's scores only up
to a constant per prompt, so that the level at which a gain is zero is a choice: here the reference.
Regret needs no such choice. Maximal lotteries need neither levels nor a scale: they see majorities.

Letters: K types, J policies, A candidates, P prompts; `prompt` holds (A,) codes 0..P-1.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from scipy.optimize import brentq, linprog, minimize
from scipy.special import expit

from emdpo.core.aggregation import HIGHS, AggregationError, min_max_regret_mixture
from emdpo.core.regret import Codes, Floats, log_reference, prompt_runs, values

NASH_TOLERANCE = 1e-6
"""Largest gap of a Nash mixture: nats of weighted log gain that another could have more."""

MOST_STEPS = 10_000
"""Of the search for a Nash mixture."""

NO_MARGIN = 1e-12
"""Majority margins below this are rounding: nobody wins."""


@dataclass(frozen=True)
class MaximinSolution:
    """The mixture under which the type that gains least gains most, and the proof."""

    weights: Floats
    """(J,) mixture weights."""
    value: float
    """Least gain min_k sum_j a_j G[k, j] over the reference, nats."""
    duality_gap: float
    """>= 0, nats: no mixture has a least gain above value + duality_gap."""


@dataclass(frozen=True)
class NashSolution:
    """The mixture with the greatest weighted product of gains, and the proof."""

    weights: Floats | None
    """(J,) mixture weights; None where no mixture makes every type better off."""
    value: float
    """sum_k w_k log(gain_k), gains in nats; -inf where there is none."""
    duality_gap: float
    """>= 0: no mixture has a value above value + duality_gap."""


def gains(scores: Floats, policies: Floats, prompt: Codes) -> Floats:
    """Return the (K, J) gains V_k(pi_j) - V_k(pi_ref) over the untuned model, nats.

    >>> gains(np.array([[1.0, 3.0]]), np.array([[0.0, 1.0]]), np.array([0, 0]))
    array([[1.]])
    """
    reference = np.exp(log_reference(prompt))[None]
    return values(scores, policies, prompt) - values(scores, reference, prompt)


def maximin_mixture(gain: Floats, prevalence: Floats | None = None) -> MaximinSolution:
    """Return the mixture of policies whose least gain over types is greatest.

    Parameters
    ----------
    gain : (K, J) float
        As `gains`, nats.
    prevalence : (K,) float, optional
        Among equally good mixtures one of greatest mean gain under these weights is taken.

    Notes
    -----
    Protects whoever gains least, and can hurt everybody for the sake of a type that hardly cares:
    one with small gains under every policy is always the worst off. Rawls's difference principle;
    MaxMin-RLHF (Chakraborty et al. 2024, arXiv 2402.08925). Solved as the min-max regret mixture
    of -G.

    Examples
    --------
    >>> maximin_mixture(np.array([[2.0, 0.0], [0.0, 1.0]])).weights.round(6)
    array([0.333333, 0.666667])
    """
    solution = min_max_regret_mixture(-np.asarray(gain, dtype=np.float64), prevalence)
    return MaximinSolution(solution.weights, -solution.value, solution.duality_gap)


def nash_mixture(gain: Floats, prevalence: Floats) -> NashSolution:
    """Return the mixture with the greatest weighted product of gains over the reference.

    Maximises sum_k w_k log(sum_j a_j G[k, j]), concave in a, from the maximin mixture on.

    Parameters
    ----------
    gain : (K, J) float
        As `gains`, nats.
    prevalence : (K,) float
        Shares of users w, > 0 and summing to one.

    Raises
    ------
    AggregationError
        The optimum is not certified to NASH_TOLERANCE.

    Notes
    -----
    Nash (1950), with the untuned model as the point of disagreement. It does not depend on a type's
    scale, gives larger types more say, and leaves nobody worse off than the untuned model. Where no
    mixture does that there is none, and disagreement stands. Beta-scale and noise of a type cancel;
    the zero level does not. By concavity no mixture exceeds the value by more than
    max_j sum_k w_k G[k, j] / gain_k - 1.

    Examples
    --------
    >>> nash_mixture(np.array([[2.0, 0.0], [0.0, 1.0]]), np.array([0.7, 0.3])).weights.round(4)
    array([0.7, 0.3])
    """
    gain = np.asarray(gain, dtype=np.float64)
    scale = np.abs(gain).max(axis=1, keepdims=True)
    if not (scale > 0).all():
        return NashSolution(None, -np.inf, 0.0)
    scaled, start = gain / scale, maximin_mixture(gain / scale)
    if start.value <= np.sqrt(NASH_TOLERANCE):
        return NashSolution(None, -np.inf, 0.0)
    weights = _climb(scaled, prevalence, start.weights)
    gap = float((prevalence / (scaled @ weights) @ scaled).max() - 1.0)
    if gap > NASH_TOLERANCE:
        raise AggregationError(f"Nash welfare is certified to {gap:.1e} only")
    value = float(prevalence @ np.log(gain @ weights))
    return NashSolution(weights, value, max(gap, 0.0))


def _climb(gain: Floats, prevalence: Floats, weights: Floats) -> Floats:
    """Return the weights (J,) that maximise sum_k w_k log(gain_k), from ones with all gains > 0.

    SLSQP first; then pairwise Frank-Wolfe steps (Lacoste-Julien and Jaggi 2015), which go on where
    it stalls.
    """
    found = minimize(
        lambda a: -prevalence @ np.log(np.maximum(gain @ a, 1e-300)),
        weights,
        jac=lambda a: -(prevalence / np.maximum(gain @ a, 1e-300)) @ gain,
        method="SLSQP",
        bounds=[(0.0, 1.0)] * len(weights),
        constraints={"type": "eq", "fun": lambda a: a.sum() - 1.0, "jac": np.ones_like},
        options={"ftol": 1e-15, "maxiter": 500},
    )
    sought = np.maximum(found.x, 0.0)
    if np.isfinite(sought).all() and sought.any() and (gain @ sought > 0).all():
        weights = sought / sought.sum()
    for _ in range(MOST_STEPS):
        slope = (prevalence / (gain @ weights)) @ gain
        if slope.max() - 1.0 <= 0.5 * NASH_TOLERANCE:
            break
        best, worst = slope.argmax(), np.where(weights > 0, slope, np.inf).argmin()
        change = gain[:, best] - gain[:, worst]
        step = _line_search(gain @ weights, change, prevalence, float(weights[worst]))
        weights = weights.copy()
        weights[best] += step
        weights[worst] -= step
    return weights


def _line_search(start: Floats, change: Floats, prevalence: Floats, most: float) -> float:
    """Return t in [0, most] where sum_k w_k log(start_k + t change_k) is greatest."""
    falling = change < 0
    if falling.any():
        most = min(most, float((-start[falling] / change[falling]).min()) * (1 - 1e-12))

    def slope(step: float) -> float:
        return float(prevalence @ (change / (start + step * change)))

    if slope(most) >= 0:
        return most
    root: Any = brentq(slope, 0.0, most, xtol=1e-16)
    return float(root)


def majority_margins(scores: Floats, prevalence: Floats) -> Floats:
    """Return margins (n, n) of one prompt: P(a random user picks i over j) less the reverse.

    Parameters
    ----------
    scores : (K, n) float
        DPO scores of the prompt's candidates; pairs follow Bradley-Terry.
    prevalence : (K,) float
        Shares of users.
    """
    differences = scores[:, :, None] - scores[:, None, :]  # (K, n, n)
    margins = 2.0 * np.asarray(expit(differences), np.float64) - 1.0
    return np.einsum("k,kij->ij", prevalence, margins)


def maximal_lottery(margins: Floats) -> Floats:
    """Return probabilities (n,) that no candidate beats by majority: p >= 0 with p' M >= 0.

    Raises
    ------
    AggregationError
        The programme was not solved.

    Notes
    -----
    Fishburn (1984); for language models Maura-Rivero et al. 2025 (arXiv 2501.19266). A candidate
    that wins every majority takes all. Protects majorities against vote splitting and clones, and
    can leave a minority with nothing. Where nobody wins anything the lottery is uniform; where
    there are several, the solver's is taken.

    Examples
    --------
    >>> cycle = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])
    >>> maximal_lottery(cycle).round(3)
    array([0.333, 0.333, 0.333])
    """
    n = len(margins)
    if np.abs(margins).max(initial=0.0) < NO_MARGIN:
        return np.full(n, 1.0 / n)
    wins = (margins + np.eye(n) > 0).all(axis=1)
    if wins.any():
        return wins / wins.sum()
    result = linprog(
        np.eye(n + 1)[-1],  # the least t with p' M >= -t
        A_ub=np.column_stack([-margins.T, -np.ones(n)]),
        b_ub=np.zeros(n),
        A_eq=np.append(np.ones(n), 0.0)[None],
        b_eq=[1.0],
        bounds=[(0.0, None)] * (n + 1),
        method="highs",
        options=HIGHS,
    )
    if result.status != 0:
        raise AggregationError(f"maximal lottery not solved: {result.message}")
    chances = np.maximum(result.x[:-1], 0.0)
    return chances / chances.sum()


def lottery_policy(scores: Floats, prevalence: Floats, prompt: Codes) -> Floats:
    """Return the (A,) probabilities of the maximal lottery at every prompt.

    Parameters
    ----------
    scores : (K, A) float
        DPO scores, nats.
    prevalence : (K,) float
        Shares of users, summing to one.
    prompt : (A,) int
        Prompt codes.
    """
    policy = np.empty(scores.shape[1])
    order, starts, _ = prompt_runs(prompt)
    for places in np.split(order, starts[1:]):
        policy[places] = maximal_lottery(majority_margins(scores[:, places], prevalence))
    return policy
