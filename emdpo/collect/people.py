"""Rooms for those who answer: they join, see where they are, answer, and withdraw.

A person is a random token that their browser made; whoever holds it is that person.
"""

from __future__ import annotations

import re
import secrets
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlalchemy import Connection, Row, delete, func, insert, select, update

from emdpo.collect.database import Database
from emdpo.collect.fits import mark_fits
from emdpo.collect.plans import LONGEST_NAME, GroupQuestion, Question, is_storable
from emdpo.collect.rooms import (
    OUTCOMES,
    RANKED,
    Hold,
    NoRoomError,
    Room,
    digest,
    hold_room,
    inserted,
    questions_of,
    room_by_code,
)
from emdpo.collect.schema import ANSWERS, PERSONS, QUESTIONS, TASKS
from emdpo.core.errors import EmdpoError

MOST_PEOPLE = 5_000
"""In one room."""

_TOKEN = re.compile(r"[A-Za-z0-9_-]{20,64}")
_USER_SIGNS = "abcdefghijkmnpqrstuvwxyz23456789"


class ClosedError(EmdpoError):
    """The room takes no more people and answers."""


class ConflictError(EmdpoError):
    """The question was answered otherwise meanwhile, from another window."""


class NoPersonError(EmdpoError):
    """Nobody of that token is in the room: never joined, or withdrawn."""


@dataclass(frozen=True)
class Answer:
    """What somebody said of one question."""

    token: str
    """Made by the page, another one for each answer: sent twice, it counts once."""
    outcome: str
    """ranked, cannot_say or skipped."""
    order: tuple[tuple[int, ...], ...] = ()
    """Places in the order shown, best first, tied ones together; empty unless ranked."""


@dataclass(frozen=True)
class Task:
    """One question as one person sees it."""

    prompt: str
    responses: tuple[str, ...]
    """In the order shown to this person."""
    answer: Answer | None


@dataclass(frozen=True)
class Person:
    """Somebody in a room."""

    person_id: int
    user_id: str
    """Random; what the exported table calls them."""
    tasks: tuple[Task, ...]


def join(
    database: Database,
    code: str,
    token: str,
    groups: Mapping[str, str],
    rng: np.random.Generator,
) -> None:
    """Let somebody in, with questions drawn for them; with the same token again, do nothing.

    Each is given the questions that the fewest have, by lot among equals, and each question's
    answers in an order by lot.

    Raises
    ------
    NoRoomError, ClosedError
    EmdpoError
        The token or what they say of themselves is not acceptable, or the room is full.
    """
    _check_token(token)
    with database.writing() as connection:
        room = room_by_code(connection, code, hold=Hold.EXCLUSIVE)
        if _row(connection, room, token) is not None:
            return
        if room.closed:
            raise ClosedError("this room is closed: it takes nobody in any more")
        here = select(func.count()).where(PERSONS.c.room_id == room.room_id)
        if connection.execute(here).scalar_one() >= MOST_PEOPLE:
            raise EmdpoError("this room is full")
        row = {
            "room_id": room.room_id,
            "user_id": "p-" + "".join(secrets.choice(_USER_SIGNS) for _ in range(10)),
            "token_sha256": digest(token),
            "groups": _checked_groups(groups, room.groups),
        }
        person_id = inserted(connection, PERSONS, row)
        connection.execute(insert(TASKS), _draw_tasks(connection, room, person_id, rng))


def _checked_groups(given: Mapping[str, str], asked: Sequence[GroupQuestion]) -> dict[str, str]:
    """Return what somebody says of themselves, without what they left open."""
    questions = {group.name: group.choices for group in asked}
    said = {name: value.strip() for name, value in given.items() if value.strip()}
    for name, value in said.items():
        choices = questions.get(name)
        if choices is None or (choices and value not in choices):
            raise EmdpoError(f"that is no answer to a question of this room: {value!r:.60}")
        if len(value) > LONGEST_NAME or not is_storable(value):
            raise EmdpoError(f"please say it in {LONGEST_NAME} plain characters at most")
    return said


def _draw_tasks(
    connection: Connection, room: Room, person_id: int, rng: np.random.Generator
) -> list[dict[str, Any]]:
    given = (
        select(QUESTIONS.c.id, func.count(TASKS.c.id))
        .outerjoin(TASKS, TASKS.c.question_id == QUESTIONS.c.id)
        .where(QUESTIONS.c.room_id == room.room_id)
        .group_by(QUESTIONS.c.id)
        .order_by(QUESTIONS.c.id)
    )
    ids, times = (np.array(part) for part in zip(*connection.execute(given), strict=True))
    lots = rng.permutation(len(ids))
    rarest = np.lexsort((lots, times))[: room.per_person]
    questions = questions_of(connection, room)
    return [
        {
            "person_id": person_id,
            "question_id": int(ids[which]),
            "position": position,
            "shown": rng.permutation(len(questions[int(ids[which])].candidates)).tolist(),
        }
        for position, which in enumerate(rng.permutation(rarest))
    ]


def person(database: Database, code: str, token: str) -> tuple[Room, Person]:
    """Return the room and where somebody stands in it; NoRoomError or NoPersonError otherwise."""
    with database.reading() as connection:
        room = room_by_code(connection, code)
        row = _present(connection, room, token)
        questions = questions_of(connection, room)
        tasks = tuple(_as_task(task, questions) for task in _tasks(connection, row.id))
    return room, Person(row.id, row.user_id, tasks)


def _tasks(connection: Connection, person_id: int) -> Sequence[Row[Any]]:
    query = (
        select(TASKS.c.question_id, TASKS.c.shown)
        .add_columns(ANSWERS.c.token, ANSWERS.c.outcome, ANSWERS.c.ranks)
        .outerjoin(ANSWERS, ANSWERS.c.task_id == TASKS.c.id)
        .where(TASKS.c.person_id == person_id)
        .order_by(TASKS.c.position)
    )
    return connection.execute(query).all()


