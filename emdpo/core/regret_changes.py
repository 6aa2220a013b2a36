"""Regret under the rules of one fit less regret under those of another, over the same users.

Each fit's own types judge its rules, so that a difference mixes two things: other policies, and
other types to judge them. Therefore both fits' rules are also judged by the types of one fit alone.

Letters: N users and A candidates that both fits know, K and L types, J rules that both have.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from emdpo.core.audit import KINDS
from emdpo.core.mixture import occupied_types
from emdpo.core.regret import regret_table
from emdpo.core.resampling import interval_of, resampled_means
from emdpo.core.rules import rule_policies

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.comparison import Pairs
    from emdpo.core.groups import Grouping

OWN, BY_A, BY_B = "own", "a", "b"
JUDGES = (OWN, BY_A, BY_B)
"""Whose types judge: each run's own, or for both runs those of one."""

_VALUES = ["value_a", "value_b", "difference"]
_INTERVAL = ["low", "high"]
OVERALL = ["judged_by", "kind", "rule", "statistic", "n", *_VALUES, *_INTERVAL]
BY_TYPE = ["type_a", "type_b", "kind", "rule", *_VALUES]
BY_GROUP = ["attribute", "value", "n", "judged_by", "kind", "rule", *_VALUES, *_INTERVAL]


@dataclass(frozen=True, eq=False)
class JudgedFit:
    """What regrets need of a fit, on the users and candidates that both fits know."""

    scores: NDArray[np.float64]
    """(K, A) DPO scores, nats."""
    pooled: NDArray[np.float64]
    """(A,) of the one model fitted to everybody."""
    responsibilities: NDArray[np.float64]
    """(N, K)"""
    prevalence: NDArray[np.float64]
    """(K,) weights of the types in the whole fit."""
    n_users: int
    """Of the whole fit."""
    beta: float
    """DPO inverse temperature, > 0."""

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """(K,) false for a type without users."""
        return occupied_types(self.prevalence, self.n_users)

    def rules(self, prompt: NDArray[np.int64]) -> dict[str, NDArray[np.float64]]:
        """Return the policies, (A,), of every rule that does not name a type."""
        held = self.occupied
        shares = self.prevalence[held] / self.prevalence[held].sum()
        rules, _ = rule_policies(self.scores[held], self.pooled, shares, prompt, self.beta)
        return {name: rule.policy for name, rule in rules.items() if not name.startswith("type-")}

    def regrets(
        self, policies: NDArray[np.float64], prompt: NDArray[np.int64]
    ) -> dict[str, NDArray[np.float64]]:
        """Return the regret (K, J) of the types under policies (J, A), by kind; 0 if empty."""
        table = regret_table(self.scores, policies, prompt, self.beta)
        empty = ~self.occupied[:, None]
        return {kind: np.where(empty, 0.0, getattr(table, kind)) for kind in KINDS}


class _Side(NamedTuple):
    """The regret of one fit's types under one fit's rules."""

    judge: int
    """Whose types: 0 = those of A, 1 = those of B."""
    regret: dict[str, NDArray[np.float64]]
    """By kind: (K, J)."""


Sides = dict[str, tuple[_Side, _Side]]
"""By judge: the regret under the rules of A, and under those of B."""


@dataclass(frozen=True, eq=False)
class RegretChanges:
    """Regrets of two fits, beside one another."""

    rules: tuple[str, ...]
    overall: pd.DataFrame
    """OVERALL; statistic worst (over types that have users) or mean (over the users shared). Users
    do not enter the worst, so that it has no interval over them."""
    by_type: pd.DataFrame
    """BY_TYPE: matched types, from 1, each judging its own run's rules."""
    by_group: pd.DataFrame
    """BY_GROUP: means over the users shared of groups that may be shown."""


