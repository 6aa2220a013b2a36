"""How near a policy comes to the consensus over the answers listed, and what types lose by it.

Letters as in `regret`: K types, A candidates, P prompts; `prompt` holds (A,) codes 0..P-1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from emdpo.core.regret import Codes, Floats, log_policies, regret_table, sum_by_prompt


@dataclass(frozen=True, eq=False)
class Agreement:
    """One policy beside the consensus, every prompt counting equally."""

    kl: float
    """E_x KL(consensus || policy), nats, >= 0: what the policy leaves out."""
    kl_reverse: float
    """E_x KL(policy || consensus), nats, >= 0: what the policy says beside."""
    variance: float
    """Mean over prompts of the variance over candidates of h - t, nats squared: what distilling
    lowers."""
    regret: Mapping[str, Floats]
    """plain and kl, each (K,): nats, plain raw."""


def prompt_variance(values: Floats, prompt: Codes) -> Floats:
    """Return the variance of (A,) values over each prompt's candidates, (P,); 0 for only one.

    >>> prompt_variance(np.array([1.0, 3.0, 5.0]), np.array([0, 0, 1]))
    array([1., 0.])
    """
    counts = np.bincount(prompt)
    centred = values - (sum_by_prompt(values, prompt) / counts)[prompt]
    return sum_by_prompt(centred**2, prompt) / counts


def agreement(
    scores: Floats, weights: Floats, policy_scores: Floats, prompt: Codes, beta: float
) -> Agreement:
    """Return how near a policy comes to the consensus prod_k pi_k^a_k over the candidates.

    Parameters
    ----------
    scores : (K, A) float
        DPO scores of the types, nats.
    weights : (K,) float
        Exponents a of the consensus, a point of the simplex (`aggregation.kl_consensus`).
    policy_scores : (A,) float
        beta log(pi / pi_ref) of the policy judged.
    prompt, beta : (A,) int and float > 0
        Prompt codes and DPO inverse temperature.

    Examples
    --------
    >>> scores, prompt = np.log([[3.0, 1.0], [1.0, 3.0]]), np.array([0, 0])
    >>> own = agreement(scores, np.array([0.5, 0.5]), np.zeros(2), prompt, beta=1.0)
    >>> own.kl, own.variance, own.regret["kl"].round(4).tolist()
    (0.0, 0.0, [0.1438, 0.1438])
    """
    target = np.asarray(weights) @ scores  # (A,)
    log_consensus, log_policy = log_policies(np.stack([target, policy_scores]), prompt, beta)
    table = regret_table(scores, np.exp(log_policy)[None], prompt, beta)
    return Agreement(
        kl=_divergence(log_consensus, log_policy, prompt),
        kl_reverse=_divergence(log_policy, log_consensus, prompt),
        variance=float(prompt_variance((policy_scores - target) / beta, prompt).mean()),
        regret={"plain": table.plain[:, 0], "kl": table.kl[:, 0]},
    )


def _divergence(log_one: Floats, log_other: Floats, prompt: Codes) -> float:
    """Return E_x KL(one || other) of two (A,) log policies."""
    total = sum_by_prompt(np.exp(log_one) * (log_one - log_other), prompt)
    return max(float(total.mean()), 0.0)
