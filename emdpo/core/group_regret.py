"""The regret that groups of users suffer, and how sure that is.

A group's regret is linear in its mean responsibility, so users are drawn again only once, whatever
the number of rules and kinds of regret. Three questions have an answer each:

- *How large is it?* A percentile interval for each figure, and a simultaneous one that holds for
  all groups of an attribute at once (sup-t band: Montiel Olea and Plagborg-Moller 2019, Journal of
  Applied Econometrics 34, doi 10.1002/jae.2656).
- *Does the group differ from everybody else?* The difference with its interval, and a permutation
  test whose p-value counts how many groups were looked at (single-step maxT: Westfall and Young
  1993, Resampling-Based Multiple Testing).

All hold the fitted types fixed; `emdpo.refitting` does not.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from scipy.sparse import csr_array

from emdpo.core.resampling import resampled_counts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.groups import Grouping

ROUNDING = 1e-12
"""Differences below this are rounding: no test tells anything by them."""

OF_ITSELF = ("regret", "interval", "simultaneous")
"""Figures that every group has."""

BESIDE_THE_REST = ("above_rest", "above_rest_interval", "p_value")
"""Figures that compare a group with everybody else."""

ByRule = Mapping[str, float]
IntervalByRule = Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class GroupRegret:
    """The mean regret of the people who share an attribute value, or two."""

    attribute: str
    value: str
    n: int
    """Users."""
    regret: Mapping[str, ByRule]
    """By kind and rule: mean over users of sum_k r_ik R_k(rule)."""
    interval: Mapping[str, IntervalByRule]
    """By kind and rule: percentile bootstrap over users."""
    type_shares: tuple[float, ...]
    """(K,) mean responsibility: the group's composition by type."""
    known: bool = True
    """False for the users whose attribute is missing."""
    simultaneous: Mapping[str, IntervalByRule] = field(default_factory=dict)
    """By kind and rule: intervals that cover all groups of the attribute at once."""
    above_rest: Mapping[str, ByRule] = field(default_factory=dict)
    """By kind and rule: the group's mean less that of all other users."""
    above_rest_interval: Mapping[str, IntervalByRule] = field(default_factory=dict)
    """By kind and rule: percentile bootstrap over users."""
    p_value: Mapping[str, ByRule] = field(default_factory=dict)
    """By kind and rule: permutation test of no difference from the rest, adjusted for all groups of
    the attribute. This and `above_rest` are empty where the value is missing, or nobody is left."""


@dataclass(frozen=True)
class SuppressedGroup:
    """A group that is not shown: too small, or one that gives a small one away."""

    attribute: str
    value: str
    n: int


class _Draws(NamedTuple):
    """Mean responsibilities of the G groups of a grouping that are shown, and of users redrawn."""

    means: NDArray[np.float64]
    """(G, K)"""
    drawn: NDArray[np.float64]
    """(B, G, K)"""
    rest: NDArray[np.float64]
    """(G, K) of all users outside the group; nan where there are none."""
    rest_drawn: NDArray[np.float64]
    """(B, G, K)"""
    shuffled: NDArray[np.float64]
    """(B, G, K) the group's mean less the rest's, with users dealt out to groups at random."""


class Regrets(NamedTuple):
    """What types lose, by kind: (K, J) arrays over rules; 0 for types without users."""

    rules: tuple[str, ...]
    by_kind: Mapping[str, NDArray[np.float64]]


