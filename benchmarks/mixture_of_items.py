"""5,000 users x 10 items, 3 types: emdpo against a straightforward per-type SciPy EM."""

from __future__ import annotations

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import logsumexp

from benchmarks.measuring import measure

N_USERS, N_ITEMS, N_TYPES, RESTARTS = 5_000, 10, 3, 10
PEER_STARTS = 2
"""Starts of the peer that are run; its time for all is in proportion."""


def orders() -> np.ndarray:
    """Return each user's order, best first, (N, M), from three planted types."""
    rng = np.random.default_rng(1)
    utilities = rng.normal(size=(N_TYPES, N_ITEMS))[rng.integers(N_TYPES, size=N_USERS)]
    return np.argsort(-(utilities + rng.gumbel(size=utilities.shape)), axis=1)


def panel():
    """Return the same as Rankings."""
    import emdpo
    import emdpo.fitting  # importing is not what is measured

    best_first = orders()
    ranks = np.argsort(best_first, axis=1) + 1
    table = {
        "user_id": np.repeat(np.arange(N_USERS).astype(str), N_ITEMS),
        "prompt": "which?",
        "response": np.tile([f"item {j}" for j in range(N_ITEMS)], N_USERS),
        "rank": ranks.ravel(),
    }
    return emdpo.load(pd.DataFrame(table))


def emdpo_fit(rankings) -> float:
    """Return the best log-likelihood of ten starts."""
    import emdpo

    return emdpo.fit(rankings, N_TYPES, features="items", l2=0.0, restarts=RESTARTS).log_likelihood


def scipy_fit(best_first: np.ndarray) -> float:
    """Return the best log-likelihood of a plain EM, types fitted one by one by L-BFGS."""
    return max(_scipy_em(best_first, np.random.default_rng(seed)) for seed in range(PEER_STARTS))


def _scipy_em(best_first: np.ndarray, rng: np.random.Generator) -> float:
    theta = np.zeros((N_TYPES, N_ITEMS))
    resp = rng.dirichlet(np.full(N_TYPES, 0.3), size=len(best_first))
    previous = -np.inf
    while True:
        weights = resp.mean(axis=0)
        for k in range(N_TYPES):
            args = (best_first, resp[:, k])
            theta[k] = minimize(_negative, theta[k], args, jac=True, method="L-BFGS-B").x
        log_lik = np.stack([_order_terms(row, best_first)[0] for row in theta], axis=1)
        log_joint = log_lik + np.log(weights)
        log_marginal = logsumexp(log_joint, axis=1)
        resp = np.exp(log_joint - log_marginal[:, None])
        if log_marginal.sum() - previous < 1e-5:
            return float(log_marginal.sum())
        previous = log_marginal.sum()


def _order_terms(theta: np.ndarray, best_first: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    scores = theta[best_first]
    log_rest = np.logaddexp.accumulate(scores[:, ::-1], axis=1)[:, ::-1]
    return (scores - log_rest).sum(axis=1), log_rest


def _negative(theta: np.ndarray, best_first: np.ndarray, resp: np.ndarray):
    log_lik, log_rest = _order_terms(theta, best_first)
    hazard = np.cumsum(np.exp(-log_rest), axis=1)
    by_place = resp[:, None] * (1.0 - np.exp(theta[best_first]) * hazard)
    gradient = np.bincount(best_first.ravel(), by_place.ravel(), minlength=N_ITEMS)
    return -(resp @ log_lik), -gradient


def run() -> list[dict[str, object]]:
    """Return the rows of the table."""
    ours = measure(panel, emdpo_fit)
    peer = measure(orders, scipy_fit)
    peer_seconds = peer.seconds * RESTARTS / PEER_STARTS
    case = f"{N_USERS:,} users x {N_ITEMS} items, {N_TYPES} types, {RESTARTS} starts"
    return [
        {
            "case": case,
            "what": "emdpo.fit",
            "seconds": ours.seconds,
            "peak_mb": ours.peak_mb,
            "result": f"log-likelihood {ours.result:,.4f}",
            "ratio": 1.0,
        },
        {
            "case": case,
            "what": f"per-type SciPy EM ({PEER_STARTS} starts run)",
            "seconds": peer_seconds,
            "peak_mb": peer.peak_mb,
            "result": f"log-likelihood {peer.result:,.4f}",
            "ratio": peer_seconds / ours.seconds,
        },
    ]
