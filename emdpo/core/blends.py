"""What if everybody got another blend of the types: regrets of any blend, fast enough for a slider.

All that no blend changes is worked out once (`yardstick`, `group_moments`); a blend then costs a
few products of its (A,) probabilities. All regrets but KL's are linear in these.

Letters: K types, A candidates, P prompts, N users, G groups; `prompt` holds (A,) codes 0..P-1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import stdtrit, xlogy

from emdpo.core.aggregation import mixture
from emdpo.core.regret import (
    Codes,
    Floats,
    log_normalise,
    log_policies,
    log_reference,
    preference_leads,
    prompt_runs,
    regret_share,
)
from emdpo.core.rules import CONSENSUS, FORMS

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Yardstick:
    """What regrets under a policy need that no policy changes. Candidates lie by prompt."""

    scores: Floats
    """(K, A) DPO scores of the types, nats."""
    log_types: Floats
    """(K, A) log probabilities of the types' policies."""
    leads: Floats
    """(K, A) how much more often a type prefers its own policy's answer, in [-1, 1]."""
    prompt: Codes
    """(A,) prompt codes 0..P-1, rising."""
    starts: Codes
    """(P,) where each prompt begins."""
    value_own: Floats
    """(K, P) value of each type's own policy, nats."""
    value_reference: Floats
    """(K, P) value of the reference, nats."""
    beta: float
    """DPO inverse temperature, > 0."""


@dataclass(frozen=True, eq=False)
class GroupMoments:
    """What the users of each of G groups bring to their mean regret, whatever the policy."""

    n: NDArray[np.int64]
    """(G,) users."""
    mean: Floats
    """(G, K) mean responsibility."""
    covariance: Floats
    """(G, K, K) of the responsibilities between users, with n - 1."""


@dataclass(frozen=True, eq=False)
class BlendRegret:
    """The regrets of types and groups under one blend, with t-intervals; nan = does not exist."""

    types: Mapping[str, Floats]
    """By kind: (K,), raw."""
    type_interval: Mapping[str, Floats]
    """By kind: (K, 2), over prompts; nan with one prompt."""
    groups: Mapping[str, Floats]
    """By kind: (G,) mean over a group's users; types without users count nothing."""
    group_interval: Mapping[str, Floats]
    """By kind: (G, 2), over users."""
    worst: Mapping[str, float]
    """By kind: over types that have users."""
    mean: Mapping[str, float]
    """By kind: over types that have users, by their weights."""


def yardstick(scores: Floats, prompt: Codes, beta: float) -> Yardstick:
    """Return what `blend_regret` needs of K types.

    Parameters
    ----------
    scores : (K, A) float
        DPO scores of the types, nats.
    prompt : (A,) int
        The prompt of each candidate; any whole numbers.
    beta : float
        DPO inverse temperature, > 0.
    """
    prompt = np.unique(prompt, return_inverse=True)[1]
    order, starts, _ = prompt_runs(prompt)
    scores, prompt = np.asarray(scores, np.float64)[:, order], prompt[order]
    log_types = log_policies(scores, prompt, beta)
    own, reference = np.exp(log_types) * scores, np.exp(log_reference(prompt)) * scores
    return Yardstick(
        scores=scores,
        log_types=log_types,
        leads=preference_leads(scores, log_types, prompt),
        prompt=prompt,
        starts=starts,
        value_own=np.add.reduceat(own, starts, axis=-1),
        value_reference=np.add.reduceat(reference, starts, axis=-1),
        beta=beta,
    )


def group_moments(responsibilities: Floats, members: Sequence[NDArray[np.bool_]]) -> GroupMoments:
    """Return the moments of groups of users.

    Parameters
    ----------
    responsibilities : (N, K) float
    members : G of (N,) bool
        Each group's users, at least two.
    """
    parts = [responsibilities[here] for here in members]
    n_types = responsibilities.shape[1]
    return GroupMoments(
        n=np.array([len(part) for part in parts], np.int64),
        mean=np.array([part.mean(axis=0) for part in parts]).reshape(-1, n_types),
        covariance=np.array([np.cov(part, rowvar=False) for part in parts]).reshape(
            -1, n_types, n_types
        ),
    )


