"""The audit's uncertainty with types found anew: users drawn again, everything fitted again.

Intervals that hold the types fixed count who happened to be asked, not how well the types were
found. Here users are drawn with replacement with all their rankings (Efron and Tibshirani 1993,
chapter 13), and types, pooled model, aggregation rules and regrets are made anew of each draw.

Each draw starts EM at the fit and at the clusters of its own users, and keeps what is likelier: so
that a fit which has a rival of nearly the same likelihood is seen to waver. Its types are matched
to those of the fit by the users they share.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.optimize import linear_sum_assignment

from emdpo.core.em import EMConfig, StopTest, never, run_em
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.json_values import plain
from emdpo.core.judging import judge
from emdpo.core.loglinear import untrained
from emdpo.core.mixture import SAME_OPTIMUM, occupied_types, relabelled
from emdpo.core.rules import MIXTURE
from emdpo.core.starts import starting_responsibilities
from emdpo.core.workers import results, usable_cores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.em import EMState
    from emdpo.core.groups import Grouping
    from emdpo.core.loglinear import LogLinearPolicies
    from emdpo.core.rankings import Rankings

MOST_REFITS = 10_000
"""More than any interval needs."""

OnProgress = Callable[[int, int], None]
"""Called with the refits done and those asked for."""

Ends = tuple[float, float]

NOWHERE: Ends = (float("nan"), float("nan"))
"""Of an interval that nobody computed, or of a regret that does not exist."""


@dataclass(frozen=True, eq=False)
class Fitted:
    """What is fitted again: log-linear types of N users' rankings."""

    panel: Rankings
    policies: LogLinearPolicies
    pooled: LogLinearPolicies
    responsibilities: NDArray[np.float64]
    """(N, K)"""
    beta: float
    max_iter: int
    given: tuple[Sequence[float] | None, str] = (None, MIXTURE)
    """Weights of the user's own, and the form of their blend: fixed."""
    others: Mapping[str, NDArray[np.float64]] | None = None
    """Probabilities (A,) of further policies, fixed."""


@dataclass(frozen=True)
class RefitGroup:
    """A group's intervals with types found anew, by kind and rule."""

    attribute: str
    value: str
    interval: Mapping[str, Mapping[str, Ends]]
    """Of its regret."""
    above_rest_interval: Mapping[str, Mapping[str, Ends]]
    """Of its regret less that of all other users."""


