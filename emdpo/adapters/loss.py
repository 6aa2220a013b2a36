"""The weighted ranking-DPO loss: Plackett-Luce on beta-scaled log-ratios, as in core.

An objective is what training one adapter lowers: it takes prompts and the log-ratios of all
candidates to a loss. `RankingObjective` is that of an M-step, `LogRatioDifferences` of distilling.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from emdpo.core.plackett_luce import log_likelihoods_vjp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings


class Objective(Protocol):
    """What the training of one adapter lowers."""

    def __call__(self, prompts: Sequence[int], log_ratios: torch.Tensor) -> torch.Tensor:
        """Return the part of the loss that some prompts make, a scalar.

        `log_ratios` (A,) are log( pi(y|x) / pi_ref(y|x) ); those of other prompts are 0 and must
        not matter.
        """
        ...


@dataclass(frozen=True, eq=False)
class RankingObjective:
    """The M-step of one type: the weighted ranking-DPO loss."""

    part: Rankings
    weights: NDArray[np.float64]
    """(R,) responsibility times weight of every ranking."""
    beta: float
    per_step: float
    """What losses are divided by: the mean weight of a step, so that steps estimate the mean loss
    of a ranking without bias."""

    def __call__(self, prompts: Sequence[int], log_ratios: torch.Tensor) -> torch.Tensor:
        """Return the loss of the rankings of some prompts."""
        keep = np.isin(self.part.prompt, prompts)
        weights = self.weights[keep] / self.per_step
        return ranking_loss(log_ratios, self.part.select(keep), weights, self.beta)


@dataclass(frozen=True, eq=False)
class LogRatioDifferences:
    """What distilling lowers: how far differences of log-ratios are from the consensus's."""

    target: torch.Tensor
    """(A,) t = sum_k a_k log(pi_k / pi_ref), float64."""
    prompt: torch.Tensor
    """(A,) the prompt of each candidate; -1 = not learnt."""
    per_step: float
    """Mean number of prompts in a step."""

    def __call__(self, prompts: Sequence[int], log_ratios: torch.Tensor) -> torch.Tensor:
        """Return the prompts' variances of h - t over their candidates, added up."""
        asked = torch.tensor(prompts, device=self.prompt.device)
        place = torch.isin(self.prompt, asked).nonzero()[:, 0]
        _, code, count = self.prompt[place].unique(return_inverse=True, return_counts=True)
        gap = log_ratios[place] - self.target[place]  # (c,)
        mean = torch.zeros(len(count), dtype=gap.dtype, device=gap.device)
        mean = mean.index_add(0, code, gap) / count
        return ((gap - mean[code]).square() / count[code]).sum() / self.per_step


def ranking_loss(
    log_ratios: torch.Tensor, part: Rankings, weights: NDArray[np.float64], beta: float
) -> torch.Tensor:
    """Return -sum_r w_r log P(ranking r), a scalar, with s = beta log( pi(y|x) / pi_ref(y|x) ).

    `log_ratios` (A,) stands for every distinct candidate of `part` (only those shown in it matter),
    `weights` (R,) are responsibility times the ranking's own weight. For a list of two this is DPO
    (Rafailov et al. 2023, arXiv 2305.18290, equation 7); for longer ones its Plackett-Luce form
    (their appendix A.3). Ties and unranked candidates are treated as in core, whose code this is.
    """
    return _WeightedLoss.apply(beta * log_ratios, part, weights)  # type: ignore[no-any-return]


class _WeightedLoss(torch.autograd.Function):
    """Core's likelihood and gradient, in float64 on the CPU, as one step of autograd."""

    @staticmethod
    def forward(
        ctx: Any, scores: torch.Tensor, part: Rankings, weights: NDArray[np.float64]
    ) -> torch.Tensor:
        values = scores.detach().cpu().to(torch.float64).numpy()
        log_lik, pull_back = log_likelihoods_vjp(part.stages, values[None, part.candidate])
        by_row = pull_back(weights[None])[0]
        by_score = np.bincount(part.candidate, by_row, minlength=len(values))
        ctx.save_for_backward(torch.from_numpy(-by_score).to(scores.device, scores.dtype))
        return scores.new_tensor(-float(log_lik[0] @ weights))

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        (by_score,) = ctx.saved_tensors
        return upstream[0] * by_score, None, None
