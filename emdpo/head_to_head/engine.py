"""Fit every method with the same budget, and judge all on the same held-out rankings."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from emdpo.adapting import adapter_trainer
from emdpo.core.errors import EmdpoError
from emdpo.core.features import build_features
from emdpo.core.folds import cut_lists
from emdpo.core.groups import Grouping, groupings
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.prediction import ACCURACY, LOG_LOSS, ROUNDING_DIGITS, TAU
from emdpo.core.ranking_measures import has_order, kendall_tau_b, top_choice_credit
from emdpo.core.regret import Floats, log_normalise, log_reference, regret_table
from emdpo.core.user_means import paired_intervals, totals_by_user, user_means
from emdpo.core.workers import results, usable_cores
from emdpo.head_to_head.comparison import (
    LOWER_IS_BETTER,
    NEW,
    SEEN,
    Comparison,
    Measured,
    MethodFacts,
)
from emdpo.head_to_head.config import ComparisonConfig
from emdpo.head_to_head.splits import Split, make_split
from emdpo.methods.adapters.policies import fit_config
from emdpo.methods.base import Fitted, Problem
from emdpo.methods.known_types import KnownTypes
from emdpo.methods.registry import ADAPTER_METHODS, METHODS, methods_named

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings
    from emdpo.head_to_head.simulations import Simulated
    from emdpo.methods.base import Method

KNOWN = (0, 1, 2, 4, 8)
"""Rankings of a new user that are known, one after another."""

FEWEST_NEW_USERS = 5


def compare(
    rankings: Rankings,
    methods: Sequence[str | type[Method]] | None = None,
    *,
    planted: Simulated | None = None,
    leave_out: bool = False,
    progress: Callable[[int, int], None] | None = None,
    **settings: Any,
) -> Comparison:
    """Return how well every method predicts rankings that none was fitted to.

    Parameters
    ----------
    rankings : Rankings
        Held-out ones (column split) are left out.
    methods : sequence of str or type, optional
        Names of `emdpo.methods.registry.METHODS`, by default all that apply, or of
        `ADAPTER_METHODS`, which take minutes; or classes of your own that keep the contract of
        `emdpo.methods.base.Method`.
    planted : Simulated, optional
        The truth behind `rankings`, for simulations.
    leave_out : bool
        Whether a method that does not apply is left out, with the reason, also where it is named.
    progress : callable, optional
        Called with methods done and methods in all.
    **settings
        Fields of `emdpo.head_to_head.config.ComparisonConfig`.

    Raises
    ------
    EmdpoError
        Unknown method or setting out of range; too few users; a method named that does not apply;
        adapters without the libraries or the base model that they need.

    Notes
    -----
    Users are split into seen and new; each method tries as many settings, chosen by the log-loss of
    validation rankings alone. New users' rankings are predicted with 0, 1, 2, 4 and 8 others known.
    Intervals draw users again, paired between methods; they hold the split and the fits fixed.

    Examples
    --------
    >>> import emdpo
    >>> panel = emdpo.load("assets/demo/classroom.csv")
    >>> found = emdpo.compare(panel, ["reference", "dpo"], n_bootstrap=100)
    >>> found.methods, found.n_new_users
    (['reference', 'dpo'], 6)
    """
    config = ComparisonConfig(**settings)
    trial = _Trial.of(rankings, config, planted)
    chosen = methods_named(list(METHODS) if methods is None else methods)
    trial.check_adapters(chosen)
    outcomes: dict[int, _Outcome] = {}
    for place, outcome in _outcomes(trial, chosen):
        outcomes[place] = outcome
        if progress is not None:
            progress(len(outcomes), len(chosen))
    left_out = {
        chosen[place].name: each.objection
        for place, each in sorted(outcomes.items())
        if each.objection
    }
    if left_out and (len(left_out) == len(chosen) or not (leave_out or methods is None)):
        raise EmdpoError(next(iter(left_out.values())))
    done = [each for _, each in sorted(outcomes.items()) if each.fitted is not None]
    return trial.judge(done, left_out)


def _outcomes(trial: _Trial, chosen: Sequence[type[Method]]) -> Iterator[tuple[int, _Outcome]]:
    """Yield the position and outcome of each method as it ends.

    Adapters use all cores by themselves: they are fitted in this process, one after another.
    """
    is_heavy = [kind.name in ADAPTER_METHODS for kind in chosen]
    light = np.flatnonzero(~np.array(is_heavy, bool)).tolist()
    n_workers = min(usable_cores(), len(light))
    for place, outcome in results(trial, [chosen[place] for place in light], n_workers):
        yield light[place], outcome
    with TemporaryDirectory(prefix="emdpo-") as scratch:
        for place in np.flatnonzero(is_heavy).tolist():
            yield place, replace(trial, scratch=Path(scratch))(chosen[place])


@dataclass(frozen=True, eq=False)
class _Outcome:
    """One method, fitted with the setting that validation chose; or why it was not."""

    objection: str = ""
    fitted: Fitted | None = None
    method: Method | None = None
    n_settings: int = 0
    validation_loss: float = np.inf
    seconds: float = 0.0
    seconds_in_all: float = 0.0


@dataclass(frozen=True, eq=False)
class _Trial:
    """The rankings, cut, and what judging needs; called with a method it fits it."""

    panel: Rankings
    split: Split
    features: FeatureSet
    config: ComparisonConfig
    group: Grouping | None
    planted: Simulated | None
    scratch: Path | None = None

    @classmethod
    def of(cls, rankings: Rankings, config: ComparisonConfig, planted: Simulated | None) -> _Trial:
        panel = rankings.fitted()
        if config.cut is not None:
            panel = cut_lists(panel, config.cut, np.random.default_rng([config.seed, 2]))
        panel = panel.select(has_order(panel) & (panel.weight > 0))
        split = make_split(panel, config.new_share, np.random.default_rng([config.seed, 0]))
        n_new = len(np.unique(panel.user[split.new_test]))
        if n_new < FEWEST_NEW_USERS or not split.train.any() or not split.validation.any():
            raise EmdpoError(
                f"too few users to compare methods: {n_new} new ones with a ranking that has an "
                f"order, at least {FEWEST_NEW_USERS} are needed"
            )
        features = build_features(panel.select(split.train, drop_users=True), config.features)
        return cls(panel, split, features, config, _group(panel, config), planted)

    def __call__(self, kind: type[Method]) -> _Outcome:
        problem, began, best = self._problem(), time.perf_counter(), _Outcome()
        train, validation = (
            self.panel.select(part) for part in (self.split.train, self.split.validation)
        )
        settings = kind.grid()
        for method in settings:
            start = time.perf_counter()
            try:
                fitted = method.fit(problem)
            except EmdpoError as objection:
                return _Outcome(objection=str(objection))
            seconds = time.perf_counter() - start
            loss = -float(np.average(fitted.predict(train, validation).log_lik))
            if loss < best.validation_loss or best.fitted is None:
                best = _Outcome("", fitted, method, len(settings), loss, seconds)
        return _Outcome(
            **{**vars(best), "seconds_in_all": time.perf_counter() - began},
        )

    def check_adapters(self, chosen: Sequence[type[Method]]) -> None:
        """Raise EmdpoError where adapters cannot be fitted, or are set and not asked for."""
        if any(kind.name in ADAPTER_METHODS for kind in chosen):
            adapter_trainer(fit_config(self._problem()))
        elif self.config.base_model is not None or self.config.adapters is not None:
            raise EmdpoError(
                "a base model and settings of adapters (--base-model, --adapter) need one of the "
                f"methods {', '.join(ADAPTER_METHODS)}"
            )

    def _problem(self) -> Problem:
        train = self.panel.select(self.split.train, drop_users=True)
        groups = None
        if self.group is not None:
            codes = np.where(self.group.known[self.group.codes], self.group.codes, -1)
            groups = codes[np.unique(self.panel.user[self.split.train])]
        config, planted = self.config, self.planted
        return Problem(
            train,
            self.features,
            groups,
            truth=None if planted is None else planted.scores,
            truth_shares=None if planted is None else planted.shares,
            beta=config.beta,
            seed=config.seed,
            base_model=config.base_model,
            adapters=config.adapters,
            scratch=self.scratch,
        )

    def judge(self, outcomes: Sequence[_Outcome], left_out: Mapping[str, str]) -> Comparison:
        names = [_name(each) for each in outcomes]
        baseline = "dpo" if "dpo" in names else names[0]
        measures: list[Measured] = []
        for users, n_known, known, test in self._parts():
            found = _measured(outcomes, known, test)
            measures += self._rows(names, baseline, users, n_known, test, found)
        split = self.split
        counts = {
            "train": split.train,
            "validation": split.validation,
            "test": split.test,
            "known": split.known(max(KNOWN)),
            "new_test": split.new_test,
        }
        return Comparison(
            measures=tuple(measures),
            facts=tuple(self._facts(each) for each in outcomes),
            left_out=dict(left_out),
            baseline=baseline,
            features=self.features.kind,
            n_users=len(np.unique(self.panel.user)),
            n_new_users=len(np.unique(self.panel.user[split.new_test])),
            n_rankings={name: int(part.sum()) for name, part in counts.items()},
            seed=self.config.seed,
            n_bootstrap=self.config.n_bootstrap,
            confidence=self.config.confidence,
            adapters=self._adapters(names),
        )

    def _adapters(self, names: Sequence[str]) -> Mapping[str, Any] | None:
        if ADAPTER_METHODS.keys().isdisjoint(names):
            return None
        told = fit_config(self._problem()).to_dict()
        return {"base_model": told["base_model"], **told["adapters"]}

    def _parts(self) -> list[tuple[str, int | None, Rankings, Rankings]]:
        """Return users, number known, known rankings and test rankings of every part."""
        split, select = self.split, self.panel.select
        parts: list[tuple[str, int | None, Rankings, Rankings]] = []
        if split.test.any():
            parts.append((SEEN, None, select(split.train), select(split.test)))
        most = int(split.place[split.pool].max(initial=-1)) + 1
        steps = [n for n in KNOWN if n <= most]
        return parts + [(NEW, n, select(split.known(n)), select(split.new_test)) for n in steps]

    def _rows(
        self,
        names: Sequence[str],
        baseline: str,
        users: str,
        n_known: int | None,
        test: Rankings,
        found: Mapping[str, Floats],
    ) -> list[Measured]:
        """Return the means of all measures (J, R) of one part, with intervals."""
        present, user = np.unique(test.user, return_inverse=True)
        counts = np.bincount(user).astype(np.float64)
        rows = []
        for measure, values in found.items():
            totals = totals_by_user(user, values, len(present))  # (U, J)
            sign = 1.0 if measure in LOWER_IS_BETTER else -1.0
            best = _best(names, sign * totals.sum(axis=0))

            told = user_means(totals, counts, names.index(baseline), **self._draw())
            apart = sign * paired_intervals(totals, counts, **self._draw())  # (J, J, 2)
            worse = apart.min(axis=-1) > 0.0
            ranks = _ranks(names, worse)
            rows += [
                Measured(
                    users=users,
                    known=n_known,
                    measure=measure,
                    method=name,
                    mean=float(told.mean[j]),
                    interval=_pair(told.interval[j]),
                    above=float(told.above[j]),
                    above_interval=_pair(told.above_interval[j]),
                    is_among_best=not worse[j, best],
                    rank=ranks[j],
                    n_users=len(present),
                    n_rankings=test.n_rankings,
                )
                for j, name in enumerate(names)
            ]
        return rows

    def _draw(self) -> dict[str, Any]:
        """Return the settings of intervals: the same draws of users for all."""
        config = self.config
        rng = np.random.default_rng([config.seed, 1])
        return {"n_bootstrap": config.n_bootstrap, "confidence": config.confidence, "rng": rng}

    def _facts(self, outcome: _Outcome) -> MethodFacts:
        fitted, method = outcome.fitted, outcome.method
        assert fitted is not None and method is not None  # noqa: S101 - those with one are judged
        known = self.panel.select(self.split.known(max(KNOWN)))
        test = self.panel.select(self.split.new_test)
        untuned = log_likelihoods(test.stages, np.zeros((1, test.n_rows)))[0]
        gain = fitted.predict(known, test).log_lik - untuned
        worst, mean, nats = self._regrets(fitted)
        return MethodFacts(
            method=method.name,
            setting=asdict(method),  # type: ignore[call-overload]
            n_settings=outcome.n_settings,
            validation_loss=outcome.validation_loss,
            seconds=outcome.seconds,
            seconds_in_all=outcome.seconds_in_all,
            n_parameters=fitted.n_parameters,
            worst_group=self._worst_group(test, gain),
            worst_type=self._worst_type(test, gain),
            regret_worst=worst,
            regret_mean=mean,
            regret_nats=nats,
            ari=self._ari(fitted),
        )

    def _worst_group(self, test: Rankings, gain: Floats) -> tuple[str, float, int] | None:
        """Return the group of new users that gains least, its gain and its users."""
        present = np.unique(test.user)
        users = self.panel.users.iloc[present]
        found = []
        for grouping in groupings(users, self.config.min_group, crossed=False):
            of_ranking = grouping.codes[np.searchsorted(present, test.user)]
            for code in np.flatnonzero(grouping.known & ~grouping.hidden):
                name = f"{grouping.attribute}: {grouping.labels[code]}"
                found.append((name, float(gain[of_ranking == code].mean()), int(grouping.n[code])))
        return min(found, key=lambda each: each[1], default=None)

    def _worst_type(self, test: Rankings, gain: Floats) -> float | None:
        if self.planted is None:
            return None
        kind = self.planted.label[test.user]
        return min(float(gain[kind == k].mean()) for k in np.unique(kind))

    def _regrets(self, fitted: Fitted) -> tuple[float | None, float | None, float | None]:
        """Return worst and mean regret share and worst plain regret under the one policy."""
        if self.planted is None:
            return None, None, None
        prompt = np.unique(self.panel.candidate_prompt, return_inverse=True)[1]
        scores, beta = fitted.policy_scores(), self.config.beta
        policy = np.exp(log_normalise(log_reference(prompt) + scores / beta, prompt))
        table = regret_table(self.planted.scores, policy[None], prompt, beta)
        share = table.share[:, 0]
        return float(share.max()), float(share @ self.planted.shares), float(table.plain.max())

    def _ari(self, fitted: Fitted) -> float | None:
        from sklearn.metrics import adjusted_rand_score  # a second to load, for fits alone

        train = self.panel.select(self.split.train)
        label = fitted.labels(train)
        if self.planted is None or label is None:
            return None
        seen = np.unique(train.user)
        return float(adjusted_rand_score(self.planted.label[seen], label[seen]))


def _best(names: Sequence[str], losses: Floats) -> int:
    """Return the position of the best method, the oracle aside where there are others."""
    fair = np.array([name != KnownTypes.name for name in names])
    return int(np.where(fair | ~fair.any(), losses, np.inf).argmin())


def _ranks(names: Sequence[str], worse: NDArray[np.bool_]) -> list[tuple[int, int] | None]:
    """Return the best and the worst rank of each method, given who is clearly worse than whom.

    Behind those that are clearly better, before those that are clearly worse; the oracle has none.
    """
    fair = np.array([name != KnownTypes.name for name in names])
    best, worst = 1 + worse[:, fair].sum(axis=1), fair.sum() - worse[fair].sum(axis=0)
    ends = zip(fair, best.tolist(), worst.tolist(), strict=True)
    return [(low, high) if ranked else None for ranked, low, high in ends]


def _group(panel: Rankings, config: ComparisonConfig) -> Grouping | None:
    """Return the users by the attribute to protect."""
    names = [config.group] if config.group else panel.attributes
    if config.group and config.group not in panel.attributes:
        known = ", ".join(panel.attributes) or "none"
        raise EmdpoError(f"no attribute {config.group!r:.60} in the file; it has {known}")
    for name in names:
        grouping = groupings(panel.users.loc[:, [name]], 1, crossed=False)[0]
        if grouping.known.sum() > 1:
            return grouping
    return None


def _measured(
    outcomes: Sequence[_Outcome], known: Rankings, test: Rankings
) -> dict[str, NDArray[np.float64]]:
    """Return every measure (J, R) of test rankings."""
    told = [each.fitted.predict(known, test) for each in outcomes if each.fitted is not None]
    scores = np.round(np.stack([each.scores for each in told]), ROUNDING_DIGITS)
    return {
        LOG_LOSS: -np.stack([each.log_lik for each in told]),
        ACCURACY: top_choice_credit(scores, test),
        TAU: kendall_tau_b(scores, test),
    }


def _name(outcome: _Outcome) -> str:
    return "" if outcome.method is None else outcome.method.name


def _pair(ends: Floats) -> tuple[float, float]:
    low, high = ends.tolist()
    return low, high