def blended(scale: Yardstick, form: str, weights: Floats) -> Floats:
    """Return the probabilities (A,) of a blend of the types' policies, candidates by prompt.

    Parameters
    ----------
    scale : Yardstick
    form : str
        `mixture`, sum_k a_k pi_k, or `consensus`, proportional to prod_k pi_k^a_k.
    weights : (K,) float
        a: >= 0, summing to one.

    Raises
    ------
    ValueError
        Another form, or weights that are no point of the simplex.
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    mixed = mixture(scale.log_types, weights)  # also refuses what are no weights
    if form == CONSENSUS:
        return np.exp(log_normalise(weights @ scale.log_types, scale.prompt))
    return mixed


def blend_regret(
    scale: Yardstick,
    form: str,
    weights: Floats,
    prevalence: Floats,
    occupied: NDArray[np.bool_],
    groups: GroupMoments,
    confidence: float = 0.95,
) -> BlendRegret:
    """Return every kind of regret of types and groups under a blend of the types' policies.

    Parameters
    ----------
    scale, form, weights
        As `blended`.
    prevalence : (K,) float
        Weights of the types.
    occupied : (K,) bool
        False for a type without users.
    groups : GroupMoments
    confidence : float
        Of the intervals, in (0, 1).

    Notes
    -----
    Intervals are mean +- t s / sqrt(n), with s the standard deviation over prompts (of a share, a
    ratio of means, by the delta method) or over a group's users, whose regret is linear in their
    responsibilities: Cochran 1977, *Sampling Techniques*, sections 2.8 and 6.4.
    """
    by_prompt = _by_prompt(scale, blended(scale, form, weights))
    types = {kind: values.mean(axis=-1) for kind, values in by_prompt.items()}
    gain = scale.value_own - scale.value_reference  # (K, P)
    size = np.abs(scale.scores).max(axis=-1)
    share = regret_share(types["plain"][:, None], gain.mean(axis=-1), size)  # (K, 1)
    cared = np.where(np.isfinite(share), gain.mean(axis=-1, keepdims=True), np.nan)
    types |= {"share": share[:, 0], "clipped": np.maximum(types["plain"], 0.0)}
    by_prompt["share"] = (by_prompt["plain"] - share * gain) / cared  # deviations, by delta method
    between = {
        kind: _interval(types[kind], values.var(axis=-1, ddof=1), values.shape[-1], confidence)
        if values.shape[-1] > 1
        else np.full((len(values), 2), np.nan)
        for kind, values in by_prompt.items()
    }
    held = {kind: np.where(occupied, values, 0.0) for kind, values in types.items()}
    spread = {
        kind: np.maximum(np.einsum("k,gkl,l->g", values, groups.covariance, values), 0.0)
        for kind, values in held.items()
    }
    means = {kind: groups.mean @ values for kind, values in held.items()}
    return BlendRegret(
        types=types,
        type_interval=between | {"clipped": np.maximum(between["plain"], 0.0)},
        groups=means,
        group_interval={
            kind: _interval(means[kind], spread[kind], groups.n, confidence) for kind in means
        },
        worst={kind: float(values[occupied].max()) for kind, values in types.items()},
        mean={
            kind: float(prevalence[occupied] @ values[occupied]) for kind, values in types.items()
        },
    )


def _by_prompt(scale: Yardstick, policy: Floats) -> dict[str, Floats]:
    """Return plain, KL and preference regret at each prompt, (K, P) each."""

    def summed(values: Floats) -> Floats:
        return np.add.reduceat(values, scale.starts, axis=-1)

    cross = summed(policy * scale.log_types)
    return {
        "plain": scale.value_own - summed(policy * scale.scores),
        "kl": scale.beta * np.maximum(summed(xlogy(policy, policy)) - cross, 0.0),
        "preference": summed(policy * scale.leads),
    }


def _interval(
    mean: Floats, variance: Floats, n: NDArray[np.int64] | int, confidence: float
) -> Floats:
    """Return the t-interval (..., 2) of means of n with this variance between them."""
    reach = -stdtrit(np.asarray(n) - 1, (1.0 - confidence) / 2) * np.sqrt(variance / n)
    return np.stack([mean - reach, mean + reach], axis=-1)
