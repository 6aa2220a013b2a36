"""Rooms for their owners: opened, found by their key, watched, closed and deleted.

The key is the only way in: it is not stored, only its SHA-256, and there is no list of rooms.
"""

from __future__ import annotations

import hashlib
import secrets
import time
from dataclasses import dataclass
from enum import Enum
from typing import Any

from sqlalchemy import Connection, Row, case, delete, exists, func, insert, select, update

from emdpo.collect.database import Database
from emdpo.collect.plans import Candidate, GroupQuestion, Question, RoomPlan, check_plan
from emdpo.collect.schema import ANSWERS, CANDIDATES, FITS, PERSONS, QUESTIONS, ROOMS, TASKS
from emdpo.core.errors import EmdpoError

RANKED, CANNOT_SAY, SKIPPED = "ranked", "cannot_say", "skipped"
OUTCOMES = (RANKED, CANNOT_SAY, SKIPPED)
"""What may become of a question; one that is skipped may still be answered."""

MOST_ROOMS = 1_000
"""Of one database: strangers may open rooms on a public server."""

_EMPTY_SECONDS = 24 * 3600.0
"""Age from which a room without people makes way where there are too many."""

_CODE_SIGNS, _CODE_LENGTH = "ABCDEFGHJKLMNPQRSTUVWXYZ23456789", 6
"""No 0 and O, no 1 and I: people copy codes from a wall."""


class Hold(Enum):
    """How a transaction holds a room."""

    SHARED = "shared"
    EXCLUSIVE = "exclusive"


class NoRoomError(EmdpoError):
    """There is no such room, or the key does not open one; the two are not told apart."""


@dataclass(frozen=True)
class Room:
    """A room as its owner sees it."""

    room_id: int
    code: str
    title: str
    consent: str
    per_person: int
    groups: tuple[GroupQuestion, ...]
    closed: bool
    shares_run: bool
    """Whether people may open the whole run, with everybody's rankings under random ids."""


@dataclass(frozen=True)
class Counts:
    """How far a room has come."""

    people: int
    """Who have begun and not withdrawn."""
    finished: int
    """Of these, with nothing left open; what they skipped counts as done."""
    answers: int
    """Rankings."""
    cannot_say: int
    skipped: int


@dataclass(frozen=True)
class QuestionCounts:
    """How far one question has come."""

    prompt: str
    shown: int
    """People who have it among theirs."""
    answers: int
    cannot_say: int
    skipped: int


