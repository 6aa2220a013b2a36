"""What SQLite's files and the server's log must not hold."""

from __future__ import annotations

import time

import pytest
from collecting import join, plan, token
from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from emdpo.collect import people
from emdpo.collect.database import Database
from emdpo.collect.rooms import open_room, room_by_key
from emdpo.collect.schema import PERSONS

TOWN = "Samarkand"


@pytest.fixture
def sqlite(tmp_path):
    database = Database.at(tmp_path)
    yield database
    database.close()


@pytest.fixture
def room(sqlite):
    return room_by_key(sqlite, open_room(sqlite, plan()))


def holds_town(folder):
    return any(TOWN.encode() in path.read_bytes() for path in folder.iterdir())


def test_a_log_that_somebody_reads_holds_nobody_up_and_is_emptied_afterwards(
    tmp_path, sqlite, room
):
    """A reader's snapshot keeps SQLite from emptying its log until it has ended."""
    join(sqlite, room.code, "ann", town=TOWN)
    with sqlite.reading() as connection:
        connection.execute(text("SELECT count(*) FROM persons")).scalar()
        begun = time.monotonic()
        people.withdraw(sqlite, room.code, token("ann"))
        assert time.monotonic() - begun < 10
        sqlite.forget_what_is_left()
        assert holds_town(tmp_path)
    join(sqlite, room.code, "ben")
    assert not holds_town(tmp_path)


def test_after_a_restart_a_log_of_before_is_emptied(tmp_path, sqlite, room):
    """A server that is killed leaves its log, as does one that has not closed here."""
    join(sqlite, room.code, "ann", town=TOWN)
    with sqlite.writing() as connection:
        connection.execute(PERSONS.delete())
    assert holds_town(tmp_path)
    after = Database.at(tmp_path)
    after.forget_what_is_left()
    assert not holds_town(tmp_path)
    after.close()


def test_a_fault_tells_nothing_of_what_people_wrote(sqlite, room):
    row = {"room_id": room.room_id, "user_id": "p", "token_sha256": "0", "groups": {"own": TOWN}}
    with sqlite.writing() as connection, pytest.raises(IntegrityError) as fault:
        connection.execute(PERSONS.insert(), [row])
        connection.execute(PERSONS.insert(), [row])
    assert TOWN not in str(fault.value)