@dataclass(frozen=True, eq=False)
class RefitAudit:
    """Percentile intervals over draws of users of which everything was fitted anew."""

    n_refits: int
    seed: int
    confidence: float
    agreement: float
    """Mean adjusted Rand index of a draw's types with the fit's, over the users drawn."""
    n_fresh: int
    """Draws whose likeliest types were not reached from the fit, but from the draw's clusters."""
    weights: NDArray[np.float64]
    """(K, 2) of the types' weights."""
    regret: Mapping[str, Mapping[str, NDArray[np.float64]]]
    """By kind and rule: (K, 2)."""
    worst: Mapping[str, Mapping[str, Ends]]
    """By kind and rule: of the largest regret over types that have users."""
    groups: tuple[RefitGroup, ...]
    fit_sha256: str = ""
    """Of the fit that was refitted."""

    def group(self, attribute: str, value: str) -> RefitGroup | None:
        """Return a group's intervals; None for one that was not shown."""
        wanted = (
            each for each in self.groups if (each.attribute, each.value) == (attribute, value)
        )
        return next(wanted, None)

    def of_rules(self, rules: Sequence[str], unknown: Sequence[str] = ()) -> RefitAudit:
        """Return the intervals of some rules; nan for rules that are `unknown`."""
        nowhere = np.full_like(self.weights, np.nan)

        def chosen(table: Mapping[str, Mapping[str, Any]], missing: Any) -> dict[str, Any]:
            return {
                kind: {rule: missing if rule in unknown else by_rule[rule] for rule in rules}
                for kind, by_rule in table.items()
            }

        return replace(
            self,
            regret=chosen(self.regret, nowhere),
            worst=chosen(self.worst, NOWHERE),
            groups=tuple(
                replace(
                    group,
                    interval=chosen(group.interval, NOWHERE),
                    above_rest_interval=chosen(group.above_rest_interval, NOWHERE),
                )
                for group in self.groups
            ),
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the key `refit` of audit.json as JSON values; null for what does not exist."""
        return plain({**vars(self), "groups": [vars(group) for group in self.groups]})

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> RefitAudit:
        """Return what `to_dict` gave; RunError where it is damaged."""

        def numbers(value: Any) -> NDArray[np.float64]:
            return np.array(value, dtype=np.float64)  # null becomes nan

        def pairs(table: Any) -> dict[str, dict[str, Ends]]:
            return {
                kind: {rule: end_pair(*ends) for rule, ends in by_rule.items()}
                for kind, by_rule in table.items()
            }

        def end_pair(low: float | None, high: float | None) -> Ends:
            return np.nan if low is None else low, np.nan if high is None else high

        try:
            return cls(
                n_refits=int(told["n_refits"]),
                seed=int(told["seed"]),
                confidence=float(told["confidence"]),
                agreement=float(told["agreement"]),
                n_fresh=int(told["n_fresh"]),
                weights=numbers(told["weights"]),
                regret={
                    kind: {rule: numbers(ends) for rule, ends in by_rule.items()}
                    for kind, by_rule in told["regret"].items()
                },
                worst=pairs(told["worst"]),
                groups=tuple(
                    RefitGroup(
                        str(each["attribute"]),
                        str(each["value"]),
                        pairs(each["interval"]),
                        pairs(each["above_rest_interval"]),
                    )
                    for each in told["groups"]
                ),
                fit_sha256=str(told["fit_sha256"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"the refitted intervals are damaged ({error!r:.80})") from None


class _Draw(NamedTuple):
    """What one draw of users says; arrays by kind."""

    weights: NDArray[np.float64]
    """(K,)"""
    regret: Mapping[str, NDArray[np.float64]]
    """(K, J)"""
    worst: Mapping[str, NDArray[np.float64]]
    """(J,)"""
    group: Mapping[str, NDArray[np.float64]]
    """(G, J)"""
    above_rest: Mapping[str, NDArray[np.float64]]
    """(G, J)"""
    agreement: float
    is_fresh: bool


def refit_audit(
    fitted: Fitted,
    groupings: Sequence[Grouping],
    rules: Sequence[str],
    *,
    n_refits: int = 200,
    confidence: float = 0.95,
    seed: int = 0,
    n_workers: int | None = None,
    should_stop: StopTest = never,
    on_progress: OnProgress | None = None,
) -> RefitAudit | None:
    """Return intervals of every figure of an audit with types found anew; None if told to stop.

    Parameters
    ----------
    fitted
        The fit audited.
    groupings
        Of its users; hidden groups are left out.
    rules
        The rules of the audit, by which results are named.
    n_refits
        Draws of users, 2 to MOST_REFITS. Each costs about two starts of the fit.
    confidence, seed
        Of the percentile intervals; of the draws.
    n_workers
        Processes; by default one for each core.

    Raises
    ------
    EmdpoError
        `n_refits` out of range.
    """
    if not 2 <= n_refits <= MOST_REFITS:
        raise EmdpoError(f"refits must be from 2 to {MOST_REFITS:,}, got {n_refits}")
    groupings = [grouping for grouping in groupings if not grouping.hidden.all()]
    streams = np.random.SeedSequence(seed).spawn(n_refits)
    work = _Refitting(fitted, groupings)
    done: list[_Draw | None] = [None] * n_refits
    for number, (place, draw) in enumerate(results(work, streams, n_workers or usable_cores()), 1):
        done[place] = draw
        if on_progress is not None:
            on_progress(number, n_refits)
        if should_stop():
            return None
    draws = [draw for draw in done if draw is not None]
    return _summary(draws, groupings, rules, confidence, seed)


@dataclass(frozen=True, eq=False)
class _Refitting:
    """One draw of users, fitted and judged; picklable, so that workers can do it."""

    fitted: Fitted
    groupings: Sequence[Grouping]

    def __call__(self, stream: np.random.SeedSequence) -> _Draw:
        from sklearn.metrics import adjusted_rand_score  # a second to load, for fits alone

        fitted, rng = self.fitted, np.random.default_rng(stream)
        drawn = rng.integers(len(fitted.responsibilities), size=len(fitted.responsibilities))
        panel, before = fitted.panel.resample_users(drawn), fitted.responsibilities[drawn]
        state, is_fresh = refitted(fitted, panel, before, rng)
        resp, weights = np.exp(state.log_resp), np.exp(state.log_weights)
        pooled = fitted.pooled.update(panel, np.ones((panel.n_users, 1)))
        judged = judge(
            state.policies.candidate_scores(),
            pooled.candidate_scores()[0],
            panel.candidate_prompt,
            weights,
            fitted.beta,
            panel.n_users,
            given=fitted.given,
            others=fitted.others,
        )
        held = occupied_types(weights, panel.n_users)
        means, rest = group_means(self.groupings, drawn, resp)  # (G, K)
        regrets = judged.regrets.by_kind
        return _Draw(
            weights=weights,
            regret=judged.by_kind,
            worst={kind: lost[held].max(axis=0) for kind, lost in judged.by_kind.items()},
            group={kind: means @ lost for kind, lost in regrets.items()},
            above_rest={kind: (means - rest) @ lost for kind, lost in regrets.items()},
            agreement=float(adjusted_rand_score(before.argmax(axis=1), resp.argmax(axis=1))),
            is_fresh=is_fresh,
        )


def refitted(
    fitted: Fitted,
    panel: Rankings,
    before: NDArray[np.float64],
    rng: np.random.Generator,
) -> tuple[EMState[LogLinearPolicies], bool]:
    """Return the types of a draw of users, numbered as the fit's, and whether a fresh start won.

    `before` (N, K) are the responsibilities that the fit gives to the users drawn.
    """
    config = EMConfig(max_iter=fitted.max_iter)
    state, is_fresh = run_em(fitted.policies, panel, before, config).state, False
    n_types = fitted.policies.n_types
    if n_types > 1:
        l2, features = fitted.policies.l2, fitted.policies.features
        start = starting_responsibilities(panel, features, n_types, 0, rng, l2=l2)
        fresh = run_em(untrained(features, n_types, l2), panel, start, config).state
        if fresh.objective > state.objective + SAME_OPTIMUM:
            state, is_fresh = fresh, True
    shared = before.T @ np.exp(state.log_resp)  # (K, K) users in common
    return relabelled(state, linear_sum_assignment(shared, maximize=True)[1]), is_fresh


def group_means(
    groupings: Sequence[Grouping], drawn: NDArray[np.int64], resp: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the mean responsibilities (G, K) of all groups shown, and of those outside each.

    `resp` (n, K) are those of the users `drawn` (n,). Where a draw has nobody, all stand in.
    """
    counted = np.column_stack([resp, np.ones(len(resp))])
    parts = []
    for grouping in groupings:
        codes = grouping.codes[drawn]
        sums = np.zeros((len(grouping.labels), counted.shape[1]))
        np.add.at(sums, codes, counted)
        parts.append(sums[~grouping.hidden])
    sums = np.concatenate(parts) if parts else np.empty((0, counted.shape[1]))
    everybody = counted.sum(axis=0)
    sums, rest = (np.where(part[:, -1:] > 0, part, everybody) for part in (sums, everybody - sums))
    return sums[:, :-1] / sums[:, -1:], rest[:, :-1] / rest[:, -1:]


def _summary(
    draws: Sequence[_Draw],
    groupings: Sequence[Grouping],
    rules: Sequence[str],
    confidence: float,
    seed: int,
) -> RefitAudit:
    tail = (1.0 - confidence) / 2

    def ends(name: str, kind: str) -> NDArray[np.float64]:
        """Return (..., J, 2) of a field's draws."""
        values = np.stack([getattr(draw, name)[kind] for draw in draws])
        return np.moveaxis(np.quantile(values, (tail, 1.0 - tail), axis=0), 0, -1)

    def by_rule(table: NDArray[np.float64]) -> dict[str, Ends]:
        """Return pairs by rule from (J, 2)."""
        return {rule: (low, high) for rule, (low, high) in zip(rules, table.tolist(), strict=True)}

    kinds = tuple(draws[0].regret)
    regret = {kind: ends("regret", kind) for kind in kinds}
    group, above = ({kind: ends(name, kind) for kind in kinds} for name in ("group", "above_rest"))
    named = [
        (grouping.attribute, grouping.labels[g])
        for grouping in groupings
        for g in np.flatnonzero(~grouping.hidden)
    ]
    weights = np.stack([draw.weights for draw in draws])
    return RefitAudit(
        n_refits=len(draws),
        seed=seed,
        confidence=confidence,
        agreement=float(np.mean([draw.agreement for draw in draws])),
        n_fresh=sum(draw.is_fresh for draw in draws),
        weights=np.quantile(weights, (tail, 1.0 - tail), axis=0).T,
        regret={
            kind: {rule: table[:, j] for j, rule in enumerate(rules)}
            for kind, table in regret.items()
        },
        worst={kind: by_rule(ends("worst", kind)) for kind in kinds},
        groups=tuple(
            RefitGroup(
                attribute,
                value,
                {kind: by_rule(table[g]) for kind, table in group.items()},
                {kind: by_rule(table[g]) for kind, table in above.items()},
            )
            for g, (attribute, value) in enumerate(named)
        ),
    )
