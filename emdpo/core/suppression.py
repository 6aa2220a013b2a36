"""Which groups must not be shown: the small ones, and those that give small ones away.

A figure of a small group is found by subtraction where the group's sum can be written as published
sums added and taken away: everybody less the other groups, or a row of a two-way table less its
other cells. So further groups are hidden until no union of hidden people smaller than the limit can
be found (complementary suppression; Cox 1980, doi 10.1080/01621459.1980.10477481).

In a two-way table whose margins are published, hidden cells are the edges of a graph between rows
and columns. A union of them can be found just where it is what leaves a set of rows and columns
that nothing enters (Gusfield 1988, SIAM Journal on Computing 17), so the smallest one with a given
cell is a minimum cut. Of three attributes every pair is looked at, but no three-way table: none is
shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.sparse import coo_array, csr_array
from scipy.sparse.csgraph import breadth_first_order, maximum_flow

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Counts = NDArray[np.int64]

BARRED = 2**30
"""Capacity that no cut can pay."""


class _Cut(NamedTuple):
    """A union of hidden people that can be found by subtraction."""

    size: int
    rows: Flags
    """(A,) the rows added up."""
    columns: Flags
    """(B,) the columns taken away."""


def hidden_groups(n: Counts, least: int) -> Flags:
    """Return which groups of one attribute to hide, (G,), where everybody's mean is published.

    Parameters
    ----------
    n : (G,) int
        Users of each group.
    least : int
        Groups with fewer are hidden; so is the smallest other group, and the next, until those
        hidden are `least` users together.

    Examples
    --------
    >>> hidden_groups(np.array([50, 4, 20, 7]), 10)
    array([False,  True, False,  True])
    >>> hidden_groups(np.array([50, 4, 20]), 10)
    array([False,  True,  True])
    """
    hidden = n < least
    for group in np.argsort(n, kind="stable"):
        if not 0 < n[hidden].sum() < least:
            break
        hidden[group] = True
    return hidden


def hide_in_table(n: Counts, least: int, rows: Flags, columns: Flags, *, shown: bool) -> Flags:
    """Return which cells of a two-way table to hide, (A, B), and hide more margins if need be.

    Parameters
    ----------
    n : (A, B) int
        Users by the values of two attributes.
    least : int
        No union of hidden cells with fewer users may be found by subtraction.
    rows, columns : (A,) and (B,) bool
        Margins that are hidden; changed in place where the margins alone would give people away,
        as those of a country and its only small region do.
    shown : bool
        Whether cells are published at all. If not, every cell is hidden.
    """
    if n.sum() < least:
        rows[:], columns[:] = True, True
        return np.ones(n.shape, bool)
    while True:
        hidden = (n < least) | rows[:, None] | columns[None, :] | (not shown)
        if _hide_cells(n, least, rows, columns, hidden):
            return hidden


def _hide_cells(n: Counts, least: int, rows: Flags, columns: Flags, hidden: Flags) -> bool:
    """Hide more cells until all are safe; false where a margin had to be hidden instead."""
    while True:
        cut = _smallest_cut(n, least, rows, columns, hidden)
        if cut is None:
            return True
        # A cell between the two sides, either way, makes the union larger or impossible to find.
        crossing = (cut.rows[:, None] != cut.columns[None, :]) & (n > 0) & ~hidden
        where = np.argwhere(crossing)
        if len(where):
            a, b = where[np.argmin(n[crossing])]
            hidden[a, b] = True
            continue
        _hide_a_margin(n, cut, rows, columns)
        return False


def _hide_a_margin(n: Counts, cut: _Cut, rows: Flags, columns: Flags) -> None:
    """Hide the smallest margin that helps: one that meets the union, and not already on its side.

    Hidden margins of a table's side are known as one sum, so that one more is of use where the sum
    is on the other side of the cut. A first one is still everybody less the others: more follow.
    """
    union = (n > 0) & cut.rows[:, None] & ~cut.columns[None, :]
    met = (n > 0) & np.logical_or.outer(union.any(axis=1), union.any(axis=0))
    sums = []
    for side, reached, size, near in (
        (rows, cut.rows, n.sum(axis=1), met.sum(axis=1)),
        (columns, cut.columns, n.sum(axis=0), met.sum(axis=0)),
    ):
        useful = ~side & (reached != (reached & side).any()) if side.any() else ~side
        sums += [(near[m] == 0, size[m], side, m) for m in np.flatnonzero(useful)]
    *_, side, margin = min(sums, key=lambda each: each[:2])
    side[margin] = True


def _smallest_cut(n: Counts, least: int, rows: Flags, columns: Flags, hidden: Flags) -> _Cut | None:
    """Return the smallest union of hidden people under `least` that can be found; None if none can.

    Hidden rows count as one, whose sum is everybody less the rows shown; so do hidden columns.
    """
    row_of, column_of = _merged(rows), _merged(columns)
    shape = (int(row_of.max()) + 1, int(column_of.max()) + 1)
    merged = np.zeros(shape, np.int64)
    np.add.at(merged, (row_of[:, None], column_of[None, :]), np.where(hidden, n, 0))
    graph = _graph(merged)
    best: _Cut | None = None
    for a, b in np.argwhere((merged > 0) & (merged < least)):
        flow = maximum_flow(graph, int(a), int(shape[0] + b))
        if flow.flow_value < (least if best is None else best.size):
            reached = np.zeros(sum(shape), bool)
            rest = csr_array(graph - flow.flow)
            rest.eliminate_zeros()
            reached[breadth_first_order(rest, int(a), return_predecessors=False)] = True
            side = reached[: shape[0]][row_of], reached[shape[0] :][column_of]
            best = _Cut(int(flow.flow_value), *side)
    return best


def _merged(hidden: Flags) -> NDArray[np.int64]:
    """Return the node of each margin: one for all hidden ones, one for each of the others."""
    node = np.cumsum(~hidden) - 1 + hidden.any()
    return np.where(hidden, 0, node).astype(np.int64)


def _graph(merged: Counts) -> csr_array:
    """Return the capacities between rows and columns: their people one way, barred the other."""
    a, b = np.nonzero(merged)
    b_node = b + len(merged)
    size = sum(merged.shape)
    capacity = np.concatenate([merged[a, b], np.full(len(a), BARRED)]).astype(np.int32)
    ends = np.concatenate([a, b_node]), np.concatenate([b_node, a])
    return csr_array(coo_array((capacity, ends), shape=(size, size)))
