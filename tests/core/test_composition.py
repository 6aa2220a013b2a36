"""Cramer's V by hand, its interval by simulation, and what is shown of which group."""

from __future__ import annotations

import numpy as np
import pytest

from emdpo.core.audit import AuditConfig
from emdpo.core.composition import composition, cramers_v

CONFIG = AuditConfig(n_bootstrap=200)


def certain(*types: int, n_types: int = 2):
    """Responsibilities of users whose types are known."""
    return np.eye(n_types)[list(types)]


def test_cramers_v_by_hand():
    """Every cell of 30 20 / 20 30 is 5 off its expected 25: chi2 = 4 x 25 / 25, phi2 = 0.04.

    So V = 0.2. Corrected (Bergsma): phi2 - 1/99, and the sides, 2 - 1/99, less one = 98/99.
    """
    table = np.array([[30.0, 20.0], [20.0, 30.0]])
    assert cramers_v(table, corrections=0) == pytest.approx(0.2)
    assert cramers_v(table) == pytest.approx(np.sqrt((0.04 - 1 / 99) / (98 / 99)))


@pytest.mark.parametrize(
    ("table", "expected"),
    [
        ([[50.0, 0.0], [0.0, 50.0]], 1.0),
        ([[25.0, 25.0], [25.0, 25.0]], 0.0),
        ([[50.0, 50.0], [0.0, 0.0]], 0.0),
        ([[1.0, 0.0], [0.0, 0.0]], 0.0),
    ],
    ids=["one type a group", "no link", "one group", "one user"],
)
def test_cramers_v_at_its_ends(table, expected):
    assert cramers_v(np.array(table), corrections=0) == pytest.approx(expected)


def test_shares_are_mean_responsibilities():
    """Group a: (1, 0) and (0.5, 0.5) ten times each, mean (0.75, 0.25); group b: (0, 1)."""
    responsibilities = np.vstack([[[1.0, 0.0], [0.5, 0.5]] * 10, [[0.0, 1.0]] * 12])
    found = composition(responsibilities, ["a"] * 20 + ["b"] * 12, "side", CONFIG)
    assert (found.attribute, found.values, found.n) == ("side", ("a", "b"), (20, 12))
    assert found.shares == pytest.approx(np.array([[0.75, 0.25], [0.0, 1.0]]))


def test_small_groups_and_those_that_give_them_away_are_not_shown():
    """b has 9 users; everybody less a and c would be b, so that a, the smaller, goes too."""
    types = [0] * 15 + [1] * 9 + [0] * 30
    values = ["a"] * 15 + ["b"] * 9 + ["c"] * 30
    found = composition(certain(*types), values, "side", CONFIG)
    assert found.values == ("c",)
    assert found.suppressed == (("a", 15), ("b", 9))
    assert found.cramers_v is None and found.interval is None


def test_nothing_to_show_is_no_rows():
    found = composition(certain(0, 1), ["a", "b"], "side", CONFIG)
    assert found.values == () and found.shares.shape == found.low.shape == (0, 2)


def test_what_an_audit_hides_is_hidden_here_too():
    values = ["a"] * 15 + ["b"] * 12 + ["c"] * 30
    found = composition(certain(*[0] * 57), values, "side", CONFIG, shown=["a", "c"])
    assert found.values == ("a", "c") and found.suppressed == (("b", 12),)


def test_intervals_of_shares_are_those_of_a_mean_of_coin_tosses():
    """400 users, a quarter of type 2: the mean's standard error is sqrt(3 / 16 / 400) = 0.0217."""
    config = AuditConfig(n_bootstrap=4000)
    found = composition(certain(*[0, 0, 0, 1] * 100), ["a"] * 400, "side", config)
    half = 1.96 * np.sqrt(3 / 16 / 400)
    assert found.low[0] == pytest.approx([0.75 - half, 0.25 - half], abs=0.004)
    assert found.high[0] == pytest.approx([0.75 + half, 0.25 + half], abs=0.004)


def test_unknown_values_are_a_group_that_says_nothing_of_association():
    """Known values a and b are one type each; the unknown are mixed. V is that of a and b."""
    types = [0] * 20 + [1] * 20 + [0, 1] * 10
    values = ["a"] * 20 + ["b"] * 20 + [None] * 20
    found = composition(certain(*types), values, "side", CONFIG)
    assert found.values == ("a", "b", "not known")
    assert found.cramers_v == pytest.approx(
        composition(certain(*types[:40]), values[:40]).cramers_v
    )


def test_one_type_has_no_association():
    found = composition(np.ones((30, 1)), ["a", "b"] * 15, "side", CONFIG)
    assert found.cramers_v is None
    assert found.shares == pytest.approx(np.ones((2, 1)))


def test_the_interval_holds_the_truth_about_as_often_as_it_says():
    """150 users, half in group a, where type 1 has share 0.7, and 0.3 in group b.

    The true table is .35 .15 / .15 .35, so V = 0.4. Of 60 samples a 95% interval should miss
    about 3; more than 8 would happen once in 200 times. (A run over 600 samples held 95.7%.)
    """
    rng = np.random.default_rng(8)
    held = 0
    for sample in range(60):
        group = rng.integers(2, size=150)
        type_ = (rng.random(150) > np.where(group == 0, 0.7, 0.3)).astype(int)
        config = AuditConfig(n_bootstrap=300, seed=sample)
        interval = composition(certain(*type_), group.astype(str).tolist(), config=config).interval
        assert interval is not None
        held += interval[0] <= 0.4 <= interval[1]
    assert held >= 52


def test_no_link_is_not_taken_for_one():
    """Groups and types drawn apart: the lower end leaves 0 in at most 1 of 40 samples."""
    rng = np.random.default_rng(9)
    spurious = 0
    for _ in range(40):
        group, type_ = rng.integers(4, size=200), rng.integers(3, size=200)
        found = composition(certain(*type_, n_types=3), group.astype(str).tolist(), config=CONFIG)
        assert found.interval is not None
        spurious += found.interval[0] > 0
    assert spurious <= 1


def test_the_same_seed_gives_the_same_interval():
    types, values = [0, 1, 1] * 20, ["a", "b"] * 30
    first, second = (composition(certain(*types), values, config=CONFIG) for _ in range(2))
    assert first.interval == second.interval
