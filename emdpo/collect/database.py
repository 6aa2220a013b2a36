"""Where rooms are kept: SQLite beside the runs, or any database given as an SQLAlchemy URL."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, Engine, create_engine, event
from sqlalchemy.exc import ArgumentError, NoSuchModuleError, SQLAlchemyError

from emdpo.collect.schema import METADATA
from emdpo.core.errors import EmdpoError

URL = "EMDPO_COLLECT_URL"
"""Environment variable: an SQLAlchemy URL, such as postgresql+psycopg://user@host/rooms."""

_WAIT_SECONDS = 20

_EMPTYING_SECONDS = 1.0
"""How long SQLite's log may wait for those who read; everybody who writes waits as long."""


class Database:
    """A database that says "saved" only of what is on disk."""

    def __init__(self, url: str) -> None:
        try:
            self._engine = create_engine(url, pool_pre_ping=True, hide_parameters=True)
        except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
            raise EmdpoError(f"{URL} cannot be used ({type(error).__name__})") from None
        self.is_sqlite = self._engine.dialect.name == "sqlite"
        # SQLite has one writer; waiting here is fair, its own waiting is not.
        self._one_writer: AbstractContextManager[Any] = nullcontext()
        self._left_in_log = self.is_sqlite  # also by a process of before that was killed
        if self.is_sqlite:
            _set_up_sqlite(self._engine)
            self._one_writer = threading.RLock()
        try:
            METADATA.create_all(self._engine)
        except SQLAlchemyError as error:
            self._engine.dispose()
            raise EmdpoError(f"the rooms' database cannot be opened ({_name(error)})") from None

    @classmethod
    def at(cls, home: Path) -> Database:
        """Return the database that $EMDPO_COLLECT_URL names, or else home/rooms.sqlite."""
        if url := os.environ.get(URL, "").strip():
            return cls(url)
        home.mkdir(parents=True, exist_ok=True)
        return cls(f"sqlite:///{home / 'rooms.sqlite'}")

    @contextmanager
    def writing(self) -> Iterator[Connection]:
        """Give a transaction: all of it is on disk when the block has ended, or nothing is."""
        with self._one_writer, self._engine.connect() as connection:
            connection = connection.execution_options(emdpo_writes=True)
            with connection.begin():
                yield connection
        self.forget_what_is_left()

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """Give a transaction that only reads: one state of the database."""
        with self._engine.connect() as connection, connection.begin():
            yield connection

    def forget_deleted(self) -> None:
        """Let nothing of what was deleted lie in SQLite's log; other databases see to it.

        Where somebody reads all the while, the log is emptied after a later write instead, or by
        `forget_what_is_left`.
        """
        if self.is_sqlite:
            self._left_in_log = True
            self._empty_log(_EMPTYING_SECONDS)

    def forget_what_is_left(self) -> None:
        """Do what `forget_deleted` could not, if nobody reads at this moment."""
        if self._left_in_log:
            self._empty_log(0.0)

    def _empty_log(self, wait_seconds: float) -> None:
        with self._one_writer, self._engine.connect() as connection:
            connection.exec_driver_sql("ROLLBACK")  # a checkpoint is no part of a transaction
            _wait(connection.exec_driver_sql, wait_seconds)
            try:
                busy, *_ = connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)").one()
                self._left_in_log = bool(busy)
            finally:
                _wait(connection.exec_driver_sql, _WAIT_SECONDS)

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _name(error: SQLAlchemyError) -> str:
    return type(getattr(error, "orig", None) or error).__name__


def _wait(execute: Callable[[str], object], seconds: float) -> None:
    """Let a connection of SQLite wait for others as long as this."""
    execute(f"PRAGMA busy_timeout={round(seconds * 1000)}")


def _set_up_sqlite(engine: Engine) -> None:
    """Make SQLite write ahead, flush at every commit, wait for its turn and keep references."""

    def connect(connection: Any, _record: Any) -> None:
        connection.isolation_level = None  # Python's own transactions would begin too late
        for pragma in (
            "journal_mode=WAL",
            "synchronous=FULL",
            "foreign_keys=ON",
            "secure_delete=ON",
        ):
            connection.execute(f"PRAGMA {pragma}")
        _wait(connection.execute, _WAIT_SECONDS)

    def begin(connection: Connection) -> None:
        writes = connection.get_execution_options().get("emdpo_writes")
        connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")

    event.listen(engine, "connect", connect)
    event.listen(engine, "begin", begin)
