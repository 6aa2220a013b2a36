"""What a reader must know before believing an audit: what the data and the fit cannot carry."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.composition import cramers_v
from emdpo.core.groups import TIMES

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.audit import Audit
    from emdpo.core.group_regret import GroupRegret

COINCIDE = 0.8
"""Cramer's V of group and type from which they nearly coincide."""

AGREE = 0.8
"""Adjusted Rand index below which starts of EM have put users into other types."""

CERTAIN = 0.75
"""Mean probability of users' most likely types below which most types are guesses."""


def cautions(
    audit: Audit,
    responsibilities: NDArray[np.float64],
    longest: int,
    n_starts: int,
    n_reached_best: int,
    agreement: float | None,
) -> tuple[str, ...]:
    """Return what to beware of, one sentence or two each; none is good news.

    Parameters
    ----------
    audit
        Of N users.
    responsibilities : (N, K)
    longest : int
        Candidates of the longest ranking.
    n_starts, n_reached_best, agreement
        Starts of EM, those that reached the best optimum, and how far the next best agree (adjusted
        Rand index).
    """
    found = list(_of_groups(audit))
    if audit.n_types > 1:
        found += _of_types(responsibilities, longest)
        found += _of_starts(n_starts, n_reached_best, agreement)
    return tuple(found)


def _of_groups(audit: Audit) -> Iterator[str]:
    named = dict.fromkeys(group.attribute for group in (*audit.groups, *audit.suppressed))
    for attribute in named:
        if TIMES in attribute and set(attribute.split(TIMES)) <= set(named):
            continue
        if attribute in audit.config.computed:
            yield (
                f"{attribute} was computed from these rankings: that types differ by it is no "
                "finding, and none is told of it."
            )
            continue
        groups = [each for each in audit.groups if each.attribute == attribute and each.known]
        v = _association(groups)
        if v >= COINCIDE:
            yield (
                f"Types and {attribute} nearly coincide (Cramer's V {v:.2f}, "
                f"n = {sum(group.n for group in groups):,}). If {attribute} was computed from "
                "these rankings, its figures say nothing new: mark it as computed."
            )


def _association(groups: list[GroupRegret]) -> float:
    if len(groups) < 2:
        return 0.0
    return cramers_v(
        np.array([[group.n * share for share in group.type_shares] for group in groups])
    )


def _of_types(responsibilities: NDArray[np.float64], longest: int) -> Iterator[str]:
    if longest <= 2:
        yield (
            "The data are pairs only: types rest on answers of the same person to several pairs, "
            "and a single pair tells nothing of them."
        )
    certainty = float(responsibilities.max(axis=1).mean())
    if certainty < CERTAIN:
        yield (
            f"People's types are uncertain: their most likely one has {certainty:.0%} on average "
            f"(n = {len(responsibilities):,}). Differences between groups are then understated."
        )


def _of_starts(n_starts: int, n_reached_best: int, agreement: float | None) -> Iterator[str]:
    if n_starts < 2 or agreement is None:
        return
    if n_reached_best == 1 and agreement < AGREE:
        yield (
            f"Only 1 of {n_starts} starts reached the best fit, and the next best put people into "
            f"other types (adjusted Rand index {agreement:.2f}): more starts may find other types."
        )
