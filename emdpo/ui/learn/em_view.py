"""Figure 2 of the Learn page in words: where EM stands, honestly at every half-step."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.identifiability import panel_identifiability
from emdpo.core.mixture import SAME_OPTIMUM
from emdpo.learn.half_steps import (
    CONFIG,
    E_STEP,
    M_STEP,
    MAX_HALVES,
    N_COMPARED,
    N_TYPES,
    START,
    stands_still,
)
from emdpo.plots.theme import type_name
from emdpo.ui.markup import facts, line

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emdpo.learn.half_steps import Crowd, Half

KINDS = {START: "at the start", M_STEP: "last an M step", E_STEP: "last an E step"}

WHAT_HOLDS = {
    START: "Responsibilities are given by the start. The policies are untrained: every answer has "
    "a third. Next: an M step fits policies and shares to the responsibilities.",
    M_STEP: "Policies and shares have moved to suit the responsibilities, which are still the old "
    "ones. Next: an E step asks anew whose policy explains each person.",
    E_STEP: "Responsibilities have moved and match the policies again. Policies, shares and the "
    "log-likelihood are as before. Next: an M step.",
}

ALIKE = 1e-6
"""Responsibilities of all people that differ by less are one and the same for every type."""


def state_html(halves: Sequence[Half]) -> str:
    """Return what was done last, what holds now, and the numbers."""
    here = halves[-1]
    shares = " / ".join(f"{share:.1%}" for share in np.exp(here.log_weights))
    told = [
        ("Half-steps", f"{here.number:,}, {KINDS[here.kind]}"),
        ("Shares of types", shares),
        ("Log-likelihood + prior", f"{here.objective:.3f}"),
        ("Bound + prior", f"{here.bound:.3f}"),
    ]
    if len(halves) > 1:
        gain = here.objective - halves[-2].objective
        told.append(("Gained by this half-step", f"{gain + 0.0:.3f}"))
    return line(WHAT_HOLDS[here.kind]) + facts(told)


def verdict_html(crowd: Crowd, halves: Sequence[Half], best: float | None) -> str:
    """Return whether EM stands still, and how far below the best of other starts."""
    here = halves[-1]
    told = ""
    if best is not None and stands_still(halves):
        told = _standing(here, best)
    elif here.number >= MAX_HALVES:
        told = line(f"Not at rest after {CONFIG.max_iter:,} EM steps: it creeps.", "warning")
    return told + _too_little(crowd)


def _standing(here: Half, best: float) -> str:
    short = best - here.objective
    if short <= 5 * SAME_OPTIMUM:
        return line(
            f"EM stands still, at the best that {N_COMPARED} starts of emdpo reach.", "good"
        )
    told = f"EM stands still {short:.1f} nats below the best of {N_COMPARED} starts: it is stuck."
    if np.ptp(here.resp, axis=1).max() < ALIKE:
        told += (
            f" {type_name(0)}, {type_name(1)} and {type_name(2)} are one and the same policy, and "
            "nothing tells EM which of them to move."
        )
    return line(f"{told} Restart.", "warning")


def _too_little(crowd: Crowd) -> str:
    """Return what the bound for free item utilities says, where it speaks of these rankings."""
    theorems = panel_identifiability(crowd.rankings).theorems
    limits = [each for each in theorems if each.applies and each.max_types is not None]
    return "".join(
        line(f"{theorem.name}: {theorem.conclusion}", "warning")
        for theorem in limits
        if theorem.max_types is not None and theorem.max_types < N_TYPES
    )
