"""MixDPO's likelihood for the training of an adapter: scores felt with a random strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emdpo.adapters.generalised_em import GeneralisedEM
from emdpo.adapters.saved import type_name
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.methods.mixdpo import likeliest_spread, likelihood_vjp, mean_likelihood, strengths

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.rounds import Round
    from emdpo.core.rankings import Rankings


class RandomStrengthRounds(GeneralisedEM):
    """Rounds of one adapter under P(ranking) = E_b PL(b s), b > 0 of a family.

    The spread of b is the likeliest given the scores, again after every round (coordinate ascent).
    """

    def __init__(self, *shared: Any, family: str, spread: float) -> None:
        super().__init__(*shared)
        self.family = family
        self.spread = spread
        """That the next round trains with; the first has it from the log-linear fit."""

    def evaluate(self, number: int, log_weights: NDArray[np.float64]) -> Round:
        """Fit the spread to trained scores, and judge with it."""
        if number > 0:
            rows = self._scores[type_name(0)][self.panel.candidate]
            self.spread = likeliest_spread(self.family, self.panel, rows)
        return super().evaluate(number, log_weights)

    def log_likelihoods_under(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the log marginal likelihood of every ranking, (R,)."""
        felt = strengths(self.family, self.spread)[:, None] * scores[self.panel.candidate]
        return mean_likelihood(log_likelihoods(self.panel.stages, felt))

    def objective(
        self, part: Rankings, weights: NDArray[np.float64], beta: float, per_step: float
    ) -> StrengthObjective:
        """Return the marginal likelihood at the spread as it is."""
        nodes = strengths(self.family, self.spread)
        return StrengthObjective(part, weights, beta, per_step, nodes)


@dataclass(frozen=True, eq=False)
class StrengthObjective:
    """As `RankingObjective`, with equally likely strengths."""

    part: Rankings
    weights: NDArray[np.float64]
    """(R,)"""
    beta: float
    per_step: float
    nodes: NDArray[np.float64]
    """(Q,) strengths."""

    def __call__(self, prompts: Sequence[int], log_ratios: torch.Tensor) -> torch.Tensor:
        """Return the loss of the rankings of some prompts."""
        keep = np.isin(self.part.prompt, prompts)
        weights = self.weights[keep] / self.per_step
        scores = self.beta * log_ratios
        loss = _StrengthLoss.apply(scores, self.part.select(keep), weights, self.nodes)
        return loss  # type: ignore[return-value]


class _StrengthLoss(torch.autograd.Function):
    """The numpy likelihood and gradient, in float64 on the CPU, as one step of autograd."""

    @staticmethod
    def forward(
        ctx: Any,
        scores: torch.Tensor,
        part: Rankings,
        weights: NDArray[np.float64],
        nodes: NDArray[np.float64],
    ) -> torch.Tensor:
        rows = scores.detach().cpu().to(torch.float64).numpy()[part.candidate]
        total, by_felt = likelihood_vjp(part, rows, nodes, weights)
        by_score = np.bincount(part.candidate, nodes @ by_felt, minlength=len(scores))
        ctx.save_for_backward(torch.from_numpy(-by_score).to(scores.device, scores.dtype))
        return scores.new_tensor(-total)

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor, None, None, None]:
        (by_score,) = ctx.saved_tensors
        return upstream[0] * by_score, None, None, None
