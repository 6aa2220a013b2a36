"""The triangle: points, maps and marks against sums written out by hand and brute force."""

from __future__ import annotations

from math import exp, log

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emdpo.learn.triangle import (
    CORNERS,
    EXAMPLE,
    KINDS,
    ThreeTypes,
    marks,
    policies,
    regrets,
    simplex,
    to_plane,
    worst_map,
)

RULES = ["uniform", "prevalence", "maximin", "mixture", "consensus", "nash"]
points = st.lists(st.floats(0.01, 1.0), min_size=3, max_size=3).map(simplex)


def softmax(scores):
    total = sum(exp(s) for s in scores)
    return [exp(s) / total for s in scores]


def by_hand(weights, form, kind):
    """Regrets of the example's three types at a point, in plain Python."""
    rows = EXAMPLE.scores.tolist()
    own = [softmax(row) for row in rows]
    places = range(len(rows[0]))
    if form == "mixture":
        policy = [sum(a * p[y] for a, p in zip(weights, own, strict=True)) for y in places]
    else:
        policy = softmax(
            [sum(a * r[y] for a, r in zip(weights, rows, strict=True)) for y in places]
        )
    found = []
    for row, best in zip(rows, own, strict=True):
        value = sum(p * s for p, s in zip(policy, row, strict=True))
        at_best = sum(p * s for p, s in zip(best, row, strict=True))
        untuned = sum(row) / len(row)
        found.append(
            {
                "plain": at_best - value,
                "share": (at_best - value) / (at_best - untuned),
                "kl": sum(p * log(p / q) for p, q in zip(policy, best, strict=True)),
            }[kind]
        )
    return found


@given(points, st.sampled_from(["mixture", "consensus"]), st.sampled_from(KINDS))
def test_regrets_are_the_sums_written_out(weights, form, kind):
    found = getattr(regrets(EXAMPLE, form, weights), kind)[:, 0]
    np.testing.assert_allclose(found, by_hand(weights.tolist(), form, kind), atol=1e-12)


def test_a_corner_is_a_type_s_own_policy_in_either_form():
    for form in ("mixture", "consensus"):
        np.testing.assert_allclose(policies(EXAMPLE, form, np.eye(3)), np.exp(EXAMPLE.log_types))
    with pytest.raises(ValueError, match="form"):
        policies(EXAMPLE, "lottery", np.eye(3))


def grid(step=40):
    return (
        np.array(
            [(i, j, step - i - j) for i in range(step + 1) for j in range(step + 1 - i)], float
        )
        / step
    )


def test_no_point_of_a_grid_beats_a_mark_at_what_it_is_for():
    """Each optimised rule is at least as good as 861 points, and no better than near them."""
    found, everywhere = marks(EXAMPLE), grid()
    plain = regrets(EXAMPLE, "mixture", everywhere).plain
    worst = regrets(EXAMPLE, *found["mixture"]).plain.max()
    assert worst <= plain.max(axis=0).min() <= worst + 0.1
    own = np.exp(EXAMPLE.log_types)
    gain = (everywhere @ own @ EXAMPLE.scores.T) - EXAMPLE.scores.mean(axis=1)  # (n, 3)
    least = (found["maximin"].weights @ own @ EXAMPLE.scores.T - EXAMPLE.scores.mean(axis=1)).min()
    assert gain.min(axis=1).max() <= least + 1e-9 <= gain.min(axis=1).max() + 0.1
    positive = gain[(gain > 0).all(axis=1)]
    at_nash = found["nash"].weights @ own @ EXAMPLE.scores.T - EXAMPLE.scores.mean(axis=1)
    welfare = np.log(at_nash) @ EXAMPLE.shares
    assert (np.log(positive) @ EXAMPLE.shares).max() <= welfare + 1e-9
    kl = regrets(EXAMPLE, "consensus", everywhere).kl.max(axis=0)
    compromise = regrets(EXAMPLE, *found["consensus"]).kl.max()
    assert compromise <= kl.min() <= compromise + 0.05


def test_the_example_s_rules_all_land_apart():
    """So that no mark hides another: half a tenth of the triangle's side or more."""
    found = marks(EXAMPLE)
    assert list(found) == RULES
    places = to_plane(np.array([mark.weights for mark in found.values()]))
    apart = np.linalg.norm(places[:, None] - places[None], axis=-1) + 9 * np.eye(len(places))
    assert apart.min() > 0.05


def test_sizes_move_prevalence_and_nash_alone():
    """The worst regret does not ask how many are of a type; the mean and Nash's product do."""
    before, after = marks(EXAMPLE), marks(EXAMPLE.sized([10, 20, 70]))
    np.testing.assert_allclose(after["prevalence"].weights, [0.1, 0.2, 0.7])
    moved = {r for r in RULES if np.abs(before[r].weights - after[r].weights).max() > 1e-6}
    assert moved == {"prevalence", "nash"}


def test_where_types_are_opposed_there_is_no_nash():
    """A gain of type 1 over the untuned model is a loss of type 2: their scores sum to zero."""
    opposed = ThreeTypes(
        np.array([[1.0, -1.0], [-1.0, 1.0], [1.0, -1.0]]), np.full(3, 1 / 3), ("a", "b")
    )
    assert "nash" not in marks(opposed)


def test_the_map_has_the_worst_regret_where_it_stands_and_nothing_outside():
    found = worst_map(EXAMPLE, "mixture", "plain", width=41)
    assert found.worst.shape == (len(found.y), 41)
    held = np.argwhere(np.isfinite(found.worst))
    assert 0.48 < len(held) / found.worst.size < 0.55  # a triangle is half its box
    lifted = np.vstack([CORNERS.T, np.ones(3)])
    for i, j in held[::50]:
        weights = np.linalg.solve(lifted, [found.x[j], found.y[i], 1.0])
        assert found.worst[i, j] == pytest.approx(max(by_hand(weights, "mixture", "plain")))
    best = regrets(EXAMPLE, *marks(EXAMPLE)["mixture"]).plain.max()
    assert best <= np.nanmin(found.worst) <= best + 0.15


def test_bad_worlds_are_refused():
    with pytest.raises(ValueError, match="shares"):
        ThreeTypes(np.zeros((3, 2)), np.array([0.5, 0.5, 0.5]), ("a", "b"))
    with pytest.raises(ValueError, match="scores"):
        ThreeTypes(np.zeros((2, 2)), np.full(3, 1 / 3), ("a", "b"))
