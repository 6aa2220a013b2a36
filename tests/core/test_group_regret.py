"""Groups: figures by hand, intervals that cover as often as they say, tests of their level."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pandas as pd
import pytest

from emdpo.core.group_regret import Regrets, group_regrets, simultaneous_intervals
from emdpo.core.groups import TIMES, groupings

BY_TYPE = np.array([[0.0, 0.3], [1.0, 0.7]])
"""Regret of two types under two rules."""

REGRETS = Regrets(("first", "second"), {"share": BY_TYPE})


def responsibilities(n, seed=0, a=0.5, b=0.5):
    first = np.random.default_rng(seed).beta(a, b, n)
    return np.column_stack([first, 1 - first])


def regrets_of(attributes, resp, n_bootstrap=200, seed=0, least=10, crossed=True):
    found, _ = group_regrets(
        groupings(attributes, least, crossed=crossed),
        resp,
        REGRETS,
        n_bootstrap=n_bootstrap,
        confidence=0.95,
        rng=np.random.default_rng(seed),
    )
    return {(group.attribute, group.value): group for group in found}


def column(*sizes, names="abcdefgh"):
    return np.repeat(list(names)[: len(sizes)], sizes).astype(object)


def test_people_are_grouped_by_two_attributes_at_once():
    age, place = column(30, 30), np.tile(["x", "y", "z"], 20).astype(object)
    resp = responsibilities(60)
    found = regrets_of(pd.DataFrame({"age": age, "place": place}), resp)
    assert len(found) == 2 + 3 + 6
    group = found[f"age{TIMES}place", f"b{TIMES}y"]
    members = resp[(age == "b") & (place == "y")]
    assert group.n == len(members) == 10
    assert group.type_shares == pytest.approx(tuple(members.mean(axis=0)))
    expected = dict(zip(REGRETS.rules, members.mean(axis=0) @ BY_TYPE, strict=True))
    assert group.regret["share"] == pytest.approx(expected)


def test_cells_where_a_value_is_missing_are_told_apart():
    age = np.array(["a"] * 20 + [None] * 20, object)
    place = np.tile(["x", "y"], 20).astype(object)
    attributes = pd.DataFrame({"age": age, "place": place}, dtype=object)
    found = regrets_of(attributes, responsibilities(40))
    assert not found[f"age{TIMES}place", f"not known{TIMES}x"].known
    assert found[f"age{TIMES}place", f"a{TIMES}x"].known
    assert not found["age", "not known"].p_value


def test_of_many_attributes_no_pair_is_shown():
    attributes = pd.DataFrame({f"g{i}": column(20, 20) for i in range(7)})
    assert len(regrets_of(attributes, responsibilities(40), 5)) == 14
    assert len(regrets_of(attributes.iloc[:, :6], responsibilities(40), 5)) > 14
    assert len(regrets_of(attributes.iloc[:, :2], responsibilities(40), 5, crossed=False)) == 4


def test_the_difference_from_the_rest_by_hand():
    resp = responsibilities(45)
    found = regrets_of(pd.DataFrame({"age": column(12, 13, 20)}), resp)
    regret = resp @ BY_TYPE
    group = found["age", "b"]
    inside, rest = regret[12:25].mean(axis=0), np.delete(regret, np.s_[12:25], axis=0).mean(axis=0)
    assert group.above_rest["share"]["first"] == pytest.approx(inside[0] - rest[0])
    assert group.above_rest["share"]["second"] == pytest.approx(inside[1] - rest[1])
    low, high = group.above_rest_interval["share"]["first"]
    assert low < inside[0] - rest[0] < high


def test_permutation_p_values_are_those_of_all_permutations():
    """Seven users in groups of two, two and three: the adjusted p-value by listing all 5,040."""
    resp = responsibilities(7, seed=3)
    codes = np.array([0, 0, 1, 1, 2, 2, 2])
    regret = resp @ BY_TYPE[:, 0]
    n = np.bincount(codes)
    weight = 1 / np.sqrt(1 / n + 1 / (7 - n))

    def statistic(values):
        total = values.sum()
        sums = np.array([values[codes == g].sum() for g in range(3)])
        return np.abs(sums / n - (total - sums) / (7 - n)) * weight

    observed = statistic(regret)
    largest = np.array([statistic(regret[list(order)]).max() for order in permutations(range(7))])
    exact = [(largest >= each - 1e-12).mean() for each in observed]
    found = regrets_of(pd.DataFrame({"g": column(2, 2, 3)}), resp, 4000, least=1)
    told = [found["g", name].p_value["share"]["first"] for name in "abc"]
    assert told == pytest.approx(exact, abs=0.03)  # four standard errors of 4,000 shuffles


def test_one_group_has_nobody_to_differ_from():
    found = regrets_of(pd.DataFrame({"g": column(20)}), responsibilities(20))
    group = found["g", "a"]
    assert not group.p_value
    assert not group.above_rest
    assert group.interval


def test_simultaneous_intervals_cover_all_groups_as_often_as_they_say():
    """200 studies of eight groups of 40: 95% is 190 +- 3; single intervals cover all in about 2/3.

    The same studies say how often any of eight equal groups is called different: 5% is 10 +- 3.
    """
    truth = np.array([2 / 3, 1 / 3]) @ BY_TYPE[:, 0]
    every, single, called = [], [], []
    attributes = pd.DataFrame({"g": column(*[40] * 8)})
    for study in range(200):
        resp = responsibilities(320, seed=study, a=2, b=1)
        groups = regrets_of(attributes, resp, 300, seed=study).values()
        for kept, name in ((every, "simultaneous"), (single, "interval")):
            ends = [getattr(group, name)["share"]["first"] for group in groups]
            kept.append(all(low <= truth <= high for low, high in ends))
        called.append(min(group.p_value["share"]["first"] for group in groups) < 0.05)
    assert 0.90 <= np.mean(every) <= 0.985
    assert np.mean(single) < 0.8
    assert np.mean(called) <= 0.10


def test_one_groups_simultaneous_interval_is_its_own():
    """With one group the band is a symmetric interval of the same level."""
    drawn = np.random.default_rng(0).normal(size=(4000, 1, 1))
    (((low, high),),) = simultaneous_intervals(np.zeros((1, 1)), drawn, 0.95)
    assert (low, high) == pytest.approx((-1.96, 1.96), abs=0.06)


def test_users_who_are_all_alike_differ_in_nothing():
    resp = np.tile([0.25, 0.75], (40, 1))
    for group in regrets_of(pd.DataFrame({"g": column(20, 20)}), resp).values():
        assert group.p_value["share"]["first"] == 1
        low, high = group.simultaneous["share"]["first"]
        assert low == pytest.approx(high)
