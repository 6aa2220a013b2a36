"""What is wrong with a panel of rankings, what is doubtful, and what it can tell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from emdpo.core.errors import EmdpoError
from emdpo.core.identifiability import (
    IdentifiabilityStatement,
    Spread,
    is_informative,
    panel_identifiability,
    spread,
)
from emdpo.core.rankings import Rankings
from emdpo.core.readers import Source, read_rankings
from emdpo.core.tables.cells import column
from emdpo.core.tables.problems import Problem, show

__all__ = ["Group", "Problem", "Report", "Summary", "check", "check_n_types"]

_VALUES_SHOWN = 8


@dataclass(frozen=True)
class Group:
    """A group attribute and how many users have each value."""

    attribute: str
    sizes: dict[str, int]
    """From value to number of users, largest first."""
    not_known: int
    """Users without a value."""

    def __str__(self) -> str:
        shown = list(self.sizes.items())[:_VALUES_SHOWN]
        parts = [f"{show(value, 30)[1:-1]} {n:,}" for value, n in shown]
        if len(self.sizes) > len(shown):
            parts.append(f"{len(self.sizes) - len(shown):,} more values")
        if self.not_known:
            parts.append(f"not known {self.not_known:,}")
        return f"{show(self.attribute, 30)[1:-1]}: {', '.join(parts)}"


@dataclass(frozen=True)
class Summary:
    """The size and shape of a panel."""

    n_users: int
    n_prompts: int
    n_rankings: int
    n_candidates: int
    """Distinct (prompt, response)."""
    list_length: Spread
    """Candidates shown per ranking."""
    answers_per_user: Spread
    """Rankings per user."""
    tied_share: float
    """Share of rankings with a tie among the ranked candidates, 0 to 1."""
    partial_share: float
    """Share of rankings that leave candidates unranked, 0 to 1."""
    pairs_share: float
    """Share of rankings of two candidates, 0 to 1."""
    shared_prompts: int
    """Prompts that two users or more answered."""
    held_out: int
    """Rankings that `split` keeps out of the fit."""
    groups: tuple[Group, ...]

    def to_text(self) -> str:
        """Return the summary as lines."""
        lines = [
            f"{self.n_users:,} users, {self.n_rankings:,} rankings of {self.n_candidates:,} "
            f"candidates to {self.n_prompts:,} prompts ({self.shared_prompts:,} answered by two "
            "users or more)",
            f"candidates per ranking: {_spread_text(self.list_length)}",
            f"rankings per user: {_spread_text(self.answers_per_user)}",
            f"with ties {self.tied_share:.0%}, partial {self.partial_share:.0%}, pairs "
            f"{self.pairs_share:.0%}; held out: {self.held_out:,} rankings",
        ]
        return "\n".join(lines + [f"group {group}" for group in self.groups])


def _spread_text(counts: Spread) -> str:
    return f"min {counts.min:,}, median {counts.median:g}, max {counts.max:,}"


@dataclass(frozen=True)
class Report:
    """What `check` found."""

    errors: tuple[Problem, ...]
    """Why the data cannot be used; empty if they can."""
    warnings: tuple[Problem, ...]
    """What can be used but is doubtful."""
    summary: Summary | None
    """None where there are errors."""
    identifiability: IdentifiabilityStatement | None
    """None where there are errors."""

    def to_text(self) -> str:
        """Return the report as text for a terminal."""
        lines = [f"error: {problem}" for problem in self.errors]
        lines += [f"warning: {problem}" for problem in self.warnings]
        if self.summary is not None:
            lines += ["", self.summary.to_text()]
        if self.identifiability is not None:
            lines += ["", self.identifiability.to_text()]
        return "\n".join(lines).strip("\n")

    def to_dict(self) -> dict[str, Any]:
        """Return the report as plain values for JSON; no NaN."""
        return asdict(self)


def check(
    rankings: Rankings | Source,
    *,
    users: Source | None = None,
    columns: Mapping[str, str | None] | None = None,
) -> Report:
    """Return everything that is wrong or doubtful with rankings, and what they can tell.

    Parameters
    ----------
    rankings
        A panel, or the file or table that `load` would read with `users` and `columns`.
    users, columns
        See `load`; for a panel they have no meaning.

    Examples
    --------
    >>> import pandas as pd
    >>> report = check(pd.DataFrame({
    ...     "user_id": ["ann", "ann"], "prompt": "Tea?", "response": ["Yes.", "No."],
    ...     "rank": [1, "first"],
    ... }))
    >>> print(report.to_text())
    error: row 2, column 'rank': rank must be a whole number >= 1 or blank, got 'first'
    """
    if isinstance(rankings, Rankings):
        return _report(rankings)
    reading = read_rankings(rankings, users=users, columns=columns)
    if reading.rankings is None:
        return Report(reading.errors, reading.warnings, None, None)
    return _report(reading.rankings)


def _report(rankings: Rankings) -> Report:
    warnings = (*rankings.notes, *map(Problem, _doubts(rankings)))
    return Report((), warnings, _summary(rankings), panel_identifiability(rankings))


def check_n_types(n_types: int, rankings: Rankings) -> None:
    """Raise unless `n_types` is a whole number from 1 to the number of users to fit.

    Raises
    ------
    EmdpoError
        Naming the range and what came.
    """
    n_users = rankings.fitted().n_users
    is_whole = isinstance(n_types, int | np.integer) and not isinstance(n_types, bool)
    if not is_whole or not 1 <= n_types <= n_users:
        raise EmdpoError(f"n_types must be in [1, {n_users} users], got {n_types}")


def _doubts(rankings: Rankings) -> list[str]:
    """Return what is doubtful about a panel as a whole."""
    n, lengths = rankings.n_rankings, rankings.lengths
    ranked = _n_ranked(rankings)
    single, unranked = lengths == 1, ranked == 0
    tied = ~is_informative(rankings) & ~single & ~unranked
    of = f"of {n:,} rankings"
    doubts = {
        f"{single.sum():,} {of} show a single candidate: they say nothing": single.any(),
        f"{unranked.sum():,} {of} rank nothing: they say nothing": unranked.any(),
        f"{tied.sum():,} {of} tie all their candidates: they say nothing": tied.any(),
        "one user only: there are no types to find": rankings.n_users == 1,
        "every ranking is held out by split: nothing is left to fit": rankings.held_out.all(),
        "every weight is zero: nothing is left to fit": not rankings.weight.any(),
        f"pairs only: no ranking has three candidates or more{_pairs_hint(rankings)}": (
            lengths.max(initial=0) == 2
        ),
    }
    return [doubt for doubt, present in doubts.items() if present]


def _pairs_hint(rankings: Rankings) -> str:
    answers = np.bincount(rankings.user, minlength=1)
    if answers.max() > 1:
        return ", types show only where users answer several"
    return ", and one per user cannot tell types apart"


def _n_ranked(rankings: Rankings) -> np.ndarray:
    """Return (R,) candidates ranked."""
    return np.bincount(rankings.ranking_of_row[rankings.ranks > 0], minlength=rankings.n_rankings)


def _summary(rankings: Rankings) -> Summary:
    ranked = _n_ranked(rankings)
    answered = np.unique(np.stack([rankings.prompt, rankings.user]), axis=1)
    users_of_prompt = np.bincount(answered[0], minlength=rankings.n_prompts)
    per_user = np.bincount(rankings.user, minlength=rankings.n_users)
    return Summary(
        n_users=rankings.n_users,
        n_prompts=rankings.n_prompts,
        n_rankings=rankings.n_rankings,
        n_candidates=rankings.n_candidates,
        list_length=spread(rankings.lengths),
        answers_per_user=spread(per_user),
        tied_share=_share(_has_tie(rankings)),
        partial_share=_share((ranked > 0) & (ranked < rankings.lengths)),
        pairs_share=_share(rankings.lengths == 2),
        shared_prompts=int((users_of_prompt >= 2).sum()),
        held_out=int(rankings.held_out.sum()),
        groups=tuple(_group(rankings, name) for name in rankings.attributes),
    )


def _share(flags: np.ndarray) -> float:
    return float(flags.mean()) if len(flags) else 0.0


def _has_tie(rankings: Rankings) -> np.ndarray:
    """Return (R,) whether two ranked candidates share a rank."""
    is_ranked = rankings.ranks > 0
    ranking, rank = rankings.ranking_of_row[is_ranked], rankings.ranks[is_ranked]
    order = np.lexsort((rank, ranking))
    again = (np.diff(ranking[order]) == 0) & (np.diff(rank[order]) == 0)
    return np.bincount(ranking[order][1:][again], minlength=rankings.n_rankings) > 0


def _group(rankings: Rankings, name: str) -> Group:
    values = column(rankings.users, name)
    counts = values.value_counts()
    sizes = dict(zip(map(str, counts.index), counts.to_numpy().tolist(), strict=True))
    return Group(str(name), sizes, int(values.isna().sum()))
