"""How many types: held-out log-likelihood, BIC and the agreement of restarts for each K."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from emdpo.core.em import EMConfig, user_log_likelihoods
from emdpo.core.folds import folds_of_users, folds_within_users
from emdpo.core.information import free_directions
from emdpo.core.json_values import plain
from emdpo.core.mixture import MixtureFit, fit_mixture, occupied_types
from emdpo.core.workers import results, usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings

WITHIN_USERS_SHARE = 0.5
"""Rankings are held out within users where at least this share of users has two or more."""


ALONE_WORK = 200_000
"""Types x candidate rows x starts up to which workers take longer to start than they save."""

EQUAL = 1e-3
"""Held-out nats per ranking below which two K predict equally well."""


@dataclass(frozen=True)
class SelectionConfig:
    """How the candidates for K are fitted and scored."""

    l2: float
    """Precision of the prior on theta, >= 0."""
    restarts: int = 10
    """Starts of the fit to all rankings."""
    fold_restarts: int = 2
    """Starts of each fit that leaves a fold out."""
    n_folds: int = 4
    """Parts that rankings (or users) are cut into, >= 2."""
    max_iter: int = 500
    """Iterations of each start."""
    seed: int = 0
    """Of the folds and of every start."""


@dataclass(frozen=True, eq=False)
class Selection:
    """One row per K, and the K to use."""

    table: pd.DataFrame
    """n_types, held_out (nats per ranking), held_out_se (of the difference to the best K), bic,
    log_likelihood, n_parameters, restart_agreement, n_reached_best, weights, recommended."""
    n_types: int
    """The recommendation."""
    reason: str
    """Why, in one or two sentences."""
    held_out: str
    """`within users` or `across users`."""

    def to_dict(self) -> dict[str, object]:
        """Return the selection as JSON values."""
        return plain(
            {
                "recommended": self.n_types,
                "reason": self.reason,
                "held_out": self.held_out,
                "table": self.table.to_dict("records"),
            }
        )


def select_types(
    rankings: Rankings,
    features: FeatureSet,
    candidates: Iterable[int],
    config: SelectionConfig,
    progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """Return how well each number of types predicts rankings that it was not fitted to.

    The recommendation is the smallest K whose held-out log-likelihood is within one standard error
    of the best (Breiman et al. 1984, the one-standard-error rule), where the error is that of the
    paired difference over users, and at least 0.001 nats per ranking. A K that leaves a type empty
    is not recommended. K = 1 is always in the table: types must earn their place.
    """
    numbers = sorted({1, *candidates})
    numbers = [k for k in numbers if k <= rankings.n_users]
    folds = held_out_folds(rankings, config)
    held_out = "within users" if _within_users(rankings) else "across users"
    work = partial(_piece, _bare(rankings), features, folds, config)
    pieces = [_Piece(k, fold) for k in reversed(numbers) for fold in (None, *range(config.n_folds))]
    outcomes: dict[_Piece, Any] = {}
    for position, outcome in results(work, pieces, _n_workers(rankings, numbers, config)):
        outcomes[pieces[position]] = outcome
        if progress is not None:
            progress(len(outcomes), len(pieces))
    directions = free_directions(rankings, features).shape[1]
    rows = [_row(rankings, directions, k, outcomes[_Piece(k, None)]) for k in numbers]
    predictive = [sum(outcomes[_Piece(k, fold)] for fold in range(config.n_folds)) for k in numbers]
    return _recommend(pd.DataFrame(rows), np.stack(predictive), rankings.n_rankings, held_out)


class _Piece(NamedTuple):
    """One fit of a selection, the longest of them first."""

    n_types: int
    fold: int | None
    """Left out and predicted; None for the fit to all rankings."""


def _n_workers(rankings: Rankings, numbers: Sequence[int], config: SelectionConfig) -> int:
    starts = config.restarts + config.n_folds * config.fold_restarts
    alone = sum(numbers) * starts * rankings.n_rows < ALONE_WORK
    return 1 if alone else usable_cores()


def _bare(rankings: Rankings) -> Rankings:
    """Return the rankings without texts and attributes, which no fit reads: quick to hand over."""
    return replace(
        rankings,
        ranking_ids=np.arange(rankings.n_rankings),
        users=pd.DataFrame(index=range(rankings.n_users)),
        prompts=pd.DataFrame(index=range(rankings.n_prompts)),
        candidates=rankings.candidates[["prompt"]],
        notes=(),
    )


def _piece(
    rankings: Rankings,
    features: FeatureSet,
    folds: NDArray[np.int64],
    config: SelectionConfig,
    piece: _Piece,
) -> NDArray[np.float64] | _Whole:
    """Return the fit to all rankings, or each user's log density of those of a fold, (N,)."""
    if piece.fold is None:
        return _whole(_fit(rankings, features, piece.n_types, config.restarts, config))
    test = folds == piece.fold
    if not test.any():
        return np.zeros(rankings.n_users)
    return _predictive(rankings, features, piece.n_types, test, config)


