"""A plain mixture of Plackett-Luce models with free item utilities: what the library is held to.

Written from the definitions and sharing no code with `emdpo`: stages are looped over, every type
has an M-step of its own, EM runs until an iteration gains next to nothing, and a BFGS ascent on
the observed likelihood makes sure that it is a local optimum that is reached. Slow and simple.

A panel is an array (N, M) of ranks: 1 = best, equal = tied, 0 = shown but not ranked, NaN = not
shown. Run `python -m tests.core.reference_em` from the root of the repository for the figures
that `test_optimum` holds the library to (minutes).
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from scipy.optimize import minimize
from scipy.special import logsumexp
from sklearn.metrics import adjusted_rand_score

from emdpo.core.rankings import rankings_from_table

DATA = Path(__file__).resolve().parents[3] / "shared" / "data"
"""Real judgements, beside the repository and not part of it."""

LITTLE = 1e-7
"""Nats; an EM iteration that gains less has arrived."""


class Stage(NamedTuple):
    """The choice of one candidate, for the users who make it."""

    users: np.ndarray
    """(n,) positions."""
    tied: np.ndarray
    """(n, M) 1 for the d candidates that share the rank, each chosen at one of d stages."""
    left: np.ndarray
    """(n, M) 1 for the candidates of this rank and of all worse ones."""
    removed: np.ndarray
    """(n, 1) l/d: Efron's share of the tied that is gone when the l-th of them is chosen."""


def stages(ranks):
    """Loop over ranks and, within a rank, over the candidates tied there. The last rank is free."""
    level = np.where(ranks == 0, np.inf, ranks)
    last = np.nanmax(level, axis=1)
    found = []
    for rank in np.unique(level[np.isfinite(level)]):
        n_tied = (level == rank).sum(axis=1)
        for gone in range(n_tied.max()):
            users = np.flatnonzero((n_tied > gone) & (last > rank))
            at = level[users]
            removed = gone / n_tied[users, None]
            found.append(Stage(users, (at == rank) * 1.0, (at >= rank) * 1.0, removed))
    return found


def log_probabilities(theta, n_users, found):
    """Return log P of each user's ranking, (N,), for utilities theta (M,)."""
    weight = np.exp(theta - theta.max())
    total = np.zeros(n_users)
    for stage in found:
        remaining = (stage.left - stage.removed * stage.tied) @ weight
        chosen = stage.tied @ theta / stage.tied.sum(axis=1)  # a d-th of the tied at each stage
        total[stage.users] += chosen - theta.max() - np.log(remaining)
    return total


def weighted_gradient(theta, by_user, found):
    """Return the derivative (M,) of sum_i by_user_i log P_i."""
    weight = np.exp(theta - theta.max())
    total = np.zeros(len(theta))
    for stage in found:
        eligible = stage.left - stage.removed * stage.tied
        chance = eligible * weight / (eligible @ weight)[:, None]
        total += by_user[stage.users] @ (stage.tied / stage.tied.sum(axis=1, keepdims=True))
        total -= by_user[stage.users] @ chance
    return total


class Mixture(NamedTuple):
    """A fit: theta (K, M), weights (K,), observed log-likelihood less l2/2 |theta|^2."""

    theta: np.ndarray
    weights: np.ndarray
    objective: float


