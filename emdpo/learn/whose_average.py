"""Whose average? Rules that pick one answer out of several types' utilities, and disagree.

Letters: K types, A answers. Utilities are in any unit that all types share; shares are of people.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.special import expit

from emdpo.core.rankings import Rankings, rankings_from_table
from emdpo.fitting import fit

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emdpo.core.regret import Floats

TIE = 1e-9
"""Scores that differ by no more are tied, as a share of the largest."""

PRIOR = 1e-3
"""Precision of the prior under which one reward is fitted: it keeps the reward finite where all
people agree, and never changes the order that pairs give."""


@dataclass(frozen=True, eq=False)
class Case:
    """What each type thinks of each answer, and how many people are of it."""

    utilities: Floats
    """(K, A) finite; higher is better."""
    shares: Floats
    """(K,) shares of people, >= 0, summing to one."""
    answers: tuple[str, ...]
    """(A,) names."""

    def __post_init__(self) -> None:
        if not np.isfinite(self.utilities).all() or not np.isfinite(self.shares).all():
            raise ValueError("utilities and shares must be finite numbers")
        if (self.shares < 0).any() or abs(self.shares.sum() - 1.0) > 1e-9:
            raise ValueError(f"shares must be >= 0 and sum to 1, got {self.shares}")
        if self.utilities.shape != (len(self.shares), len(self.answers)):
            raise ValueError(
                f"utilities must be ({len(self.shares)} types, {len(self.answers)} answers), "
                f"got {self.utilities.shape}"
            )


def case(
    utilities: Sequence[Sequence[float]], sizes: Sequence[float], answers: Sequence[str]
) -> Case:
    """Return a case from a table of utilities and sizes of types in any unit.

    Raises
    ------
    ValueError
        A number is missing or not finite, a size is below 0, or all are 0.

    Examples
    --------
    >>> case([[10, 1, 0], [0, 2, 1]], [1, 1], "ABC").shares.tolist()
    [0.5, 0.5]
    """
    held = np.asarray(sizes, np.float64)
    if not np.isfinite(held).all() or (held < 0).any() or not held.any():
        raise ValueError("sizes of types must be numbers >= 0, and one of them above 0")
    return Case(np.asarray(utilities, np.float64), held / held.sum(), tuple(answers))


AVERAGE_AGAINST_BORDA = case([[10, 1, 0], [0, 2, 1]], [50, 50], "ABC")
"""The mean of utilities puts A first, Borda counts and so one reward for all B (the example given
of Shirali et al. 2025, arXiv 2502.16320)."""

FOUR_WINNERS = case(
    [[10, 7, 3, 4], [2, 4, 9, 5], [5, 2, 6, 4]],
    [45, 30, 25],
    "ABCD",
)
"""Majority, Borda, maximin and min-max regret each pick another answer; found by
scripts/four_winners.py."""

COMPROMISE = case([[2, 0, 1], [0, 2, 1]], [55, 45], "ABC")
"""One reward from all pairs puts A first, as Borda counts do; from full rankings C, which nobody
puts first and nobody last."""


def duels(given: Case, noise: float = 0.0) -> Floats:
    """Return the share of people who pick answer i over j, (A, A); 1/2 on the diagonal.

    Parameters
    ----------
    given : Case
    noise : float
        >= 0, in units of utility. 0: everybody picks what is better for them, and tosses a coin
        where nothing is. Above: a person of type k picks i with chance
        sigmoid((u_k(i) - u_k(j)) / noise), as Bradley and Terry (1952) have it.

    Raises
    ------
    ValueError
        noise is below 0 or not finite.
    """
    if not (np.isfinite(noise) and noise >= 0):
        raise ValueError(f"noise must be a finite number >= 0, got {noise}")
    ahead = given.utilities[:, :, None] - given.utilities[:, None, :]  # (K, A, A)
    sure = (1.0 + np.sign(ahead)) / 2.0
    return np.einsum("k,kij->ij", given.shares, sure if noise == 0 else expit(ahead / noise))


def borda(given: Case, noise: float = 0.0) -> Floats:
    """Return Borda counts (A,): duels that a random person lets the answer win, 0 .. A - 1.

    >>> borda(AVERAGE_AGAINST_BORDA).tolist()
    [1.0, 1.5, 0.5]
    """
    return duels(given, noise).sum(axis=1) - 0.5


def all_pairs(given: Case, noise: float = 0.0) -> Rankings:
    """Return the rankings of a crowd without end: every pair, weighted by who picks which side."""
    chance, n = duels(given, noise), len(given.answers)
    rows = [
        (f"{i}>{j}", answer, rank, chance[i, j])
        for i in range(n)
        for j in range(n)
        if i != j and chance[i, j] > 0
        for answer, rank in ((i, 1), (j, 2))
    ]
    return _rankings(given, rows)


def full_orders(given: Case) -> Rankings:
    """Return one full ranking of every type, weighted by its share; equal utilities are tied."""
    rows = [
        (f"type {k + 1}", i, 1 + int((row > row[i]).sum()), share)
        for k, (row, share) in enumerate(zip(given.utilities, given.shares, strict=True))
        if share > 0
        for i in range(len(row))
    ]
    return _rankings(given, rows)


def _rankings(given: Case, rows: list[tuple[str, int, int, float]]) -> Rankings:
    """Return rankings of (ranking, answer, rank, weight) as the library reads them."""
    table = pd.DataFrame(rows, columns=["ranking_id", "place", "rank", "weight"])
    place = table.pop("place")
    return rankings_from_table(
        table.assign(
            user_id=table["ranking_id"],
            prompt="?",
            response=[given.answers[i] for i in place],
            response_id=place.astype(str),
        )
    )


def one_reward(given: Case, rankings: Rankings) -> Floats:
    """Return the rewards (A,) of plain DPO, one model for everybody, fitted to the rankings.

    Notes
    -----
    With every pair answered equally often and a free reward for each answer, the answer that wins
    more often gets the higher reward: at the optimum sum_j sigmoid(r_i - r_j) + l2 r_i is the
    number of wins plus a constant, and rises with r_i. So it orders by Borda counts. From full
    rankings (Plackett-Luce) or pairs asked unequally often it need not.
    """
    found = fit(rankings, 1, features="items", restarts=1, l2=PRIOR)
    order = found.rankings.candidates["response_id"].astype(int).to_numpy()
    scores = np.empty(len(given.answers))
    scores[order] = found.policies.candidate_scores()[0]
    return scores - scores.mean()


class Verdict(NamedTuple):
    """What one rule says."""

    scores: Floats
    """(A,) higher is better, in the rule's own unit."""
    winners: tuple[int, ...]
    """Places of the best answers: several where they tie, none where there is no winner."""


