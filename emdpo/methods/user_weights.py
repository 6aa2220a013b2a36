"""Methods in which each user is a point of a simplex: what all share, and weights of new users.

Letters: N users, K corners of the simplex, C candidate rows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, Self

import numpy as np
from scipy.optimize import minimize
from scipy.special import softmax

from emdpo.core.plackett_luce import log_likelihoods, log_likelihoods_vjp
from emdpo.methods.base import Floats, Prediction

if TYPE_CHECKING:
    from emdpo.core.rankings import Rankings

OPTIONS = {"maxiter": 300, "maxcor": 20, "ftol": 1e-8}

PULL = 1.0
"""Precision of the normal prior on users' logits about those of the mean user."""


class Shared(Protocol):
    """What a method shares between users: it turns their weights into scores."""

    @property
    def n_corners(self) -> int:
        """K."""
        ...

    def vector(self) -> Floats:
        """Return the parameters, flattened."""
        ...

    def with_vector(self, vector: Floats) -> Self:
        """Return the same at other parameters."""
        ...

    def rows(self, panel: Rankings, weights: Floats) -> Floats:
        """Return the score of every candidate row, (C,), for weights (N, K)."""
        ...

    def pull_back(self, panel: Rankings, weights: Floats, by_row: Floats) -> tuple[Floats, Floats]:
        """Return d/dvector and d/dweights (N, K), given d/dscores (C,)."""
        ...

    def candidate_scores(self, weights: Floats) -> Floats:
        """Return the scores (A,) of all candidates for one user's weights (K,)."""
        ...


@dataclass(frozen=True, eq=False)
class UserWeights:
    """A fitted method whose new users are fitted by their weights alone."""

    shared: Shared
    mean: Floats
    """(K,) weights of the mean user: of whom nothing is known."""

    @property
    def n_parameters(self) -> int:
        """Of what users share."""
        return len(self.shared.vector())

    def weights(self, known: Rankings) -> Floats:
        """Return the weights (N, K) that known rankings speak for, near the mean user's."""
        centre = np.log(self.mean)

        def objective(vector: Floats) -> tuple[float, Floats]:
            logits = vector.reshape(known.n_users, -1)
            value, _, by_logits = _objective(self.shared, known, logits, centre)
            return -value, -by_logits.ravel()

        start = np.tile(centre, known.n_users)
        found = minimize(objective, start, jac=True, method="L-BFGS-B", options=OPTIONS)
        return softmax(found.x.reshape(known.n_users, -1), axis=1)

    def predict(self, known: Rankings, test: Rankings) -> Prediction:
        """Fit weights to `known`, then predict `test`."""
        rows = self.shared.rows(test, self.weights(known))
        return Prediction(log_likelihoods(test.stages, rows[None])[0], rows)

    def policy_scores(self) -> Floats:
        """Return the scores of the mean user."""
        return self.shared.candidate_scores(self.mean)

    def labels(self, known: Rankings) -> np.ndarray:
        """Return the corner that each user is nearest to, (N,)."""
        return self.weights(known).argmax(axis=1)


def fit_user_weights(panel: Rankings, start: Shared, l2: float) -> tuple[float, UserWeights]:
    """Return the penalised likelihood and the fit of what users share and their weights together.

    Every user's logits have a normal prior about 0, and what is shared one of precision `l2`.
    """
    n_shared, centre = len(start.vector()), np.zeros(start.n_corners)

    def objective(vector: Floats) -> tuple[float, Floats]:
        shared = start.with_vector(vector[:n_shared])
        logits = vector[n_shared:].reshape(panel.n_users, -1)
        value, by_shared, by_logits = _objective(shared, panel, logits, centre)
        value -= 0.5 * l2 * float(vector[:n_shared] @ vector[:n_shared])
        gradient = np.concatenate([by_shared - l2 * vector[:n_shared], by_logits.ravel()])
        return -value / panel.n_rankings, -gradient / panel.n_rankings

    begin = np.concatenate([start.vector(), np.zeros(panel.n_users * start.n_corners)])
    found = minimize(objective, begin, jac=True, method="L-BFGS-B", options=OPTIONS)
    weights = softmax(found.x[n_shared:].reshape(panel.n_users, -1), axis=1)
    fitted = UserWeights(start.with_vector(found.x[:n_shared]), weights.mean(axis=0))
    return -float(found.fun) * panel.n_rankings, fitted


def _objective(
    shared: Shared, panel: Rankings, logits: Floats, centre: Floats
) -> tuple[float, Floats, Floats]:
    """Return log-likelihood plus prior of the logits, d/dvector and d/dlogits (N, K)."""
    weights = softmax(logits, axis=1)
    log_lik, pull_back = log_likelihoods_vjp(panel.stages, shared.rows(panel, weights)[None])
    by_row = pull_back(panel.weight[None])[0]
    by_shared, by_weights = shared.pull_back(panel, weights, by_row)
    by_logits = weights * (by_weights - (weights * by_weights).sum(axis=1, keepdims=True))
    away = logits - centre
    value = float(log_lik[0] @ panel.weight) - 0.5 * PULL * float((away**2).sum())
    return value, by_shared, by_logits - PULL * away


def sums_by_user(panel: Rankings, values: Floats) -> Floats:
    """Return sums over the rows of each user, (N, J), of values (J, C)."""
    user = panel.user[panel.ranking_of_row]
    sums = [np.bincount(user, row, minlength=panel.n_users) for row in values]
    return np.stack(sums, axis=1).astype(np.float64)


def sums_by_candidate(panel: Rankings, values: Floats) -> Floats:
    """Return sums over the rows of each candidate, (J, A), of values (J, C)."""
    n = panel.n_candidates
    sums = [np.bincount(panel.candidate, row, minlength=n) for row in values]
    return np.stack(sums).astype(np.float64)
