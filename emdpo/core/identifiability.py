"""Which theorem says that these rankings can, or cannot, tell types apart; and its premises.

Sources: Fox, Kim, Ryan, Bajari 2012 (J. Econometrics 166); Zhao, Piech, Xia 2016 (arXiv
1603.07323); Zhao, Xia 2019 (arXiv 1910.11721); Zhang, Zhang, Loh, Liang 2022 (arXiv 2201.13132).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from emdpo.core.errors import NotIdentifiableError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings


@dataclass(frozen=True)
class Spread:
    """Smallest, middle and largest of some counts; zeros where there are none."""

    min: int
    median: float
    max: int

    def __str__(self) -> str:
        return f"{self.min:,}" if self.min == self.max else f"{self.min:,} to {self.max:,}"


def spread(counts: NDArray[np.int64]) -> Spread:
    """Return the spread of counts.

    >>> spread(np.array([2, 3, 9]))
    Spread(min=2, median=3.0, max=9)
    """
    if not len(counts):
        return Spread(0, 0.0, 0)
    return Spread(int(counts.min()), float(np.median(counts)), int(counts.max()))


@dataclass(frozen=True)
class Theorem:
    """One result on identifiability, held against a panel."""

    name: str
    """Authors and year."""
    source: str
    """Where it stands."""
    premises: tuple[str, ...]
    """What it assumes that the data alone cannot show, in plain words."""
    applies: bool
    """Whether the rankings have the form that it speaks about."""
    conclusion: str
    """What it says of these rankings."""
    max_types: int | None
    """Most types that it does not rule out; None where it sets no bound."""


@dataclass(frozen=True)
class IdentifiabilityStatement:
    """What the shape of a panel lets anyone learn about types, whatever the method."""

    list_lengths: Spread
    """Candidates shown per ranking that orders anything; held-out rankings do not count here."""
    answers_per_user: Spread
    """Such rankings per user."""
    pairs_only: bool
    """Whether no such ranking has three candidates or more."""
    linked_users: int
    """Users with two answers or more."""
    verdict: str
    """The statement in a sentence or two."""
    theorems: tuple[Theorem, ...]

    def to_text(self) -> str:
        """Return the statement as lines."""
        lines = [
            f"Answers per user: {self.answers_per_user}; candidates per answer: "
            f"{self.list_lengths}.",
            self.verdict,
        ]
        for theorem in self.theorems:
            lines.append(f"- {theorem.name} ({theorem.source}): {theorem.conclusion}")
            if theorem.applies:
                lines.append(f"  Premises: {'; '.join(theorem.premises)}.")
        return "\n".join(lines)

    def to_dict(self) -> dict[str, Any]:
        """Return the statement as plain values for JSON."""
        return asdict(self)


def max_types_full_rankings(n_items: int) -> int:
    """Return the most types that full rankings of `n_items` items do not rule out.

    K types with free item utilities are not identifiable when m <= 2K - 1 (Zhao, Piech, Xia
    2016), one ranking per user.

    >>> [max_types_full_rankings(m) for m in (2, 3, 4, 6)]
    [1, 1, 2, 3]
    """
    return max(n_items // 2, 1)


def max_types_partial_rankings(l1: int, l2: int) -> int:
    """Return the most types that ranked top-l1 lists with choices among l2 do not rule out.

    K types with free item utilities are not identifiable when l1 + l2 <= 2K - 1 (Zhao, Xia 2019),
    one answer per user. `l1` is 0 without top lists of all items, `l2` is 1 without answers about
    some of the items.

    >>> max_types_partial_rankings(3, 1), max_types_partial_rankings(0, 4)
    (2, 2)
    """
    return max((l1 + l2) // 2, 1)


def is_informative(rankings: Rankings) -> NDArray[np.bool_]:
    """Return (R,) whether a ranking puts any candidate above another."""
    starts = rankings.offsets[:-1]
    if not len(starts):
        return np.zeros(0, bool)
    lowest = np.minimum.reduceat(rankings.ranks, starts)
    return np.maximum.reduceat(rankings.ranks, starts) != lowest


def pairs_only_single_answer(rankings: Rankings) -> bool:
    """Return whether each user gave at most one answer to fit, between two candidates.

    Such answers cannot tell types apart: half theta and half -theta answers every pair 50/50.
    """
    answers = _answers(rankings)
    per_user = np.bincount(answers.user, minlength=1)
    return bool(answers.n_rankings and (answers.lengths <= 2).all() and per_user.max() <= 1)


def says_nothing(rankings: Rankings) -> bool:
    """Return whether no ranking to fit, of weight above 0, puts one candidate above another."""
    return _answers(rankings).n_rankings == 0


def refuse_unidentifiable(rankings: Rankings) -> None:
    """Raise unless these rankings can tell more than one type apart.

    Raises
    ------
    NotIdentifiableError
        No order at all, or one pair per user.
    """
    if says_nothing(rankings):
        raise NotIdentifiableError(
            "no ranking puts one candidate above another, so nothing can be learnt about types"
        )
    if pairs_only_single_answer(rankings):
        raise NotIdentifiableError(
            "one pair per user cannot tell types apart: a half-and-half mixture of opposite types "
            "answers every pair 50/50; collect lists of three or more, or several answers per "
            "user, or pass force (--force) to fit all the same"
        )


def panel_identifiability(rankings: Rankings) -> IdentifiabilityStatement:
    """Return what the rankings to fit can tell about types, and by which theorem."""
    answers = _answers(rankings)
    per_user = np.bincount(answers.user, minlength=answers.n_users)
    linked = int((per_user >= 2).sum())
    pairs_only = bool((answers.lengths <= 2).all())
    return IdentifiabilityStatement(
        list_lengths=spread(answers.lengths),
        answers_per_user=spread(per_user),
        pairs_only=pairs_only,
        linked_users=linked,
        verdict=_verdict(answers.n_rankings, pairs_only, linked, answers.n_users),
        theorems=(_features(pairs_only), _items(answers, linked), _generic(answers)),
    )


def _answers(rankings: Rankings) -> Rankings:
    fitted = rankings.fitted()
    return fitted.select(is_informative(fitted) & (fitted.weight > 0))


def _verdict(n_answers: int, pairs_only: bool, linked: int, n_users: int) -> str:
    if not n_answers:
        return "No ranking puts one candidate above another: nothing can be learnt."
    if not pairs_only:
        return (
            "There are answers among three candidates or more: these can identify types, with "
            "features even from one answer per user, under the premises below."
        )
    if not linked:
        return (
            "One unlinked answer between two candidates per user cannot identify types: half "
            "theta and half -theta answers every pair 50/50. Ask for the best of three."
        )
    return (
        f"Answers between two candidates only, but {linked:,} of {n_users:,} users gave two or "
        "more: linked answers do carry the information, single ones do not."
    )


def _features(pairs_only: bool) -> Theorem:
    holds = (
        "one best-of-three answer per user identifies the distribution of types, however many; it "
        "does not say how many users that takes"
    )
    fails = "this needs answers among three candidates or more, which these rankings lack"
    return Theorem(
        name="Fox, Kim, Ryan, Bajari 2012",
        source="J. Econometrics 166",
        premises=(
            "rewards are linear in the features",
            "the features vary over an open set around zero",
            "a user's type is independent of the prompts and features shown",
            "the types have moments that determine them, as any finite number of types has",
        ),
        applies=not pairs_only,
        conclusion=f"with features, {fails if pairs_only else holds}.",
        max_types=None,
    )


def _items(answers: Rankings, linked: int) -> Theorem:
    """Return the bound for free item utilities, of the paper that fits the lists."""
    l1, l2 = _structure(answers)
    is_full = l2 == 1 and _ranks_all(answers)
    n_items = int(answers.lengths.max(initial=0))
    bound = max_types_full_rankings(n_items) if is_full else max_types_partial_rankings(l1, l2)
    what = f"full rankings of {n_items} items" if is_full else f"l1 = {l1}, l2 = {l2}"
    conclusion = (
        f"with a free utility per item and {what}, {bound + 1} or more types are not identifiable: "
        "some mixtures of them cannot be told apart by any number of users."
    )
    if linked:
        conclusion += (
            f" It speaks of one answer per user; {linked:,} users gave more, which tell more."
        )
    return Theorem(
        name="Zhao, Piech, Xia 2016" if is_full else "Zhao, Xia 2019",
        source="arXiv 1603.07323" if is_full else "arXiv 1910.11721",
        premises=(
            "each type is a Plackett-Luce model with a free utility per item",
            "one answer per user, without ties",
            "a bound from one side only: fewer types are not promised either",
        ),
        applies=answers.n_rankings > 0 and not linked,
        conclusion=conclusion,
        max_types=bound,
    )


def _structure(answers: Rankings) -> tuple[int, int]:
    """Return l1 and l2 of `max_types_partial_rankings`."""
    n_items = np.bincount(answers.candidate_prompt, minlength=answers.n_prompts)
    shows_all = answers.lengths == n_items[answers.prompt]
    top = np.minimum(_n_ranked(answers), answers.lengths - 1)
    l1 = int(top[shows_all].max(initial=0))
    return l1, int(answers.lengths[~shows_all].max(initial=1))


def _n_ranked(answers: Rankings) -> NDArray[np.int64]:
    return np.bincount(answers.ranking_of_row[answers.ranks > 0], minlength=answers.n_rankings)


def _ranks_all(answers: Rankings) -> bool:
    return bool((_n_ranked(answers) >= answers.lengths - 1).all())


def _generic(answers: Rankings) -> Theorem:
    return Theorem(
        name="Zhang, Zhang, Loh, Liang 2022",
        source="arXiv 2201.13132",
        premises=(
            "two types, each with a free utility per item",
            "enough items, compared in all combinations",
            "utilities outside a set of measure zero, which holds theta against -theta",
        ),
        applies=answers.n_rankings > 0,
        conclusion="two types are generically identifiable, even from pairs: for almost all types.",
        max_types=None,
    )
