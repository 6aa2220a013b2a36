"""What protecting the worst-off costs: the least mean regret for each bound on the worst.

Where regret is linear in a mixture's weights (plain regret, its share of the own gain, preference
regret), the least mean under a bound on the worst is a linear programme over mixtures, whose value
is convex and piecewise linear in the bound. KL regret is convex in the policy itself; there the
least mean over *all* policies is reached by consensuses. Either curve is found from its two ends:
between two of its points, mean and worst are weighed so that both score alike; what scores better
is a new point, and where nothing does the line between the two is the curve (the dichotomic search
of Aneja and Nair 1979). Every line comes with a bound on what could lie below it.

Letters: K types, J policies, A candidates, n points; `prompt` holds (A,) codes 0..P-1.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.aggregation import (
    LP_TOLERANCE,
    AggregationError,
    checked_regrets,
    kl_consensus,
    min_max_regret_mixture,
    solve_lp,
    to_simplex,
)
from emdpo.core.regret import Codes, Floats, kl_regret, log_normalise
from emdpo.core.rules import CONSENSUS, MIXTURE

if TYPE_CHECKING:
    from emdpo.core.audit import Audit

LINEAR_KINDS = ("plain", "share", "preference")
"""Kinds of regret that are linear in the weights of a mixture."""

SAME_POINT = 1e-9
"""Break points nearer to a line than this share of the spread of the regrets are on it."""

FINE_ENOUGH = 2e-2
"""A curve that bends everywhere is followed to this share of what can be gained along it."""


@dataclass(frozen=True, eq=False)
class TradeOff:
    """The curve of least mean regret for each bound on the worst, and the proof."""

    worst: Floats
    """(n,) worst regret at each point, falling: the bound, which is reached."""
    mean: Floats
    """(n,) least mean regret under that bound, rising; in between the curve is drawn straight."""
    weights: Floats
    """(n, J) weights of a mixture or exponents of a consensus, from least mean to least worst."""
    duality_gap: float
    """>= 0: nothing of its kind has a weighted sum of mean and worst below that of a line of the
    curve by more than this."""
    form: str = MIXTURE
    """`mixture`: of all mixtures; `consensus`: of all policies whatever."""

    def at(self, position: float) -> Floats:
        """Return the (J,) weights at a point of the curve.

        Parameters
        ----------
        position : float
            0 = least mean, 1 = least worst regret; in between, this share of what the worst-off
            can be spared. Of consensuses, nearly so: weights are interpolated between points.
        """
        if not 0.0 <= position <= 1.0:
            raise ValueError(f"position must be in [0, 1], got {position}")
        bound = self.worst[0] + position * (self.worst[-1] - self.worst[0])
        return to_simplex(
            np.array([np.interp(-bound, -self.worst, weights) for weights in self.weights.T])
        )

    def least_mean(self, bound: float) -> float:
        """Return the least mean regret under a bound on the worst; nan where none obeys it."""
        if bound < self.worst[-1]:
            return np.nan
        return float(np.interp(-bound, -self.worst, self.mean))


def trade_off(regret_matrix: Floats, prevalence: Floats) -> TradeOff:
    """Return the trade-off between mean and worst regret over mixtures of policies.

    Parameters
    ----------
    regret_matrix : (K, J) float
        Regret of type k under policy j, of a kind that is linear in the mixture; raw.
    prevalence : (K,) float
        Weights of the types in the mean, >= 0; types without users are left out of both.

    Raises
    ------
    AggregationError
        A programme was not solved, or the gap exceeds 1e-8 of the spread of the regrets.
        ValueError if the matrix is empty or not finite or the weights do not fit it.

    Examples
    --------
    >>> curve = trade_off(np.array([[0.0, 4.0], [1.0, 0.0]]), np.array([0.5, 0.5]))
    >>> curve.worst.round(6).tolist(), curve.mean.round(6).tolist()
    ([1.0, 0.8], [0.5, 0.8])
    >>> curve.at(1.0).round(6).tolist()
    [0.8, 0.2]
    """
    matrix, prevalence = checked_regrets(regret_matrix), np.asarray(prevalence, np.float64)
    if prevalence.shape != matrix.shape[:1] or not (prevalence >= 0).all() or not prevalence.any():
        raise ValueError(f"prevalence must be {len(matrix)} weights >= 0, got {prevalence}")
    ends = _kindest(matrix, prevalence), min_max_regret_mixture(matrix, prevalence).weights
    spread = float(np.ptp(matrix))
    gauge = partial(_judged, matrix, prevalence)
    curve = _curve(gauge, partial(_weighed, matrix, prevalence), ends, SAME_POINT * spread)
    if curve.duality_gap > LP_TOLERANCE * spread + 1e-12 * np.abs(matrix).max():
        raise AggregationError(f"trade-off curve is certified to {curve.duality_gap:.1e} only")
    return curve


def kl_trade_off(log_types: Floats, prompt: Codes, beta: float, prevalence: Floats) -> TradeOff:
    """Return the trade-off between mean and worst KL regret over all policies.

    Parameters
    ----------
    log_types : (K, A) float
        Log probabilities of the type policies, finite.
    prompt : (A,) int
    beta : float
        DPO inverse temperature, > 0.
    prevalence : (K,) float
        Weights of the types in the mean, >= 0 and summing to one.

    Raises
    ------
    AggregationError
        As `kl_consensus`.

    Notes
    -----
    With exponents a, sum_k a_k KL(pi || pi_k) is least at pi proportional to prod_k pi_k^a_k. So
    (1 - s) mean + s worst is least at a = (1 - s) w + s y, with y the adversary's weights: that is
    the consensus of the types pi'_k proportional to (prod_j pi_j^w_j)^(1 - s) pi_k^s.

    Examples
    --------
    >>> types, one_prompt = np.log([[0.8, 0.2], [0.2, 0.8]]), np.array([0, 0])
    >>> curve = kl_trade_off(types, one_prompt, 1.0, np.array([0.75, 0.25]))
    >>> curve.weights[0].tolist(), curve.weights[-1].round(6).tolist()
    ([0.75, 0.25], [0.5, 0.5])
    """
    prevalence = np.asarray(prevalence, dtype=np.float64)
    middle = prevalence @ log_types  # (A,)

    def judged(exponents: Floats) -> Floats:
        policies = np.exp(log_normalise(exponents @ log_types, prompt))
        regret = kl_regret(log_types, policies, prompt, beta)  # (K, n)
        return np.column_stack([prevalence @ regret, regret.max(axis=0)])

    def weighed(share: float) -> tuple[Floats, float]:
        found = kl_consensus((1.0 - share) * middle + share * log_types, prompt, beta)
        exponents = (1.0 - share) * prevalence + share * found.weights
        return exponents, found.value - found.duality_gap

    ends = prevalence, kl_consensus(log_types, prompt, beta).weights
    paid, gained = np.abs(np.subtract(*judged(np.stack(ends))))
    least = FINE_ENOUGH * paid * gained / max(paid + gained, 1e-300)
    return replace(_curve(judged, weighed, ends, float(least)), form=CONSENSUS)


def audit_trade_off(audit: Audit, kind: str) -> TradeOff | None:
    """Return the trade-off between the types of an audit that have users.

    None for kinds of regret that are not linear in the weights of a mixture, and where a type gains
    nothing from its own policy, so that its share does not exist. Weights are (n, K).
    """
    held = np.flatnonzero(audit.occupied)
    if not all(f"type-{j + 1}" in audit.regret[kind] for j in held.tolist()):
        return None
    matrix = np.stack([audit.regret[kind][f"type-{j + 1}"][held] for j in held.tolist()], axis=1)
    if kind not in LINEAR_KINDS or not np.isfinite(matrix).all():
        return None
    curve = trade_off(matrix, audit.prevalence[held])
    weights = np.zeros((len(curve.weights), audit.n_types))
    weights[:, held] = curve.weights
    return replace(curve, weights=weights)


def _judged(matrix: Floats, prevalence: Floats, mixtures: Floats) -> Floats:
    """Return mean and worst regret of mixtures (n, J), (n, 2)."""
    regret = mixtures @ matrix.T  # (n, K)
    return np.column_stack([regret @ prevalence, regret.max(axis=1)])


def _in_units(matrix: Floats) -> Floats:
    """Return the regrets mapped to [0, 1]."""
    return (matrix - matrix.min()) / (np.ptp(matrix) or 1.0)


def _kindest(matrix: Floats, prevalence: Floats) -> Floats:
    """Return the mixture of least mean regret; of several, one of least worst."""
    means = prevalence @ _in_units(matrix)
    below = np.column_stack([_in_units(matrix), -np.ones(len(matrix))])  # regrets less t
    rows = np.vstack([below, np.append(means - means.min(), 0.0)])
    return to_simplex(solve_lp(np.eye(len(means) + 1)[-1], rows, 0.0, len(means)).x[:-1])


def _weighed(matrix: Floats, prevalence: Floats, share: float) -> tuple[Floats, float]:
    """Return the mixture with the least (1 - share) mean + share worst, and a bound from below.

    Let q = (1 - share) w + share y with y in the simplex. As no mixture's worst regret is below the
    one averaged by y, no mixture's sum is below min_j (q R)_j.
    """
    means = prevalence @ _in_units(matrix)
    below = np.column_stack([_in_units(matrix), -np.ones(len(matrix))])
    found = solve_lp(np.append((1.0 - share) * means, share), below, 0.0, len(means))
    adversary = to_simplex(-found.ineqlin.marginals)
    floor = ((1.0 - share) * prevalence + share * adversary) @ matrix  # (J,)
    return to_simplex(found.x[:-1]), float(floor.min())


def _curve(
    judged: Callable[[Floats], Floats],
    weighed: Callable[[float], tuple[Floats, float]],
    ends: tuple[Floats, Floats],
    least: float,
) -> TradeOff:
    """Return the curve between the points of least mean and of least worst regret.

    Parameters
    ----------
    judged
        Returns mean and worst regret (n, 2) of points (n, J).
    weighed
        Returns the point with the least (1 - share) mean + share worst, and a bound from below.
    ends : 2 of (J,) float
    least : float
        What scores better than a line by no more than this is on it.
    """
    points, gaps = _between(judged, weighed, *ends, least)
    regret = judged(np.stack(points))  # (n, 2)
    same = SAME_POINT * float(np.abs(regret).max())
    kept = [0]
    for i in range(1, len(points)):
        paid, gained = (regret[i] - regret[kept[-1]]) * (1.0, -1.0)
        if paid <= same:
            kept[-1] = i
        elif gained > same:
            kept.append(i)
    mean, worst = regret[kept].T
    return TradeOff(worst, mean, np.stack(points)[kept], max(gaps))


def _between(
    judged: Callable[[Floats], Floats],
    weighed: Callable[[float], tuple[Floats, float]],
    first: Floats,
    last: Floats,
    least: float,
) -> tuple[list[Floats], list[float]]:
    """Return the curve's points from one to another, and the gap of each line between them."""
    ends = judged(np.stack([first, last]))
    paid, gained = np.maximum((ends[1] - ends[0]) * (1.0, -1.0), 0.0).tolist()
    # All between lies above the corner that has the mean of the first and the worst of the last.
    most = paid * gained / (paid + gained) if paid and gained else 0.0
    if most <= least:
        return [first, last], [most]
    share = paid / (paid + gained)
    between, floor = weighed(share)
    *line, found = np.vstack([ends, judged(between[None])]) @ (1.0 - share, share)
    if max(line) - found <= least:
        return [first, last], [max(float(max(line)) - floor, 0.0)]
    before, gaps = _between(judged, weighed, first, between, least)
    after, more = _between(judged, weighed, between, last, least)
    return [*before[:-1], *after], [*gaps, *more]
