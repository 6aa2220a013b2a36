"""Hedge, round by round: the min-max regret mixture by multiplicative weights, for teaching.

A game is played in rounds. The learner mixes policies, the adversary answers with the type that is
worst off under the mix, and every policy loses weight exponentially in what that type lost with it.
Averaged over rounds, the learner's mixtures near the min-max regret mixture, which
`aggregation.min_max_regret_mixture` finds exactly.

Letters: K types, J policies, T rounds.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from emdpo.core.aggregation import MinMaxSolution, bracketed, checked_regrets, to_simplex
from emdpo.core.regret import Floats


@dataclass(frozen=True, eq=False)
class HedgeRounds:
    """Every round of a game, and what its averages prove after each."""

    played: Floats
    """(T, J) the learner's weights in each round, points of the simplex."""
    picked: NDArray[np.intp]
    """(T,) the type that the adversary picked: worst off under `played`."""
    average: Floats
    """(T, J) mean of `played` up to each round: the mixture that stands then."""
    adversary: Floats
    """(T, K) how often each type was picked up to each round, as shares."""
    worst: Floats
    """(T,) worst regret under `average`, nats: never below the value of the game."""
    floor: Floats
    """(T,) least regret, averaged by `adversary`, of any mixture: never above that value."""
    bound: Floats
    """(T,) what the gap cannot exceed, nats: spread * (log J / (rate t) + rate / 8)."""

    @property
    def gap(self) -> Floats:
        """(T,) worst - floor, >= 0, nats: how far `average` may be from the best mixture."""
        return np.maximum(self.worst - self.floor, 0.0)


def hedge_rounds(regret_matrix: Floats, n_rounds: int) -> HedgeRounds:
    """Return every round of Hedge with the learning rate that suits their number.

    Parameters
    ----------
    regret_matrix : (K, J) float
        Plain regret of type k under policy j, nats, raw.
    n_rounds : int
        T, >= 1.

    Raises
    ------
    ValueError
        If the matrix is empty or not finite, or n_rounds below 1.

    Notes
    -----
    Freund and Schapire 1999, "Adaptive game playing using multiplicative weights". Regrets are
    mapped to [0, 1] first; the rate is sqrt(8 log J / T). The paper's own solver (AISTATS 2026,
    arXiv 2510.15716) is the optimistic variant of it.

    Examples
    --------
    >>> rounds = hedge_rounds(np.array([[0.0, 3.0], [1.0, 0.0]]), 2)
    >>> rounds.played[0].tolist(), rounds.picked.tolist()
    ([0.5, 0.5], [0, 1])
    """
    matrix = checked_regrets(regret_matrix)
    if n_rounds < 1:
        raise ValueError(f"n_rounds must be >= 1, got {n_rounds}")
    n_types, n_policies = matrix.shape
    spread = float(np.ptp(matrix))
    losses = (matrix - matrix.min()) / (spread or 1.0)  # (K, J) in [0, 1]
    rate = float(np.sqrt(8.0 * np.log(n_policies) / n_rounds))
    played, picked = np.empty((n_rounds, n_policies)), np.empty(n_rounds, np.intp)
    total_loss = np.zeros(n_policies)
    for t in range(n_rounds):
        played[t] = to_simplex(np.exp(-rate * (total_loss - total_loss.min())))
        picked[t] = np.argmax(losses @ played[t])
        total_loss += losses[picked[t]]
    rounds = np.arange(1, n_rounds + 1)[:, None]
    average = np.cumsum(played, axis=0) / rounds
    adversary = np.cumsum(np.eye(n_types)[picked], axis=0) / rounds
    first = np.log(n_policies) / (rate * rounds[:, 0]) if rate else np.zeros(n_rounds)
    return HedgeRounds(
        played=played,
        picked=picked,
        average=average,
        adversary=adversary,
        worst=(average @ matrix.T).max(axis=1),
        floor=(adversary @ matrix).min(axis=1),
        bound=spread * (first + rate / 8.0),
    )


def hedge(regret_matrix: Floats, n_rounds: int) -> MinMaxSolution:
    """Return the min-max regret mixture by multiplicative weights, approximately.

    The duality gap is at most (spread of the regrets) * sqrt(log J / (2 n_rounds)). Parameters,
    errors and source are those of `hedge_rounds`.

    >>> solution = hedge(np.array([[0.0, 3.0], [1.0, 0.0]]), 1000)
    >>> solution.weights.round(2).tolist(), bool(solution.duality_gap < 0.06)
    ([0.75, 0.25], True)
    """
    rounds = hedge_rounds(regret_matrix, n_rounds)
    weights, adversary = to_simplex(rounds.average[-1]), to_simplex(rounds.adversary[-1])
    return bracketed(checked_regrets(regret_matrix), weights, adversary)
