"""How strongly each type wants each feature, and how sure that is."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import LinAlgError, block_diag, cho_factor, cho_solve
from scipy.sparse import csr_array
from scipy.special import ndtri
from threadpoolctl import threadpool_limits

from emdpo.core.em import ranking_weights
from emdpo.core.information import free_directions
from emdpo.core.item_texts import in_full
from emdpo.core.plackett_luce import log_likelihoods_vjp

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.features import FeatureSet
    from emdpo.core.loglinear import LogLinearPolicies
    from emdpo.core.rankings import Rankings

MAX_PARAMETERS = 3_000
"""Parameters up to which the information matrix is inverted (a few seconds)."""

MAX_USER_SCORES = 5e7
"""Users x parameters up to which the users' scores are kept in memory (400 MB)."""

MAX_WORK = 1e7
"""Directions x types x candidate rows that are differenced (about a second); of more rankings an
even sample stands for all."""

MIN_ROWS_PER_DIRECTION = 10
"""With fewer sampled rows for each direction, the information would be noise."""

STEP = 1e-4


@dataclass(frozen=True, eq=False)
class StyleProfile:
    """How strongly each type wants each feature, with uncertainty."""

    labels: tuple[str, ...]
    """(D,) features, as shown to people."""
    strength: NDArray[np.float64]
    """(K, D) nats a type's score rises with one within-ranking standard deviation more of the
    feature and what usually comes with it; for items, utility above the mean."""
    low: NDArray[np.float64]
    """(K, D) lower end of the interval; nan where `note` says why."""
    high: NDArray[np.float64]
    """(K, D) upper end of the interval."""
    n: NDArray[np.float64]
    """(K,) expected users of each type."""
    confidence: float = 0.95
    """Of each interval by itself, in (0, 1)."""
    note: str | None = None
    """Why there are no intervals."""


def style_profile(
    rankings: Rankings,
    policies: LogLinearPolicies,
    responsibilities: NDArray[np.float64],
    weights: NDArray[np.float64],
    confidence: float = 0.95,
    *,
    types_given: bool = False,
) -> StyleProfile:
    """Return each type's mean preference for each feature, with intervals.

    Parameters
    ----------
    rankings : Rankings
        The N users' rankings fitted.
    policies : LogLinearPolicies
    responsibilities : (N, K)
    weights : (K,)
    confidence : float
        Of the intervals, in (0, 1).
    types_given : bool
        Responsibilities are those of other policies, of which `policies` are a reading: they are
        held as they are, and intervals do not count that they are not known for sure.

    Notes
    -----
    Strengths are those of `describe_preferences`, L theta_k with L the features' correlation.
    Intervals are L theta_k +- z sqrt(diag(L V_kk L')), where V = H^-1 G H^-1 is the sandwich
    covariance clustered by user: H is the observed information of all parameters (types and
    weights together, so that not knowing who is of which type counts) plus the prior's precision,
    and G the scatter of the users' scores. This is the variance of the one-step bootstrap over
    users theta + H^-1 sum_i (m_i - 1) s_i, without drawing (White 1982; Louis 1982 for H).
    """
    features = policies.features
    strength = features_strength(features, policies.theta)
    # Products are small: a second BLAS thread costs more than it brings.
    with threadpool_limits(1, user_api="blas"):
        spread, note = _standard_errors(
            rankings, policies, responsibilities, None if types_given else weights
        )
    half = ndtri(0.5 + confidence / 2) * spread
    return StyleProfile(
        labels=in_full(features, rankings).labels,
        strength=strength,
        low=strength - half,
        high=strength + half,
        n=responsibilities.sum(axis=0),
        confidence=confidence,
        note=note,
    )