def _within_users(rankings: Rankings) -> bool:
    answers = np.bincount(rankings.user, minlength=rankings.n_users)
    return bool((answers >= 2).mean() >= WITHIN_USERS_SHARE)


def held_out_folds(rankings: Rankings, config: SelectionConfig) -> NDArray[np.int64]:
    """Return the fold of each ranking, (R,): balanced within users, or whole users at a time."""
    rng = np.random.default_rng(config.seed)
    cut = folds_within_users if _within_users(rankings) else folds_of_users
    return cut(rankings, config.n_folds, rng)


def _fit(
    rankings: Rankings, features: FeatureSet, n_types: int, restarts: int, config: SelectionConfig
) -> MixtureFit:
    return fit_mixture(
        rankings,
        features,
        n_types,
        l2=config.l2,
        n_restarts=restarts,
        seed=config.seed,
        config=EMConfig(max_iter=config.max_iter),
    )


def _predictive(
    rankings: Rankings,
    features: FeatureSet,
    n_types: int,
    test: NDArray[np.bool_],
    config: SelectionConfig,
) -> NDArray[np.float64]:
    """Return each user's log P(test rankings | own training rankings), (N,)."""
    train = rankings.select(~test)
    state = _fit(
        train.select(np.ones(train.n_rankings, bool), drop_users=True),
        features,
        n_types,
        config.fold_restarts,
        config,
    ).best.state
    log_prior = state.log_weights + user_log_likelihoods(state.policies, train)
    log_joint = log_prior + user_log_likelihoods(state.policies, rankings.select(test))
    return np.logaddexp.reduce(log_joint, axis=1) - np.logaddexp.reduce(log_prior, axis=1)


class _Whole(NamedTuple):
    """What the table tells of a fit to all rankings."""

    log_likelihood: float
    restart_agreement: float | None
    n_starts: int
    n_reached_best: int
    stop_reason: str
    weights: list[float]


def _whole(fit: MixtureFit) -> _Whole:
    state = fit.best.state
    return _Whole(
        log_likelihood=state.log_likelihood,
        restart_agreement=fit.restart_agreement,
        n_starts=len(fit.runs),
        n_reached_best=fit.n_reached_best,
        stop_reason=fit.stop_reason.value,
        weights=np.exp(state.log_weights).tolist(),
    )


def _row(rankings: Rankings, directions: int, n_types: int, whole: _Whole) -> dict[str, object]:
    n_parameters = n_types * directions + n_types - 1
    return {
        "n_types": n_types,
        "log_likelihood": whole.log_likelihood,
        "n_parameters": n_parameters,
        "bic": -2 * whole.log_likelihood + n_parameters * np.log(rankings.n_users),
        **whole._asdict(),
    }


def _recommend(
    table: pd.DataFrame, predictive: NDArray[np.float64], n_rankings: int, held_out: str
) -> Selection:
    totals = predictive.sum(axis=1)  # (rows,)
    n_users = predictive.shape[1]
    eligible = np.array([occupied_types(np.array(w), n_users).all() for w in table["weights"]])
    best = int(np.where(eligible, totals, -np.inf).argmax())
    gap = predictive[best] - predictive  # (rows, N)
    error = gap.std(axis=1, ddof=min(1, n_users - 1)) * np.sqrt(n_users)
    near = gap.sum(axis=1) <= np.maximum(error, EQUAL * n_rankings)
    chosen = int(np.flatnonzero(near & eligible)[0])
    table.insert(1, "held_out", totals / n_rankings)
    table.insert(2, "held_out_se", error / n_rankings)
    table["recommended"] = np.arange(len(table)) == chosen
    return Selection(
        table=table,
        n_types=table["n_types"].tolist()[chosen],
        reason=_reason(table, best, chosen, held_out),
        held_out=held_out,
    )


def _reason(table: pd.DataFrame, best: int, chosen: int, held_out: str) -> str:
    numbers, scores = table["n_types"].tolist(), table["held_out"].tolist()
    k = numbers[chosen]
    parts = [f"K = {k} predicts held-out rankings ({held_out}) at {scores[chosen]:.4f} nats each"]
    if chosen == best:
        parts.append("the best of all K tried that leave no type empty")
    else:
        margin = max(table["held_out_se"].tolist()[chosen], EQUAL)
        parts.append(
            f"within {margin:.4f} (one standard error, at least {EQUAL}) of the best, "
            f"K = {numbers[best]} at {scores[best]:.4f}, with fewer types"
        )
    if k > 1:
        parts.append(f"one type for all reaches {scores[0]:.4f}")
    by_bic = numbers[int(table["bic"].argmin())]
    parts.append("BIC agrees" if by_bic == k else f"BIC would choose K = {by_bic}")
    return "; ".join(parts) + "."
