"""Evidence: how well every policy predicts rankings that nobody fitted, by group of users."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emdpo.core.audit import AuditConfig, SuppressedGroup
from emdpo.core.calibration import Calibration, calibration
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.groups import groupings
from emdpo.core.json_values import plain
from emdpo.core.prediction import MEASURES, POOLED, Predictions
from emdpo.core.user_means import totals_by_user, user_means

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

RANKING, USER, CANDIDATES, SPLIT = "ranking", "user", "candidates", "split"
WAYS = (RANKING, USER, CANDIDATES, SPLIT)
"""What is held out: rankings of users whose others are fitted; whole users, of whom half of the
rankings are known; whole users, of each of whose rankings half of the candidates are known; or
what the file's column `split` holds out."""

ByPolicy = Mapping[str, float]
IntervalByPolicy = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class EvidenceConfig:
    """What is held out, and how uncertainty is measured."""

    by: str = RANKING
    """One of WAYS."""
    folds: int = 5
    """Parts that are held out in turn, >= 2; nothing is fitted anew for `split`."""
    min_group: int = 10
    """Groups with fewer tested users are suppressed, >= 1."""
    n_bootstrap: int = 1000
    """Resamples of users, >= 1."""
    confidence: float = 0.95
    """Of the intervals, in (0, 1)."""
    seed: int = 0
    """Of folds and resampling, >= 0; fits take that of the fit's own settings."""

    def __post_init__(self) -> None:
        if self.by not in WAYS:
            raise EmdpoError(f"by must be one of {', '.join(WAYS)}, got {self.by!r:.40}")
        whole = isinstance(self.folds, int | np.integer) and not isinstance(self.folds, bool)
        if not (whole and self.folds >= 2):
            raise EmdpoError(f"folds must be a whole number of at least 2, got {self.folds!r:.40}")
        AuditConfig(
            min_group=self.min_group,
            n_bootstrap=self.n_bootstrap,
            confidence=self.confidence,
            seed=self.seed,
        )


@dataclass(frozen=True)
class GroupEvidence:
    """How the rankings of some users are predicted."""

    attribute: str | None
    """None for everybody."""
    value: str | None
    n: int
    """Users with test rankings."""
    n_rankings: int
    """Test rankings."""
    mean: Mapping[str, ByPolicy]
    """By name of MEASURES and policy: mean per ranking; nan where a policy rules a ranking out."""
    interval: Mapping[str, IntervalByPolicy]
    """The same for intervals: percentile bootstrap over users."""
    above_pooled: Mapping[str, ByPolicy]
    """The same for the difference from pooled DPO on the same rankings."""
    above_pooled_interval: Mapping[str, IntervalByPolicy]
    """The same for its intervals."""
    known: bool = True
    """False for the users whose attribute is missing."""

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> GroupEvidence:
        """Return what was written as JSON; KeyError, TypeError, ValueError where it is damaged."""

        def read(name: str, one: Any) -> dict[str, dict[str, Any]]:
            table = told[name]
            return {key: {rule: one(x) for rule, x in table[key].items()} for key in MEASURES}

        return cls(
            attribute=told["attribute"],
            value=told["value"],
            n=int(told["n"]),
            n_rankings=int(told["n_rankings"]),
            mean=read("mean", _number),
            interval=read("interval", _interval),
            above_pooled=read("above_pooled", _number),
            above_pooled_interval=read("above_pooled_interval", _interval),
            known=bool(told["known"]),
        )


def _number(value: float | None) -> float:
    return np.nan if value is None else float(value)


def _interval(value: tuple[float | None, float | None]) -> tuple[float, float]:
    low, high = value
    return _number(low), _number(high)


@dataclass(frozen=True, eq=False)
class Evidence:
    """How well every policy predicts rankings that nobody fitted."""

    policies: tuple[str, ...]
    """reference, pooled, own, and every other aggregation rule."""
    everybody: GroupEvidence
    groups: tuple[GroupEvidence, ...]
    suppressed: tuple[SuppressedGroup, ...]
    top_choice: Mapping[str, Calibration]
    """By policy: the probability of being the user's best of those shown against how often it was;
    without policies that rule something out."""
    posterior: Calibration | None
    """Posterior of a type against the mean posterior once the test rankings count too: the same if
    posteriors are calibrated, since they are martingales. None with one type."""
    n_unknown: int
    """Tested users of whom no other ranking was known: `own` is by the types' weights there."""
    n_without_order: int
    """Rankings that could not be tested: all candidates tied, or one alone."""
    config: EvidenceConfig
    fit_sha256: str
    """Of the fit: evidence about another is not shown beside it."""

    def to_dict(self) -> dict[str, Any]:
        """Return the key `evidence` of audit.json as JSON values; null for what does not exist."""
        return plain(asdict(self))

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> Evidence:
        """Return what `to_dict` gave; RunError where it is damaged."""
        try:
            posterior = told["posterior"]
            return cls(
                policies=tuple(map(str, told["policies"])),
                everybody=GroupEvidence.from_dict(told["everybody"]),
                groups=tuple(map(GroupEvidence.from_dict, told["groups"])),
                suppressed=tuple(SuppressedGroup(**group) for group in told["suppressed"]),
                top_choice={
                    str(name): Calibration.from_dict(bins)
                    for name, bins in told["top_choice"].items()
                },
                posterior=None if posterior is None else Calibration.from_dict(posterior),
                n_unknown=int(told["n_unknown"]),
                n_without_order=int(told["n_without_order"]),
                config=EvidenceConfig(**told["config"]),
                fit_sha256=str(told["fit_sha256"]),
            )
        except (AttributeError, EmdpoError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"the evidence is damaged ({error!r:.80})") from None