def features_strength(features: FeatureSet, rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return L applied to the last axis of (..., D): correlation, or distance from the mean."""
    if features.kind == "items":
        return rows - rows.mean(axis=-1, keepdims=True)
    return rows if features.correlation is None else rows @ features.correlation


def _standard_errors(
    rankings: Rankings,
    policies: LogLinearPolicies,
    responsibilities: NDArray[np.float64],
    weights: NDArray[np.float64] | None,
) -> tuple[NDArray[np.float64], str | None]:
    """Return standard errors (K, D) of the strengths, or nan and why; no weights: types given."""
    n_types, n_features = policies.theta.shape
    nothing = np.full((n_types, n_features), np.nan)
    n_parameters = n_types * n_features
    rows = min(rankings.n_rows, MAX_WORK / n_parameters)
    enough = rows == rankings.n_rows or rows >= MIN_ROWS_PER_DIRECTION * n_features
    if max(n_parameters / MAX_PARAMETERS, rankings.n_users * n_parameters / MAX_USER_SCORES) > 1:
        enough = False
    if not enough:
        return nothing, f"no intervals for {n_parameters:,} parameters of so many rankings"
    basis = free_directions(rankings, policies.features)  # (D, d)
    parts = (rankings, policies, responsibilities)
    if weights is None:
        information, scores = given_types_information_matrix(*parts, basis)
    else:
        information, scores = observed_information_matrix(*parts, weights, basis)
    n_theta = n_types * basis.shape[1]
    information[:n_theta, :n_theta] += policies.l2 * np.eye(n_theta)
    scores = scores - scores.mean(axis=0)
    try:
        root = cho_solve(cho_factor(information), scores.T)[:n_theta]  # (n_theta, N): H^-1 s_i
    except LinAlgError:
        return nothing, "no intervals: these rankings do not pin all parameters down"
    n = rankings.n_users
    change = root.reshape(n_types, basis.shape[1], n).swapaxes(1, 2) @ basis.T  # (K, N, D)
    change = features_strength(policies.features, change)
    return np.sqrt(np.square(change).sum(axis=1) * n / max(n - 1, 1)), None


def observed_information_matrix(
    rankings: Rankings,
    policies: LogLinearPolicies,
    responsibilities: NDArray[np.float64],
    weights: NDArray[np.float64],
    basis: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the observed information (n, n) and each user's score (N, n), without the prior.

    The n = K d + K - 1 parameters are theta_1..theta_K along `basis` (D, d), then K - 1 contrasts
    of the logits of the weights. Louis (1982): the information if types were known, less the
    variance, given the rankings, of the score if types were known.
    """
    n_users, n_types = responsibilities.shape
    dim = basis.shape[1]
    gradients = _user_gradients(rankings, policies) @ basis  # (K, N, d) score if of type k
    weighted = responsibilities.T[:, :, None] * gradients  # (K, N, d)
    contrast = np.linalg.qr(np.eye(n_types, n_types - 1) - 1.0 / n_types)[0]  # (K, K - 1)
    by_theta = weighted.swapaxes(0, 1).reshape(n_users, n_types * dim)
    scores = np.hstack([by_theta, (responsibilities - weights) @ contrast])  # (N, n)

    # sum_i s_i s_i' holds every product of two types; own products are set right block by block.
    information = scores.T @ scores
    known = _known_types_information(rankings, policies, responsibilities, basis)  # (K, d, d)
    logits = slice(n_types * dim, None)
    for k in range(n_types):
        block = slice(k * dim, (k + 1) * dim)
        information[block, block] += known[k] - weighted[k].T @ gradients[k]
        of_type = weighted[k].sum(axis=0)[:, None] * (np.eye(n_types)[k] - weights) @ contrast
        information[block, logits] -= of_type
        information[logits, block] -= of_type.T
    return information, scores


def given_types_information_matrix(
    rankings: Rankings,
    policies: LogLinearPolicies,
    responsibilities: NDArray[np.float64],
    basis: NDArray[np.float64],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the information (n, n) of theta and each user's score (N, n), r held as it is.

    The n = K d parameters are theta_1..theta_K along `basis` (D, d).
    """
    gradients = _user_gradients(rankings, policies) @ basis  # (K, N, d)
    weighted = responsibilities.T[:, :, None] * gradients
    scores = weighted.swapaxes(0, 1).reshape(len(responsibilities), -1)
    known = _known_types_information(rankings, policies, responsibilities, basis)
    return np.asarray(block_diag(*known)), scores


def _user_gradients(rankings: Rankings, policies: LogLinearPolicies) -> NDArray[np.float64]:
    """Return d log P_k(all rankings of i) / d theta_k, (K, N, D)."""
    _, pull_back = log_likelihoods_vjp(rankings.stages, policies.scores(rankings))
    by_row = pull_back(np.tile(rankings.weight, (policies.n_types, 1)))  # (K, C)
    user = rankings.user[rankings.ranking_of_row]
    features = policies.features
    columns = rankings.candidate if features.codes is None else features.codes[rankings.candidate]
    width = rankings.n_candidates if features.codes is None else features.n_features
    shape = (rankings.n_users, width)
    totals = (csr_array((row, (user, columns)), shape=shape) for row in by_row)
    if features.matrix is None:
        return np.stack([total.toarray() for total in totals])
    return np.stack([total @ features.matrix for total in totals])


def _known_types_information(
    rankings: Rankings,
    policies: LogLinearPolicies,
    responsibilities: NDArray[np.float64],
    basis: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Return -d2/dtheta_k2 of sum_i r_ik log P_k along `basis`, (K, d, d), r held fixed.

    Types do not interact then, so one central difference moves all of them at once.
    """
    part, factor = _even_sample(rankings, MAX_WORK / (basis.shape[1] * policies.n_types))
    share = ranking_weights(part, responsibilities) * factor  # (K, R)
    features, candidate = policies.features, part.candidate
    by_row = replace(
        features,
        matrix=None if features.matrix is None else features.matrix[candidate],
        codes=None if features.codes is None else features.codes[candidate],
    )

    def gradient(shift: NDArray[np.float64]) -> NDArray[np.float64]:
        _, pull_back = log_likelihoods_vjp(part.stages, by_row.scores(policies.theta + shift))
        return by_row.score_gradient(pull_back(share)) @ basis

    columns = [gradient(-STEP * axis) - gradient(STEP * axis) for axis in basis.T]  # d of (K, d)
    hessian = np.stack(columns, axis=-1) / (2 * STEP)
    return (hessian + hessian.swapaxes(1, 2)) / 2


def _even_sample(rankings: Rankings, n_rows: float) -> tuple[Rankings, float]:
    """Return evenly spaced rankings with about `n_rows` rows, and how many each stands for."""
    if rankings.n_rows <= n_rows:
        return rankings, 1.0
    n = max(int(rankings.n_rankings * n_rows / rankings.n_rows), 1)
    keep = np.zeros(rankings.n_rankings, bool)
    keep[np.linspace(0, rankings.n_rankings - 1, n).astype(np.int64)] = True
    return rankings.select(keep), rankings.n_rankings / keep.sum()