def digest(secret: str) -> str:
    """Return what is stored of a key or a token: these have 256 random bits, so plain SHA-256."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()


def open_room(database: Database, plan: RoomPlan) -> str:
    """Open a room and return its key, which is not kept: it opens the room again.

    Raises
    ------
    EmdpoError
        The plan is not one, or there are too many rooms.
    """
    check_plan(plan)
    key = secrets.token_urlsafe(32)
    with database.writing() as connection:
        _make_way(connection)
        code = _free_code(connection)
        room = {
            "code": code,
            "key_sha256": digest(key),
            "title": plan.title.strip(),
            "consent": plan.consent.strip(),
            "per_person": plan.per_person,
            "groups": [[group.name, list(group.choices)] for group in plan.groups],
            "created": time.time(),
        }
        room_id = inserted(connection, ROOMS, room)
        for position, question in enumerate(plan.questions):
            _add_question(connection, room_id, position, question)
    return key


def _add_question(connection: Connection, room_id: int, position: int, question: Question) -> None:
    row = {"room_id": room_id, "position": position}
    row |= {"prompt_id": question.prompt_id, "prompt": question.prompt}
    question_id = inserted(connection, QUESTIONS, row)
    candidates = [
        {"question_id": question_id, "position": place, **vars(candidate)}
        for place, candidate in enumerate(question.candidates)
    ]
    connection.execute(insert(CANDIDATES), candidates)


def inserted(connection: Connection, table: Any, row: dict[str, Any]) -> int:
    """Insert a row and return its id."""
    key = connection.execute(insert(table).values(row)).inserted_primary_key
    assert key is not None  # noqa: S101 - every table here has one
    return key[0]


def _make_way(connection: Connection) -> None:
    """Remove old rooms without people where there are too many; EmdpoError if that is no help."""
    count = select(func.count()).select_from(ROOMS)
    if connection.execute(count).scalar_one() < MOST_ROOMS:
        return
    has_people = exists().where(PERSONS.c.room_id == ROOMS.c.id)
    is_old = ROOMS.c.created < time.time() - _EMPTY_SECONDS
    connection.execute(delete(ROOMS).where(is_old, ~has_people))
    if connection.execute(count).scalar_one() >= MOST_ROOMS:
        words = "whoever runs it can delete old ones"
        raise EmdpoError(f"this server has {MOST_ROOMS:,} rooms, as many as it keeps: {words}")


def _free_code(connection: Connection) -> str:
    while True:
        code = "".join(secrets.choice(_CODE_SIGNS) for _ in range(_CODE_LENGTH))
        if connection.execute(select(ROOMS.c.id).where(ROOMS.c.code == code)).first() is None:
            return code


def room_by_key(database: Database, key: object) -> Room:
    """Return the room that a key, which may come from anybody, opens; NoRoomError otherwise."""
    with database.reading() as connection:
        return _room(connection, ROOMS.c.key_sha256 == digest(str(key)))


def room_by_code(connection: Connection, code: object, *, hold: Hold | None = None) -> Room:
    """Return the room of a code, which may come from anybody; NoRoomError where there is none.

    Parameters
    ----------
    connection, code
    hold
        Until the transaction has ended the room is neither closed nor deleted; an exclusive hold
        also keeps every other holder waiting. SQLite's writers wait for each other anyway.
    """
    return _room(connection, ROOMS.c.code == str(code).strip().upper(), hold=hold)


def hold_room(connection: Connection, room: Room) -> None:
    """Hold a room exclusively, as `room_by_code` does; NoRoomError if it is deleted."""
    _room(connection, ROOMS.c.id == room.room_id, hold=Hold.EXCLUSIVE)


def _room(connection: Connection, which: Any, *, hold: Hold | None = None) -> Room:
    query = select(ROOMS).where(which)
    if hold is not None:
        query = query.with_for_update(read=hold is Hold.SHARED)
    row = connection.execute(query).first()
    if row is None:
        raise NoRoomError("there is no such room here")
    return _as_room(row)


def _as_room(row: Row[Any]) -> Room:
    return Room(
        room_id=row.id,
        code=row.code,
        title=row.title,
        consent=row.consent,
        per_person=row.per_person,
        groups=tuple(GroupQuestion(name, tuple(choices)) for name, choices in row.groups),
        closed=row.closed,
        shares_run=row.shares_run,
    )


def set_closed(database: Database, room: Room, closed: bool) -> None:
    """Close a room, so that it takes neither people nor answers any more, or open it again."""
    with database.writing() as connection:
        connection.execute(update(ROOMS).where(ROOMS.c.id == room.room_id).values(closed=closed))


def set_shares_run(database: Database, room: Room, shares: bool) -> None:
    """Let people open the whole run, or not."""
    change = update(ROOMS).where(ROOMS.c.id == room.room_id).values(shares_run=shares)
    with database.writing() as connection:
        connection.execute(change)


def delete_room(database: Database, room: Room) -> tuple[str, ...]:
    """Delete a room with everything in it, and return the runs that were made of it."""
    held = select(ROOMS.c.id).where(ROOMS.c.id == room.room_id).with_for_update()
    runs = select(FITS.c.run_id).where(FITS.c.room_id == room.room_id)
    with database.writing() as connection:
        connection.execute(held)  # a run that is being begun is waited for
        found = tuple(connection.execute(runs).scalars())
        connection.execute(delete(ROOMS).where(ROOMS.c.id == room.room_id))
    database.forget_deleted()
    return found


def questions_of(connection: Connection, room: Room) -> dict[int, Question]:
    """Return a room's questions in their order, by the id of their row."""
    query = (
        select(QUESTIONS.c.id, QUESTIONS.c.prompt_id, QUESTIONS.c.prompt)
        .add_columns(CANDIDATES.c.response_id, CANDIDATES.c.response)
        .join(CANDIDATES, CANDIDATES.c.question_id == QUESTIONS.c.id)
        .where(QUESTIONS.c.room_id == room.room_id)
        .order_by(QUESTIONS.c.position, CANDIDATES.c.position)
    )
    found: dict[int, Question] = {}
    for row in connection.execute(query):
        before = found.get(row.id)
        candidates = () if before is None else before.candidates
        candidates += (Candidate(row.response_id, row.response),)
        found[row.id] = Question(row.prompt_id, row.prompt, candidates)
    return found


def counts(database: Database, room: Room) -> Counts:
    """Return how far a room has come."""
    tasks = (
        select(
            TASKS.c.person_id,
            func.count().label("given"),
            func.count(ANSWERS.c.task_id).label("done"),
            *(_count_of(outcome).label(outcome) for outcome in OUTCOMES),
        )
        .join(PERSONS, PERSONS.c.id == TASKS.c.person_id)
        .outerjoin(ANSWERS, ANSWERS.c.task_id == TASKS.c.id)
        .where(PERSONS.c.room_id == room.room_id)
        .group_by(TASKS.c.person_id)
        .subquery()
    )
    finished = func.sum(case((tasks.c.given == tasks.c.done, 1), else_=0))
    sums = [func.sum(tasks.c[outcome]) for outcome in OUTCOMES]
    with database.reading() as connection:
        row = connection.execute(select(func.count(), finished, *sums).select_from(tasks)).one()
    return Counts(*(int(value or 0) for value in row))


def counts_by_question(database: Database, room: Room) -> list[QuestionCounts]:
    """Return how far each question of a room has come, in their order."""
    query = (
        select(
            QUESTIONS.c.prompt,
            func.count(TASKS.c.id),
            *(_count_of(outcome) for outcome in OUTCOMES),
        )
        .outerjoin(TASKS, TASKS.c.question_id == QUESTIONS.c.id)
        .outerjoin(ANSWERS, ANSWERS.c.task_id == TASKS.c.id)
        .where(QUESTIONS.c.room_id == room.room_id)
        .group_by(QUESTIONS.c.id, QUESTIONS.c.prompt, QUESTIONS.c.position)
        .order_by(QUESTIONS.c.position)
    )
    with database.reading() as connection:
        return [QuestionCounts(row[0], *map(int, row[1:])) for row in connection.execute(query)]


def _count_of(outcome: str) -> Any:
    return func.coalesce(func.sum(case((ANSWERS.c.outcome == outcome, 1), else_=0)), 0)