def verdicts(given: Case, noise: float = 0.0) -> dict[str, Verdict]:
    """Return what every rule says of a case.

    Returns
    -------
    dict of str to Verdict
        `mean`: mean utility over people. `majority`: least share of people in a duel with another
        answer; who wins every duel (Condorcet's winner) wins, and there may be none. `borda`.
        `pairs` and `orders`: one reward for all, fitted by this library to all pairs and to full
        rankings. `maximin`: utility of the type that likes the answer least. `regret`: minus the
        most that a type with people in it loses against its own favourite.
    """
    held = given.utilities[given.shares > 0]
    chance = duels(given, noise)
    least = np.where(np.eye(len(chance), dtype=bool), np.inf, chance).min(axis=1)
    scores = {
        "mean": given.shares @ given.utilities,
        "majority": least,
        "borda": chance.sum(axis=1) - 0.5,
        "pairs": one_reward(given, all_pairs(given, noise)),
        "orders": one_reward(given, full_orders(given)),
        "maximin": held.min(axis=0),
        "regret": -(held.max(axis=1, keepdims=True) - held).max(axis=0),
    }
    found = {rule: Verdict(row, best(row)) for rule, row in scores.items()}
    if least.max() <= 0.5 + TIE:
        found["majority"] = Verdict(least, ())
    return found


def best(scores: Floats) -> tuple[int, ...]:
    """Return the places of the largest scores, ties included.

    >>> best(np.array([1.0, 3.0, 3.0]))
    (1, 2)
    """
    near = scores >= scores.max() - TIE * max(1.0, float(np.abs(scores).max()))
    return tuple(np.flatnonzero(near).tolist())
