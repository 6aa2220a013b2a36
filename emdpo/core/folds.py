"""What is left out in turn: rankings within users, whole users, or some of a ranking's candidates.

Adapters keep their own prompts apart (`adapters.folds`).
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

FEWEST_CANDIDATES = 4
"""Of a ranking that is cut in two: each half needs two to have an order."""


def folds_within_users(
    rankings: Rankings, n_folds: int, rng: np.random.Generator
) -> NDArray[np.int64]:
    """Return the fold of each ranking, (R,): every user's rankings spread evenly, at random."""
    shuffled = rng.permutation(rankings.n_rankings)
    order = shuffled[np.argsort(rankings.user[shuffled], kind="stable")]
    first_of_user = np.searchsorted(rankings.user[order], np.arange(rankings.n_users))
    place = np.arange(rankings.n_rankings) - first_of_user[rankings.user[order]]
    offset = rng.integers(n_folds, size=rankings.n_users)
    folds = np.empty(rankings.n_rankings, np.int64)
    folds[order] = (place + offset[rankings.user[order]]) % n_folds
    return folds


def folds_of_users(rankings: Rankings, n_folds: int, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the fold of each ranking, (R,), all of a user's in one; as many users in each."""
    return rng.permutation(rankings.n_users)[rankings.user] % n_folds


def known_half(rankings: Rankings, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Return which rankings are known, (R,): half of each user's; the only one of a user is not."""
    alone = np.bincount(rankings.user, minlength=rankings.n_users) == 1
    return (folds_within_users(rankings, 2, rng) == 1) & ~alone[rankings.user]


def halves_of_candidates(rankings: Rankings, rng: np.random.Generator) -> tuple[Rankings, Rankings]:
    """Return the rankings of half of each one's candidates, drawn at random, and of the others.

    Rankings of fewer than four candidates are whole in the second part and not in the first. Under
    Plackett-Luce the orders of disjoint sets of candidates are independent given the type, since
    each candidate has a noise of its own (Yellott 1977).
    """
    halved = np.where(rankings.lengths >= FEWEST_CANDIDATES, rankings.lengths // 2, 0)
    first = _places(rankings, rng) < halved[rankings.ranking_of_row]
    return _with_rows(rankings, first), _with_rows(rankings, ~first)


def cut_lists(rankings: Rankings, length: int, rng: np.random.Generator) -> Rankings:
    """Return each ranking as several of disjoint candidates, drawn at random.

    Each has `length` candidates or more, fewer than twice as many; a ranking with fewer stays as it
    is. They keep the id of the ranking that they are from. As with `halves_of_candidates`, they are
    independent given the user's type.
    """
    pieces = np.maximum(rankings.lengths // length, 1)
    piece = _places(rankings, rng) % pieces[rankings.ranking_of_row]
    first = np.concatenate([[0], np.cumsum(pieces)])[:-1]
    of_row = first[rankings.ranking_of_row] + piece
    rows = np.argsort(of_row, kind="stable")
    sizes = np.bincount(of_row, minlength=int(pieces.sum()))
    return replace(
        rankings,
        offsets=np.concatenate([[0], np.cumsum(sizes)]),
        ranks=rankings.ranks[rows],
        candidate=rankings.candidate[rows],
        user=np.repeat(rankings.user, pieces),
        prompt=np.repeat(rankings.prompt, pieces),
        weight=np.repeat(rankings.weight, pieces),
        held_out=np.repeat(rankings.held_out, pieces),
        ranking_ids=np.repeat(rankings.ranking_ids, pieces),
    )


def _places(rankings: Rankings, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return the place of each row in a random order of its ranking's candidates, (C,)."""
    order = np.lexsort((rng.random(rankings.n_rows), rankings.ranking_of_row))
    place = np.empty(rankings.n_rows, np.int64)
    place[order] = np.arange(rankings.n_rows) - np.repeat(rankings.offsets[:-1], rankings.lengths)
    return place


def _with_rows(rankings: Rankings, keep: NDArray[np.bool_]) -> Rankings:
    """Return the rankings of the rows where `keep` (C,) is true, those that keep any."""
    lengths = np.bincount(rankings.ranking_of_row[keep], minlength=rankings.n_rankings)
    part = rankings.select(lengths > 0)
    return replace(
        part,
        offsets=np.concatenate([[0], np.cumsum(lengths[lengths > 0])]),
        ranks=rankings.ranks[keep],
        candidate=rankings.candidate[keep],
    )
