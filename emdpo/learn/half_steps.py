"""EM one half-step at a time, on forty made-up people who rank three answers.

An E step and an M step are those of `emdpo.core`; only the pause between them is added. Plain EM
all the way: the fits of emdpo take the same steps and finish with a quasi-Newton ascent.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy.special import softmax, xlogy

from emdpo.core.em import (
    EMConfig,
    e_step,
    m_step_weights,
    remaining_gain,
    user_log_likelihoods,
)
from emdpo.core.features import FeatureSet, build_features
from emdpo.core.loglinear import LogLinearPolicies, untrained
from emdpo.core.mixture import fit_mixture
from emdpo.core.rankings import Rankings, rankings_from_table
from emdpo.core.starts import CONCENTRATION, starting_responsibilities

if TYPE_CHECKING:
    from numpy.typing import NDArray

N_PEOPLE = 40
N_TYPES = 3

ANSWERS = ("brief", "funny", "thorough")
"""The three answers to every question, by what is special about them."""

TASTES = 1.3 * np.array([[1.5, -0.5, -1.0], [-1.0, 1.5, -0.5], [-0.5, -1.0, 1.5]])
"""(K, 3) utility of each answer to each planted type, nats."""

L2 = 0.1
"""Precision of the prior on utilities, so that no answer's chance becomes 0."""

STARTS = ("random", "clusters", "torn", "alike")
"""Random responsibilities; emdpo's own first start; two types in one; everybody the same."""

START, M_STEP, E_STEP = "start", "M", "E"

CONFIG = EMConfig(max_iter=300, tolerance=1e-6, warm_up=300)
"""EM steps only, and until very little is left to gain."""

MAX_HALVES = 2 * (CONFIG.max_iter + 1)
"""Half-steps of a run at most: `run_em` begins with a step that it does not count."""

N_COMPARED = 5
"""Starts of emdpo that a run is compared with."""


@dataclass(frozen=True, eq=False)
class Crowd:
    """Forty people, what they ranked, and the type that each was made from."""

    rankings: Rankings
    features: FeatureSet
    planted: NDArray[np.int64]
    """(N,) row of `TASTES`; EM does not see it."""
    places: NDArray[np.int64]
    """(N, Q, 3) rank of each answer for each question, 1 = best."""


@dataclass(frozen=True, eq=False)
class Half:
    """Where EM stands between two half-steps."""

    kind: str
    """start, M or E: the half-step that led here."""
    number: int
    """Half-steps since the start."""
    policies: LogLinearPolicies
    """Untrained at the start: every answer has a third."""
    log_weights: NDArray[np.float64]
    """(K,) log shares of the types, fitted by the last M step; even at the start."""
    log_resp: NDArray[np.float64]
    """(N, K) log responsibilities: after an M step still those that it was made from."""
    objective: float
    """Log-likelihood of the policies and shares plus log prior, nats: what EM never lowers."""
    bound: float
    """What the M step raises, nats: at most `objective`, and equal to it after an E step."""

    @property
    def next_kind(self) -> str:
        """The half-step that comes next; the other one would change nothing."""
        return E_STEP if self.kind == M_STEP else M_STEP

    @property
    def resp(self) -> NDArray[np.float64]:
        """(N, K) responsibilities."""
        return np.exp(self.log_resp)


def draw_crowd(n_questions: int, rng: np.random.Generator) -> Crowd:
    """Return forty people of three types, each of whom ranks the answers to `n_questions` >= 1."""
    planted = np.arange(N_PEOPLE) * N_TYPES // N_PEOPLE
    noise = rng.gumbel(size=(N_PEOPLE, n_questions, len(ANSWERS)))
    liked = TASTES[planted][:, None] + noise  # best first: Plackett-Luce (Yellott 1977)
    places = (-liked).argsort(axis=2).argsort(axis=2) + 1  # (N, Q, 3)
    person, question, answer = (index.ravel() for index in np.indices(places.shape))
    table = pd.DataFrame(
        {
            "user_id": [f"person {i + 1:02d}" for i in person],
            "prompt": [f"question {q + 1}" for q in question],
            "response": [ANSWERS[a] for a in answer],
            "rank": places.ravel(),
        }
    )
    rankings = rankings_from_table(table)
    return Crowd(rankings, build_features(rankings, "items"), planted, places)


def begin(crowd: Crowd, start: str, rng: np.random.Generator) -> Half:
    """Return where EM starts: responsibilities that somebody chose, and untrained policies.

    Raises
    ------
    ValueError
        `start` is none of `STARTS`.
    """
    if start not in STARTS:
        raise ValueError(f"start must be one of {', '.join(STARTS)}, got {start!r}")
    policies = untrained(crowd.features, N_TYPES, L2)
    resp = np.maximum(_chosen(crowd, start, rng), 1e-12)
    even = np.full(N_TYPES, -np.log(N_TYPES))
    log_resp = np.log(resp / resp.sum(axis=1, keepdims=True))
    return _half(crowd, START, 0, policies, even, log_resp)


