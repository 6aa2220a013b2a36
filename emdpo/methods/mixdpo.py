"""MixDPO: one utility for everybody, felt with a random strength."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import gammaincinv, logsumexp, ndtri, softmax

from emdpo.core.plackett_luce import log_likelihoods, log_likelihoods_vjp
from emdpo.methods.base import Floats, Prediction, Problem
from emdpo.methods.dpo import pooled_policies
from emdpo.methods.user_weights import OPTIONS, sums_by_candidate

if TYPE_CHECKING:
    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings

NODES = 32
"""Equally likely strengths that stand for the distribution."""

STEP = 1e-5
"""Of the difference quotient by the spread of strengths."""

SPREADS = (1e-3, 3.0)
"""Bounds of the standard deviation of log strength (log-normal), or of strength (gamma)."""

START = 0.5


@dataclass(frozen=True)
class MixDPO:
    """P(ranking) = E_b PL(b s), b > 0 of mean or median 1 with a spread that is fitted."""

    name: ClassVar[str] = "mixdpo"
    source: ClassVar[str] = "Imai et al. 2026, arXiv 2601.06180, LogNormal and Gamma"
    assumes: ClassVar[str] = "everybody orders answers alike; how sure they are varies by answer"
    changed: ClassVar[str] = "strengths at fixed quantiles, not drawn; one strength a ranking"

    family: Literal["lognormal", "gamma"] = "lognormal"
    l2: float = 1.0

    @classmethod
    def grid(cls) -> Sequence[MixDPO]:
        """Return both families with three priors."""
        return [cls(f, l2) for f, l2 in product(("lognormal", "gamma"), (0.3, 1.0, 10.0))]

    def fit(self, problem: Problem) -> RandomStrength:
        """Maximise the likelihood by theta and spread together, from the DPO fit."""
        panel, features = problem.panel, problem.features
        n_features = features.n_features

        def objective(vector: Floats) -> tuple[float, Floats]:
            theta, spread = vector[:n_features], float(vector[n_features])
            value, by_theta, by_spread = self._likelihood(panel, features, theta, spread)
            gradient = np.append(by_theta - self.l2 * theta, by_spread)
            value -= 0.5 * self.l2 * float(theta @ theta)
            return -value / panel.n_rankings, -gradient / panel.n_rankings

        start = np.append(pooled_policies(panel, features, self.l2).theta[0], START)
        bounds = [(None, None)] * n_features + [SPREADS]
        found = minimize(
            objective, start, jac=True, method="L-BFGS-B", bounds=bounds, options=OPTIONS
        )
        scores = features.scores(found.x[None, :n_features])[0]
        spread = float(found.x[n_features])
        return RandomStrength(scores, strengths(self.family, spread), spread, n_features + 1)

    def _likelihood(
        self, panel: Rankings, features: FeatureSet, theta: Floats, spread: float
    ) -> tuple[float, Floats, float]:
        """Return log-likelihood and its derivatives by theta (D,) and spread."""
        rows = features.scores(theta[None])[0][panel.candidate]  # (C,)
        nodes = strengths(self.family, spread)
        total, by_row = likelihood_vjp(panel, rows, nodes, panel.weight)
        by_scores = sums_by_candidate(panel, (nodes @ by_row)[None])
        change = strengths(self.family, spread + STEP) - strengths(self.family, spread - STEP)
        by_spread = float(change / (2 * STEP) @ (by_row @ rows))
        return total, features.score_gradient(by_scores)[0], by_spread


def strengths(family: str, spread: float) -> Floats:
    """Return equally likely strengths, (NODES,): midpoints of the distribution's quantiles.

    Log-normal of median 1 and standard deviation `spread` of the log; gamma of mean 1 and standard
    deviation `spread`. The scale itself is theta's.

    >>> bool(strengths("gamma", 0.5).mean().round(1) == 1.0)
    True
    """
    quantile = (np.arange(NODES) + 0.5) / NODES
    if family == "lognormal":
        return np.asarray(np.exp(spread * ndtri(quantile)), np.float64)
    shape = spread**-2
    return np.asarray(gammaincinv(shape, quantile) / shape, np.float64)


def mean_likelihood(log_lik: Floats) -> Floats:
    """Return the log of the mean over strengths, (R,), of likelihoods given as logs (Q, R)."""
    return np.asarray(logsumexp(log_lik, axis=0) - np.log(len(log_lik)), np.float64)


def likelihood_vjp(
    part: Rankings, rows: Floats, nodes: Floats, weights: Floats
) -> tuple[float, Floats]:
    """Return sum_r w_r log mean_q PL(b_q s) and its derivative by each b_q s, (Q, C).

    Scores `rows` (C,), strengths `nodes` (Q,), `weights` (R,).
    """
    log_lik, pull_back = log_likelihoods_vjp(part.stages, nodes[:, None] * rows)
    by_row = pull_back(softmax(log_lik, axis=0) * weights)
    return float(mean_likelihood(log_lik) @ weights), by_row


def likeliest_spread(family: str, panel: Rankings, rows: Floats) -> float:
    """Return the spread, within SPREADS, that makes rankings likeliest, given scores (C,)."""

    def loss(spread: float) -> float:
        felt = strengths(family, spread)[:, None] * rows
        return -float(mean_likelihood(log_likelihoods(panel.stages, felt)) @ panel.weight)

    found: Any = minimize_scalar(loss, bounds=SPREADS, method="bounded")
    return float(found.x)


@dataclass(frozen=True, eq=False)
class RandomStrength:
    """One score for everybody, with random strength."""

    scores: Floats
    """(A,)"""
    strengths: Floats
    """(Q,) equally likely."""
    spread: float
    """Fitted; 0 = everybody is as sure."""
    n_parameters: int

    def predict(self, known: Rankings, test: Rankings) -> Prediction:
        """Predict the same for every user."""
        rows = self.scores[test.candidate]
        log_lik = log_likelihoods(test.stages, self.strengths[:, None] * rows)
        return Prediction(mean_likelihood(log_lik), rows)

    def policy_scores(self) -> Floats:
        """Return the scores at median or mean strength."""
        return self.scores

    def labels(self, known: Rankings) -> None:
        """Return None: there are no types."""
        return None
