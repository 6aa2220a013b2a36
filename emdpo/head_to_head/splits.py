"""Who is seen and who is new, and which of their rankings are fitted, known, and predicted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

FEWEST_TO_SPLIT = 3
"""Rankings of a seen user from which some are kept for validation."""


@dataclass(frozen=True, eq=False)
class Split:
    """A part for every ranking; each (R,) bool, no ranking in two of them."""

    train: NDArray[np.bool_]
    validation: NDArray[np.bool_]
    """Of seen users, whose training rankings are known; where every seen user has one or two
    rankings, all of some users, of whom nothing is known then."""
    test: NDArray[np.bool_]
    """Of seen users."""
    pool: NDArray[np.bool_]
    """Of new users, made known one after another."""
    place: NDArray[np.int64]
    """(R,) place of a ranking within its user, from 0, at random."""
    new_test: NDArray[np.bool_]
    """Of new users."""

    def known(self, n: int) -> NDArray[np.bool_]:
        """Return the first `n` rankings of each new user's pool; all where there are fewer."""
        return self.pool & (self.place < n)


def make_split(panel: Rankings, new_share: float, rng: np.random.Generator) -> Split:
    """Return a random split.

    A share of the users is new. Half of a new user's rankings, rounded up, is predicted, the others
    can be known. Of a seen user with three rankings or more a fifth each (at least one) is for
    validation and for the test; of one with two, one is for the test.
    """
    order = np.lexsort((rng.random(panel.n_rankings), panel.user))
    count = np.bincount(panel.user, minlength=panel.n_users)
    place = np.empty(panel.n_rankings, np.int64)
    place[order] = np.arange(panel.n_rankings) - np.repeat(np.cumsum(count) - count, count)
    new = np.zeros(panel.n_users, bool)
    new[rng.permutation(panel.n_users)[: round(new_share * panel.n_users)]] = True
    of_new, n = new[panel.user], count[panel.user]
    n_known = n // 2
    part = np.where(n >= FEWEST_TO_SPLIT, np.maximum(n // 5, 1), 0)  # for each of two
    n_test = np.where(n == 2, 1, part)  # noqa: PLR2004 - two rankings
    validation = ~of_new & (place < part)
    test = ~of_new & ~validation & (place < part + n_test)
    if not validation.any():
        validation = ~of_new & (rng.random(panel.n_users) < 0.2)[panel.user]
        test &= ~validation
    return Split(
        train=~of_new & ~validation & ~test,
        validation=validation,
        test=test,
        pool=of_new & (place < n_known),
        place=place,
        new_test=of_new & (place >= n_known),
    )