class Panel:
    """Distinct rankings with their counts: users who rank alike have one likelihood."""

    def __init__(self, ranks, l2=0.0):
        ranks = np.asarray(ranks, float)
        self.l2 = l2
        _, first, self.pattern_of_user, self.count = np.unique(
            np.nan_to_num(ranks, nan=-1.0),
            axis=0,
            return_index=True,
            return_inverse=True,
            return_counts=True,
        )
        self.n_items = ranks.shape[1]
        self.found = stages(ranks[first])

    def posterior(self, theta, weights):
        """Return each pattern's responsibilities (n, K) and the objective."""
        joint = np.stack([log_probabilities(t, len(self.count), self.found) for t in theta], axis=1)
        joint += np.log(weights)
        marginal = logsumexp(joint, axis=1, keepdims=True)
        log_prior = -0.5 * self.l2 * np.square(theta).sum()
        return np.exp(joint - marginal), float(self.count @ marginal[:, 0]) + log_prior

    def m_step(self, theta, responsibilities):
        """Fit each type by itself, from where it is."""
        weighted = responsibilities * self.count[:, None]
        fitted = [self._one_type(t, w) for t, w in zip(theta, weighted.T, strict=True)]
        return np.array(fitted), weighted.sum(axis=0) / self.count.sum()

    def _one_type(self, theta, by_pattern):
        scale = max(by_pattern.sum(), 1e-12)

        def loss(theta):
            log_prob = log_probabilities(theta, len(self.count), self.found)
            value = by_pattern @ log_prob - 0.5 * self.l2 * theta @ theta
            gradient = weighted_gradient(theta, by_pattern, self.found) - self.l2 * theta
            return -value / scale, -gradient / scale

        return minimize(loss, theta, jac=True, method="L-BFGS-B", options={"gtol": 1e-9}).x

    def em(self, theta, weights, iterations):
        """Plain EM, until an iteration gains less than LITTLE."""
        responsibilities, reached = self.posterior(theta, weights)
        for _ in range(iterations):
            theta, weights = self.m_step(theta, responsibilities)
            before = reached
            responsibilities, reached = self.posterior(theta, weights)
            if reached - before < LITTLE:
                break
        return Mixture(theta, weights, reached)

    def ascend(self, start):
        """Maximise the objective directly, all parameters at once."""
        shape, n_users = start.theta.shape, self.count.sum()
        split = start.theta.size

        def loss(vector):
            theta, logits = vector[:split].reshape(shape), vector[split:]
            weights = np.exp(logits - logsumexp(logits))
            responsibilities, reached = self.posterior(theta, np.maximum(weights, 1e-300))
            weighted = responsibilities * self.count[:, None]
            by_theta = [
                weighted_gradient(t, w, self.found) - self.l2 * t
                for t, w in zip(theta, weighted.T, strict=True)
            ]
            by_logit = weighted.sum(axis=0) - n_users * weights
            return -reached / n_users, -np.concatenate([*by_theta, by_logit]) / n_users

        point = np.concatenate([start.theta.ravel(), np.log(np.maximum(start.weights, 1e-300))])
        result = minimize(loss, point, jac=True, method="BFGS", options={"gtol": 1e-8})
        theta, logits = result.x[:split].reshape(shape), result.x[split:]
        weights = np.maximum(np.exp(logits - logsumexp(logits)), 1e-300)
        return Mixture(theta, weights, -result.fun * n_users)

    def to_the_end(self, theta, weights, *, iterations=50, rounds=20):
        """EM and direct ascent in turn, until neither gains: a local optimum."""
        fit = self.em(theta, weights, iterations)
        for _ in range(rounds):
            before = fit.objective
            ascended = self.ascend(fit)
            if ascended.objective > before:
                fit = ascended
            fit = self.em(fit.theta, fit.weights, iterations)
            if fit.objective - before < LITTLE:
                break
        return fit

    def best_of(self, n_types, n_restarts, seed):
        """Return the best of random restarts and the objectives of all, best first."""
        rng = np.random.default_rng(seed)
        fits = []
        for _ in range(n_restarts):
            theta = rng.normal(size=(n_types, self.n_items))
            fits.append(self.to_the_end(theta, np.full(n_types, 1 / n_types)))
        fits.sort(key=lambda fit: -fit.objective)
        return fits[0], np.array([fit.objective for fit in fits])

    def labels(self, fit):
        """Return each user's most probable type, (N,)."""
        return self.posterior(fit.theta, fit.weights)[0].argmax(axis=1)[self.pattern_of_user]


def planted_panel(n_users, n_items, n_types, seed, spread=1.5):
    """Draw full rankings of planted types of unequal size; return ranks (N, M) and types (N,).

    Adding Gumbel noise to the utilities and sorting draws from Plackett-Luce (Yellott 1977).
    """
    rng = np.random.default_rng(seed)
    theta = rng.normal(0, spread, (n_types, n_items))
    share = np.arange(n_types, 0, -1) / np.arange(n_types, 0, -1).sum()
    types = rng.choice(n_types, n_users, p=share)
    noisy = theta[types] + rng.gumbel(size=(n_users, n_items))
    return (-noisy).argsort(axis=1).argsort(axis=1) + 1.0, types


def rankings_of(ranks, users=None, weight=1.0):
    """Return the library's panel of rank arrays (R, M), one ranking of one prompt a row."""
    ranks = np.asarray(ranks, float)
    row, item = np.nonzero(~np.isnan(ranks))
    users = np.arange(len(ranks)) if users is None else np.asarray(users)
    table = pd.DataFrame(
        {
            "ranking_id": [f"r{r}" for r in row],
            "user_id": [f"u{users[r]}" for r in row],
            "prompt": "p",
            "response": [f"item {i}" for i in item],
            "rank": ranks[row, item].astype(int),
            "weight": np.broadcast_to(weight, len(ranks))[row].astype(float),
        }
    )
    return rankings_from_table(table)


def rank_array(table):
    """Return the ranks (N, M) of a canonical table with one ranking a user."""
    return table.pivot(index="user_id", columns="response_id", values="rank").to_numpy(float)


def _report(name, ranks, n_types, n_restarts, types=None, l2=0.0):
    start = time.perf_counter()
    panel = Panel(ranks, l2)
    best, all_reached = panel.best_of(n_types, n_restarts, seed=2026)
    seconds = time.perf_counter() - start
    hits = int((all_reached > all_reached[0] - 0.01).sum())
    print(f"{name}, K = {n_types}, l2 = {l2}: best {best.objective:.6f}", end=", ")  # noqa: T201
    print(f"reached by {hits} of {n_restarts}, {seconds:.0f} s", end="")  # noqa: T201
    if types is not None:
        print(f", ARI {adjusted_rand_score(types, panel.labels(best)):.4f}", end="")  # noqa: T201
    print(flush=True)  # noqa: T201


def main():
    """Print the constants of test_optimum."""
    for name in ("cems", "issp2000"):
        ranks = rank_array(pd.read_parquet(DATA / f"{name}.parquet"))
        for n_types in (2, 3):
            for l2 in (0.0, 1.0):
                _report(name, ranks, n_types, 40, l2=l2)
    ranks, types = planted_panel(5000, 10, 3, seed=7)
    _report("planted, 5,000 users", ranks, 3, 20, types)


if __name__ == "__main__":
    main()