def _as_task(row: Row[Any], questions: Mapping[int, Question]) -> Task:
    question = questions[row.question_id]
    answer = None
    if row.token is not None:
        answer = Answer(row.token, row.outcome, _order_of(row.ranks, row.shown))
    texts = tuple(question.candidates[place].response for place in row.shown)
    return Task(question.prompt, texts, answer)


def answer(
    database: Database, code: str, token: str, position: int, said: Answer, replaces: str | None
) -> None:
    """Keep somebody's answer to the question at a position; on disk when this returns.

    Sent twice it counts once, also after the room was closed.

    Parameters
    ----------
    database, code, token, position, said
    replaces
        Token of the answer that this one takes the place of; None where there is none.

    Raises
    ------
    NoRoomError, NoPersonError, ClosedError
    ConflictError
        There is another answer than `replaces`.
    EmdpoError
        It is no answer to that question.
    """
    _check_token(said.token)
    with database.writing() as connection:
        room = room_by_code(connection, code, hold=Hold.SHARED)
        who = _present(connection, room, token, hold=True)
        task = connection.execute(
            select(TASKS.c.id, TASKS.c.shown, ANSWERS.c.token)
            .outerjoin(ANSWERS, ANSWERS.c.task_id == TASKS.c.id)
            .where(TASKS.c.person_id == who.id, TASKS.c.position == position)
        ).first()
        if task is None:
            raise EmdpoError("there is no such question for you")
        if task.token == said.token:
            return
        if room.closed:
            raise ClosedError("this room is closed: this answer came too late and does not count")
        if task.token != replaces:
            raise ConflictError("this question has another answer by now, from another window")
        values = {"token": said.token, "outcome": said.outcome, "ranks": _ranks(said, task.shown)}
        if task.token is None:
            connection.execute(insert(ANSWERS).values(task_id=task.id, **values))
        else:
            which = ANSWERS.c.task_id == task.id
            connection.execute(update(ANSWERS).where(which).values(values))


def _ranks(said: Answer, shown: Sequence[int]) -> list[int]:
    """Return the rank of each candidate by its position in the question; 1 = best."""
    if said.outcome not in OUTCOMES:
        raise EmdpoError(f"an answer is one of {', '.join(OUTCOMES)}")
    if said.outcome != RANKED:
        if said.order:
            raise EmdpoError("only a ranking has an order")
        return []
    if sorted(place for tied in said.order for place in tied) != list(range(len(shown))):
        raise EmdpoError("an order has every answer shown exactly once")
    ranks = [0] * len(shown)
    for rank, tied in enumerate(filter(None, said.order), start=1):
        for place in tied:
            ranks[shown[place]] = rank
    return ranks


def _order_of(ranks: Sequence[int], shown: Sequence[int]) -> tuple[tuple[int, ...], ...]:
    """Return the inverse of `_ranks`."""
    by_place = [ranks[position] for position in shown] if ranks else []
    return tuple(
        tuple(place for place, rank in enumerate(by_place) if rank == wanted)
        for wanted in sorted(set(by_place))
    )


def withdraw(database: Database, code: str, token: str) -> None:
    """Delete somebody with all they said, and mark the runs that know of them; twice is as once.

    Raises
    ------
    NoRoomError
    """
    with database.writing() as connection:
        room = room_by_code(connection, code, hold=Hold.SHARED)
        row = _row(connection, room, token)
        if row is None:
            return
        _delete(connection, room, row.id)
    database.forget_deleted()


def take_out(database: Database, room: Room, user_ids: Collection[str]) -> None:
    """Delete people of these ids at the wish of the room's owner, as if each had withdrawn.

    Raises
    ------
    NoRoomError
    NoPersonError
        One of them is not in the room; then nobody is deleted.
    """
    query = select(PERSONS.c.id, PERSONS.c.user_id).where(
        PERSONS.c.room_id == room.room_id, PERSONS.c.user_id.in_(user_ids)
    )
    with database.writing() as connection:
        hold_room(connection, room)
        rows = connection.execute(query).all()
        if strangers := sorted(set(user_ids) - {row.user_id for row in rows}):
            raise NoPersonError(f"nobody in this room has the id {strangers[0]!r:.60}")
        for row in rows:
            _delete(connection, room, row.id)
    database.forget_deleted()


def _delete(connection: Connection, room: Room, person_id: int) -> None:
    mark_fits(connection, room, person_id)
    connection.execute(delete(PERSONS).where(PERSONS.c.id == person_id))


def _present(connection: Connection, room: Room, token: str, *, hold: bool = False) -> Row[Any]:
    row = _row(connection, room, token, hold=hold)
    if row is None:
        raise NoPersonError("nobody of this browser is in the room")
    return row


def _row(connection: Connection, room: Room, token: str, *, hold: bool = False) -> Row[Any] | None:
    query = select(PERSONS.c.id, PERSONS.c.user_id).where(
        PERSONS.c.room_id == room.room_id, PERSONS.c.token_sha256 == digest(token)
    )
    row: Any = connection.execute(query.with_for_update() if hold else query).first()
    return row  # whose type has other parameters in SQLAlchemy 2.0 and 2.1


def _check_token(token: str) -> None:
    if _TOKEN.fullmatch(token) is None:
        raise EmdpoError("a token is 20 to 64 letters, digits, - or _")


__all__ = [
    "Answer",
    "ClosedError",
    "ConflictError",
    "NoPersonError",
    "NoRoomError",
    "Person",
    "Task",
    "answer",
    "join",
    "person",
    "take_out",
    "withdraw",
]
