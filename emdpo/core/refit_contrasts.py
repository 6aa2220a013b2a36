"""Figures of an audit with types held fixed beside the same with types found anew."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.audit import Audit
    from emdpo.core.refits import Ends


class Difference(NamedTuple):
    """How much more a group loses than everybody else, with two intervals."""

    value: str
    """Of the attribute: user text."""
    n: int
    """Users."""
    above: float
    """Regret less that of all other users."""
    fixed: Ends
    """With types held fixed."""
    p_value: float
    """Of a permutation test; nan where none was made."""
    anew: Ends
    """With types found anew."""

    @property
    def stands(self) -> bool:
        """Whether 0 lies outside the interval with types found anew."""
        return not self.anew[0] <= 0 <= self.anew[1]


def differences(audit: Audit, attribute: str | None, kind: str, rule: str) -> list[Difference]:
    """Return how much more groups of an attribute lose than everybody else, where both are known.

    Parameters
    ----------
    audit : Audit
    attribute : str, optional
        Whose groups; without one there are none.
    kind, rule : str
        Of regret; whose.
    """
    found = []
    for group in audit.groups:
        again = None if audit.refit is None else audit.refit.group(group.attribute, group.value)
        if group.attribute == attribute and again is not None and kind in group.above_rest:
            found.append(
                Difference(
                    value=group.value,
                    n=group.n,
                    above=group.above_rest[kind][rule],
                    fixed=group.above_rest_interval[kind][rule],
                    p_value=group.p_value[kind][rule],
                    anew=again.above_rest_interval[kind][rule],
                )
            )
    return [each for each in found if np.isfinite([*each.fixed, *each.anew]).all()]


def widening(audit: Audit, kind: str = "share", rule: str = "pooled") -> tuple[float, int] | None:
    """Return how many times as wide intervals of groups' differences are with types found anew.

    The median over groups by one attribute, and how many these are; None where there are none.
    """
    ratios = [
        (each.anew[1] - each.anew[0]) / (each.fixed[1] - each.fixed[0])
        for attribute in audit.attributes
        for each in differences(audit, attribute, kind, rule)
        if each.fixed[1] > each.fixed[0]
    ]
    return (float(np.median(ratios)), len(ratios)) if ratios else None


def worst_types(audit: Audit, kind: str, rules: Sequence[str]) -> list[int]:
    """Return the position of the type with users that loses most, by rule."""
    held = np.flatnonzero(audit.occupied)
    return [int(held[audit.regret[kind][rule][held].argmax()]) for rule in rules]


def worst_fixed(audit: Audit, kind: str, rules: Sequence[str]) -> NDArray[np.float64]:
    """Return intervals (J, 2) over prompts of what those types lose; nan with one prompt."""
    found = audit.regret_interval
    if found is None:
        return np.full((len(rules), 2), np.nan)
    worst = zip(rules, worst_types(audit, kind, rules), strict=True)
    return np.stack([found[kind][rule][k] for rule, k in worst])
