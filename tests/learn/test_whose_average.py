"""Whose average: every rule's choice, recomputed in plain Python that shares nothing with it."""

from __future__ import annotations

import runpy
from fractions import Fraction
from math import exp
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.optimize import minimize

from emdpo.learn.whose_average import (
    AVERAGE_AGAINST_BORDA,
    COMPROMISE,
    FOUR_WINNERS,
    PRIOR,
    all_pairs,
    borda,
    case,
    duels,
    full_orders,
    one_reward,
    verdicts,
)

SCRIPT = Path(__file__).parents[2] / "scripts" / "four_winners.py"

tables = st.integers(2, 4).flatmap(
    lambda n: st.tuples(
        st.lists(st.lists(st.integers(0, 9), min_size=n, max_size=n), min_size=1, max_size=3),
        st.lists(st.integers(1, 9), min_size=3, max_size=3),
    )
)


def plainly(utilities, sizes):
    """Winners by rule in exact fractions: lists of answers, several where they tie."""
    people = [Fraction(size, sum(sizes)) for size in sizes]
    rows = [[Fraction(u) for u in row] for row in utilities]
    answers = range(len(rows[0]))

    def over(i, j):
        return sum(
            w * (1 if row[i] > row[j] else Fraction(1, 2) if row[i] == row[j] else 0)
            for w, row in zip(people, rows, strict=True)
        )

    def top(score):
        scores = [score(i) for i in answers]
        return [i for i in answers if scores[i] == max(scores)]

    return {
        "mean": top(lambda i: sum(w * row[i] for w, row in zip(people, rows, strict=True))),
        "majority": [
            i for i in answers if all(over(i, j) > Fraction(1, 2) for j in answers if j != i)
        ],
        "borda": top(lambda i: sum(over(i, j) for j in answers if j != i)),
        "maximin": top(lambda i: min(row[i] for row in rows)),
        "regret": top(lambda i: -max(max(row) - row[i] for row in rows)),
    }


@given(tables)
def test_every_rule_picks_what_fractions_pick(table):
    utilities, sizes = table
    sizes = sizes[: len(utilities)]
    found = verdicts(case(utilities, sizes, "ABCD"[: len(utilities[0])]))
    expected = plainly(utilities, sizes)
    assert {rule: list(found[rule].winners) for rule in expected} == expected


def test_four_rules_pick_four_answers():
    """By hand: C beats A, B and D by 55 to 45; Borda A 1.85, B 1.2, C 1.65, D 1.3; the least
    utilities are 2, 2, 3, 4; the greatest losses 7, 5, 7, 6."""
    found = verdicts(FOUR_WINNERS)
    picked = {rule: found[rule].winners for rule in ("majority", "borda", "maximin", "regret")}
    assert picked == {"majority": (2,), "borda": (0,), "maximin": (3,), "regret": (1,)}
    utilities = [[10, 7, 3, 4], [2, 4, 9, 5], [5, 2, 6, 4]]
    assert FOUR_WINNERS.utilities.tolist() == utilities
    plain = plainly(utilities, [45, 30, 25])
    assert {rule: tuple(plain[rule]) for rule in picked} == picked
    np.testing.assert_allclose(found["borda"].scores, [1.85, 1.2, 1.65, 1.3])


def test_the_search_finds_the_table_that_is_kept():
    found = runpy.run_path(str(SCRIPT))["search"]()
    assert found.tolist() == FOUR_WINNERS.utilities.tolist()


def test_one_reward_puts_another_answer_first_than_the_mean():
    """Means (10 + 0) / 2, (1 + 2) / 2, 1 / 2; Borda (2 + 0) / 2, (1 + 2) / 2, (0 + 1) / 2."""
    found = verdicts(AVERAGE_AGAINST_BORDA)
    np.testing.assert_allclose(found["mean"].scores, [5.0, 1.5, 0.5])
    np.testing.assert_allclose(found["borda"].scores, [1.0, 1.5, 0.5])
    assert found["mean"].winners == (0,)
    assert found["borda"].winners == found["pairs"].winners == found["orders"].winners == (1,)
    assert found["majority"].winners == ()  # A and B tie at half, and A ties with C