def group_regrets(
    groupings: Sequence[Grouping],
    responsibilities: NDArray[np.float64],
    regrets: Regrets,
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> tuple[tuple[GroupRegret, ...], tuple[SuppressedGroup, ...]]:
    """Return the regret of every group shown, and the groups that are not.

    Parameters
    ----------
    groupings
        Of the N users.
    responsibilities : (N, K)
    regrets
        Of the K types.
    n_bootstrap
        Resamples of users, and permutations.
    confidence
        Of the intervals, in (0, 1).
    """
    shown: list[GroupRegret] = []
    suppressed: list[SuppressedGroup] = []
    for grouping, draws in _draws(groupings, responsibilities, n_bootstrap, rng):
        shown += _shown_groups(grouping, draws, regrets, confidence)
    for grouping in groupings:
        for g in np.flatnonzero(grouping.hidden):
            name = (grouping.attribute, grouping.labels[g])
            suppressed.append(SuppressedGroup(*name, int(grouping.n[g])))
    return tuple(shown), tuple(suppressed)


def _draws(
    groupings: Sequence[Grouping],
    responsibilities: NDArray[np.float64],
    n_bootstrap: int,
    rng: np.random.Generator,
) -> Iterator[tuple[Grouping, _Draws]]:
    """Yield every grouping that shows groups, with their mean responsibilities, observed and drawn.

    Everybody is drawn again together, so that groups stay as dependent as they are.
    """
    groupings = [grouping for grouping in groupings if not grouping.hidden.all()]
    if not groupings:
        return
    n_users, n_types = responsibilities.shape
    sizes = [int((~grouping.hidden).sum()) for grouping in groupings]
    member = _membership(groupings)  # (all groups, N)
    counted = np.column_stack([responsibilities, np.ones(n_users)])  # (N, K + 1)
    drawn = np.empty((n_bootstrap, sum(sizes), n_types + 1))
    totals = np.empty((n_bootstrap, 1, n_types + 1))
    shuffled = np.empty((n_bootstrap, sum(sizes), n_types))
    number = 0
    for block in resampled_counts(n_users, n_bootstrap, rng):
        for counts in block:
            drawn[number] = member @ (counted * counts[:, None])
            totals[number] = counts @ counted
            shuffled[number] = member @ responsibilities[rng.permutation(n_users)]
            number += 1
    observed, total = member @ counted, counted.sum(axis=0)
    ends = np.cumsum(sizes)
    for grouping, start, end in zip(groupings, ends - sizes, ends, strict=True):
        here = slice(start, end)
        means, rest = _means(observed[here], total)
        means_drawn, rest_drawn = _means(drawn[:, here], totals)
        n = np.broadcast_to(observed[here, -1:], (n_bootstrap, end - start, 1))
        dealt, others = _means(np.concatenate([shuffled[:, here], n], axis=-1), total)
        yield grouping, _Draws(means, means_drawn, rest, rest_drawn, dealt - others)


def _membership(groupings: Sequence[Grouping]) -> csr_array:
    """Return which group shown holds which user, one row a group, (all groups, N)."""
    rows, users, start = [], [], 0
    for grouping in groupings:
        row = np.cumsum(~grouping.hidden) - 1 + start
        held = np.flatnonzero(~grouping.hidden[grouping.codes])
        rows.append(row[grouping.codes[held]])
        users.append(held)
        start = int(row[-1]) + 1
    places = (np.concatenate(rows), np.concatenate(users))
    shape = (start, len(groupings[0].codes))
    return csr_array((np.ones(len(places[0])), places), shape=shape)


def _means(
    sums: NDArray[np.float64], total: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the means of groups and of those outside, from sums whose last column counts users.

    A group that no draw hit counts as its nearest possible: a mean of 0 of nobody.
    """
    rest = total - sums
    n, n_rest = np.maximum(sums[..., -1:], 1.0), rest[..., -1:]
    with np.errstate(divide="ignore", invalid="ignore"):
        return sums[..., :-1] / n, np.where(n_rest > 0, rest[..., :-1] / n_rest, np.nan)


def _shown_groups(
    grouping: Grouping, draws: _Draws, regrets: Regrets, confidence: float
) -> list[GroupRegret]:
    visible = np.flatnonzero(~grouping.hidden)
    n, tested = grouping.n[visible], grouping.known[visible]
    compared = tested & (n < len(grouping.codes))
    told: dict[str, dict[str, NDArray[np.float64]]] = {}
    for kind, by_type in regrets.by_kind.items():
        point, drawn = draws.means @ by_type, draws.drawn @ by_type
        above, above_drawn = point - draws.rest @ by_type, drawn - draws.rest_drawn @ by_type
        shuffled = draws.shuffled @ by_type
        told[kind] = {
            "regret": point,  # (G, J)
            "interval": _percentiles(drawn, confidence),  # (G, J, 2)
            "simultaneous": simultaneous_intervals(point, drawn, confidence),
            "above_rest": above,
            "above_rest_interval": _percentiles(above_drawn, confidence),
            "p_value": permutation_p_values(above, shuffled, n, len(grouping.codes), tested),
        }
    return [
        GroupRegret(
            attribute=grouping.attribute,
            value=grouping.labels[g],
            n=int(n[place]),
            type_shares=tuple(draws.means[place].tolist()),
            known=bool(grouping.known[g]),
            **{
                name: _by_rule(told, name, place, regrets.rules)
                for name in OF_ITSELF + BESIDE_THE_REST * bool(compared[place])
            },
        )
        for place, g in enumerate(visible)
    ]


def _by_rule(
    told: Mapping[str, Mapping[str, NDArray[np.float64]]],
    name: str,
    place: int,
    rules: Sequence[str],
) -> dict[str, Any]:
    """Return one group's figures of a name by kind and rule; an interval is a pair."""
    found: dict[str, Any] = {}
    for kind, parts in told.items():
        values = parts[name][place].tolist()
        values = [tuple(each) if isinstance(each, list) else each for each in values]
        found[kind] = dict(zip(rules, values, strict=True))
    return found


def _percentiles(drawn: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    """Return percentile intervals (G, J, 2) of draws (B, G, J)."""
    tail = (1.0 - confidence) / 2
    return np.moveaxis(np.quantile(drawn, (tail, 1.0 - tail), axis=0), 0, -1)


def simultaneous_intervals(
    point: NDArray[np.float64], drawn: NDArray[np.float64], confidence: float
) -> NDArray[np.float64]:
    """Return intervals (G, J, 2) that hold for all groups of a rule at once: a sup-t band.

    Parameters
    ----------
    point : (G, J)
    drawn : (B, G, J)
        Of users drawn again.
    """
    error = drawn.std(axis=0)  # (G, J)
    moved = np.abs(drawn - point)
    t = np.divide(moved, error, out=np.zeros_like(moved), where=error > ROUNDING)
    half = np.quantile(t.max(axis=1), confidence, axis=0) * error
    return np.stack([point - half, point + half], axis=-1)


def permutation_p_values(
    difference: NDArray[np.float64],
    shuffled: NDArray[np.float64],
    n: NDArray[np.int64],
    n_users: int,
    counted: NDArray[np.bool_],
) -> NDArray[np.float64]:
    """Return p-values (G, J) of no difference, adjusted over groups; nan for those not counted.

    Parameters
    ----------
    difference : (G, J)
        Of each group's mean from the mean of the rest.
    shuffled : (B, G, J)
        The same with users dealt out at random.
    n : (G,) int
        Users of each group, of `n_users`.
    counted : (G,) bool
        Groups that are tested.

    Notes
    -----
    Under exchangeable users a difference has variance in proportion to 1/n + 1/(N - n): it is
    divided by the root of that before the largest over groups is taken, so that small groups do not
    decide alone.
    """
    found = np.full(difference.shape, np.nan)
    rest = n_users - n
    counted = counted & (rest > 0)
    if not counted.any():
        return found
    spread = np.sqrt(1 / n[counted] + 1 / rest[counted])[:, None]
    observed = np.abs(difference[counted]) / spread  # (G, J)
    largest = (np.abs(shuffled[:, counted]) / spread).max(axis=1)  # (B, J)
    as_large = (largest[:, None] >= observed - ROUNDING).sum(axis=0)
    p_values = (1 + as_large) / (1 + len(shuffled))
    found[counted] = np.where(np.isnan(observed), np.nan, p_values)
    return found
