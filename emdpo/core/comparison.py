"""Two sets of types of the same users: which belong together, who moved, how far they agree.

Letters: N users that both fits know, K types of run A, L types of run B.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import linear_sum_assignment

from emdpo.core.mixture import EMPTY_TYPE
from emdpo.core.resampling import Estimate, estimate_of, resampled_counts

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MOSTLY = 0.5
"""A type belongs to the split of another if more than this share of its users comes from there."""

SURE = 0.8
"""A user has surely moved from this chance on that the types of the two runs do not match."""

NAMES_OF_MOVED = ("user_id", "type_a", "probability_a", "type_b", "probability_b", "chance_moved")

Pairs = tuple[tuple[int, int], ...]
"""Matched types (k, m), counted from 0, in the order of run A."""


class Split(NamedTuple):
    """A type of one run whose users several types of the other run are mostly made of."""

    one: int
    """Counted from 0."""
    many: tuple[int, ...]
    """Counted from 0, the largest share first."""
    n: tuple[int, ...]
    """Users of `one` in each of `many`, by most likely type."""


class Assignments(NamedTuple):
    """How the most likely types of the N users agree."""

    adjusted_rand: Estimate
    """1 = the same users together, near 0 = no more than chance (Hubert and Arabie 1985)."""
    staying: Estimate
    """Share of users whose most likely types are matched."""


def type_overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the users that types have in common, sum_i r_ik r'_im, (K, L).

    Parameters
    ----------
    a, b : (N, K) and (N, L) float
        Responsibilities of the same users in the same order.

    Examples
    --------
    >>> sure, unsure = np.array([[1.0, 0.0], [0.0, 1.0]]), np.array([[0.5, 0.5], [0.0, 1.0]])
    >>> type_overlap(sure, unsure)
    array([[0.5, 0.5],
           [0. , 1. ]])
    """
    return a.T @ b


def match_types(overlap: NDArray[np.float64]) -> Pairs:
    """Return the pairs of types that have most users in common in all, each type once at most.

    Types that have less than half a user in common are no pair.

    Parameters
    ----------
    overlap : (K, L) float
        Users in common (`type_overlap`); any table of weights >= 0.

    Notes
    -----
    A maximum-weight bipartite matching (Kuhn 1955), by `scipy.optimize.linear_sum_assignment`.

    Examples
    --------
    >>> match_types(np.array([[5.0, 40.0, 30.0], [20.0, 0.0, 0.0]]))
    ((0, 1), (1, 0))
    """
    rows, columns = linear_sum_assignment(overlap, maximize=True)
    pairs = zip(rows.tolist(), columns.tolist(), strict=True)
    return tuple((k, m) for k, m in pairs if overlap[k, m] >= EMPTY_TYPE)


