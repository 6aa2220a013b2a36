"""EM-DPO: preference types by expectation-maximisation, the E-step in sample or cross-fitted."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np

from emdpo.core.em import e_step, m_step_weights, user_totals
from emdpo.core.folds import folds_within_users
from emdpo.core.loglinear import LogLinearPolicies
from emdpo.core.mixture import fit_mixture, occupied_types
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.methods.base import Floats, Problem, TypeScores
from emdpo.methods.cluster_dpo import consensus_scores

if TYPE_CHECKING:
    from emdpo.core.em import EMState
    from emdpo.core.rankings import Rankings

RESTARTS = 5
ROUNDS = 50
SETTLED = 1e-3
"""Cross-fitted rounds end when no responsibility moves by more."""


@dataclass(frozen=True)
class EMDPO:
    """What emdpo fits: a mixture of K Plackett-Luce policies, a user's type in all rankings."""

    name: ClassVar[str] = "em_dpo"
    source: ClassVar[str] = "Chidambaram, Seetharaman, Syrgkanis 2026, arXiv 2510.15716"
    assumes: ClassVar[str] = "K kinds of people; each answers by one of K utilities"
    changed: ClassVar[str] = "exact log-linear EM from several starts; min-max KL regret aggregate"

    n_types: int = 2
    l2: float = 1.0

    @classmethod
    def grid(cls) -> Sequence[EMDPO]:
        """Return 2, 3, 4 types with two priors."""
        return [cls(k, l2) for k, l2 in product((2, 3, 4), (1.0, 10.0))]

    def fit(self, problem: Problem) -> TypeScores:
        """Return the best of several starts of EM."""
        state = mixture_state(problem, self.n_types, self.l2)
        return _fitted(problem, state.policies, state.log_weights)


@dataclass(frozen=True)
class CrossFittedEMDPO(EMDPO):
    """The same, but a ranking's type is told by policies that were not fitted to it."""

    name: ClassVar[str] = "em_dpo_cross_fitted"
    changed: ClassVar[str] = (
        "starts from em_dpo; each half of a user's rankings is scored by policies fitted to the "
        "other halves (DESIGN section 3)"
    )

    def fit(self, problem: Problem) -> TypeScores:
        """Go on from EM in sample with E-steps on what each half of the policies has not seen."""
        panel = problem.panel
        state = mixture_state(problem, self.n_types, self.l2)
        whole, log_weights, resp = state.policies, state.log_weights, np.exp(state.log_resp)
        fold = folds_within_users(panel, 2, np.random.default_rng([problem.seed, 1]))
        halves = [panel.select(fold == 0), panel.select(fold == 1)]
        policies = [whole, whole]
        for _ in range(ROUNDS):
            policies = [
                start.update(half, resp) for start, half in zip(policies, halves, strict=True)
            ]
            unseen = sum(
                user_totals(half, _log_lik(policies[1 - place], half))
                for place, half in enumerate(halves)
            )
            log_resp, _ = e_step(np.asarray(unseen), log_weights)
            log_weights, before, resp = m_step_weights(log_resp), resp, np.exp(log_resp)
            if np.abs(resp - before).max() < SETTLED:
                break
        return _fitted(problem, whole.update(panel, resp), log_weights)


def mixture_state(problem: Problem, n_types: int, l2: float) -> EMState[LogLinearPolicies]:
    """Return where the best of several starts of EM in sample ended."""
    n_types = min(n_types, problem.panel.n_users)
    fit = fit_mixture(
        problem.panel,
        problem.features,
        n_types,
        l2=l2,
        n_restarts=RESTARTS,
        seed=problem.seed,
    )
    return fit.best.state


def _log_lik(policies: LogLinearPolicies, part: Rankings) -> Floats:
    return log_likelihoods(part.stages, policies.scores(part))


def _fitted(problem: Problem, policies: LogLinearPolicies, log_weights: Floats) -> TypeScores:
    n_parameters = policies.theta.size + len(log_weights) - 1
    return mixture_of(problem, policies.candidate_scores(), log_weights, n_parameters)


def mixture_of(
    problem: Problem, scores: Floats, log_weights: Floats, n_parameters: int
) -> TypeScores:
    """Return the model of types with scores (K, A) and log weights (K,)."""
    held = occupied_types(np.exp(log_weights), problem.panel.n_users)
    return TypeScores(
        scores=scores,
        log_weights=log_weights,
        one_policy=consensus_scores(scores[held], problem.prompt, problem.beta),
        n_parameters=n_parameters,
    )
