"""MaxMin-RLHF: each user has one of K rewards; then the policy that is best for the worst off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from emdpo.core.em import user_totals
from emdpo.core.loglinear import LogLinearPolicies, untrained
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.regret import log_normalise, log_reference, sum_by_prompt
from emdpo.core.starts import starting_responsibilities
from emdpo.methods.base import Floats, Problem, TypeScores

if TYPE_CHECKING:
    from numpy.typing import NDArray

RESTARTS = 5
ROUNDS = 50


@dataclass(frozen=True)
class MaxMinRLHF:
    """Hard EM over K rewards, then max over pi of min over k of E r_k - beta KL(pi || pi_ref)."""

    name: ClassVar[str] = "maxmin_rlhf"
    source: ClassVar[str] = "Chakraborty et al. 2024, arXiv 2402.08925"
    assumes: ClassVar[str] = "K kinds of people, whose rewards have one scale and one zero"
    changed: ClassVar[str] = "linear Plackett-Luce rewards, of mean 0 a prompt; exact policy"

    n_types: int = 2
    l2: float = 1.0

    @classmethod
    def grid(cls) -> Sequence[MaxMinRLHF]:
        """Return 2, 3, 4 types with two priors."""
        return [cls(k, l2) for k, l2 in product((2, 3, 4), (1.0, 10.0))]

    def fit(self, problem: Problem) -> TypeScores:
        """Return the best of several starts by the likelihood of the types assigned."""
        runs = [self._run(problem, restart) for restart in range(RESTARTS)]
        _, policies = max(runs, key=lambda run: run[0])
        scores = policies.candidate_scores()
        return TypeScores(
            scores=scores,
            log_weights=np.full(len(scores), -np.log(len(scores))),
            one_policy=max_min_scores(scores, problem.prompt, problem.beta),
            n_parameters=policies.theta.size,
            hard=True,
        )

    def _run(self, problem: Problem, restart: int) -> tuple[float, LogLinearPolicies]:
        """Assign users and fit rewards in turn until nobody moves."""
        panel, rng = problem.panel, np.random.default_rng([problem.seed, restart])
        n_types = min(self.n_types, panel.n_users)
        start = starting_responsibilities(panel, problem.features, n_types, restart, rng)
        label, policies = start.argmax(axis=1), untrained(problem.features, n_types, self.l2)
        for _ in range(ROUNDS):
            policies = policies.update(panel, np.eye(n_types)[label])
            log_lik = user_totals(panel, log_likelihoods(panel.stages, policies.scores(panel)))
            before, label = label, log_lik.argmax(axis=1)
            if np.array_equal(label, before):
                break
        return float(log_lik.max(axis=1).sum()) + policies.log_prior(), policies


def max_min_scores(scores: Floats, prompt: NDArray[np.integer], beta: float) -> Floats:
    """Return beta log(pi / pi_ref), (A,), of the max-min policy of rewards (K, A).

    max_pi min_w sum_k w_k E r_k - beta KL is min_w of the convex beta E_x log E_ref exp(w.r/beta),
    and pi is the best answer to these weights (minimax theorem). Preferences leave a constant a
    prompt open in each reward: it is chosen so that the untuned model is worth 0 to every type.
    """
    reference = np.exp(log_reference(prompt))
    rewards = scores - sum_by_prompt(reference * scores, prompt)[:, prompt]

    def dual(logits: Floats) -> tuple[float, Floats]:
        weights = softmax(logits)
        tilted = weights @ rewards / beta + np.log(reference)
        log_policy = log_normalise(tilted, prompt)
        by_weight = sum_by_prompt(np.exp(log_policy) * rewards, prompt).mean(axis=1)
        value = beta * sum_by_prompt((tilted - log_policy) * reference, prompt).mean()
        return value, weights * (by_weight - weights @ by_weight)

    best = minimize(dual, np.zeros(len(scores)), jac=True, method="L-BFGS-B")
    return softmax(best.x) @ rewards