def contingency(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return how many users are most likely of type k in A and of type m in B, (K, L).

    >>> contingency(np.array([[0.9, 0.1], [0.2, 0.8]]), np.array([[1.0], [1.0]]))
    array([[1],
           [1]])
    """
    table = np.zeros((a.shape[1], b.shape[1]), np.int64)
    np.add.at(table, (a.argmax(axis=1), b.argmax(axis=1)), 1)
    return table


def splits(table: NDArray[np.int64]) -> tuple[Split, ...]:
    """Return the types of A that fell apart in B; of the transposed table, those that merged.

    A type falls apart where two types of B or more have more than half of their users from it.

    Parameters
    ----------
    table : (K, L) int
        Users by type in A and in B (`contingency`).

    Examples
    --------
    >>> splits(np.array([[30, 0, 25], [2, 40, 1]]))
    (Split(one=0, many=(0, 2), n=(30, 25)),)
    """
    total = table.sum(axis=0)  # (L,)
    share = np.divide(table, total, out=np.zeros(table.shape), where=total > 0)
    found = []
    for k, row in enumerate(table):
        parts = np.flatnonzero(share[k] > MOSTLY)
        parts = parts[np.argsort(-row[parts], kind="stable")]
        if len(parts) > 1:
            found.append(Split(k, tuple(parts.tolist()), tuple(row[parts].tolist())))
    return tuple(found)


def stays(a: NDArray[np.float64], b: NDArray[np.float64], pairs: Pairs) -> NDArray[np.bool_]:
    """Return which users' most likely types are matched, (N,)."""
    return _matched(a.shape[1], b.shape[1], pairs)[a.argmax(axis=1), b.argmax(axis=1)] > 0


def chance_moved(
    a: NDArray[np.float64], b: NDArray[np.float64], pairs: Pairs
) -> NDArray[np.float64]:
    """Return each user's chance that types drawn from both posteriors do not match, (N,)."""
    matched = _matched(a.shape[1], b.shape[1], pairs)
    return np.clip(1.0 - np.einsum("ik,kl,il->i", a, matched, b), 0.0, 1.0)


def _matched(n_a: int, n_b: int, pairs: Pairs) -> NDArray[np.float64]:
    """Return 1 where types are matched, (K, L)."""
    table = np.zeros((n_a, n_b))
    for k, m in pairs:
        table[k, m] = 1.0
    return table


def moved_users(
    a: NDArray[np.float64], b: NDArray[np.float64], pairs: Pairs, user_ids: Sequence[str]
) -> pd.DataFrame:
    """Return the users whose most likely types are not matched, the surest move first.

    Returns
    -------
    DataFrame
        user_id, type_a, probability_a, type_b, probability_b (most likely types, from 1) and
        chance_moved (`chance_moved`).
    """
    moved = np.flatnonzero(~stays(a, b, pairs))
    chance = chance_moved(a, b, pairs)[moved]
    order = moved[np.argsort(-chance, kind="stable")]
    columns = (
        np.asarray(user_ids, object)[order],
        a[order].argmax(axis=1) + 1,
        a[order].max(axis=1),
        b[order].argmax(axis=1) + 1,
        b[order].max(axis=1),
        np.sort(chance)[::-1],
    )
    return pd.DataFrame(dict(zip(NAMES_OF_MOVED, columns, strict=True)))


def adjusted_rand(
    tables: NDArray[np.float64], n_self: NDArray[np.float64] | float
) -> NDArray[np.float64]:
    """Return the adjusted Rand index of contingency tables (..., K, L), (...).

    Parameters
    ----------
    tables : (..., K, L) float
        Users by their types; a user who was drawn twice counts twice.
    n_self : (...) float
        Sum of the squared times that each user was drawn, so that pairs of a user with themself,
        who always agrees, do not count; the number of users where each was drawn once.

    Notes
    -----
    Hubert and Arabie 1985; that of a table itself is scikit-learn's `adjusted_rand_score`.

    Examples
    --------
    >>> float(adjusted_rand(np.array([[2.0, 0.0], [0.0, 2.0]]), 4))
    1.0
    """

    def pairs(counts: NDArray[np.float64]) -> NDArray[np.float64]:
        return (np.square(counts).sum(axis=-1) - n_self) / 2

    both = pairs(tables.reshape(*tables.shape[:-2], -1))
    rows, columns = pairs(tables.sum(axis=-1)), pairs(tables.sum(axis=-2))
    total = (np.square(tables.sum(axis=(-2, -1))) - n_self) / 2
    by_chance = np.divide(rows * columns, total, out=np.zeros_like(both), where=total > 0)
    most = (rows + columns) / 2
    trivial = most - by_chance <= 1e-12 * np.maximum(most, 1.0)
    return np.divide(both - by_chance, most - by_chance, out=np.ones_like(both), where=~trivial)


def assignment_agreement(
    a: NDArray[np.float64],
    b: NDArray[np.float64],
    pairs: Pairs,
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> Assignments:
    """Return how far the most likely types agree, with percentile bootstrap over users.

    The matching is not made anew in each draw.
    """
    n, n_a, n_b = len(a), a.shape[1], b.shape[1]
    cell = a.argmax(axis=1) * n_b + b.argmax(axis=1)  # (N,)
    stay = _matched(n_a, n_b, pairs).ravel()
    table = np.bincount(cell, minlength=n_a * n_b).astype(np.float64)
    rand, staying = [], []
    for counts in resampled_counts(n, n_bootstrap, rng):  # (b, N)
        drawn = np.stack([np.bincount(cell, row, n_a * n_b).astype(float) for row in counts])
        n_self = np.square(counts).sum(axis=1)
        rand.append(adjusted_rand(drawn.reshape(-1, n_a, n_b), n_self))
        staying.append(drawn @ stay / n)
    index = float(adjusted_rand(table.reshape(n_a, n_b), float(n)))
    share = float(table @ stay / n)
    return Assignments(
        estimate_of(index, np.concatenate(rand), confidence, n),
        estimate_of(share, np.concatenate(staying), confidence, n),
    )
