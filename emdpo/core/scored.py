"""Type policies known by their scores alone, whatever made them: all that reading a fit takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings


class FittedPolicies(Protocol):
    """K type policies, as those see them who read a fit."""

    @property
    def n_types(self) -> int:
        """K."""
        ...

    def candidate_scores(self) -> NDArray[np.float64]:
        """Return s_k of every distinct candidate, (K, A)."""
        ...

    def scores(self, part: Rankings) -> NDArray[np.float64]:
        """Return s_k of every candidate row of `part`, (K, C)."""
        ...


@dataclass(frozen=True, eq=False)
class ScoredPolicies:
    """K policies pi_k(y|x) proportional to pi_ref(y|x) exp(s_k / beta), given by a table of s_k."""

    table: NDArray[np.float64]
    """(K, A) s_k = beta log(pi_k / pi_ref) of every distinct candidate."""

    @property
    def n_types(self) -> int:
        """K."""
        return len(self.table)

    def candidate_scores(self) -> NDArray[np.float64]:
        """Return s_k of every distinct candidate, (K, A)."""
        return self.table

    def scores(self, part: Rankings) -> NDArray[np.float64]:
        """Return s_k of every candidate row of `part`, (K, C)."""
        return np.take(self.table, part.candidate, axis=1)
