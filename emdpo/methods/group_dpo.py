"""Group-robust DPO: one policy whose loss in the worst of the observed groups is least."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from emdpo.core.errors import EmdpoError
from emdpo.core.loglinear import untrained
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.methods.base import Floats, OneScore, Problem
from emdpo.methods.dpo import L2

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

STEPS = 60
STEP_SIZE = 4.0
"""Of exponentiated gradient, falling with the root of the step."""


@dataclass(frozen=True)
class GroupDPO:
    """min over pi of max over group weights a of sum_g a_g mean DPO loss of group g."""

    name: ClassVar[str] = "group_dpo"
    source: ClassVar[str] = "Ramesh et al. 2024 (NeurIPS), arXiv 2405.20304"
    assumes: ClassVar[str] = "the groups that matter are observed; equal losses are fair"
    changed: ClassVar[str] = "policy solved between mirror steps; no group in the prompt"

    l2: float = 1.0

    @classmethod
    def grid(cls) -> Sequence[GroupDPO]:
        """Return one for each prior."""
        return [cls(l2) for l2 in L2]

    def fit(self, problem: Problem) -> OneScore:
        """Return the policy that answers the hardest group weights found.

        Raises
        ------
        EmdpoError
            No group is observed.
        """
        if problem.groups is None:
            raise EmdpoError("group_dpo needs an observed group: the file has no attribute")
        panel, group = problem.panel, problem.groups[problem.panel.user]  # (R,)
        n_groups = int(group.max()) + 1
        known = (group >= 0) * panel.weight
        size = np.maximum(np.bincount(group[group >= 0], known[group >= 0], n_groups), 1e-9)
        weights, best = np.full(n_groups, 1.0 / n_groups), (-np.inf, np.zeros(0))
        policies, everybody = untrained(problem.features, 1, self.l2), np.ones((panel.n_users, 1))
        for step in range(STEPS):
            tilted = known * (weights / size)[group] * known.sum()
            policies = policies.update(replace(panel, weight=tilted), everybody)
            losses = _group_losses(panel, policies.scores(panel), group, known, size)
            value = float(weights @ losses) - policies.log_prior() / known.sum()
            best = max(best, (value, policies.candidate_scores()[0]), key=lambda found: found[0])
            weights = weights * np.exp(STEP_SIZE / np.sqrt(step + 1) * (losses - losses.max()))
            weights /= weights.sum()
        return OneScore(best[1], problem.features.n_features)


def _group_losses(
    panel: Rankings, rows: Floats, group: NDArray[np.int64], known: Floats, size: Floats
) -> Floats:
    """Return the mean log-loss of each group, (G,), for scores of rows (1, C)."""
    loss = -log_likelihoods(panel.stages, rows)[0] * known
    return np.bincount(np.maximum(group, 0), loss, minlength=len(size)) / size
