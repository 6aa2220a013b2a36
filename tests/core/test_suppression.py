"""Nobody under the limit is shown, and nobody can be found by subtraction: all unions tried."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emdpo.core.suppression import hidden_groups, hide_in_table


def found_unions(n, rows, columns, hidden):
    """Return the sizes of all unions of hidden people that published sums give, by trying all.

    Every published sum is a vector over the people of each cell; a union is found where its vector
    is in their span.
    """
    cells = [(a, b) for a, b in np.argwhere(n > 0)]
    sums = [np.ones(len(cells))]
    sums += [np.array([float(a == row) for a, _ in cells]) for row in np.flatnonzero(~rows)]
    sums += [
        np.array([float(b == column) for _, b in cells]) for column in np.flatnonzero(~columns)
    ]
    sums += [np.eye(len(cells))[i] for i, cell in enumerate(cells) if not hidden[cell]]
    span = np.linalg.svd(np.array(sums))[2][: np.linalg.matrix_rank(np.array(sums))]
    secret = [i for i, cell in enumerate(cells) if hidden[cell]]
    sizes = []
    for chosen in product([0.0, 1.0], repeat=len(secret)):
        union = np.zeros(len(cells))
        union[secret] = chosen
        if union.any() and np.allclose(span.T @ (span @ union), union):
            sizes.append(sum(n[cells[i]] for i in secret if union[i]))
    return sizes


def table(n, least, rows=None, columns=None, shown=True):
    n = np.array(n)
    rows = np.zeros(n.shape[0], bool) if rows is None else np.array(rows)
    columns = np.zeros(n.shape[1], bool) if columns is None else np.array(columns)
    hidden = hide_in_table(n, least, rows, columns, shown=shown)
    return n, rows, columns, hidden


def test_one_attribute():
    assert hidden_groups(np.array([10, 10]), 10).tolist() == [False, False]
    assert hidden_groups(np.array([10, 9]), 10).tolist() == [True, True]
    assert hidden_groups(np.array([90, 9, 40, 1]), 10).tolist() == [False, True, False, True]
    assert hidden_groups(np.array([9]), 10).tolist() == [True]


def test_a_small_cell_takes_three_others_along():
    """One small cell is found from its row and from its column: a rectangle must be hidden."""
    n, rows, columns, hidden = table([[3, 30, 40], [20, 30, 40], [50, 60, 70]], 10)
    assert not rows.any()
    assert not columns.any()
    assert hidden.tolist() == [[True, True, False], [True, True, False], [False] * 3]
    assert min(found_unions(n, rows, columns, hidden)) >= 10


def test_a_table_of_large_cells_hides_nothing():
    assert not table([[10, 20], [30, 40]], 10)[3].any()


def test_margins_that_give_people_away_are_hidden_though_no_cell_is_shown():
    """Two countries; regions x and y are the first but for 4 people whose region is not known.

    Country less its regions is those 4.
    """
    n = [[30, 40, 4], [0, 0, 20]]
    for shown in (False, True):
        n_, rows, columns, hidden = table(n, 10, shown=shown)
        assert columns.tolist() == [True, False, False] or rows.any()
        assert min(found_unions(n_, rows, columns, hidden), default=10) >= 10


def test_cells_of_hidden_margins_are_hidden():
    *_, hidden = table([[40, 50], [5, 4], [2, 60]], 10, rows=[False, True, False])
    assert hidden[1].all()


@pytest.mark.parametrize("shown", [True, False])
@given(
    st.lists(st.lists(st.integers(0, 25), min_size=3, max_size=3), min_size=3, max_size=3),
    st.integers(1, 12),
)
def test_no_union_under_the_limit_can_be_found(shown, cells, least):
    n = np.array(cells)
    n = n[n.sum(axis=1) > 0][:, n.sum(axis=0) > 0]
    rows, columns = hidden_groups(n.sum(axis=1), least), hidden_groups(n.sum(axis=0), least)
    n, rows, columns, hidden = table(n, least, rows, columns, shown)
    assert hidden[(n > 0) & (n < least)].all()
    if n.sum() < least:
        assert hidden.all()
        return
    assert min(found_unions(n, rows, columns, hidden), default=least) >= least
