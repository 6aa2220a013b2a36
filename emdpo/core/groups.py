"""Users by the value of an attribute, those whose value is missing apart."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

NOT_KNOWN = "not known"
"""Label of the users whose value is missing."""


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
