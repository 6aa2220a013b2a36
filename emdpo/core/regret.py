"""Values of policies and what each type loses under them.

A table of A distinct candidates stands behind every array here. Row y belongs to the prompt with
code `prompt[y]` in 0..P-1, in any order; each prompt has at least one candidate. The reference
policy is uniform over a prompt's candidates, and every prompt counts equally in an expectation.

Letters: K types, J policies, A candidates, P prompts. Scores, values and regrets are in nats.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import xlogy

Floats = NDArray[np.float64]
Codes = NDArray[np.integer]

PAIRS_AT_ONCE = 1_000_000
"""Pairs of answers that are compared in one go."""

INDIFFERENT = 1e-12
"""A gain below this share of the type's largest score is rounding, not preference."""


@dataclass(frozen=True)
class RegretTable:
    """What each of K types loses under each of J policies.

    Every field has the leading axes of the prompt weights it was averaged with, usually none.
    """

    plain: Floats
    """(K, J) V_k(pi_k) - V_k(pi_j), nats, raw: below 0 where policy j suits type k better."""
    kl: Floats
    """(K, J) beta E_x KL(pi_j || pi_k), nats, >= 0."""
    share: Floats
    """(K, J) plain over the type's own gain: 0 = its own, 1 = reference, nan = indifferent."""
    preference: Floats
    """(K, J) chance that a user of type k prefers an answer of pi_k to one of pi_j, less the chance
    of the reverse: 0 = as good as its own, in [-1, 1], whatever the scale of the scores."""
    value_own: Floats
    """(K,) V_k(pi_k), nats; its level holds a free constant per prompt: compare differences."""
    value_reference: Floats
    """(K,) V_k(pi_ref), nats."""

    @property
    def clipped(self) -> Floats:
        """(K, J) plain regret, but 0 where it is below: as in the code of its paper."""
        return np.maximum(self.plain, 0.0)


@dataclass(frozen=True)
class PromptRegret:
    """The same before averaging over prompts, so that prompts can be drawn again cheaply."""

    plain: Floats
    """(K, J, P) raw plain regret at each prompt, nats."""
    kl: Floats
    """(K, J, P) KL regret at each prompt, nats, >= 0."""
    preference: Floats
    """(K, J, P) preference regret at each prompt, in [-1, 1]."""
    value_own: Floats
    """(K, P) value of each type's own policy, nats."""
    value_reference: Floats
    """(K, P) value of the reference, nats."""
    scale: Floats
    """(K,) largest absolute score of each type, the yardstick of rounding."""


def prompt_runs(prompt: Codes) -> tuple[Codes, Codes, Codes]:
    """Return the row order that brings prompts together, and where each run starts, how long.

    Parameters
    ----------
    prompt : (A,) int
        Prompt codes, each of 0..P-1 used at least once.

    Returns
    -------
    order : (A,) int
    starts : (P,) int
    counts : (P,) int

    Raises
    ------
    ValueError
        If the codes are not a one-dimensional integer array that uses each of 0..P-1.
    """
    prompt = np.asarray(prompt)
    if prompt.ndim != 1 or not len(prompt) or not np.issubdtype(prompt.dtype, np.integer):
        raise ValueError(
            f"prompt must be a non-empty 1-d integer array, got {prompt.dtype} {prompt.shape}"
        )
    if prompt.min() < 0:
        raise ValueError(f"prompt codes must be >= 0, got {prompt.min()}")
    counts = np.bincount(prompt)
    if not counts.all():
        raise ValueError(f"prompt code {np.argmin(counts)} has no candidate; codes must be 0..P-1")
    starts = np.concatenate(([0], np.cumsum(counts)[:-1]))
    return np.argsort(prompt, kind="stable"), starts, counts


def sum_by_prompt(values: Floats, prompt: Codes) -> Floats:
    """Return the sums of (..., A) values over each prompt's candidates, (..., P).

    >>> sum_by_prompt(np.array([1.0, 10.0, 2.0]), np.array([0, 1, 0]))
    array([ 3., 10.])
    """
    order, starts, _ = prompt_runs(prompt)
    return np.add.reduceat(np.asarray(values)[..., order], starts, axis=-1)


