"""A comparison of a few fast methods on two planted types, made once in a test process."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

from emdpo.head_to_head.comparison import Comparison
from emdpo.head_to_head.engine import compare
from emdpo.head_to_head.simulations import Simulation, simulate

FEW = ("reference", "dpo", "reward_model", "known_types")
PLANTED = Simulation(
    n_types=2, n_users=100, answers=6, length=3, n_prompts=20, n_features=3, strength=2.0
)


@cache
def small_comparison() -> Comparison:
    """Return four methods on 75 seen and 25 new users."""
    drawn = simulate(PLANTED, 3)
    return compare(drawn.panel, FEW, planted=drawn, n_bootstrap=200)


@cache
def renamed_comparison() -> Comparison:
    """Return the same as if one method were an adapter and another somebody's own."""
    found, names = small_comparison(), {"reward_model": "adapter_dpo", "reference": "own"}

    def named(rows):
        return tuple(replace(each, method=names.get(each.method, each.method)) for each in rows)

    return replace(found, measures=named(found.measures), facts=named(found.facts))
