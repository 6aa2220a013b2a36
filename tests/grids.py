"""Grids to search by brute force."""

from __future__ import annotations

import numpy as np


def simplex_grid(steps):
    """All points of the three-type simplex whose entries are multiples of 1 / steps."""
    first, second = np.meshgrid(np.arange(steps + 1), np.arange(steps + 1))
    inside = first + second <= steps
    first, second = first[inside], second[inside]
    return np.column_stack([first, second, steps - first - second]) / steps
