"""Users by the value of an attribute or of two, those whose value is missing apart."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emdpo.core.suppression import hidden_groups, hide_in_table

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

NOT_KNOWN = "not known"
"""Label of the users whose value is missing."""

TIMES = " \u00d7 "
"""Between the names of two attributes that are crossed, and between their values."""

MOST_CROSSED = 6
"""Attributes of which every pair is crossed; of more, no pair is: tables would be many."""


class Groups(NamedTuple):
    """The G groups of N users, by label."""

    codes: NDArray[np.int64]
    """(N,) each user's group."""
    labels: tuple[str, ...]
    """(G,) the value, or for missing ones NOT_KNOWN, marked where that is somebody's value too."""
    known: NDArray[np.bool_]
    """(G,) false for the users whose value is missing."""


def groups_of(values: Sequence[str | None]) -> Groups:
    """Return the groups of users with these values; None = missing.

    >>> groups_of(["b", None, "a", "b"]).labels
    ('a', 'b', 'not known')
    >>> groups_of(["not known", None]).labels
    ('not known (blank)', 'not known')
    """
    keys = [(NOT_KNOWN, False) if value is None else (str(value), True) for value in values]
    distinct = sorted(set(keys))
    place = {key: code for code, key in enumerate(distinct)}
    blank = NOT_KNOWN if (NOT_KNOWN, True) not in place else f"{NOT_KNOWN} (blank)"
    return Groups(
        codes=np.array([place[key] for key in keys], np.int64),
        labels=tuple(label if known else blank for label, known in distinct),
        known=np.array([known for _, known in distinct], bool),
    )


@dataclass(frozen=True, eq=False)
class Grouping:
    """The users by one attribute, or by two at once."""

    attribute: str
    """The attribute, or two joined by TIMES."""
    codes: NDArray[np.int64]
    """(N,) each user's group."""
    labels: tuple[str, ...]
    """(G,) value, or two values joined by TIMES."""
    known: NDArray[np.bool_]
    """(G,) false where a value is missing."""
    hidden: NDArray[np.bool_]
    """(G,) true for groups that must not be shown (`suppression`)."""

    @property
    def n(self) -> NDArray[np.int64]:
        """(G,) users of each group."""
        return np.bincount(self.codes, minlength=len(self.labels))


def groupings(attributes: pd.DataFrame, least: int, *, crossed: bool = True) -> list[Grouping]:
    """Return the users by every attribute and, if `crossed`, by every pair of up to MOST_CROSSED.

    Parameters
    ----------
    attributes : (N rows)
        One text column per attribute; None = not known.
    least : int
        No group of fewer users, and no union of hidden ones, can be found from those shown.
    crossed : bool
        Whether to show pairs. A pair whose joined name is an attribute's is left out.
    """
    names = list(map(str, attributes.columns))
    single = [groups_of(attributes[column].tolist()) for column in attributes.columns]
    counts = [np.bincount(each.codes, minlength=len(each.labels)) for each in single]
    hidden = [hidden_groups(n, least) for n in counts]
    crossed = crossed and len(names) <= MOST_CROSSED
    cells = _hidden_cells(single, hidden, least, crossed=crossed)
    found = [
        Grouping(name, each.codes, each.labels, each.known, hide)
        for name, each, hide in zip(names, single, hidden, strict=True)
    ]
    for (i, j), hide in cells.items() if crossed else ():
        if names[i] + TIMES + names[j] not in names:
            found.append(_cross(found[i], found[j], hide))
    return found


def _hidden_cells(
    single: Sequence[Groups], hidden: Sequence[NDArray[np.bool_]], least: int, *, crossed: bool
) -> dict[tuple[int, int], NDArray[np.bool_]]:
    """Return the cells (A, B) to hide by pair of attributes, and hide more groups if need be."""
    cells: dict[tuple[int, int], NDArray[np.bool_]] = {}
    before = -1
    while before != (before := sum(int(flags.sum()) for flags in hidden)):
        for i, j in combinations(range(len(single)), 2):
            n = np.zeros((len(single[i].labels), len(single[j].labels)), np.int64)
            np.add.at(n, (single[i].codes, single[j].codes), 1)
            cells[i, j] = hide_in_table(n, least, hidden[i], hidden[j], shown=crossed)
    return cells


def _cross(one: Grouping, other: Grouping, hidden: NDArray[np.bool_]) -> Grouping:
    """Return the users by two attributes; cells without users are no groups."""
    flat = one.codes * len(other.labels) + other.codes
    present, codes = np.unique(flat, return_inverse=True)
    a, b = np.divmod(present, len(other.labels))
    return Grouping(
        attribute=one.attribute + TIMES + other.attribute,
        codes=codes.astype(np.int64),
        labels=tuple(one.labels[x] + TIMES + other.labels[y] for x, y in zip(a, b, strict=True)),
        known=one.known[a] & other.known[b],
        hidden=hidden[a, b],
    )
