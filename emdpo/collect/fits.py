"""Which runs were made of a room: known before they begin, since withdrawing must find them all."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, delete, exists, insert, or_, select, update

from emdpo.collect.database import Database
from emdpo.collect.rooms import Room, hold_room, inserted
from emdpo.collect.schema import FITS, FITTED, PERSONS
from emdpo.core.errors import EmdpoError


@contextmanager
def beginning_fit(
    database: Database, room: Room, run_id: str, users: Collection[str]
) -> Iterator[None]:
    """Register a run, and let nobody withdraw while the block begins it.

    The run is on disk as one of the room before the block is entered: whenever the server is
    killed, there is no run that a withdrawal would miss; at worst there is a registered run that
    never began. If the block fails the run is stale, so that what there is of it goes.

    Raises
    ------
    NoRoomError
        The room is deleted.
    EmdpoError
        One of the users has withdrawn meanwhile.
    """
    add_fit(database, room, run_id, users)
    fresh = select(FITS.c.id).where(FITS.c.run_id == run_id, ~FITS.c.stale)
    try:
        with database.writing() as connection:
            hold_room(connection, room)
            if connection.execute(fresh).first() is None:
                raise EmdpoError("somebody has withdrawn just now; please try again")
            yield
    except BaseException:
        _make_stale(database, run_id)
        raise


def add_fit(database: Database, room: Room, run_id: str, users: Collection[str]) -> None:
    """Remember that a run is made of the answers of these users; NoRoomError if it is deleted.

    Where one of them has withdrawn meanwhile the run is stale from the start.
    """
    query = select(PERSONS.c.user_id, PERSONS.c.id).where(PERSONS.c.room_id == room.room_id)
    with database.writing() as connection:
        hold_room(connection, room)
        here = {row.user_id: row.id for row in connection.execute(query)}
        values = {"room_id": room.room_id, "run_id": run_id, "stale": not set(users) <= set(here)}
        fit_id = inserted(connection, FITS, values)
        known = [{"fit_id": fit_id, "person_id": here[user]} for user in users if user in here]
        if known:
            connection.execute(insert(FITTED), known)


def mark_fits(connection: Connection, room: Room, person_id: int) -> None:
    """Make the runs of a room stale that know of somebody, or of which nobody knows whom."""
    mine = FITTED.c.fit_id == FITS.c.id
    knows = or_(exists().where(mine, FITTED.c.person_id == person_id), ~exists().where(mine))
    change = update(FITS).where(FITS.c.room_id == room.room_id, knows)
    connection.execute(change.values(stale=True))


def _make_stale(database: Database, run_id: str) -> None:
    with database.writing() as connection:
        connection.execute(update(FITS).where(FITS.c.run_id == run_id).values(stale=True))


def fits_of(database: Database, room: Room) -> list[str]:
    """Return the runs made of a room that nobody's withdrawal has made stale, newest first."""
    query = (
        select(FITS.c.run_id)
        .where(FITS.c.room_id == room.room_id, ~FITS.c.stale)
        .order_by(FITS.c.id.desc())
    )
    with database.reading() as connection:
        return list(connection.execute(query).scalars())


def stale_fits(database: Database) -> list[str]:
    """Return the runs that must go: somebody in them has withdrawn, or they could not begin."""
    with database.reading() as connection:
        return list(connection.execute(select(FITS.c.run_id).where(FITS.c.stale)).scalars())


def forget_fit(database: Database, run_id: str) -> None:
    """Forget a run that is gone."""
    with database.writing() as connection:
        connection.execute(delete(FITS).where(FITS.c.run_id == run_id))
