"""What protecting the worst-off costs: the least mean regret for each bound on the worst.

Where regret is linear in a mixture's weights (plain regret, its share of the own gain, preference
regret), the least mean under a bound on the worst is a linear programme whose value is convex and
piecewise linear in the bound. Its break points are found exactly: between two of them, mean and
worst are weighed so that both score alike; a mixture that scores better is a new break point, and
where there is none the line between the two is the curve (Aneja and Nair 1979).

Letters: K types, J policies, n break points.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.aggregation import (
    LP_TOLERANCE,
    AggregationError,
    checked_regrets,
    min_max_regret_mixture,
    solve_lp,
    to_simplex,
)
from emdpo.core.regret import Floats

if TYPE_CHECKING:
    from emdpo.core.audit import Audit

LINEAR_KINDS = ("plain", "share", "preference")
"""Kinds of regret that are linear in the weights of a mixture."""

SAME_POINT = 1e-9
"""Break points nearer to a line than this share of the spread of the regrets are on it."""


@dataclass(frozen=True, eq=False)
class TradeOff:
    """The curve of least mean regret for each bound on the worst, over mixtures, and the proof."""

    worst: Floats
    """(n,) worst regret at each break point, falling: the bound, which is reached."""
    mean: Floats
    """(n,) least mean regret under that bound, rising; in between the curve is straight."""
    weights: Floats
    """(n, J) mixture weights, from least mean to least worst regret."""
    duality_gap: float
    """>= 0: no mixture's weighted sum of mean and worst is below the curve's by more than this."""

    def at(self, position: float) -> Floats:
        """Return the (J,) weights at a point of the curve.

        Parameters
        ----------
        position : float
            0 = least mean, 1 = least worst regret; in between, this share of what the worst-off
            can be spared.
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
    points, gaps = _between(matrix, prevalence, *ends)
    if max(gaps) > LP_TOLERANCE * np.ptp(matrix) + 1e-12 * np.abs(matrix).max():
        raise AggregationError(f"trade-off curve is certified to {max(gaps):.1e} only")
    weights = np.stack(points)
    mean, worst = _judged(matrix, prevalence, weights).T
    return TradeOff(worst, mean, weights, max(gaps))


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


def _between(
    matrix: Floats, prevalence: Floats, first: Floats, last: Floats
) -> tuple[list[Floats], list[float]]:
    """Return the break points from `first` to `last`, and the gap of each line between them."""
    (mean, worst), (last_mean, last_worst) = _judged(matrix, prevalence, np.stack([first, last]))
    paid, gained = last_mean - mean, worst - last_worst
    least = SAME_POINT * float(np.ptp(matrix))
    share, points = 0.5, [first] if gained <= least else [last]
    if paid > least and gained > least:
        share, points = float(paid / (paid + gained)), [first, last]
    weights, floor = _weighed(matrix, prevalence, share)
    *line, found = _judged(matrix, prevalence, np.stack([*points, weights])) @ (1.0 - share, share)
    if len(points) == 1 or max(line) - found <= least:
        return points, [max(float(max(line)) - floor, 0.0)]
    before, gaps = _between(matrix, prevalence, first, weights)
    after, more = _between(matrix, prevalence, weights, last)
    return [*before[:-1], *after], [*gaps, *more]
