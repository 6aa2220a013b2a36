"""Pairs of one person become a ranking exactly where one ranking says what they say."""

from __future__ import annotations

from itertools import product

from hypothesis import given
from hypothesis import strategies as st

from emdpo.formats.importers.trl import connected, merged

NAMES = "abcd"
PAIRS = [(x, y) for x in NAMES for y in NAMES if x != y]


def closure(wins):
    """Return all pairs that chains of pairs imply, by brute force."""
    known = set(wins)
    while True:
        more = {(x, z) for x, y in known for w, z in known if y == w} - known
        if not more:
            return known
        known |= more


def weak_orders(names):
    """Yield every ranking with ties of the names, as the pairs that it orders."""
    for place in product(range(len(names)), repeat=len(names)):
        if set(place) == set(range(max(place) + 1)):
            rank = dict(zip(names, place, strict=True))
            yield {(x, y) for x in names for y in names if rank[x] < rank[y]}


def ordered(levels):
    return {(x, y) for i, a in enumerate(levels) for b in levels[i + 1 :] for x in a for y in b}


@given(st.sets(st.sampled_from(PAIRS), min_size=1))
def test_merged_is_the_one_ranking_with_the_same_consequences(wins):
    """Against brute force over all 75 rankings with ties of up to four answers.

    A ranking is right where the pairs it orders are exactly those that the pairs given imply.
    """
    names = sorted({name for two in wins for name in two})
    right = [order for order in weak_orders(names) if order == closure(wins)]
    levels = merged(sorted(wins))
    assert len(right) <= 1
    if right:
        assert levels is not None and ordered(levels) == right[0]
    else:
        assert levels is None


def test_a_long_list_is_merged_though_it_has_many_pairs():
    """400 answers in 200 ties of two: 2 * 2 pairs for each of 199 * 200 / 2 pairs of levels."""
    wins = [(f"a{x}", f"a{y}") for x in range(400) for y in range(400) if x // 2 < y // 2]
    assert len(wins) == 4 * 199 * 100
    levels = merged(wins)
    assert levels is not None and [sorted(level) for level in levels] == [
        sorted([f"a{2 * i}", f"a{2 * i + 1}"]) for i in range(200)
    ]
    assert merged(wins[1:]) is None


@given(st.sets(st.sampled_from(PAIRS), min_size=1))
def test_parts_share_no_answer_and_lose_no_pair(wins):
    parts = connected(sorted(wins))
    assert sorted(two for part in parts for two in part) == sorted(wins)
    names = [{name for two in part for name in two} for part in parts]
    assert sum(map(len, names)) == len(set().union(*names))
