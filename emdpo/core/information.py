"""The observed information at a fit: how sharply the rankings pin its parameters down."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.linalg import block_diag, eigvalsh
from scipy.sparse import csr_array
from threadpoolctl import threadpool_limits

from emdpo.core.em import ObservedObjective

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.em import EMState
    from emdpo.core.features import FeatureSet
    from emdpo.core.loglinear import LogLinearPolicies
    from emdpo.core.rankings import Rankings

MAX_WORK = 6e7
"""Directions x types x candidate rows up to which the information is computed (a few seconds)."""

ROWS_AT_ONCE = 100_000
STEP = 1e-4


@dataclass(frozen=True)
class Information:
    """Summary of the observed information, the negative Hessian of the log-likelihood."""

    smallest_eigenvalue: float | None
    """In nats per squared standardised unit of theta (or of a logit of the weights); near or
    below 0 = some direction of the parameters is not pinned down by these rankings."""
    n_parameters: int
    """Free parameters after removing directions that cannot matter (constants per prompt)."""
    note: str | None = None
    """Why it was not computed."""


def observed_information(state: EMState[LogLinearPolicies], rankings: Rankings) -> Information:
    """Return the smallest eigenvalue over the free directions, by central differences of gradients.

    The prior is left out: what counts is what the rankings say. Directions of theta along which no
    ranking's candidates differ are projected away first, as is the common constant of the logits.
    """
    policies = state.policies
    theta_basis = free_directions(rankings, policies.features)  # (D, d)
    n_types = policies.n_types
    n_parameters = n_types * theta_basis.shape[1] + n_types - 1
    if n_parameters == 0:
        return Information(None, 0, "nothing is free to vary")
    if n_parameters * n_types * rankings.n_rows > MAX_WORK:
        return Information(None, n_parameters, f"not computed for {n_parameters:,} parameters")
    contrast = np.linalg.qr(np.eye(n_types, n_types - 1) - 1.0 / n_types)[0]  # (K, K - 1)
    basis = np.asarray(block_diag(*[theta_basis] * n_types, contrast))  # (K D + K, n_parameters)
    point = np.concatenate([policies.parameters(), state.log_weights])
    objective = ObservedObjective(policies, rankings)

    def likelihood_gradient(vector: NDArray[np.float64]) -> NDArray[np.float64]:
        by_prior = objective.split(vector)[0].log_prior_gradient()
        gradient = -objective(vector)[1] * rankings.n_users
        gradient[: len(by_prior)] -= by_prior
        return gradient @ basis

    with threadpool_limits(1):
        forward = [likelihood_gradient(point + STEP * direction) for direction in basis.T]
        backward = [likelihood_gradient(point - STEP * direction) for direction in basis.T]
    hessian = (np.stack(forward) - np.stack(backward)) / (2 * STEP)
    smallest = eigvalsh(-(hessian + hessian.T) / 2)[0]
    return Information(float(smallest), n_parameters)


def free_directions(rankings: Rankings, features: FeatureSet) -> NDArray[np.float64]:
    """Return an orthonormal basis (D, d) of the theta that change some ranking's likelihood."""
    with threadpool_limits(1):  # products are short: a second thread costs more than it brings
        items = features.codes is not None
        gram = _item_gram(rankings, features) if items else _matrix_gram(rankings, features)
        values, vectors = np.linalg.eigh(gram)
    return vectors[:, values > 1e-9 * max(values[-1], 1e-300)]


def _item_gram(rankings: Rankings, features: FeatureSet) -> NDArray[np.float64]:
    """Return the (D, D) scatter of item indicators around their ranking's mean, sparsely."""
    assert features.codes is not None  # noqa: S101 - the caller has looked
    items = features.codes[rankings.candidate]
    shape = (rankings.n_rankings, features.n_features)
    counts = csr_array((np.ones(rankings.n_rows), (rankings.ranking_of_row, items)), shape=shape)
    shared = counts.T @ counts.multiply(1.0 / rankings.lengths[:, None])
    return np.diag(np.bincount(items, minlength=features.n_features)) - shared.toarray()


def _matrix_gram(rankings: Rankings, features: FeatureSet) -> NDArray[np.float64]:
    """Return the (D, D) scatter of the feature rows around their ranking's mean."""
    assert features.matrix is not None  # noqa: S101 - the caller has looked
    gram = np.zeros((features.n_features, features.n_features))
    starts = np.unique(np.searchsorted(rankings.offsets, range(0, rankings.n_rows, ROWS_AT_ONCE)))
    for first, last in zip(starts, [*starts[1:], rankings.n_rankings], strict=True):
        offsets = rankings.offsets[first : last + 1]
        phi = features.matrix[rankings.candidate[offsets[0] : offsets[-1]]]  # (rows, D)
        sums = np.add.reduceat(phi, offsets[:-1] - offsets[0], axis=0)
        gram += phi.T @ phi - sums.T @ (sums / rankings.lengths[first:last, None])
    return gram