def log_normalise(log_values: Floats, prompt: Codes) -> Floats:
    """Return (..., A) unnormalised log probabilities made to sum to one within each prompt.

    The largest entry of a prompt is taken off first, so that the sum is one to rounding even where
    entries are near 1e6.
    """
    order, starts, _ = prompt_runs(prompt)
    top = np.maximum.reduceat(np.asarray(log_values)[..., order], starts, axis=-1)  # (..., P)
    shifted = log_values - top[..., prompt]
    return shifted - np.log(sum_by_prompt(np.exp(shifted), prompt))[..., prompt]


def log_reference(prompt: Codes) -> Floats:
    """Return the (A,) log probabilities of the reference, uniform over each prompt's candidates.

    >>> np.exp(log_reference(np.array([0, 1, 0]))).round(3)
    array([0.5, 1. , 0.5])
    """
    _, _, counts = prompt_runs(prompt)
    return -np.log(counts)[prompt]


def log_policies(scores: Floats, prompt: Codes, beta: float) -> Floats:
    """Return the (K, A) log policies pi_k(y|x) proportional to pi_ref(y|x) exp(s_k(y, x) / beta).

    Parameters
    ----------
    scores : (..., A) float
        DPO scores in nats; a constant added within a prompt changes nothing. (A,) gives (A,).
    prompt : (A,) int
        Prompt codes.
    beta : float
        DPO inverse temperature, > 0.

    Raises
    ------
    ValueError
        If beta is not positive, a score is not finite or the prompt codes have gaps.

    Notes
    -----
    Rafailov et al. 2023 (arXiv 2305.18290), equation 4. The uniform reference is constant within a
    prompt and so cancels.

    Examples
    --------
    >>> scores = np.array([[0.0, 0.1 * np.log(3)]])
    >>> np.exp(log_policies(scores, np.array([0, 0]), beta=0.1)).round(3)
    array([[0.25, 0.75]])
    """
    check_beta(beta)
    if not np.isfinite(scores).all():
        raise ValueError("scores must be finite")
    return log_normalise(np.asarray(scores, dtype=np.float64) / beta, prompt)


def check_beta(beta: float) -> None:
    """Raise ValueError unless beta is a finite number above zero."""
    if not (np.isfinite(beta) and beta > 0):
        raise ValueError(f"beta must be a finite number > 0, got {beta}")


def prompt_values(scores: Floats, policies: Floats, prompt: Codes) -> Floats:
    """Return the (K, J, P) values sum_y pi_j(y|x) s_k(y, x) at each prompt, in nats.

    Parameters
    ----------
    scores : (K, A) float
    policies : (J, A) float
        Probabilities, summing to one within each prompt.
    prompt : (A,) int
    """
    return np.stack([sum_by_prompt(policies * row, prompt) for row in scores])


def values(scores: Floats, policies: Floats, prompt: Codes) -> Floats:
    """Return the (K, J) values V_k(pi_j) = E_x E_{y ~ pi_j} s_k(y, x), prompts counting equally.

    >>> scores = np.array([[1.0, 3.0, 10.0]])
    >>> values(scores, np.array([[0.5, 0.5, 1.0]]), np.array([0, 0, 1]))
    array([[6.]])
    """
    return prompt_values(scores, policies, prompt).mean(axis=-1)


def plain_regret(scores: Floats, log_types: Floats, policies: Floats, prompt: Codes) -> Floats:
    """Return the (K, J) raw plain regrets R_k(pi_j) = V_k(pi_k) - V_k(pi_j), in nats.

    Parameters
    ----------
    scores : (K, A) float
    log_types : (K, A) float
        Log probabilities of the type policies.
    policies : (J, A) float
        Probabilities of the policies judged.
    prompt : (A,) int

    Notes
    -----
    The regret of Chidambaram, Seetharaman, Syrgkanis (AISTATS 2026, arXiv 2510.15716). It can be
    negative, since pi_k is held near the reference and so does not maximise s_k:
    R_k(pi_j) / beta = E_x [KL(pi_k || ref) - KL(pi_j || ref) + KL(pi_j || pi_k)].
    """
    own = sum_by_prompt(np.exp(log_types) * scores, prompt).mean(axis=-1)  # (K,)
    return own[:, None] - values(scores, policies, prompt)


