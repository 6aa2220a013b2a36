"""Databases: SQLite always, PostgreSQL where there is one on this machine."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest

pytest.importorskip("sqlalchemy")

from collecting import Postgres, plan

from emdpo.collect.database import Database
from emdpo.collect.rooms import open_room, room_by_key


@pytest.fixture(scope="session")
def postgres_url():
    pytest.importorskip("psycopg")
    # A socket's path has 107 characters at most, and a test's folder is longer.
    with tempfile.TemporaryDirectory(prefix="emdpo-pg-") as folder:
        server = Postgres(Path(folder))
        if server.missing:
            pytest.skip(server.missing)
        yield server.start()
        server.stop()


@pytest.fixture(params=["sqlite", "postgresql"])
def database(request, tmp_path):
    """Yield an empty database of each kind."""
    if request.param == "sqlite":
        database = Database.at(tmp_path)
    else:
        from emdpo.collect.schema import METADATA

        database = Database(request.getfixturevalue("postgres_url"))
        METADATA.drop_all(database._engine)
        METADATA.create_all(database._engine)
    yield database
    database.close()


@pytest.fixture
def opened(database):
    """Return the key of a room, and the room."""
    key = open_room(database, plan())
    return key, room_by_key(database, key)


@pytest.fixture
def room(opened):
    return opened[1]
