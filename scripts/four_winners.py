"""Search tables of utilities for one where four rules pick four different answers.

    python scripts/four_winners.py

Draws tables of three types and four answers, utilities 0 .. 10, in fixed shares and from a fixed
seed, until majority, Borda, maximin and min-max regret each have one winner, all different, and no
type is indifferent between two answers. `emdpo.learn.whose_average.FOUR_WINNERS` is what it finds.
"""

from __future__ import annotations

import numpy as np

SHARES = np.array([45, 30, 25])
MOST = 20_000


def winners(table: np.ndarray, shares: np.ndarray) -> list[int] | None:
    """Return who wins by majority, Borda, maximin and regret; None where one has no sole winner."""
    ahead = np.sign(table[:, :, None] - table[:, None, :])
    margins = np.tensordot(shares, ahead, axes=1)  # (A, A) people for less people against
    by_rule = [
        (margins + np.eye(len(margins)) > 0).sum(axis=1),  # duels won
        margins.sum(axis=1),
        table.min(axis=0),
        -(table.max(axis=1, keepdims=True) - table).max(axis=0),
    ]
    if by_rule[0].max() < len(margins) or any((row == row.max()).sum() > 1 for row in by_rule):
        return None
    return [int(row.argmax()) for row in by_rule]


def search(seed: int = 0) -> np.ndarray | None:
    """Return the first table (3, 4) with four winners, None where there is none in MOST draws."""
    rng = np.random.default_rng(seed)
    for _ in range(MOST):
        table = rng.integers(0, 11, size=(3, 4))
        if any(len(set(row)) < 4 for row in table.tolist()):
            continue
        found = winners(table, SHARES)
        if found and len(set(found)) == 4:
            return table
    return None


if __name__ == "__main__":
    print(search())
