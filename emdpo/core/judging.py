"""Every rule judged: what each type loses when a rule's policy answers in place of its own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from emdpo.core.errors import EmdpoError
from emdpo.core.group_regret import Regrets
from emdpo.core.mixture import occupied_types
from emdpo.core.regret import (
    Codes,
    Floats,
    PromptRegret,
    RegretTable,
    average_prompts,
    log_policies,
    prompt_regret,
)
from emdpo.core.rules import MIXTURE, RulePolicy, rule_policies

Flags = NDArray[np.bool_]

KINDS = ("plain", "clipped", "kl", "share", "preference")
"""Plain regret, raw and clipped at 0; KL regret; plain regret as a share of the type's own gain;
how much more often its own answer is preferred."""


@dataclass(frozen=True, eq=False)
class Judged:
    """Every rule's policy, and what K types lose under it at P prompts."""

    rules: Mapping[str, RulePolicy]
    """J rules by name, in the order of every other field."""
    duality_gap: Mapping[str, float]
    """Of the optimised rules, nats."""
    by_prompt: PromptRegret
    """(K, J, P) regrets."""
    by_kind: Mapping[str, Floats]
    """(K, J) regrets averaged over prompts, by kind."""
    regrets: Regrets
    """The same with 0 for types without users, whose share may not exist: for groups of users."""


def judge(
    scores: Floats,
    pooled_scores: Floats,
    prompt: Codes,
    prevalence: Floats,
    beta: float,
    n_users: int,
    *,
    given: tuple[Sequence[float] | None, str] = (None, MIXTURE),
    others: Mapping[str, Floats] | None = None,
) -> Judged:
    """Return every aggregation rule and the regrets of the types under it.

    Parameters
    ----------
    scores : (K, A) float
        DPO scores of the types on every distinct candidate, nats.
    pooled_scores : (A,) float
        DPO scores of one model fitted to everybody.
    prompt : (A,) int
        The prompt of each candidate; codes without a candidate are no prompts.
    prevalence : (K,) float
        Type weights. Types without users are left out of every rule.
    beta : float
        DPO inverse temperature, > 0.
    n_users : int
        Whose shares `prevalence` are.
    given
        Weights (K,) of the user's own, and the form of their blend.
    others : mapping of str to (A,) float, optional
        Probabilities of further policies, by name.

    Raises
    ------
    EmdpoError
        The weights given are no point of the simplex.
    """
    prompt = np.unique(prompt, return_inverse=True)[1]
    occupied = occupied_types(prevalence, n_users)
    weights, form = given
    own = {"given": _given_weights(weights, occupied), "given_form": form}
    rules, gaps = _rules(scores, pooled_scores, prevalence, prompt, beta, occupied, own)
    rules |= {name: RulePolicy(policy, None) for name, policy in (others or {}).items()}
    policies = np.stack([rule.policy for rule in rules.values()])  # (J, A)
    by_prompt = prompt_regret(scores, policies, prompt, beta)
    by_kind = kinds_of(average_prompts(by_prompt))
    counted = {kind: np.where(occupied[:, None], lost, 0.0) for kind, lost in by_kind.items()}
    return Judged(rules, gaps, by_prompt, by_kind, Regrets(tuple(rules), counted))


def kinds_of(table: RegretTable) -> dict[str, Floats]:
    """Return a table's regrets by kind, as KINDS orders them."""
    return {kind: getattr(table, kind) for kind in KINDS}


def _rules(
    scores: Floats,
    pooled_scores: Floats,
    prevalence: Floats,
    prompt: Codes,
    beta: float,
    occupied: Flags,
    given: Mapping[str, Any],
) -> tuple[dict[str, RulePolicy], Mapping[str, float]]:
    """Return `rule_policies` of the occupied types, with an empty type's own policy in its place.

    A rule must not bend everybody's policy to protect a type that nobody belongs to.
    """
    shares = prevalence[occupied] / prevalence[occupied].sum()
    rules, gaps = rule_policies(scores[occupied], pooled_scores, shares, prompt, beta, **given)
    if occupied.all():
        return rules, gaps
    own = np.exp(log_policies(scores, prompt, beta))
    named = {f"type-{k + 1}": RulePolicy(own[k], np.eye(len(own))[k]) for k in range(len(own))}
    for name, rule in rules.items():
        if not name.startswith("type-"):
            named[name] = rule._replace(weights=_spread_out(rule.weights, occupied))
    return named, gaps


def _given_weights(given: Sequence[float] | None, occupied: Flags) -> Floats | None:
    """Return the user's weights on the occupied types; EmdpoError where they are no mixture."""
    if given is None:
        return None
    weights = np.array(given)
    if len(weights) != len(occupied):
        raise EmdpoError(f"weights must be {len(occupied)} numbers, one a type, got {len(weights)}")
    if not (np.isfinite(weights).all() and (weights >= 0).all() and abs(weights.sum() - 1) < 1e-6):
        raise EmdpoError(f"weights must be at least 0 and sum to 1, got {given}")
    if weights[~occupied].any():
        raise EmdpoError("weights must be 0 for types without users")
    return weights[occupied] / weights.sum()


def _spread_out(weights: Floats | None, occupied: Flags) -> Floats | None:
    """Return weights on all K types, 0 on the empty ones."""
    if weights is None:
        return None
    everywhere = np.zeros(len(occupied))
    everywhere[occupied] = weights
    return everywhere
