"""Which runs were made of a room."""

from __future__ import annotations

import pytest
from collecting import join, token
from sqlalchemy import delete

from emdpo.collect import fits, people
from emdpo.collect.rooms import NoRoomError, delete_room
from emdpo.collect.schema import FITTED
from emdpo.core.errors import EmdpoError


@pytest.fixture
def ann(database, room):
    join(database, room.code, "ann")
    return people.person(database, room.code, token("ann"))[1].user_id


def withdraw(database, room):
    people.withdraw(database, room.code, token("ann"))


def test_fits_count_newest_first_until_somebody_withdraws(database, room, ann):
    assert fits.fits_of(database, room) == []
    fits.add_fit(database, room, "first", [ann])
    fits.add_fit(database, room, "second", [ann])
    assert fits.fits_of(database, room) == ["second", "first"]
    withdraw(database, room)
    assert fits.fits_of(database, room) == []
    assert sorted(fits.stale_fits(database)) == ["first", "second"]
    fits.forget_fit(database, "first")
    assert fits.stale_fits(database) == ["second"]
    fits.add_fit(database, room, "begun before she withdrew", [ann])
    assert fits.fits_of(database, room) == []


def test_who_withdraws_takes_along_only_runs_that_know_of_them(database, room, ann):
    """Ben, who joined after the first run, cannot take it off everybody's phone."""
    fits.add_fit(database, room, "of ann", [ann])
    join(database, room.code, "ben")
    ben = people.person(database, room.code, token("ben"))[1].user_id
    fits.add_fit(database, room, "of both", [ann, ben])
    people.withdraw(database, room.code, token("ben"))
    assert fits.fits_of(database, room) == ["of ann"]
    assert fits.stale_fits(database) == ["of both"]


def test_a_run_of_an_older_database_may_know_of_anybody(database, room, ann):
    """Before there was a table of whose answers a run is made of, none is named."""
    fits.add_fit(database, room, "old", [ann])
    join(database, room.code, "ben")
    with database.writing() as connection:
        connection.execute(delete(FITTED))
    people.withdraw(database, room.code, token("ben"))
    assert fits.stale_fits(database) == ["old"]


def test_a_run_is_on_disk_before_it_begins(database, room, ann):
    with fits.beginning_fit(database, room, "run", [ann]):
        assert fits.fits_of(database, room) == ["run"]
    assert fits.fits_of(database, room) == ["run"]


def test_nothing_begins_with_the_answers_of_who_has_withdrawn(database, room, ann, monkeypatch):
    """She withdraws after the run is registered, and all that must go is forgotten at once."""
    begun, add_fit = [], fits.add_fit

    def add_and_withdraw(*given):
        add_fit(*given)
        withdraw(database, room)
        fits.forget_fit(database, "run")

    monkeypatch.setattr(fits, "add_fit", add_and_withdraw)
    with (
        pytest.raises(EmdpoError, match="withdrawn just now"),
        fits.beginning_fit(database, room, "run", [ann]),
    ):
        begun.append("run")
    assert begun == []


def test_nothing_begins_in_a_room_that_is_deleted(database, room):
    begun = []
    delete_room(database, room)
    with pytest.raises(NoRoomError), fits.beginning_fit(database, room, "run", []):
        begun.append("run")
    assert begun == [] and fits.stale_fits(database) == []


def test_what_fails_to_begin_must_go(database, room, ann):
    with pytest.raises(ZeroDivisionError), fits.beginning_fit(database, room, "run", [ann]):
        raise ZeroDivisionError
    assert fits.fits_of(database, room) == []
    assert fits.stale_fits(database) == ["run"]
