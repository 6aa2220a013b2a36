"""Two sets of types of the same users, against brute force and what was planted."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from sklearn.metrics import adjusted_rand_score

from emdpo.core.comparison import (
    adjusted_rand,
    assignment_agreement,
    chance_moved,
    contingency,
    match_types,
    moved_users,
    splits,
    stays,
    type_overlap,
)

DRAW = {"n_bootstrap": 200, "confidence": 0.95}


def drawn(n, k, seed=0, spread=0.3):
    return np.random.default_rng(seed).dirichlet(np.full(k, spread), size=n)


def sure(*types, k):
    """Return responsibilities of users who are surely of these types."""
    return np.eye(k)[list(types)]


def test_overlap_is_the_sum_over_users():
    a, b = drawn(5, 2), drawn(5, 3, seed=1)
    expected = [[sum(a[i, k] * b[i, m] for i in range(5)) for m in range(3)] for k in range(2)]
    assert type_overlap(a, b) == pytest.approx(np.array(expected))
    assert type_overlap(a, b).sum() == pytest.approx(5)


@settings(max_examples=60, deadline=None)
@given(arrays(float, st.tuples(st.integers(1, 4), st.integers(4, 5)), elements=st.floats(1, 50)))
def test_no_other_matching_has_more_users_in_common(overlap):
    """All ways to give each row a column of its own, tried one by one."""
    n_rows, n_columns = overlap.shape
    ways = permutations(range(n_columns), n_rows)
    best = max(sum(overlap[k, m] for k, m in enumerate(way)) for way in ways)
    pairs = match_types(overlap)
    assert [k for k, _ in pairs] == list(range(n_rows))
    assert len({m for _, m in pairs}) == n_rows
    assert sum(overlap[k, m] for k, m in pairs) == pytest.approx(best)
    turned = match_types(overlap.T)
    assert sum(overlap[k, m] for m, k in turned) == pytest.approx(best)


def test_types_without_users_in_common_are_no_pair():
    """Type 2 of both runs is left over; nobody is in both."""
    a, b = sure(0, 0, 0, k=2), sure(0, 0, 0, k=2)
    assert match_types(type_overlap(a, b)) == ((0, 0),)


def test_renumbered_types_are_matched():
    a = drawn(60, 4, spread=0.05)
    order = [2, 0, 3, 1]
    pairs = match_types(type_overlap(a, a[:, order]))
    assert pairs == ((0, 1), (1, 3), (2, 0), (3, 2))
    assert stays(a, a[:, order], pairs).all()


def test_users_are_counted_by_most_likely_type():
    a, b = drawn(40, 2), drawn(40, 3, seed=1)
    table = contingency(a, b)
    for k in range(2):
        for m in range(3):
            both = (a.argmax(axis=1) == k) & (b.argmax(axis=1) == m)
            assert table[k, m] == both.sum()


def test_a_type_that_falls_apart_is_named_and_one_that_only_leaks_is_not():
    """Type 1 of A becomes types 1 and 3 of B; three of its users go to type 2, which stays 2's."""
    table = np.array([[30, 3, 25], [2, 40, 1]])
    assert splits(table) == ((0, (0, 2), (30, 25)),)
    assert splits(table.T) == ()


def test_of_the_other_way_round_it_is_a_merger():
    table = np.array([[30, 3, 25], [2, 40, 1]]).T
    assert splits(table) == ()
    assert splits(table.T) == ((0, (0, 2), (30, 25)),)


def test_empty_types_neither_split_nor_join():
    assert splits(np.array([[10, 0, 0], [0, 10, 0]])) == ()
    assert splits(np.zeros((2, 2), int)) == ()


def test_moved_users_by_hand():
    """Of five users two move: c from type 1 to 2 for sure, e from 2 to 1 only just.

    The chance that c moved is 1 - 0 = 1, of e 1 - (0.4 * 0.6 + 0.6 * 0.4) = 0.52.
    """
    a = np.array([[1, 0], [1, 0], [1, 0], [0, 1], [0.4, 0.6]], float)
    b = np.array([[1, 0], [1, 0], [0, 1], [0, 1], [0.6, 0.4]], float)
    pairs = match_types(type_overlap(a, b))
    assert pairs == ((0, 0), (1, 1))
    moved = moved_users(a, b, pairs, list("abcde"))
    assert moved.to_dict("list") == {
        "user_id": ["c", "e"],
        "type_a": [1, 2],
        "probability_a": [1.0, 0.6],
        "type_b": [2, 1],
        "probability_b": [1.0, 0.6],
        "chance_moved": [1.0, pytest.approx(0.52)],
    }