def _chosen(crowd: Crowd, start: str, rng: np.random.Generator) -> NDArray[np.float64]:
    if start == "random":
        return rng.dirichlet(np.full(N_TYPES, CONCENTRATION), size=N_PEOPLE)
    if start == "clusters":
        return starting_responsibilities(crowd.rankings, crowd.features, N_TYPES, 0, rng)
    if start == "alike":
        return np.full((N_PEOPLE, N_TYPES), 1.0 / N_TYPES)
    last = crowd.planted == N_TYPES - 1
    into = np.where(last, 1 + np.cumsum(last) % 2, 0)  # types 1 and 2 in one, type 3 in turns
    return 0.05 + 0.85 * np.eye(N_TYPES)[into]


def step(crowd: Crowd, here: Half) -> Half:
    """Return the next half-step: an M step after the start or an E step, else an E step."""
    number = here.number + 1
    if here.next_kind == M_STEP:
        policies = here.policies.update(crowd.rankings, here.resp)
        log_weights = m_step_weights(here.log_resp)
        return _half(crowd, M_STEP, number, policies, log_weights, here.log_resp)
    return _half(crowd, E_STEP, number, here.policies, here.log_weights)


def _half(
    crowd: Crowd,
    kind: str,
    number: int,
    policies: LogLinearPolicies,
    log_weights: NDArray[np.float64],
    old_log_resp: NDArray[np.float64] | None = None,
) -> Half:
    """Return a half-step with its objective and bound (Neal and Hinton 1998, equation 7).

    Without older responsibilities it has those of its policies and shares: an E step.
    """
    log_lik = user_log_likelihoods(policies, crowd.rankings)  # (N, K)
    log_resp, log_marginal = e_step(log_lik, log_weights)
    objective = float(log_marginal.sum()) + policies.log_prior()
    log_resp = log_resp if old_log_resp is None else old_log_resp
    resp = np.exp(log_resp)
    bound = float((resp * (log_lik + log_weights) - xlogy(resp, resp)).sum())
    bound += policies.log_prior()
    return Half(kind, number, policies, log_weights, log_resp, objective, bound)


def walk(crowd: Crowd, begun: Half, n: int) -> tuple[Half, ...]:
    """Return the start and the `n` >= 0 half-steps after it."""
    halves = [begun]
    for _ in range(n):
        halves.append(step(crowd, halves[-1]))
    return tuple(halves)


def walk_to_end(crowd: Crowd, begun: Half) -> tuple[Half, ...]:
    """Return the half-steps until EM stands still, or has taken as many as `CONFIG` allows.

    The E steps are the states that `emdpo.core.em.run_em` passes through with `CONFIG`.
    """
    halves = [begun]
    while not stands_still(halves) and halves[-1].number < MAX_HALVES:
        halves.append(step(crowd, halves[-1]))
    return tuple(halves)


def stands_still(halves: Sequence[Half]) -> bool:
    """Return whether next to nothing is left to gain, by the rule that ends `run_em`."""
    reached = [half.objective for half in halves if half.kind == E_STEP]
    return halves[-1].kind == E_STEP and remaining_gain(reached) < CONFIG.tolerance


def best_known(crowd: Crowd) -> float:
    """Return the best objective, nats, of five starts of emdpo, each finished by its ascent."""
    fit = fit_mixture(crowd.rankings, crowd.features, N_TYPES, l2=L2, n_restarts=N_COMPARED, seed=0)
    return fit.best.state.objective


def policy(crowd: Crowd, policies: LogLinearPolicies) -> NDArray[np.float64]:
    """Return how often each type answers in each style, (K, 3), in the order of `ANSWERS`.

    At beta = 1 this is also how often people of a type put each answer first.
    """
    order = [crowd.features.names.index(answer) for answer in ANSWERS]
    return softmax(policies.theta[:, order], axis=1)


def planted_policy() -> NDArray[np.float64]:
    """Return the same of the planted types, (K, 3).

    >>> planted_policy().argmax(axis=1).tolist()
    [0, 1, 2]
    """
    return softmax(TASTES, axis=1)


def mean_liking(crowd: Crowd) -> NDArray[np.float64]:
    """Return each person's mean of 2/3 for a first and 1/3 for a second place, (N, 3)."""
    return (3 - crowd.places).mean(axis=1) / 3
