"""Policies for everybody: no tuning, and DPO on all rankings at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from emdpo.core.mixture import fit_mixture
from emdpo.methods.base import OneScore, Problem

if TYPE_CHECKING:
    from emdpo.core.features import FeatureSet
    from emdpo.core.loglinear import LogLinearPolicies
    from emdpo.core.rankings import Rankings

L2 = (0.1, 1.0, 3.0, 10.0, 30.0, 100.0)
"""Precisions of the normal prior on theta that methods with one setting choose among."""


@dataclass(frozen=True)
class Reference:
    """The untuned model: every order of the answers is as likely."""

    name: ClassVar[str] = "reference"
    source: ClassVar[str] = "none"
    assumes: ClassVar[str] = "nobody prefers anything"
    changed: ClassVar[str] = "nothing"

    @classmethod
    def grid(cls) -> Sequence[Reference]:
        """Return the only setting."""
        return [cls()]

    def fit(self, problem: Problem) -> OneScore:
        """Return scores of zero."""
        return OneScore(np.zeros(problem.panel.n_candidates), 0)


@dataclass(frozen=True)
class DPO:
    """One policy by the Plackett-Luce form of DPO, as if everybody wanted the same."""

    name: ClassVar[str] = "dpo"
    source: ClassVar[str] = "Rafailov et al. 2023, arXiv 2305.18290, appendix A.3"
    assumes: ClassVar[str] = "everybody has the same utilities"
    changed: ClassVar[str] = "log-linear policy; a normal prior chosen on validation rankings"

    l2: float = 1.0

    @classmethod
    def grid(cls) -> Sequence[DPO]:
        """Return one for each prior."""
        return [cls(l2) for l2 in L2]

    def fit(self, problem: Problem) -> OneScore:
        """Maximise the Plackett-Luce likelihood of all rankings."""
        policies = pooled_policies(problem.panel, problem.features, self.l2)
        return OneScore(policies.candidate_scores()[0], problem.features.n_features)


def pooled_policies(panel: Rankings, features: FeatureSet, l2: float) -> LogLinearPolicies:
    """Return one log-linear policy fitted to all rankings."""
    return fit_mixture(panel, features, 1, l2=l2, n_restarts=1, seed=0).best.state.policies
