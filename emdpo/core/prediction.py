"""How policies predict rankings that nobody fitted, ranking by ranking.

Letters: J policies, R test rankings of C candidate rows, N users, K types.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import logsumexp

from emdpo.core.em import e_step, user_totals
from emdpo.core.mixture import occupied_types
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.ranking_measures import (
    best_share,
    has_order,
    kendall_tau_b,
    top_choice_credit,
    top_choice_probability,
)
from emdpo.core.regret import (
    Codes,
    Floats,
    log_normalise,
    log_policies,
    log_reference,
)
from emdpo.core.rules import RulePolicy, rule_policies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

OWN, POOLED, REFERENCE, CONSENSUS = "own", "pooled", "reference", "consensus"
"""Policies: what the types that a user's other rankings speak for predict; one model for everybody,
which all are compared with; the untuned model; an aggregation rule."""

LOG_LOSS, ACCURACY, TAU = "log_loss", "accuracy", "tau"
MEASURES = (LOG_LOSS, ACCURACY, TAU)
"""Nats per ranking; share of rankings whose best is named; Kendall's tau-b, -1 to 1."""

ROUNDING_DIGITS = 9
"""Scores (nats) that differ after so many decimals are no different orders."""


@dataclass(frozen=True, eq=False)
class Model:
    """What was fitted to the training rankings, and to nothing else."""

    scores: Floats
    """(K, A) DPO scores of the types, nats."""
    pooled: Floats
    """(A,) DPO scores of one model fitted to everybody, nats."""
    log_weights: Floats
    """(K,) log mixture weights."""
    n_users: int
    """Users fitted."""
    beta: float
    """DPO inverse temperature."""


@dataclass(frozen=True, eq=False)
class Predictions:
    """What every policy predicted of test rankings, and what came."""

    policies: tuple[str, ...]
    """(J,) names: reference, pooled, own and the other aggregation rules."""
    user: NDArray[np.int64]
    """(R,) who ranked."""
    weight: Floats
    """(R,) of the ranking."""
    measures: Mapping[str, Floats]
    """By name of MEASURES: (J, R); log-losses are infinite where a policy rules a candidate out."""
    row_user: NDArray[np.int64]
    """(C,) who was shown the candidate."""
    row_weight: Floats
    """(C,)"""
    top_probability: Floats
    """(J, C) probability of being the user's best among the candidates shown; nan where a policy
    has none."""
    best: Floats
    """(C,) 1 for the user's best, shared among tied ones, 0 for others."""
    posterior_user: NDArray[np.int64]
    """(U,) users with test rankings."""
    before: Floats
    """(U, K) their posterior from the rankings known."""
    after: Floats
    """(U, K) their posterior from these and the test rankings."""
    n_without_order: int
    """Test rankings left out: all candidates tied, or one alone."""
    unknown: NDArray[np.bool_]
    """(U,) users of whom no ranking was known: `before` is the types' weights."""


def predict(model: Model, known: Rankings, test: Rankings) -> Predictions:
    """Return how every policy predicts test rankings.

    Parameters
    ----------
    model : Model
        Fitted without `test`.
    known, test : Rankings
        With the same tables of users, prompts and candidates. Users' types are told from `known`.

    Notes
    -----
    The log-loss of a policy is that of Plackett-Luce with its DPO scores s = beta log(pi / pi_ref).
    `own` is the mixture of the types' Plackett-Luce models by the user's posterior; its score of a
    candidate is the log of the probability, in that mixture, of being the best shown.
    """
    with_order = has_order(test)
    n_without_order = int((~with_order).sum())
    test = test.select(with_order & (test.weight > 0))
    types = model.scores[:, test.candidate]  # (K, C)
    log_lik = log_likelihoods(test.stages, types)  # (K, R)
    seen = user_totals(known, log_likelihoods(known.stages, model.scores[:, known.candidate]))
    before, after = (  # (N, K)
        np.exp(e_step(log_lik_of_users, model.log_weights)[0])
        for log_lik_of_users in (seen, seen + user_totals(test, log_lik))
    )
    rules = {name: each[test.candidate] for name, each in rule_scores(model, test).items()}
    scores = {
        REFERENCE: np.zeros(test.n_rows),
        POOLED: rules.pop(POOLED),
        OWN: own_scores(types, before, test),
        **rules,
    }
    policies, rows = tuple(scores), np.stack(list(scores.values()))  # (J, C)
    loss = _log_losses(rows, test)
    loss[policies.index(OWN)] = -mixed_log_likelihoods(log_lik, before, test)
    rounded = np.asarray(np.round(rows, ROUNDING_DIGITS), np.float64)
    row_user, tested = test.user[test.ranking_of_row], np.unique(test.user)
    return Predictions(
        policies=policies,
        user=test.user.astype(np.int64),
        weight=test.weight,
        measures={
            LOG_LOSS: loss,
            ACCURACY: top_choice_credit(rounded, test),
            TAU: kendall_tau_b(rounded, test),
        },
        row_user=row_user.astype(np.int64),
        row_weight=test.weight[test.ranking_of_row],
        top_probability=top_choice_probability(rows, test),
        best=best_share(test),
        posterior_user=tested.astype(np.int64),
        before=before[tested],
        after=after[tested],
        n_without_order=n_without_order,
        unknown=~np.isin(tested, known.user),
    )