def test_noise_can_turn_the_order_round():
    """With noise 1 type 1 is sure of A and not of B over C, which lifts A above B.

    A: (s(9) + s(10) + s(-2) + s(-1)) / 2, B: (s(-9) + s(1) + s(2) + s(1)) / 2, s the sigmoid.
    """

    def s(z):
        return 1 / (1 + exp(-z))

    expected = [s(9) + s(10) + s(-2) + s(-1), s(-9) + 2 * s(1) + s(2)]
    found = borda(AVERAGE_AGAINST_BORDA, 1.0)
    np.testing.assert_allclose(found[:2], np.array(expected) / 2)
    assert found[0] > found[1]
    assert verdicts(AVERAGE_AGAINST_BORDA, 1.0)["pairs"].winners == (0,)


@given(tables, st.sampled_from([0.0, 0.5, 3.0]))
def test_one_reward_from_all_pairs_orders_by_borda(table, noise):
    utilities, sizes = table
    given_case = case(utilities, sizes[: len(utilities)], "ABCD"[: len(utilities[0])])
    counts = borda(given_case, noise)
    rewards = one_reward(given_case, all_pairs(given_case, noise))
    higher = counts[:, None] - counts[None] > 1e-6
    assert (rewards[:, None] - rewards[None] > 0)[higher].all()


def test_one_reward_is_the_optimum_that_scipy_finds():
    """Bradley-Terry from the shares of duels, with the same prior, by another optimiser."""
    chance = duels(FOUR_WINNERS, 2.0)

    def loss(rewards):
        ahead = rewards[:, None] - rewards[None]
        off = ~np.eye(4, dtype=bool)
        return (chance * np.logaddexp(0, -ahead))[off].sum() + PRIOR / 2 * rewards @ rewards

    expected = minimize(loss, np.zeros(4), tol=1e-12).x
    found = one_reward(FOUR_WINNERS, all_pairs(FOUR_WINNERS, 2.0))
    np.testing.assert_allclose(found, expected - expected.mean(), atol=2e-3)


def test_one_reward_from_full_rankings_need_not_follow_borda():
    """55% rank A > C > B and 45% B > C > A. Borda: A 1.1, C 1.0, B 0.9. Plackett-Luce likes C.

    First choices are A or B; second choices C or the favourite of the others. Written out, with
    rewards a, b, c: 0.55 [a - L(a, b, c) + c - L(b, c)] + 0.45 [b - L(a, b, c) + c - L(a, c)].
    """
    np.testing.assert_allclose(borda(COMPROMISE), [1.1, 0.9, 1.0])

    def loss(r):
        a, b, c = np.append(r, 0.0)
        every = np.logaddexp(np.logaddexp(a, b), c)
        first = 0.55 * (a - every + c - np.logaddexp(b, c))
        return -first - 0.45 * (b - every + c - np.logaddexp(a, c))

    expected = np.append(minimize(loss, np.zeros(2), tol=1e-12).x, 0.0)
    found = one_reward(COMPROMISE, full_orders(COMPROMISE))
    np.testing.assert_allclose(found, expected - expected.mean(), atol=5e-3)
    assert found.argmax() == 2
    assert one_reward(COMPROMISE, all_pairs(COMPROMISE)).argmax() == 0


def test_types_without_people_have_no_say():
    with_nobody = case([[1, 2], [9, 0]], [3, 0], "AB")
    found = verdicts(with_nobody)
    assert all(verdict.winners == (1,) for verdict in found.values())


@pytest.mark.parametrize(
    ("utilities", "sizes", "message"),
    [
        ([[1, np.nan]], [1], "finite"),
        ([[1, 2]], [-1], "sizes"),
        ([[1, 2]], [0], "sizes"),
        ([[1, 2]], [np.inf], "sizes"),
        ([[1, 2, 3]], [1], "answers"),
    ],
)
def test_bad_tables_are_refused(utilities, sizes, message):
    with pytest.raises(ValueError, match=message):
        case(utilities, sizes, "AB")
    with pytest.raises(ValueError, match="noise"):
        duels(FOUR_WINNERS, -1.0)
