"""How a policy's scores agree with one ranking: the top choice right, and the order as a whole.

Letters: J policies, R rankings of C candidate rows. Candidates that are not ranked are tied below
all others.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.plackett_luce import UNRANKED
from emdpo.core.policy_agreement import prompt_kendall
from emdpo.core.regret import Floats, log_normalise

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

LEAST = -1e300
"""Stands for a score of minus infinity where scores are compared."""


def has_order(panel: Rankings) -> NDArray[np.bool_]:
    """Return which rankings put some candidate above another, (R,)."""
    place = _places(panel)
    starts = panel.offsets[:-1]
    return np.minimum.reduceat(place, starts) < np.maximum.reduceat(place, starts)


def best_share(panel: Rankings) -> Floats:
    """Return 1 for the user's best, shared among tied ones, and 0 for others, (C,)."""
    place = _places(panel)
    best = place == np.minimum.reduceat(place, panel.offsets[:-1])[panel.ranking_of_row]
    n_best = np.add.reduceat(best.astype(np.int64), panel.offsets[:-1])
    return best / n_best[panel.ranking_of_row]


def top_choice_probability(scores: Floats, panel: Rankings) -> Floats:
    """Return each policy's probability that a row is the best shown, (J, C).

    nan throughout for a policy that rules some candidate out.
    """
    chance = np.full(scores.shape, np.nan)
    finite = np.isfinite(scores).all(axis=1)
    chance[finite] = np.exp(log_normalise(scores[finite], panel.ranking_of_row))
    return chance


def top_choice_credit(scores: Floats, panel: Rankings) -> Floats:
    """Return the chance (J, R) that a candidate of the highest score is one of the user's best.

    Of several candidates with the highest score each is as likely to be named.
    """
    starts, ranking = panel.offsets[:-1], panel.ranking_of_row
    named = scores == np.maximum.reduceat(scores, starts, axis=1)[:, ranking]  # (J, C)
    right = named & (best_share(panel) > 0)
    return np.add.reduceat(right, starts, axis=1, dtype=np.float64) / np.add.reduceat(
        named, starts, axis=1, dtype=np.float64
    )


def kendall_tau_b(scores: Floats, panel: Rankings) -> Floats:
    """Return Kendall's tau-b (J, R) of scores (J, C) and ranks; 0 where all scores are tied.

    Parameters
    ----------
    scores : (J, C)
    panel : Rankings
        Each with an order. Candidates that are not ranked are tied below all others.

    Notes
    -----
    Kendall 1945, The treatment of ties in ranking problems, Biometrika 33. A policy that tells
    nothing apart has no tau-b; with 0 all policies are compared on the same rankings.
    """
    place = -_places(panel).astype(np.float64)
    finite = np.maximum(scores, LEAST)  # infinities may tie
    taus = [prompt_kendall(row, place, panel.ranking_of_row) for row in finite]
    return np.nan_to_num(np.stack(taus))


def _places(panel: Rankings) -> NDArray[np.int32]:
    """Return the ranks with candidates that are not ranked below all others, (C,)."""
    return np.where(panel.ranks == 0, UNRANKED, panel.ranks)
