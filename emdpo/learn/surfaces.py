"""How much likelihood other truths would lose: over strength and shares, and around the truth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import eigvalsh
from scipy.optimize import minimize
from scipy.special import softmax

from emdpo.learn.designs import Population, levels, log_panels, log_panels_by_type

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.learn.designs import Design

MAX_THETA = 4.0
"""Right end of the surface."""

GRID = 41
"""Points along each side of the surface."""

CONFIDENT = 3.0
"""Nats lost up to which a point is not ruled out: half the 95% point of chi-square with 2 degrees
of freedom (2.996), by the likelihood ratio test of both coordinates."""


SHARE_OPTIONS = {"maxiter": 500, "ftol": 1e-14, "gtol": 1e-9, "maxcor": 30}
"""Of L-BFGS for the best shares at all strengths together."""

SHARE_STEPS = 200
"""EM steps for the shares after it."""


@dataclass(frozen=True, eq=False)
class Surface:
    """Log-likelihood over the strength theta and the leaning of K types at theta levels(K)."""

    theta: NDArray[np.float64]
    """(G,) strengths, >= 0: tastes run from -theta to theta."""
    leaning: NDArray[np.float64]
    """(H,) 0 = all hate, 1 = all love; with two types the share of those who love."""
    loss: NDArray[np.float64]
    """(H, G) nats below the reference point, for all people together."""
    n_people: int


def tilted(share: float, n_types: int) -> NDArray[np.float64]:
    """Return shares (K,) of types at `levels`, proportional to share^((1+c)/2) (1-share)^((1-c)/2).

    >>> tilted(0.25, 2).tolist()
    [0.75, 0.25]
    """
    up = (1.0 + levels(n_types)) / 2
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.power(share, up) * np.power(1.0 - share, 1.0 - up)
    return shares / shares.sum()


def leaning(weights: NDArray[np.float64]) -> float:
    """Return where types with shares (K,) lean: 0 = all hate, 1 = all love; of two, who loves."""
    return float((1.0 + weights @ levels(len(weights))) / 2)


def expected_surface(design: Design, truth: Population, n_people: int, size: int = GRID) -> Surface:
    """Return the expected log-likelihood of `n_people` answers of a truth, below the truth's own.

    This is n times KL(truth || point), exactly; 0 = nobody can tell the point from the truth.
    """
    log_true = log_panels(design, truth)
    chances = np.exp(log_true)
    at_truth = float(chances @ log_true)
    factor = n_people * design.n_panels
    theta, lean, values = _values(design, truth.n_types, chances, size)
    return Surface(theta, lean, np.maximum(factor * (at_truth - values), 0.0), n_people)


def sample_surface(
    design: Design, counts: NDArray[np.int64], n_types: int, n_people: int, size: int = GRID
) -> Surface:
    """Return the log-likelihood of a sample, given as `counts` (U,) of its bundles of answers.

    Below the highest point of the grid.
    """
    theta, lean, values = _values(design, n_types, counts.astype(np.float64), size)
    return Surface(theta, lean, values.max() - values, n_people)


def open_strengths(
    design: Design, counts: NDArray[np.int64], n_types: int, size: int = GRID
) -> tuple[float, float]:
    """Return the least and the greatest strength that a sample does not rule out, up to MAX_THETA.

    A strength is ruled out when it loses `CONFIDENT` nats or more against the best strength, each
    with the shares of all K types that suit it best: a profile likelihood.
    """
    theta = np.linspace(0.0, MAX_THETA, size)
    seen = counts > 0
    tastes = (theta[:, None] * levels(n_types)).ravel()
    log_lik = log_panels_by_type(design, tastes)[:, seen].reshape(size, n_types, -1)
    best = _best_shares(log_lik, counts[seen] / counts.sum())
    left_open = theta[(best.max() - best) * counts.sum() < CONFIDENT]
    return float(left_open[0]), float(left_open[-1])


def _best_shares(log_lik: NDArray[np.float64], often: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return max over shares w of sum_u often_u log sum_k w_k P_gku, (G,), for log P (G, K, U).

    Concave in w. All G are climbed together in the logits of w, where a share that came near 0
    too soon hardly moves: EM for shares alone then goes on from no share below 5%.
    """
    top = log_lik.max(axis=1, keepdims=True)  # (G, 1, U)
    chances = np.exp(log_lik - top)
    shape = log_lik.shape[:2]

    def values(logits: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        shares = softmax(logits.reshape(shape), axis=1)  # (G, K)
        mixed = np.einsum("gk,gku->gu", shares, chances)
        slope = shares * (np.einsum("gku,gu->gk", chances, often / mixed) - often.sum())
        return (np.log(mixed) + top[:, 0]) @ often, slope

    def objective(logits: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        value, slope = values(logits)
        return -float(value.sum()), -slope.ravel()

    start = np.zeros(shape[0] * shape[1])
    found = minimize(objective, start, jac=True, method="L-BFGS-B", options=SHARE_OPTIONS)
    shares = np.maximum(softmax(found.x.reshape(shape), axis=1), 0.05)
    shares /= shares.sum(axis=1, keepdims=True)
    for _ in range(SHARE_STEPS):
        mixed = np.einsum("gk,gku->gu", shares, chances)
        shares *= np.einsum("gku,gu->gk", chances, often / mixed) / often.sum()
    return np.maximum(values(found.x)[0], values(np.log(shares + 1e-300).ravel())[0])


def _values(
    design: Design, n_types: int, per_panel: NDArray[np.float64], size: int
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Return theta (G,), leaning (H,) and sum_u per_panel_u log P_u (H, G) on the grid."""
    theta = np.linspace(0.0, MAX_THETA, size)
    weights = np.array([tilted(share, n_types) for share in np.linspace(0.0, 1.0, size)])  # (H, K)
    tastes = theta[:, None] * levels(n_types)  # (G, K)
    log_lik = log_panels_by_type(design, tastes.ravel())  # (G K, U)
    log_lik = log_lik.reshape(size, n_types, -1)
    top = log_lik.max(axis=1)  # (G, U)
    mixed = np.einsum("hk,gku->hgu", weights, np.exp(log_lik - top[:, None]), optimize=True)
    values = np.log(mixed) @ per_panel + top @ per_panel  # (H, G)
    return theta, np.array([leaning(row) for row in weights]), values


def information(design: Design, truth: Population) -> NDArray[np.float64]:
    """Return the expected (Fisher) information of one person's answers, (2K - 1, 2K - 1).

    Of K free tastes and K - 1 contrasts of the logits of the shares: the negative Hessian of the
    expected log-likelihood at the truth, as the mean square of a person's score. A zero eigenvalue
    is a direction in which types can change without any change of the answers, to second order.
    """
    tastes, shares = np.array(truth.tastes), np.array(truth.weights)
    by_type = log_panels_by_type(design, tastes)  # (K, U)
    posterior = softmax(by_type + np.log(shares)[:, None], axis=0)  # (K, U)
    asked = np.array(design.questions)  # (Q, m)
    chances = softmax(tastes[:, None, None] * asked, axis=2)  # (K, Q, m)
    surprise = asked - (chances * asked).sum(axis=2, keepdims=True)  # (K, Q, m)
    by_taste = posterior * (surprise.reshape(len(tastes), -1) @ design.panels.T)  # (K, U)
    contrast = np.linalg.qr(np.eye(len(shares), len(shares) - 1) - 1.0 / len(shares))[0]
    score = np.vstack([by_taste, contrast.T @ (posterior - shares[:, None])])  # (2K - 1, U)
    return design.n_panels * (score * np.exp(log_panels(design, truth))) @ score.T


def smallest_curvature(design: Design, truth: Population) -> float:
    """Return the smallest eigenvalue of `information`, in nats a person; rounding counts as 0."""
    values = eigvalsh(information(design, truth))
    return float(values[0]) if values[0] > 1e-12 * max(values[-1], 1e-300) else 0.0