def evidence_of(
    predictions: Predictions, attributes: pd.DataFrame, config: EvidenceConfig, fit_sha256: str
) -> Evidence:
    """Return the evidence that predictions give.

    Parameters
    ----------
    predictions : Predictions
        Of at least one test ranking.
    attributes : (N rows)
        One text column per attribute to group users by; None = not known.
    config : EvidenceConfig
    fit_sha256 : str

    Raises
    ------
    EmdpoError
        No ranking could be tested.
    """
    if not len(predictions.user):
        raise EmdpoError("no ranking is left to test: each is all tied, or of one candidate")
    rng = np.random.default_rng([config.seed, 1])
    drawing: dict[str, Any] = {
        "n_bootstrap": config.n_bootstrap,
        "confidence": config.confidence,
        "rng": rng,
    }
    everybody, groups, suppressed = _by_group(predictions, attributes, config, drawing)
    n_types = predictions.before.shape[1]
    return Evidence(
        policies=predictions.policies,
        everybody=everybody,
        groups=groups,
        suppressed=suppressed,
        top_choice=_top_choice(predictions, drawing),
        posterior=calibration(
            predictions.before.ravel(),
            predictions.after.ravel(),
            np.repeat(predictions.posterior_user, n_types),
            **drawing,
        )
        if n_types > 1
        else None,
        n_unknown=len(np.unique(predictions.posterior_user[predictions.unknown])),
        n_without_order=predictions.n_without_order,
        config=config,
        fit_sha256=fit_sha256,
    )


def _top_choice(predictions: Predictions, drawing: Mapping[str, Any]) -> dict[str, Calibration]:
    """Return the calibration of the policies that give every candidate a chance."""
    about = predictions.best, predictions.row_user, predictions.row_weight
    return {
        name: calibration(chances, *about, **drawing)
        for name, chances in zip(predictions.policies, predictions.top_probability, strict=True)
        if np.isfinite(chances).all()
    }


def _by_group(
    predictions: Predictions,
    attributes: pd.DataFrame,
    config: EvidenceConfig,
    drawing: Mapping[str, Any],
) -> tuple[GroupEvidence, tuple[GroupEvidence, ...], tuple[SuppressedGroup, ...]]:
    tested, user = np.unique(predictions.user, return_inverse=True)
    values = [_or_nan(predictions.measures[name]) * predictions.weight for name in MEASURES]
    by_measure = [totals_by_user(user, each, len(tested)) for each in values]
    totals = np.stack(by_measure, axis=1)  # (U, measures, J)
    counts = np.bincount(user, predictions.weight).astype(np.float64)
    n_rankings = np.bincount(user)

    def told(
        members: NDArray[np.bool_], attribute: str | None, value: str | None, *, known: bool = True
    ) -> GroupEvidence:
        against = predictions.policies.index(POOLED)
        found = user_means(totals[members], counts[members], against, **drawing)
        tables = [_table(values, predictions.policies) for values in found]
        n, n_tested = int(members.sum()), int(n_rankings[members].sum())
        return GroupEvidence(attribute, value, n, n_tested, *tables, known=known)

    everybody = told(np.ones(len(tested), bool), None, None)
    groups, suppressed = [], []
    for grouping in groupings(attributes.iloc[tested], config.min_group, crossed=False):
        for g, label in enumerate(grouping.labels):
            if grouping.hidden[g]:
                n = int(grouping.n[g])
                suppressed.append(SuppressedGroup(grouping.attribute, label, n))
            else:
                members, known = grouping.codes == g, bool(grouping.known[g])
                groups.append(told(members, grouping.attribute, label, known=known))
    return everybody, tuple(groups), tuple(suppressed)


def _or_nan(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return values (J, R) with nan throughout for a policy that has one that is not finite."""
    finite = np.isfinite(values).all(axis=1, keepdims=True)
    return np.where(finite, values, np.nan)


def _table(values: NDArray[np.float64], policies: tuple[str, ...]) -> dict[str, dict[str, Any]]:
    """Return values (measures, J) or intervals (measures, J, 2) by name."""
    return {
        name: {
            policy: tuple(each) if isinstance(each, list) else each
            for policy, each in zip(policies, row.tolist(), strict=True)
        }
        for name, row in zip(MEASURES, values, strict=True)
    }
