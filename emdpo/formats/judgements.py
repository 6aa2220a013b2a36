"""What every importer yields, judgements of people, and the canonical table made of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import pandas as pd

from emdpo.core.errors import DataError
from emdpo.core.tables.forms import ROLES
from emdpo.core.tables.source import MAX_FILE_BYTES

Messages = list[dict[str, str]]
"""A conversation: role and content of each message."""


@dataclass(frozen=True)
class Judgement:
    """One person's order of the answers to one prompt."""

    prompt: str | Messages
    """What the answers answer."""
    responses: Sequence[str]
    """M answers shown."""
    ranks: Sequence[int]
    """M ranks: 1 = best, equal = tied, 0 = shown but not ranked."""
    user_id: str | None = None
    """Who ranked; None where the source does not tell."""
    prompt_id: str | None = None
    """None: the text is the id."""
    response_ids: Sequence[str] | None = None
    """M ids; None: the texts are the ids."""
    attributes: Mapping[str, str] = field(default_factory=dict)
    """Of the person: possible groups."""


@dataclass(frozen=True)
class LeftOut:
    """A judgement that cannot be used, and why."""

    reason: str


def ranks_of(scores: Iterable[float | None]) -> list[int]:
    """Return dense ranks, the highest score first, equal scores tied; None is not ranked: 0.

    >>> ranks_of([2.0, 5.0, 2.0, None])
    [2, 1, 2, 0]
    """
    scores = list(scores)
    levels = sorted({score for score in scores if score is not None}, reverse=True)
    place = {score: rank for rank, score in enumerate(levels, 1)}
    return [0 if score is None else place[score] for score in scores]


def as_prompt(messages: Messages) -> str | Messages:
    """Return a conversation as a prompt: a single message of the user is its text."""
    if len(messages) == 1 and messages[0]["role"] == "user":
        return messages[0]["content"]
    return messages


def usable(found: Judgement | LeftOut) -> Judgement | LeftOut:
    """Return a judgement with each answer once, or why it orders nothing.

    Answers that cannot be told apart, by id or text, are one answer, at its best place.
    """
    if isinstance(found, LeftOut):
        return found
    names = found.response_ids or found.responses
    best: dict[str, int] = {}
    for place, name in enumerate(names):
        held = best.setdefault(name, place)
        if _order(found.ranks[place]) < _order(found.ranks[held]):
            best[name] = place
    if len(best) < 2:
        return LeftOut("one answer only")
    kept = sorted(best.values())
    if len({_order(found.ranks[place]) for place in kept}) < 2:
        return LeftOut("all answers tied: nothing is ordered")
    if len(kept) == len(names):
        return found
    ids = found.response_ids
    return replace(
        found,
        responses=[found.responses[place] for place in kept],
        ranks=[found.ranks[place] for place in kept],
        response_ids=None if ids is None else [ids[place] for place in kept],
    )


def _order(rank: int) -> float:
    """Return a rank as a number where not ranked comes last."""
    return rank or float("inf")


@dataclass(frozen=True)
class Gathered:
    """The judgements of a source as a canonical table."""

    table: pd.DataFrame
    """One row per answer shown; see `core.rankings.rankings_from_table`, with rank None = not
    ranked and the people's attributes as columns."""
    n_judgements: int
    """Rankings in it."""
    left_out: Mapping[str, int]
    """From reason to number of judgements, the most frequent first."""
    n_unnamed: int
    """Rankings of people whom the source does not name: each became a user of its own."""


def gather(
    found: Iterable[Judgement | LeftOut],
    users: Mapping[str, Mapping[str, str]],
    file: str | None = None,
) -> Gathered:
    """Return judgements as a table, with the attributes known of each user.

    Raises
    ------
    DataError
        Naming `file`, where the table would be larger than is read.
    """
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS}
    people: dict[str, dict[str, str]] = {}
    left_out: Counter[str] = Counter()
    number = n_unnamed = n_characters = 0
    for each in map(usable, found):
        if isinstance(each, LeftOut):
            left_out[each.reason] += 1
            continue
        number += 1
        n_characters += _length(each)
        _check_length(n_characters, file)
        n_unnamed += each.user_id is None
        user = each.user_id or f"unknown-{number}"
        people.setdefault(user, {}).update(each.attributes)
        _add(columns, each, user, f"r{number}")
    for user, known in people.items():
        known.update(users.get(user, {}))
    table = _table(columns, people)
    return Gathered(table, number, dict(left_out.most_common()), n_unnamed)


def _length(found: Judgement) -> int:
    """Return the characters of a judgement's rows: the prompt stands in each of them."""
    asked = found.prompt
    prompt = len(asked) if isinstance(asked, str) else sum(len(each["content"]) for each in asked)
    return prompt * len(found.responses) + sum(map(len, found.responses))


def _check_length(n_characters: int, file: str | None) -> None:
    """Raise before a small file fills the disk: texts that it holds once are written many times."""
    if n_characters > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1_000_000
        told = f"as one row per answer the rankings are over {limit} MB: read fewer (--limit N)"
        raise DataError(told, file=file)


_COLUMNS = ("user_id", "ranking_id", "prompt_id", "prompt", "response_id", "response", "rank")


def _add(columns: dict[str, list[Any]], found: Judgement, user: str, ranking: str) -> None:
    n = len(found.responses)
    columns["user_id"] += [user] * n
    columns["ranking_id"] += [ranking] * n
    columns["prompt_id"] += [found.prompt_id] * n
    columns["prompt"] += [found.prompt] * n
    columns["response_id"] += found.response_ids or [None] * n
    columns["response"] += found.responses
    columns["rank"] += [rank or None for rank in found.ranks]


def _table(columns: Mapping[str, list], people: Mapping[str, Mapping[str, str]]) -> pd.DataFrame:
    told = {name: cells for name, cells in columns.items() if any(c is not None for c in cells)}
    names = dict.fromkeys(name for known in people.values() for name in known)
    for name in names:
        own = f"user_{name}" if name in ROLES or name.startswith("x_") else name
        told[own] = [people[user].get(name) for user in columns["user_id"]]
    return pd.DataFrame({name: pd.Series(cells, dtype=object) for name, cells in told.items()})
