"""How far two policies agree over the same candidates, prompt by prompt.

Letters: A candidates, P prompts; `prompt` holds (A,) codes 0..P-1. Kendall's tau-b: Kendall 1945.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emdpo.core.regret import in_pieces, log_policies, prompt_runs, sum_by_prompt
from emdpo.core.resampling import Estimate, estimate_of, resampled_means

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.regret import Codes, Floats


class PolicyAgreement(NamedTuple):
    """Two policies side by side, every prompt with two answers or more counting equally.

    Intervals are percentile bootstrap over prompts; n is the number of prompts.
    """

    kendall: Estimate
    """Rank correlation of the answers (tau-b), in [-1, 1]; prompts where a policy is indifferent
    between all answers are left out."""
    same_top: Estimate
    """Share of prompts with the same most likely answer; of tied ones, the share in common."""
    in_common: Estimate
    """Probability that the policies share, sum_y min(pi(y), pi'(y)), in [0, 1]; beta counts."""


def prompt_kendall(scores: Floats, others: Floats, prompt: Codes) -> Floats:
    """Return Kendall's tau-b of two score vectors within each prompt, (P,); nan without an order.

    Parameters
    ----------
    scores, others : (A,) float
    prompt : (A,) int

    Examples
    --------
    >>> scores, others = np.array([1.0, 2.0, 3.0, 5.0]), np.array([1.0, 3.0, 2.0, 5.0])
    >>> prompt_kendall(scores, others, np.array([0, 0, 0, 1])).round(3)
    array([0.333,   nan])
    """
    order, starts, sizes = prompt_runs(prompt)
    tau = np.full(len(starts), np.nan)
    for size in np.unique(sizes[sizes > 1]):
        for part in in_pieces(np.flatnonzero(sizes == size), int(size)):
            places = order[starts[part][:, None] + np.arange(size)]  # (p, n)
            signs = [
                np.sign(row[places][:, :, None] - row[places][:, None, :])
                for row in (scores, others)
            ]
            agreed, own, other = (
                (one * two).sum(axis=(1, 2))
                for one, two in ((signs[0], signs[1]), (signs[0],) * 2, (signs[1],) * 2)
            )
            ordered = (own > 0) & (other > 0)
            tau[part[ordered]] = agreed[ordered] / np.sqrt(own[ordered] * other[ordered])
    return tau


def prompt_same_top(scores: Floats, others: Floats, prompt: Codes) -> Floats:
    """Return the share of the best answers of either vector that are best in both, (P,).

    1 = the same best answer; ties for the best count in part.
    """
    best = [values == _top(values, prompt)[prompt] for values in (scores, others)]
    both, either = best[0] & best[1], best[0] | best[1]
    return sum_by_prompt(both.astype(float), prompt) / sum_by_prompt(either.astype(float), prompt)


def _top(values: Floats, prompt: Codes) -> NDArray[np.float64]:
    order, starts, _ = prompt_runs(prompt)
    return np.maximum.reduceat(values[order], starts)


def policy_agreement(
    scores: Floats,
    others: Floats,
    prompt: Codes,
    betas: tuple[float, float],
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> PolicyAgreement:
    """Return how far the policies of two score vectors agree.

    Parameters
    ----------
    scores, others : (A,) float
        DPO scores of the two policies over the same candidates, nats.
    prompt : (A,) int
        Prompt codes, each of 0..P-1 used.
    betas : (float, float)
        DPO inverse temperatures of the two, > 0.
    n_bootstrap, confidence, rng
        Of the intervals.
    """
    log_one = log_policies(scores, prompt, betas[0])
    log_other = log_policies(others, prompt, betas[1])
    in_common = sum_by_prompt(np.exp(np.minimum(log_one, log_other)), prompt)
    compared = np.bincount(prompt) > 1
    measures = (
        prompt_kendall(scores, others, prompt),
        prompt_same_top(scores, others, prompt),
        in_common,
    )

    def estimate(by_prompt: Floats) -> Estimate:
        values = by_prompt[compared & np.isfinite(by_prompt)]
        if not len(values):
            return Estimate(np.nan, np.nan, np.nan, 0)
        if len(values) < 2:
            return Estimate(float(values[0]), np.nan, np.nan, 1)
        draws = resampled_means(values[:, None], n_bootstrap, rng)[:, 0]
        return estimate_of(float(values.mean()), draws, confidence, len(values))

    return PolicyAgreement(*map(estimate, measures))