def joined(parts: Sequence[Predictions]) -> Predictions:
    """Return predictions made fold by fold as one; the types of folds need not be the same."""
    first = parts[0]

    def along(name: str, axis: int = 0) -> NDArray:
        return np.concatenate([getattr(part, name) for part in parts], axis=axis)

    return Predictions(
        policies=first.policies,
        user=along("user"),
        weight=along("weight"),
        measures={
            name: np.concatenate([part.measures[name] for part in parts], axis=1)
            for name in first.measures
        },
        row_user=along("row_user"),
        row_weight=along("row_weight"),
        top_probability=along("top_probability", 1),
        best=along("best"),
        posterior_user=along("posterior_user"),
        before=along("before"),
        after=along("after"),
        n_without_order=sum(part.n_without_order for part in parts),
        unknown=along("unknown"),
    )


def rule_scores(model: Model, panel: Rankings) -> dict[str, Floats]:
    """Return beta log(pi / pi_ref) of every aggregation rule, (A,) each, -inf where pi = 0.

    Without the policies of single types, which are no others' in another fit. Rules are made from
    the types that have users, as in the audit.
    """
    prompt = np.unique(panel.candidate_prompt, return_inverse=True)[1]
    shares = np.exp(model.log_weights)
    held = occupied_types(shares, model.n_users)
    scores, shares = model.scores[held], shares[held] / shares[held].sum()
    log_types, log_ref = log_policies(scores, prompt, model.beta), log_reference(prompt)
    rules, _ = rule_policies(scores, model.pooled, shares, prompt, model.beta)
    found = {}
    for name, rule in rules.items():
        if not name.startswith("type-"):
            log_policy = _log_policy(name, rule, log_types, prompt)
            found[name] = model.beta * (log_policy - log_ref)
    found[POOLED] = model.pooled
    return found


def _log_policy(name: str, rule: RulePolicy, log_types: Floats, prompt: Codes) -> Floats:
    """Return log pi (A,), from the types where there are weights: exact where pi is tiny."""
    if rule.weights is None:
        with np.errstate(divide="ignore"):
            return np.log(rule.policy)
    if name == CONSENSUS:
        return log_normalise(rule.weights @ log_types, prompt)
    return np.asarray(logsumexp(log_types, axis=0, b=rule.weights[:, None]))


def own_scores(types: Floats, posterior: Floats, panel: Rankings) -> Floats:
    """Return the log probability of being the best shown, (C,), mixed by posterior (N, K)."""
    user = panel.user[panel.ranking_of_row]
    log_top = log_normalise(types, panel.ranking_of_row)  # (K, C)
    return np.asarray(logsumexp(log_top, axis=0, b=posterior[user].T))


def mixed_log_likelihoods(log_lik: Floats, posterior: Floats, panel: Rankings) -> Floats:
    """Return log sum_k r_ik P_k of every ranking, (R,), for log P_k (K, R) and r (N, K)."""
    return np.asarray(logsumexp(log_lik, axis=0, b=posterior[panel.user].T))


def _log_losses(scores: Floats, panel: Rankings) -> Floats:
    """Return the Plackett-Luce log-loss (J, R) of scores (J, C); inf where some are not finite."""
    loss = np.full((len(scores), panel.n_rankings), np.inf)
    finite = np.isfinite(scores).all(axis=1)
    loss[finite] = -log_likelihoods(panel.stages, scores[finite])
    return loss
