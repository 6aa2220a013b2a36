"""A person's type in words: which, how sure, what it rests on, and whether it explains them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emdpo.core.evidence import RankingEvidence
    from emdpo.who_am_i import PersonsType

NO_MORE_THAN_CHANCE = math.log(2)
"""Nats under which the most likely type explains the rankings no better than orders at random."""

NEITHER = 0.05
"""Log-odds (nats) under which a ranking speaks for neither type."""


def percent(probability: float) -> str:
    """Return a probability that is never told as certain.

    >>> percent(0.834), percent(0.9999), percent(0.0)
    ('83%', 'over 99%', 'under 1%')
    """
    if probability >= 0.995:
        return "over 99%"
    return f"{probability:.0%}" if probability >= 0.005 else "under 1%"


def verdict(found: PersonsType) -> str:
    """Return the type and how sure it is, e.g. "You are 83% Type 2."."""
    evidence = found.evidence
    best = percent(evidence.posterior[evidence.most_likely - 1])
    return f"You are {best} Type {evidence.most_likely}."


def doubts(found: PersonsType) -> tuple[str, ...]:
    """Return what a reader of the verdict must know, one sentence each; empty where nothing."""
    evidence, told = found.evidence, []
    best = evidence.posterior[evidence.most_likely - 1]
    if evidence.runner_up is not None and best < 0.6:
        second = percent(evidence.posterior[evidence.runner_up - 1])
        told.append(
            f"That is close to a toss-up: Type {evidence.runner_up} comes next with {second}."
        )
    if found.over_chance < NO_MORE_THAN_CHANCE:
        told.append(
            "Orders at random would explain your answers about as well: perhaps none of the types "
            "is like you."
        )
    if found.n_left_out:
        told.append(f"{found.n_left_out} of your rankings are of answers that the run lacks.")
    return tuple(told)


def times(log_ratio: float) -> str:
    """Return a likelihood ratio >= 1 in words, from its logarithm.

    >>> times(math.log(3.24)), times(math.log(27.3)), times(9.0)
    ('3.2 times', '27 times', 'over 1,000 times')
    """
    ratio = math.exp(min(log_ratio, 7.0))
    if ratio > 1_000:
        return "over 1,000 times"
    return f"{ratio:.1f} times" if ratio < 9.95 else f"{ratio:.0f} times"


def rests_on(found: PersonsType) -> tuple[str, ...]:
    """Return what the verdict rests on: the types' sizes, then each ranking, strongest first."""
    evidence = found.evidence
    if evidence.runner_up is None:
        return ("The run has one type: nothing can tell it from another.",)
    best, other = evidence.most_likely, evidence.runner_up
    return (
        _prior(evidence.prior_influence, best, other),
        *(_ranking(one, best, other) for one in evidence.rankings),
    )


def _prior(influence: float, best: int, other: int) -> str:
    if not math.isfinite(influence):
        return f"Type {other} has nobody, so it was ruled out before any answer."
    if abs(influence) < NEITHER:
        return f"Type {best} and Type {other} are about as common."
    more, less = (best, other) if influence > 0 else (other, best)
    return f"Type {more} is {times(abs(influence))} as common as Type {less} ({influence:+.2f})."


def _ranking(one: RankingEvidence, best: int, other: int) -> str:
    if abs(one.influence) < NEITHER:
        return f"Your order is about as likely for Type {best} as for Type {other}."
    more, less = (best, other) if one.influence > 0 else (other, best)
    ratio = times(abs(one.influence))
    return f"Your order is {ratio} as likely for Type {more} as for Type {less}" + (
        f" ({one.influence:+.2f})."
    )