def test_users_of_a_type_without_a_partner_have_moved():
    a, b = sure(0, 0, 0, 1, k=2), sure(0, 0, 0, 0, k=1)
    pairs = match_types(type_overlap(a, b))
    assert moved_users(a, b, pairs, list("wxyz"))["user_id"].tolist() == ["z"]


def test_the_chance_to_have_moved_is_that_of_drawn_types():
    """Drawn 40,000 times, types of both posteriors differ as often as it says."""
    a, b, rng = (
        drawn(3, 3, seed=4, spread=2),
        drawn(3, 3, seed=5, spread=2),
        np.random.default_rng(6),
    )
    pairs = ((0, 1), (1, 0), (2, 2))
    partner = np.array([1, 0, 2])
    for i, chance in enumerate(chance_moved(a, b, pairs)):
        one, other = rng.choice(3, 40_000, p=a[i]), rng.choice(3, 40_000, p=b[i])
        assert (partner[one] != other).mean() == pytest.approx(chance, abs=0.01)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=2, max_size=25))
def test_the_adjusted_rand_index_is_that_of_scikit_learn(assigned):
    one, other = zip(*assigned, strict=True)
    table = np.zeros((3, 4))
    np.add.at(table, (one, other), 1)
    assert adjusted_rand(table, len(one)) == pytest.approx(adjusted_rand_score(one, other))


def test_pairs_of_a_user_with_themself_do_not_count():
    """Users x, y and z are drawn three, two and one times; A has y and z together, B nobody.

    Of the 3 * 2 + 3 * 1 + 2 * 1 = 11 pairs of two people A has 2 together, B none and both none,
    so that the index is 0. With x's and y's pairs with themselves it is of 15 pairs 6, 4 and 4, by
    chance 6 * 4 / 15 = 1.6: (4 - 1.6) / (5 - 1.6) = 12 / 17.
    """
    table = np.array([[3.0, 0.0, 0.0], [0.0, 2.0, 1.0]])
    assert adjusted_rand(table, 3.0**2 + 2**2 + 1) == pytest.approx(0)
    assert adjusted_rand(table, 6.0) == pytest.approx(12 / 17)


def test_equal_runs_agree_without_any_doubt():
    a = drawn(50, 3, spread=0.1)
    agreed = assignment_agreement(
        a, a, match_types(type_overlap(a, a)), **DRAW, rng=np.random.default_rng(0)
    )
    assert agreed.adjusted_rand == (1.0, 1.0, 1.0, 50)
    assert agreed.staying == (1.0, 1.0, 1.0, 50)


def test_runs_that_have_nothing_to_do_with_one_another_agree_by_chance():
    a, b = drawn(400, 3), drawn(400, 3, seed=1)
    agreed = assignment_agreement(
        a, b, match_types(type_overlap(a, b)), **DRAW, rng=np.random.default_rng(0)
    ).adjusted_rand
    assert agreed.value == pytest.approx(0, abs=0.02)
    assert agreed.low < 0.01 and agreed.high > agreed.value > agreed.low


def test_the_interval_of_users_who_stay_is_that_of_a_share():
    """Of 400 users 100 move: 0.75 -+ 1.96 sqrt(0.75 * 0.25 / 400) = 0.708 to 0.792."""
    a = sure(*[0] * 200, *[1] * 200, k=2)
    b = sure(*[0] * 150, *[1] * 100, *[0] * 50, *[1] * 100, k=2)
    pairs = match_types(type_overlap(a, b))
    assert pairs == ((0, 0), (1, 1))
    staying = assignment_agreement(
        a, b, pairs, n_bootstrap=2000, confidence=0.95, rng=np.random.default_rng(0)
    ).staying
    assert staying.value == 0.75 and staying.n == 400
    assert (staying.low, staying.high) == pytest.approx((0.708, 0.792), abs=0.006)
