"""Does a fit predict rankings that nobody fitted? Fitted anew without them, and then asked."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emdpo.auditing import chosen_attributes
from emdpo.core.em import EMConfig
from emdpo.core.errors import EmdpoError
from emdpo.core.features import build_features
from emdpo.core.folds import (
    folds_of_users,
    folds_within_users,
    halves_of_candidates,
    known_half,
)
from emdpo.core.mixture import MixtureFit, fit_mixture
from emdpo.core.prediction import Model, Predictions, joined, predict
from emdpo.core.selection import ALONE_WORK
from emdpo.core.tested import (
    CANDIDATES,
    RANKING,
    SPLIT,
    USER,
    Evidence,
    EvidenceConfig,
    evidence_of,
)
from emdpo.core.workers import results, usable_cores
from emdpo.fitting import data_fingerprint, fit_fingerprint
from emdpo.settings import ADAPTERS, FitConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings
    from emdpo.fitting import Fit


def evidence(
    fit: Fit,
    by: str = RANKING,
    groups: Sequence[str] | None = None,
    *,
    rankings: Rankings | None = None,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Evidence:
    """Return how well every policy predicts rankings that nobody fitted, by group of users.

    Parameters
    ----------
    fit : Fit
    by : {"ranking", "user", "candidates", "split"}
        What is held out. `ranking`: a part of each user's rankings, predicted from their others.
        `user`: whole users; half of their rankings tell the type, the others are predicted.
        `candidates`: whole users; in each of their rankings the order of half of the candidates
        tells the type and that of the others is predicted. For data with one ranking a user.
        `split`: what the column `split` of the file held out.
    groups : sequence of str, optional
        Attributes to group users by; all by default.
    rankings : Rankings, optional
        The file that was fitted, held-out rankings included; for `split` alone.
    progress : callable, optional
        Called with folds done and folds in all.
    **settings
        Other fields of `EvidenceConfig`: folds, min_group, n_bootstrap, confidence, seed.

    Raises
    ------
    EmdpoError
        A setting out of range, an attribute that the data lack, too few users or rankings for so
        many folds; adapters with another way than `split`; no held-out rankings, or not those of
        the file that was fitted.

    Notes
    -----
    But for `split`, types, pooled DPO and every aggregation rule are made anew from the rankings of
    the other folds, with the fit's settings and from its random starts, never from the fit itself,
    which has seen what is to be predicted. Intervals hold the folds' fits fixed.

    Examples
    --------
    >>> import emdpo
    >>> found = emdpo.fit(emdpo.load("assets/demo/classroom.csv"), n_types=2, restarts=2)
    >>> tested = emdpo.evidence(found, folds=3)
    >>> tested.everybody.n, tested.everybody.n_rankings
    (24, 71)
    >>> loss = tested.everybody.mean["log_loss"]
    >>> loss["own"] < loss["pooled"] < loss["reference"]
    True
    """
    config = EvidenceConfig(by=by, **settings)
    panel = fit.rankings if rankings is None else rankings
    attributes = panel.users.loc[:, chosen_attributes(panel.attributes, groups)]
    predictions = predictions_of(fit, config, rankings, progress)
    return evidence_of(predictions, attributes, config, fit_fingerprint(fit))


def predictions_of(
    fit: Fit,
    config: EvidenceConfig,
    rankings: Rankings | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Predictions:
    """Return what every policy predicted of the held-out rankings; raises as `evidence`.

    Fits of the same data predict the same rankings in the same order.
    """
    if config.by == SPLIT:
        return _predict_split(fit, fit.rankings if rankings is None else rankings)
    if rankings is None:
        return _predict_folds(fit, config, progress)
    raise EmdpoError(
        f"rankings are for {SPLIT!r} alone: {config.by!r} tests those that were fitted"
    )


def _predict_split(fit: Fit, rankings: Rankings) -> Predictions:
    """Return how the fit itself predicts what its file held out."""
    if rankings is fit.rankings:
        raise EmdpoError(
            "a run does not keep what its file held out: give the file too (--rankings FILE)"
        )
    if not rankings.held_out.any():
        raise EmdpoError(
            "the file holds out no ranking: its column split names none but those to train on"
        )
    if data_fingerprint(rankings.fitted()) != fit.data_sha256:
        raise EmdpoError(
            "the rankings are not those that were fitted; give the same file, "
            "and the same users file"
        )
    scores, pooled = fit.policies.candidate_scores(), fit.pooled.candidate_scores()[0]
    test = rankings.select(rankings.held_out)
    if fit.adapters is not None:
        test = _with_scores(test, fit, np.concatenate([scores, pooled[None]]))
    return predict(model_of(fit), rankings.select(~rankings.held_out), test)


def model_of(fit: Fit) -> Model:
    """Return a fit as what predicts."""
    scores, pooled = fit.policies.candidate_scores(), fit.pooled.candidate_scores()[0]
    with np.errstate(divide="ignore"):
        log_weights = np.log(fit.weights)
    return Model(scores, pooled, log_weights, fit.rankings.n_users, fit.config.beta)


def _with_scores(test: Rankings, fit: Fit, scores: NDArray[np.float64]) -> Rankings:
    """Return the test rankings whose candidates the adapters have all scored.

    Those that no fitted ranking shows were scored only where the fit was made in Python, from the
    whole file; otherwise all their scores are 0.
    """
    shown = np.isin(np.arange(test.n_candidates), fit.rankings.candidate)
    scored = shown | scores.any(axis=0)
    missing = np.bincount(test.ranking_of_row, ~scored[test.candidate], test.n_rankings) > 0
    if missing.all():
        raise EmdpoError(
            "the held-out rankings are of answers that no fitted ranking shows, and the adapters "
            "have not scored them: fit in Python, emdpo.fit(rankings, ...), which scores them too"
        )
    return test.select(~missing)


def _predict_folds(
    fit: Fit, config: EvidenceConfig, progress: Callable[[int, int], None] | None
) -> Predictions:
    """Return how fits that left a fold out predict it, all folds together."""
    if fit.config.policy == ADAPTERS:
        raise EmdpoError(
            "adapters take too long to be trained anew for every fold: only rankings that the file "
            "held out (column split) can test them (--evidence split --rankings FILE)"
        )
    work = _FoldWork.of(fit, config)
    parts: dict[int, Predictions] = {}
    size = fit.n_types * fit.config.restarts * config.folds * fit.rankings.n_rows
    n_workers = 1 if size < ALONE_WORK else usable_cores()
    for fold, predictions in results(work, range(config.folds), n_workers):
        parts[fold] = predictions
        if progress is not None:
            progress(len(parts), config.folds)
    return joined([parts[fold] for fold in range(config.folds)])


@dataclass(frozen=True, eq=False)
class _FoldWork:
    """What it takes to leave out any fold, fit the others and predict it."""

    panel: Rankings
    folds: NDArray[np.int64]
    """(R,) the fold of each ranking."""
    known: NDArray[np.bool_]
    """(R,) for USER: rankings that tell the type of a left-out user."""
    by: str
    seed: int
    features: str
    settings: FitConfig

    @classmethod
    def of(cls, fit: Fit, config: EvidenceConfig) -> _FoldWork:
        panel, rng = fit.rankings, np.random.default_rng([config.seed, 0])
        unit, n = ("rankings", panel.n_rankings)
        if config.by != RANKING:
            unit, n = ("users", panel.n_users)
        if config.folds > n:
            raise EmdpoError(f"folds must be in [2, {n} {unit}], got {config.folds}")
        cut = folds_within_users if config.by == RANKING else folds_of_users
        folds = cut(panel, config.folds, rng)
        for fold in range(config.folds):
            left = len(np.unique(panel.user[folds != fold]))
            if left < fit.n_types:
                raise EmdpoError(
                    f"without one of {config.folds} folds {left} users are left, fewer than the "
                    f"{fit.n_types} types of the fit"
                )
        known = known_half(panel, rng)
        kind = fit.features.kind
        return cls(panel, folds, known, config.by, config.seed, kind, fit.config)

    def __call__(self, fold: int) -> Predictions:
        left_out = self.folds == fold
        model = _fit_model(
            self.panel.select(~left_out, drop_users=True), self.features, self.settings
        )
        known, test = self._parts(left_out, fold)
        return predict(model, known, test)

    def _parts(self, left_out: NDArray[np.bool_], fold: int) -> tuple[Rankings, Rankings]:
        """Return the rankings that tell the types of tested users, and those to be predicted."""
        if self.by == CANDIDATES:
            rng = np.random.default_rng([self.seed, 2, fold])
            return halves_of_candidates(self.panel.select(left_out), rng)
        known = left_out & self.known if self.by == USER else ~left_out
        return self.panel.select(known), self.panel.select(left_out & ~known)


def _fit_model(train: Rankings, features: str, settings: FitConfig) -> Model:
    """Fit types and pooled DPO to training rankings from scratch."""
    made = build_features(train, features)

    def work(n_types: int) -> MixtureFit:
        return fit_mixture(
            train,
            made,
            n_types,
            l2=settings.l2,
            n_restarts=settings.restarts,
            seed=settings.seed,
            config=EMConfig(max_iter=settings.max_iter),
        )

    state = work(settings.n_types).best.state
    pooled = state if settings.n_types == 1 else work(1).best.state
    return Model(
        state.policies.candidate_scores(),
        pooled.policies.candidate_scores()[0],
        state.log_weights,
        train.n_users,
        settings.beta,
    )