def regret_changes(
    a: JudgedFit,
    b: JudgedFit,
    prompt: NDArray[np.int64],
    pairs: Pairs,
    groups: Sequence[Grouping],
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> RegretChanges:
    """Return the regret under every rule of B less that under the same rule of A.

    Parameters
    ----------
    a, b : JudgedFit
    prompt : (A,) int
        Prompt codes, each of 0..P-1 used.
    pairs
        Matched types, from 0 (`comparison.match_types`).
    groups
        The users shared by attribute (`groups.groupings`).
    n_bootstrap, confidence, rng
        Of the intervals: percentile bootstrap over users, the same draws for both fits. Types and
        policies stay as they are.
    """
    fits, draw = (a, b), _Draw(n_bootstrap, confidence, rng)
    rules = [fit.rules(prompt) for fit in fits]
    names = tuple(rules[0])
    policies = np.stack([each[name] for each in rules for name in names])  # (2J, A)
    sides = _sides([fit.regrets(policies, prompt) for fit in fits], len(names))
    return RegretChanges(
        rules=names,
        overall=pd.DataFrame(_overall(fits, sides, names, draw), columns=OVERALL),
        by_type=pd.DataFrame(_by_type(sides[OWN], names, pairs), columns=BY_TYPE),
        by_group=pd.DataFrame(_by_group(fits, sides, names, groups, draw), columns=BY_GROUP),
    )


def no_changes() -> RegretChanges:
    """Return the changes where the fits share no answer: none."""
    return RegretChanges(
        (), *(pd.DataFrame(columns=names) for names in (OVERALL, BY_TYPE, BY_GROUP))
    )


class _Draw(NamedTuple):
    n_bootstrap: int
    confidence: float
    rng: np.random.Generator


def _sides(tables: Sequence[dict[str, NDArray[np.float64]]], n_rules: int) -> Sides:
    """Return the sides from each fit's regret (K, 2J) under the rules of A, then of B, by kind."""

    def side(judge: int, rules_of: int) -> _Side:
        part = slice(rules_of * n_rules, (rules_of + 1) * n_rules)
        return _Side(judge, {kind: table[:, part] for kind, table in tables[judge].items()})

    judges = {OWN: (0, 1), BY_A: (0, 0), BY_B: (1, 1)}
    return {name: (side(one, 0), side(other, 1)) for name, (one, other) in judges.items()}


def _overall(
    fits: tuple[JudgedFit, JudgedFit], sides: Sides, names: Sequence[str], draw: _Draw
) -> Iterator[tuple[Any, ...]]:
    n = len(fits[0].responsibilities)
    means = _mean_changes(fits, sides, np.ones(n, bool), draw)
    for (judge, kind), rows in means.items():
        worst = [
            side.regret[kind][fits[side.judge].occupied].max(axis=0) for side in sides[judge]
        ]  # (J,) each
        for rule, row, before, after in zip(
            names, rows, *map(np.ndarray.tolist, worst), strict=True
        ):
            yield (judge, kind, rule, "worst", n, before, after, after - before, np.nan, np.nan)
            yield (judge, kind, rule, "mean", n, *row)


def _by_type(
    sides: tuple[_Side, _Side], names: Sequence[str], pairs: Pairs
) -> Iterator[tuple[Any, ...]]:
    one, other = sides
    for k, m in pairs:
        for kind in KINDS:
            rows = zip(
                names, one.regret[kind][k].tolist(), other.regret[kind][m].tolist(), strict=True
            )
            for rule, before, after in rows:
                yield (k + 1, m + 1, kind, rule, before, after, after - before)


def _by_group(
    fits: tuple[JudgedFit, JudgedFit],
    sides: Sides,
    names: Sequence[str],
    groups: Sequence[Grouping],
    draw: _Draw,
) -> Iterator[tuple[Any, ...]]:
    for group in groups:
        for code in np.flatnonzero(~group.hidden):
            members = group.codes == code
            about = (group.attribute, group.labels[code], int(members.sum()))
            for (judge, kind), rows in _mean_changes(fits, sides, members, draw).items():
                for rule, row in zip(names, rows, strict=True):
                    yield (*about, judge, kind, rule, *row)


def _mean_changes(
    fits: tuple[JudgedFit, JudgedFit], sides: Sides, members: NDArray[np.bool_], draw: _Draw
) -> dict[tuple[str, str], list[list[float]]]:
    """Return by judge and kind, for each rule: mean in A, in B, their difference and its interval.

    Regret is linear in responsibilities, so only those are drawn again.
    """
    both = np.hstack([fit.responsibilities[members] for fit in fits])  # (n, K + L)
    drawn = np.vstack([both.mean(axis=0), resampled_means(both, draw.n_bootstrap, draw.rng)])
    shares = np.split(drawn, [len(fits[0].prevalence)], axis=1)  # (1 + B, K), (1 + B, L)
    found = {}
    for judge, (one, other) in sides.items():
        for kind in KINDS:
            before, after = (shares[side.judge] @ side.regret[kind] for side in (one, other))
            change = after - before  # (1 + B, J)
            ends = interval_of(change[1:], draw.confidence)
            found[judge, kind] = np.stack([before[0], after[0], change[0], *ends], axis=1).tolist()
    return found
