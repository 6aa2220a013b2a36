"""How the participants' page moves and ties answers, in the browser's own JavaScript."""

from __future__ import annotations

from itertools import pairwise, permutations, product

import pytest

pytestmark = pytest.mark.browser


def test_moves_and_ties_of_every_order_of_three(page, address):
    """All 3! * 2^2 lists of tied groups, every move and every tie, against lists of Python."""
    page.goto(f"{address}join/")
    orders = [grouped(flat, ties) for flat in permutations(range(3)) for ties in BOTH]
    found = page.evaluate(
        """async (orders) => {
            const { moved, tieToggled, rankAt } = await import("./assets/order.js");
            return orders.map((o) => ({
                moves: [0, 1, 2].map((from) => [0, 1, 2].map((to) => moved(o, from, to))),
                ties: [1, 2].map((index) => tieToggled(o, index)),
                ranks: [0, 1, 2].map((index) => rankAt(o, index)),
            }));
        }""",
        orders,
    )
    assert len(orders) == 24
    for order, said in zip(orders, found, strict=True):
        assert said["ranks"] == [n for n, tied in enumerate(order, start=1) for _ in tied]
        for start in range(3):
            for end in range(3):
                check_move(order, start, end, said["moves"][start][end])
        for index in (1, 2):
            check_tie(order, index, said["ties"][index - 1])


BOTH = tuple(product([False, True], repeat=2))


def grouped(flat, ties):
    """Return groups in which each place but the first is tied with the one above or not."""
    groups = [[flat[0]]]
    for each, tied in zip(flat[1:], ties, strict=True):
        if tied:
            groups[-1].append(each)
        else:
            groups.append([each])
    return groups


def tied_pairs(order):
    """Return which neighbours are tied, by the place of the lower one."""
    flat = [(g, each) for g, group in enumerate(order) for each in group]
    return [a[0] == b[0] for a, b in pairwise(flat)]


def check_move(order, start, end, found):
    flat = [each for group in order for each in group]
    if start == end:
        assert found == order
        return
    moving = flat.pop(start)
    group = {each: g for g, tied in enumerate(order) for each in tied}
    joins = 0 < end < 2 and group[flat[0]] == group[flat[1]]
    flat.insert(end, moving)
    assert [each for tied in found for each in tied] == flat
    others = [[each for each in tied if each != moving] for tied in found]
    before = [[each for each in tied if each != moving] for tied in order]
    assert [o for o in others if o] == [b for b in before if b]
    assert ([moving] in found) is not joins


def check_tie(order, index, found):
    assert [each for tied in found for each in tied] == [each for tied in order for each in tied]
    wanted = tied_pairs(order)
    wanted[index - 1] = not wanted[index - 1]
    assert tied_pairs(found) == wanted
