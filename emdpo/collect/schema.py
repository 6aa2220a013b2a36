"""The tables: rooms with their questions, people with what they were shown, answers, fits.

No address, no name and no time of a person is stored. Keys and tokens are stored as SHA-256 only.

Tables are made where they are missing and never altered: what is new comes as a table of its own,
so that a database of before goes on working.
"""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    Boolean,
    Column,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
)

METADATA = MetaData()


def _id() -> Column[int]:
    return Column("id", Integer, primary_key=True)


def _of(table: str) -> Column[int]:
    """Return a reference to a row; what it belongs to takes it along when it is deleted."""
    key = ForeignKey(f"{table}.id", ondelete="CASCADE")
    return Column(f"{table.removesuffix('s')}_id", Integer, key, nullable=False, index=True)


ROOMS = Table(
    "rooms",
    METADATA,
    _id(),
    Column("code", String(12), nullable=False, unique=True),
    Column("key_sha256", String(64), nullable=False, unique=True),
    Column("title", Text, nullable=False),
    Column("consent", Text, nullable=False),
    Column("per_person", Integer, nullable=False),
    Column("groups", JSON, nullable=False),  # list of [name, [choice, ...]]
    Column("created", Float, nullable=False),  # seconds since the epoch
    Column("closed", Boolean, nullable=False, default=False),
    Column("shares_run", Boolean, nullable=False, default=False),
)

QUESTIONS = Table(
    "questions",
    METADATA,
    _id(),
    _of("rooms"),
    Column("position", Integer, nullable=False),
    Column("prompt_id", Text, nullable=False),
    Column("prompt", Text, nullable=False),
    UniqueConstraint("room_id", "position"),
)

CANDIDATES = Table(
    "candidates",
    METADATA,
    _id(),
    _of("questions"),
    Column("position", Integer, nullable=False),
    Column("response_id", Text, nullable=False),
    Column("response", Text, nullable=False),
    UniqueConstraint("question_id", "position"),
)

PERSONS = Table(
    "persons",
    METADATA,
    _id(),
    _of("rooms"),
    Column("user_id", String(16), nullable=False),
    Column("token_sha256", String(64), nullable=False),
    Column("groups", JSON, nullable=False),  # {name: value}, without what was not answered
    UniqueConstraint("room_id", "user_id"),
    UniqueConstraint("room_id", "token_sha256"),
)

TASKS = Table(
    "tasks",
    METADATA,
    _id(),
    _of("persons"),
    _of("questions"),
    Column("position", Integer, nullable=False),
    Column("shown", JSON, nullable=False),  # positions of the candidates, first shown first
    UniqueConstraint("person_id", "question_id"),
    UniqueConstraint("person_id", "position"),
)

ANSWERS = Table(
    "answers",
    METADATA,
    Column("task_id", ForeignKey("tasks.id", ondelete="CASCADE"), primary_key=True),
    Column("token", String(64), nullable=False),  # made by the page, one for each answer
    Column("outcome", String(12), nullable=False),
    Column("ranks", JSON, nullable=False),  # of the candidates by position; empty unless ranked
)

FITS = Table(
    "fits",
    METADATA,
    _id(),
    _of("rooms"),
    Column("run_id", String(64), nullable=False, unique=True),
    Column("stale", Boolean, nullable=False, default=False),  # it must go
)

FITTED = Table(  # whose answers a fit is made of; where nobody is named it may be everybody's
    "fitted",
    METADATA,
    Column("fit_id", ForeignKey("fits.id", ondelete="CASCADE"), primary_key=True),
    Column("person_id", ForeignKey("persons.id", ondelete="CASCADE"), primary_key=True, index=True),
)
