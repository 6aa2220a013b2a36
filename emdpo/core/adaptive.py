"""What an answer would tell about a person's type, before it is given.

A question shows some candidates and asks for their order. What it tells is the mutual information
between type and order, the expected fall of the entropy of the person's posterior (Lindley 1956):
I = sum_k p_k sum_o P_k(o) [log P_k(o) - log sum_j p_j P_j(o)] in nats, over all orders o. Adding a
candidate never lowers it, since the shorter order is a function of the longer one.
"""

from __future__ import annotations

from itertools import combinations, permutations
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from scipy.special import entr, logsumexp

from emdpo.core.plackett_luce import log_likelihoods, stage_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]
    Places = NDArray[np.intp]

EXACT_UP_TO = 5
"""Candidates up to which all orders are enumerated: 5! = 120."""

MOST_SEARCHED = 64
"""Candidates among which an informative few are sought: those that types value most unlike."""

_SETS_AT_ONCE = 256


class DrawnFall(NamedTuple):
    """An expected fall of entropy estimated from drawn orders."""

    fall: float
    """Nats."""
    standard_error: float
    """Of the draw, nats."""


def entropy(log_posterior: Floats) -> float:
    """Return the entropy of a posterior (K,), nats."""
    return float(entr(np.exp(log_posterior)).sum())


def all_ranks(n_candidates: int) -> NDArray[np.int32]:
    """Return the ranks (m!, m) that every order gives to m candidates; 1 = best.

    >>> all_ranks(2).tolist()
    [[1, 2], [2, 1]]
    """
    return np.array(list(permutations(range(1, n_candidates + 1))), np.int32)


def log_order_probabilities(scores: Floats) -> Floats:
    """Return log P_k of every order of Q lists, (K, Q, m!), in the order of `all_ranks`.

    Parameters
    ----------
    scores : (K, Q, m)
        DPO scores of the m candidates of each list, m <= EXACT_UP_TO.
    """
    n_types, n_lists, length = scores.shape
    if length > EXACT_UP_TO:
        raise ValueError(f"at most {EXACT_UP_TO} candidates are enumerated, got {length}")
    ranks = all_ranks(length)
    layout = stage_layout(np.arange(len(ranks) + 1) * length, ranks.ravel())
    rows = np.tile(scores.reshape(-1, length), (1, len(ranks)))  # (K * Q, m! * m)
    return log_likelihoods(layout, rows).reshape(n_types, n_lists, len(ranks))


def expected_entropy_fall(log_orders: Floats, log_posterior: Floats) -> Floats:
    """Return by how much an order is expected to lower the entropy, (...), nats.

    Parameters
    ----------
    log_orders : (K, ..., O)
        log P_k of every possible order.
    log_posterior : (K,)
        What is known of the person's type; -inf = ruled out.
    """
    log_mixed = _log_mixed(log_orders, log_posterior)  # (..., O)
    told = (np.exp(log_orders) * (log_orders - log_mixed)).sum(axis=-1)  # (K, ...)
    return np.maximum(np.tensordot(np.exp(log_posterior), told, 1), 0.0)  # below 0 is rounding


def _log_mixed(log_orders: Floats, log_posterior: Floats) -> Floats:
    weights = log_posterior.reshape(-1, *[1] * (log_orders.ndim - 1))
    return np.logaddexp.reduce(log_orders + weights, axis=0)


def falls_of_sets(scores: Floats, sets: Places, log_posterior: Floats) -> Floats:
    """Return the expected fall of entropy (Q,) of sets of candidates (Q, m), for scores (K, A)."""
    parts = (sets[i : i + _SETS_AT_ONCE] for i in range(0, len(sets), _SETS_AT_ONCE))
    falls = [
        expected_entropy_fall(log_order_probabilities(scores[:, part]), log_posterior)
        for part in parts
    ]
    return np.concatenate(falls) if falls else np.zeros(0)


def drawn_entropy_fall(
    scores: Floats, log_posterior: Floats, rng: np.random.Generator, n_draws: int = 2_000
) -> DrawnFall:
    """Return the expected fall of entropy of one long list, from orders drawn of each type.

    Parameters
    ----------
    scores : (K, m)
        DPO scores of the candidates of the list, of any number.
    n_draws
        Orders drawn of each type: scores plus Gumbel noise, sorted (Yellott 1977).
    """
    n_types, length = scores.shape
    noisy = scores[:, None] + rng.gumbel(size=(n_types, n_draws, length))
    ranks = (-noisy).argsort(axis=-1).argsort(axis=-1).astype(np.int32) + 1
    layout = stage_layout(np.arange(n_types * n_draws + 1) * length, ranks.ravel())
    log_lik = log_likelihoods(layout, np.tile(scores, (1, n_types * n_draws)))  # (K, K * draws)
    above = log_lik - np.logaddexp.reduce(log_lik + log_posterior[:, None], axis=0)
    told = above.reshape(n_types, n_types, n_draws)[np.arange(n_types), np.arange(n_types)]
    posterior = np.exp(log_posterior)
    error = np.sqrt((posterior**2 * told.var(axis=1, ddof=1)).sum() / n_draws)
    return DrawnFall(float(posterior @ told.mean(axis=1)), float(error))


def most_informative(scores: Floats, log_posterior: Floats, size: int) -> Places:
    """Return the places of the `size` candidates whose order tells most, sorted.

    The best pair, then again and again the candidate that adds most. Each step is exact; the whole
    is not guaranteed to be the best set of that size.

    Parameters
    ----------
    scores : (K, n)
        Of the n candidates to choose from.
    """
    n = scores.shape[1]
    if n <= size:
        return np.arange(n)
    searched = most_varied(scores, log_posterior, MOST_SEARCHED)
    sets = np.array(list(combinations(searched, 2)), np.intp)
    chosen = sets[falls_of_sets(scores, sets, log_posterior).argmax()]
    while len(chosen) < size:
        others = np.setdiff1d(searched, chosen)
        sets = np.column_stack([np.tile(chosen, (len(others), 1)), others])
        chosen = sets[falls_of_sets(scores, sets, log_posterior).argmax()]
    return np.sort(chosen)


def most_varied(scores: Floats, log_posterior: Floats, n_kept: int) -> Places:
    """Return the places of the candidates (n,) that types value most unlike, sorted.

    By the variance over types of scores (K, n) about each type's own mean, for a constant added to
    a type's scores changes nothing.
    """
    if scores.shape[1] <= n_kept:
        return np.arange(scores.shape[1])
    posterior = np.exp(log_posterior - logsumexp(log_posterior))
    about = scores - scores.mean(axis=1, keepdims=True)
    variance = posterior @ (about - posterior @ about) ** 2
    return np.sort(np.argsort(-variance, kind="stable")[:n_kept])
