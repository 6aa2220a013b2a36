"""What leaves a room: the canonical table of its rankings, and what was shown to whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlalchemy import Row, select

from emdpo.collect.database import Database
from emdpo.collect.plans import Question
from emdpo.collect.rooms import RANKED, Room, questions_of
from emdpo.collect.schema import ANSWERS, PERSONS, TASKS

CANONICAL = ("user_id", "prompt_id", "prompt", "response_id", "response", "rank")
"""Columns of the table, before the groups."""


@dataclass(frozen=True)
class ExportConfig:
    """What an export leaves out."""

    own_words: bool = True
    """Whether what people said of themselves in their own words is in it."""
    min_group: int = 1
    """Fewest people who share all that the table says of them; 1 = nothing is left out."""


def rankings_table(
    database: Database, room: Room, config: ExportConfig | None = None
) -> pd.DataFrame:
    """Return a row for every answer that somebody ranked, in the order in which it was shown.

    Columns `CANONICAL`, and one for each question about people, None = not known. People come in
    the order of their random ids, so that nothing tells who came when.
    """
    config = config or ExportConfig()
    questions, rows = _rows(database, room)
    groups = _groups(rows, room, config)
    records = [
        {**record, **groups[row.user_id]}
        for row in rows
        if row.outcome == RANKED
        for record in _records(row, questions[row.question_id])
    ]
    names = [group.name for group in room.groups if group.choices or config.own_words]
    table = pd.DataFrame(records, columns=[*CANONICAL, *names])
    return table.astype({"rank": int})


def person_table(database: Database, room: Room, user_id: str) -> pd.DataFrame:
    """Return one person's rows of `rankings_table`, without what they said of themselves."""
    questions, rows = _rows(database, room, user_id)
    records = [
        record
        for row in rows
        if row.outcome == RANKED
        for record in _records(row, questions[row.question_id])
    ]
    return pd.DataFrame(records, columns=list(CANONICAL)).astype({"rank": int})


def shown_table(database: Database, room: Room) -> pd.DataFrame:
    """Return a row for every answer that somebody was shown, also of what they did not rank.

    Columns user_id, prompt_id, place (of the question, from 1), response_id, shown (place of the
    answer on the page, from 1), outcome ("ranked", "cannot_say", "skipped", "" = still open) and
    rank.
    """
    questions, rows = _rows(database, room)
    records = [
        {
            "user_id": row.user_id,
            "prompt_id": questions[row.question_id].prompt_id,
            "place": row.position + 1,
            "response_id": questions[row.question_id].candidates[which].response_id,
            "shown": place,
            "outcome": row.outcome or "",
            "rank": row.ranks[which] if row.ranks else None,
        }
        for row in rows
        for place, which in enumerate(row.shown, start=1)
    ]
    columns = ["user_id", "prompt_id", "place", "response_id", "shown", "outcome", "rank"]
    return pd.DataFrame(records, columns=columns).astype({"rank": "Int64"})


def _rows(
    database: Database, room: Room, user_id: str | None = None
) -> tuple[dict[int, Question], list[Row[Any]]]:
    query = (
        select(PERSONS.c.user_id, PERSONS.c.groups, TASKS.c.question_id, TASKS.c.position)
        .add_columns(TASKS.c.shown, ANSWERS.c.outcome, ANSWERS.c.ranks)
        .join(TASKS, TASKS.c.person_id == PERSONS.c.id)
        .outerjoin(ANSWERS, ANSWERS.c.task_id == TASKS.c.id)
        .where(PERSONS.c.room_id == room.room_id)
        .order_by(PERSONS.c.user_id, TASKS.c.position)
    )
    if user_id is not None:
        query = query.where(PERSONS.c.user_id == user_id)
    with database.reading() as connection:
        return questions_of(connection, room), list(connection.execute(query))


def _records(row: Row[Any], question: Question) -> Iterator[dict[str, Any]]:
    for which in row.shown:
        candidate = question.candidates[which]
        values = (row.user_id, question.prompt_id, question.prompt)
        values += (candidate.response_id, candidate.response, row.ranks[which])
        yield dict(zip(CANONICAL, values, strict=True))


def _groups(
    rows: list[Row[Any]], room: Room, config: ExportConfig
) -> dict[str, dict[str, str | None]]:
    """Return what is told of each person who ranked something."""
    names = [group.name for group in room.groups if group.choices or config.own_words]
    said = {
        row.user_id: {name: row.groups.get(name) for name in names}
        for row in rows
        if row.outcome == RANKED
    }
    return without_small_groups(said, config.min_group)


def without_small_groups(
    people: Mapping[str, Mapping[str, str | None]], least: int
) -> dict[str, dict[str, str | None]]:
    """Return what is told of each person, so that `least` people or more share every combination.

    Rare values go first, then rare combinations; those of whom nothing is told are `least` or
    more, too, or nobody (k-anonymity: Sweeney 2002).

    >>> ages = {"a": {"age": "old"}, "b": {"age": "young"}, "c": {"age": "young"}}
    >>> without_small_groups(ages, 2)["a"], without_small_groups(ages, 1)["a"]
    ({'age': None}, {'age': 'old'})
    >>> [told["age"] for told in without_small_groups(ages, 2).values()]
    [None, None, None]
    """
    told = {person: dict(values) for person, values in people.items()}
    sizes = Counter(pair for values in told.values() for pair in values.items())
    for values in told.values():
        rare = [name for name, value in values.items() if sizes[name, value] < least]
        values.update(dict.fromkeys(rare))
    while small := _to_hide(told, least):
        for values in told.values():
            if _combination(values) == small:
                values.update(dict.fromkeys(values))
    return told


def _to_hide(told: Mapping[str, Mapping[str, str | None]], least: int) -> tuple[Any, ...] | None:
    """Return a combination of which nothing may be told; None where all is well."""
    sizes = Counter(map(_combination, told.values()))
    hidden = {key: n for key, n in sizes.items() if not any(v is not None for _, v in key)}
    shown = {key: n for key, n in sizes.items() if key not in hidden}
    if not shown:
        return None
    smallest = min(shown, key=lambda key: (shown[key], str(key)))
    too_few_hidden = 0 < sum(hidden.values()) < least
    return smallest if shown[smallest] < least or too_few_hidden else None


def _combination(values: Mapping[str, str | None]) -> tuple[tuple[str, str | None], ...]:
    return tuple(values.items())
