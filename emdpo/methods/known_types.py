"""The oracle of simulations: the planted types, from which a user's answers tell the own one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from emdpo.core.errors import EmdpoError
from emdpo.methods.base import Problem, TypeScores
from emdpo.methods.cluster_dpo import consensus_scores


@dataclass(frozen=True)
class KnownTypes:
    """The planted utilities; nothing is fitted."""

    name: ClassVar[str] = "known_types"
    source: ClassVar[str] = "simulation"
    assumes: ClassVar[str] = "the truth is known, but for who is of which type"
    changed: ClassVar[str] = "nothing"

    @classmethod
    def grid(cls) -> Sequence[KnownTypes]:
        """Return the only setting."""
        return [cls()]

    def fit(self, problem: Problem) -> TypeScores:
        """Return the planted types in their shares; EmdpoError where none are planted."""
        if problem.truth is None or problem.truth_shares is None:
            raise EmdpoError("known_types is for simulations: no types are planted in a file")
        scores = problem.truth
        return TypeScores(
            scores=scores,
            log_weights=np.log(problem.truth_shares),
            one_policy=consensus_scores(scores, problem.prompt, problem.beta),
            n_parameters=0,
        )