def prompt_kl_regret(log_types: Floats, policies: Floats, prompt: Codes, beta: float) -> Floats:
    """Return the (K, J, P) regrets beta KL(pi_j(.|x) || pi_k(.|x)) at each prompt, all >= 0."""
    check_beta(beta)
    neg_entropy = sum_by_prompt(xlogy(policies, policies), prompt)  # (J, P)
    cross = np.stack([sum_by_prompt(policies * row, prompt) for row in log_types])  # (K, J, P)
    return beta * np.maximum(neg_entropy - cross, 0.0)


def kl_regret(log_types: Floats, policies: Floats, prompt: Codes, beta: float) -> Floats:
    """Return the (K, J) KL regrets beta E_x KL(pi_j || pi_k), in nats, never below 0.

    This is what type k loses when the price of leaving the reference, beta KL(pi || pi_ref), is
    part of its value; pi_k maximises that value, hence no regret is negative.

    >>> types = np.log([[0.75, 0.25], [0.25, 0.75]])
    >>> kl_regret(types, np.exp(types), np.array([0, 0]), beta=1.0).round(4)
    array([[0.    , 0.5493],
           [0.5493, 0.    ]])
    """
    return prompt_kl_regret(log_types, policies, prompt, beta).mean(axis=-1)


def preference_leads(scores: Floats, log_types: Floats, prompt: Codes) -> Floats:
    """Return how much more often a type prefers its own policy's answer to a given one, (K, A).

    A user of type k sees an answer y of pi_k and the answer y', and prefers y with probability
    sigmoid(s_k(y) - s_k(y')), as Bradley and Terry (1952) have it; the lead over y' is the chance
    of that less the chance of the reverse, in [-1, 1].

    Parameters
    ----------
    scores, log_types : (K, A) float
    prompt : (A,) int
    """
    order, starts, sizes = prompt_runs(prompt)
    types, leads = np.exp(log_types), np.empty(np.shape(scores))
    for size in np.unique(sizes):
        for part in in_pieces(np.flatnonzero(sizes == size), int(size)):
            places = order[starts[part][:, None] + np.arange(size)]  # (p, n)
            for k, row in enumerate(scores):
                own = row[places]
                margin = np.tanh((own[:, :, None] - own[:, None, :]) / 2)  # (p, n, n)
                leads[k][places] = np.einsum("pi,pij->pj", types[k][places], margin)
    return leads


def prompt_preference_regret(
    scores: Floats, log_types: Floats, policies: Floats, prompt: Codes
) -> Floats:
    """Return the (K, J, P) preference regrets of the types at each prompt, in [-1, 1].

    The lead of a type's own answer (`preference_leads`) over one of the policy judged. Between a
    type's own policy and itself it is 0.

    Parameters
    ----------
    scores, log_types : (K, A) float
    policies : (J, A) float
        Probabilities of the policies judged.
    prompt : (A,) int

    Examples
    --------
    >>> sure, other = np.array([[0.0, -np.inf]]), np.array([[0.0, 1.0]])
    >>> scores = np.array([[np.log(3.0), 0.0]])
    >>> prompt_preference_regret(scores, sure, other, np.array([0, 0])).round(6).item()
    0.5
    """
    leads = preference_leads(scores, log_types, prompt)
    return np.stack([sum_by_prompt(policies * row, prompt) for row in leads])


