"""A comparison of a few fast methods on two planted types, made once in a test process."""

from __future__ import annotations

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
