"""RLHF: a Bradley-Terry reward for everybody, and the policy that is optimal for it near pi_ref."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

import numpy as np

from emdpo.core.plackett_luce import UNRANKED
from emdpo.core.rankings import Rankings
from emdpo.methods.base import OneScore, Problem
from emdpo.methods.dpo import L2, pooled_policies


@dataclass(frozen=True)
class RewardModel:
    """A reward r by Bradley-Terry on all pairs of each ranking; pi proportional to exp(r / beta).

    The policy that maximises E r - beta KL(pi || pi_ref) has beta log(pi / pi_ref) = r but for a
    constant of the prompt, so that the reward itself is the score.
    """

    name: ClassVar[str] = "reward_model"
    source: ClassVar[str] = "Ouyang et al. 2022, arXiv 2203.02155, equation 1"
    assumes: ClassVar[str] = "everybody has the same utilities; each pair is an answer of its own"
    changed: ClassVar[str] = "linear reward; the KL-optimal policy in closed form, not by PPO"

    l2: float = 1.0

    @classmethod
    def grid(cls) -> Sequence[RewardModel]:
        """Return one for each prior."""
        return [cls(l2) for l2 in L2]

    def fit(self, problem: Problem) -> OneScore:
        """Maximise the Bradley-Terry likelihood of all pairs, those of a ranking weighing 1."""
        policies = pooled_policies(as_pairs(problem.panel), problem.features, self.l2)
        return OneScore(policies.candidate_scores()[0], problem.features.n_features)


def as_pairs(panel: Rankings) -> Rankings:
    """Return each ranking's pairs of candidates that it tells apart, better first.

    The pairs of a ranking share its weight, as the 1 / (m choose 2) of the source has it.
    """
    place = np.where(panel.ranks == 0, UNRANKED, panel.ranks)
    better, worse, ranking = [], [], []
    for length in np.unique(panel.lengths):
        chosen = np.flatnonzero(panel.lengths == length)
        rows = panel.offsets[chosen][:, None] + np.arange(length)  # (r, m)
        for i, j in zip(*np.triu_indices(length, 1), strict=True):
            up = np.where(place[rows[:, i]] <= place[rows[:, j]], rows[:, i], rows[:, j])
            told = place[rows[:, i]] != place[rows[:, j]]
            better.append(up[told])
            worse.append((rows[:, i] + rows[:, j] - up)[told])
            ranking.append(chosen[told])
    of = np.concatenate(ranking)
    order = np.argsort(of, kind="stable")
    of, both = of[order], np.stack([np.concatenate(better), np.concatenate(worse)], axis=1)[order]
    n_pairs = np.bincount(of, minlength=panel.n_rankings)
    return replace(
        panel,
        offsets=np.arange(len(of) + 1, dtype=np.int64) * 2,
        ranks=np.tile(np.array([1, 2], np.int32), len(of)),
        candidate=panel.candidate[both.ravel()],
        user=panel.user[of],
        prompt=panel.prompt[of],
        weight=panel.weight[of] / n_pairs[of],
        held_out=panel.held_out[of],
        ranking_ids=panel.ranking_ids[of],
    )