def in_pieces(prompts: Codes, size: int) -> Iterator[Codes]:
    """Yield prompts of one size in pieces whose pairs of answers fit into little memory."""
    at_once = max(1, PAIRS_AT_ONCE // size**2)
    for start in range(0, len(prompts), at_once):
        yield prompts[start : start + at_once]


def regret_share(plain: Floats, own_gain: Floats, scale: Floats | float = 1.0) -> Floats:
    """Return plain regret as a share of what a type gains from its own policy, (..., K, J).

    Parameters
    ----------
    plain : (..., K, J) float
        Plain regret, nats.
    own_gain : (..., K) float
        V_k(pi_k) - V_k(pi_ref), nats.
    scale : float or (..., K)
        Size of the type's scores. A gain up to 1e-12 of it is rounding: the type is indifferent
        and its share is nan.

    Examples
    --------
    >>> regret_share(np.array([[1.0, 2.0], [1.0, 0.0]]), np.array([4.0, 0.0]))
    array([[0.25, 0.5 ],
           [ nan,  nan]])
    """
    gain = np.broadcast_to(np.asarray(own_gain)[..., None], np.shape(plain))
    cares = gain > INDIFFERENT * np.broadcast_to(np.asarray(scale), np.shape(own_gain))[..., None]
    return np.divide(plain, gain, out=np.full(np.shape(plain), np.nan), where=cares)


def prompt_regret(scores: Floats, policies: Floats, prompt: Codes, beta: float) -> PromptRegret:
    """Return the regrets of the K types under J policies at each prompt.

    Parameters
    ----------
    scores : (K, A) float
    policies : (J, A) float
        Probabilities of the policies judged.
    prompt : (A,) int
    beta : float
        DPO inverse temperature, > 0.
    """
    log_types = log_policies(scores, prompt, beta)
    own = sum_by_prompt(np.exp(log_types) * scores, prompt)  # (K, P)
    return PromptRegret(
        plain=own[:, None, :] - prompt_values(scores, policies, prompt),
        kl=prompt_kl_regret(log_types, policies, prompt, beta),
        preference=prompt_preference_regret(scores, log_types, policies, prompt),
        value_own=own,
        value_reference=sum_by_prompt(np.exp(log_reference(prompt)) * scores, prompt),
        scale=np.abs(scores).max(axis=-1),
    )


def average_prompts(regrets: PromptRegret, weights: Floats | Codes | None = None) -> RegretTable:
    """Return the regrets averaged over prompts, or over redrawn prompts.

    Parameters
    ----------
    regrets : PromptRegret
    weights : (..., P) float or int, optional
        Relative weight of each prompt, >= 0; every prompt equal by default. One row of counts per
        bootstrap draw, (B, P), gives a table whose fields are (B, K, J) and (B, K), at the cost of
        one matrix product.
    """
    n_prompts = regrets.plain.shape[-1]
    drawn = np.asarray(np.ones(n_prompts) if weights is None else weights, dtype=np.float64)
    drawn = drawn / drawn.sum(axis=-1, keepdims=True)
    parts = (regrets.plain, regrets.kl, regrets.preference)
    plain, kl, preference, own, reference = (
        np.tensordot(drawn, part, axes=(-1, -1))
        for part in (*parts, regrets.value_own, regrets.value_reference)
    )
    share = regret_share(plain, own - reference, regrets.scale)
    return RegretTable(plain, kl, share, preference, own, reference)


def regret_table(scores: Floats, policies: Floats, prompt: Codes, beta: float) -> RegretTable:
    """Return every kind of regret of the K types under J policies.

    Parameters
    ----------
    scores : (K, A) float
        DPO scores of the types, nats.
    policies : (J, A) float
        Probabilities of the policies judged.
    prompt : (A,) int
        Prompt codes, each of 0..P-1 used.
    beta : float
        DPO inverse temperature, > 0.

    Raises
    ------
    ValueError
        As `log_policies`.

    Examples
    --------
    >>> scores = np.log([[3.0, 1.0], [1.0, 3.0]])
    >>> table = regret_table(scores, np.full((1, 2), 0.5), np.array([0, 0]), beta=1.0)
    >>> table.share.round(6).tolist()
    [[1.0], [1.0]]
    """
    return average_prompts(prompt_regret(scores, policies, prompt, beta))
