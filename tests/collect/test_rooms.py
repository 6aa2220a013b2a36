"""Rooms for their owners."""

from __future__ import annotations

import dataclasses

import pytest
from collecting import join, plan, prefer, rank, token
from sqlalchemy import func, select, text

from emdpo.collect import fits, people, rooms
from emdpo.collect.database import URL, Database
from emdpo.collect.plans import Candidate, GroupQuestion, Question
from emdpo.collect.schema import METADATA
from emdpo.core.errors import EmdpoError


def rows_in(database):
    """Return how many rows each table has."""
    with database.reading() as connection:
        return {
            name: connection.execute(select(func.count()).select_from(table)).scalar()
            for name, table in METADATA.tables.items()
        }


def test_the_key_opens_the_room_and_nothing_else_does(database):
    key = rooms.open_room(database, plan(title="Tea "))
    other = rooms.open_room(database, plan(title="Coffee"))
    room = rooms.room_by_key(database, key)
    assert (room.title, room.closed, room.per_person) == ("Tea", False, 2)
    assert room.groups == plan().groups
    assert rooms.room_by_key(database, other).room_id != room.room_id
    for wrong in (key[:-1], key.swapcase(), room.code, "", None, 7, "' OR 1=1 --", "\ud800"):
        with pytest.raises(rooms.NoRoomError, match="no such room"):
            rooms.room_by_key(database, wrong)


def test_neither_keys_nor_tokens_are_stored(database, opened):
    key, room = opened
    join(database, room.code, "ann")
    with database.reading() as connection:
        everything = str(
            [connection.execute(select(table)).all() for table in METADATA.tables.values()]
        )
    assert room.code in everything
    assert key not in everything
    assert token("ann") not in everything


def test_a_code_is_found_however_it_is_typed(database, room):
    with database.reading() as connection:
        assert rooms.room_by_code(connection, f" {room.code.lower()} ") == room
        with pytest.raises(rooms.NoRoomError):
            rooms.room_by_code(connection, "NOROOM")
    assert len(room.code) == 6
    assert not set(room.code) & set("01IOl")


def test_questions_come_back_as_they_were(database, room):
    with database.reading() as connection:
        found = tuple(rooms.questions_of(connection, room).values())
    assert found == plan().questions


def test_counts(database, room):
    """Three people with two questions each: one answers both, one says "cannot say" and skips,
    one does nothing. Finished are the first two."""
    for name in ("ann", "ben", "cid"):
        join(database, room.code, name)
    prefer(database, room.code, "ann", "Answer 0")
    for position, outcome in enumerate(("cannot_say", "skipped")):
        said = people.Answer(token(f"ben{position}"), outcome)
        people.answer(database, room.code, token("ben"), position, said, None)
    assert rooms.counts(database, room) == rooms.Counts(3, 2, 2, 1, 1)
    by_question = rooms.counts_by_question(database, room)
    assert [each.prompt for each in by_question] == ["Question 0?", "Question 1?", "Question 2?"]
    assert [each.shown for each in by_question] == [2, 2, 2]
    sums = [sum(getattr(q, name) for q in by_question) for name in ("answers", "cannot_say")]
    assert [*sums, sum(q.skipped for q in by_question)] == [2, 1, 1]


def test_counts_of_an_empty_room_and_of_its_neighbour(database, room):
    other = rooms.room_by_key(database, rooms.open_room(database, plan()))
    join(database, other.code, "ann")
    prefer(database, other.code, "ann", "Answer 0")
    assert rooms.counts(database, room) == rooms.Counts(0, 0, 0, 0, 0)
    assert [each.shown for each in rooms.counts_by_question(database, room)] == [0, 0, 0]


def test_deleting_a_room_leaves_nothing_of_it_and_all_of_its_neighbour(database, room):
    other_key = rooms.open_room(database, plan())
    other = rooms.room_by_key(database, other_key)
    for each in (room, other):
        join(database, each.code, f"ann-{each.code}")
        prefer(database, each.code, f"ann-{each.code}", "Answer 0")
    before = rows_in(database)
    fits.add_fit(database, room, "run-a", [])
    fits.add_fit(database, other, "run-b", [])
    assert rooms.delete_room(database, room) == ("run-a",)
    after = rows_in(database)
    assert after == {name: n // 2 for name, n in before.items()} | {"fits": 1}
    assert rooms.room_by_key(database, other_key) == other


def test_a_closed_room_may_be_opened_again(database, opened):
    key, room = opened
    rooms.set_closed(database, room, True)
    assert rooms.room_by_key(database, key) == dataclasses.replace(room, closed=True)
    rooms.set_closed(database, room, False)
    assert rooms.room_by_key(database, key) == room


def test_rooms_without_people_make_way_once_they_are_old(database, room, monkeypatch):
    monkeypatch.setattr(rooms, "MOST_ROOMS", 2)
    empty = rooms.open_room(database, plan())
    join(database, room.code, "ann")
    with pytest.raises(EmdpoError, match="2 rooms, as many as it keeps"):
        rooms.open_room(database, plan())
    monkeypatch.setattr(rooms, "_EMPTY_SECONDS", -1.0)
    rooms.open_room(database, plan())
    with pytest.raises(rooms.NoRoomError):
        rooms.room_by_key(database, empty)
    assert rooms.counts(database, room).people == 1


PLAN = plan()
QUESTION = PLAN.questions[0]


def asked(**changes):
    return dataclasses.replace(PLAN, questions=(dataclasses.replace(QUESTION, **changes),))


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (plan(title="  "), "the title is empty"),
        (plan(title="x" * 121), "the title has 121 characters; the limit is 120"),
        (plan(title="a\0b"), "the title has a character that cannot be stored"),
        (plan(consent="\ud800"), "the consent has a character"),
        (plan(questions=()), "questions: expected 1 to 500, got 0"),
        (plan(per_person=4), "questions for each person: expected 1 to 3, got 4"),
        (plan(per_person=0), "questions for each person: expected 1 to 3, got 0"),
        (plan(questions=PLAN.questions + PLAN.questions[:1]), "the id of a question appears 2"),
        (plan(n_candidates=1), "answers of question 1: expected 2 to 8, got 1"),
        (
            plan(
                questions=tuple(
                    dataclasses.replace(QUESTION, prompt_id=f"{n}", prompt="x" * 4000)
                    for n in range(250)
                )
            ),
            r"questions and answers have 1,01\d,\d{3} characters; the limit is 1,000,000",
        ),
        (asked(candidates=(Candidate("a", "x"), Candidate("b", "x"))), "appears 2 times: 'x'"),
        (asked(candidates=(Candidate("a", "x"), Candidate("a", "y"))), "appears 2 times: 'a'"),
        (plan(groups=(GroupQuestion("rank"),)), "cannot be called 'rank'"),
        (plan(groups=(GroupQuestion("x_age"),)), "cannot be called 'x_age'"),
        (plan(groups=(GroupQuestion("age", ("one",)),)), "choices of 'age': expected 2 to 12"),
        (plan(groups=(GroupQuestion("age"),) * 2), "a question about people appears 2 times"),
    ],
)
def test_a_plan_that_is_none_says_why(tmp_path, wrong, message):
    if len(wrong.questions) == 1:
        wrong = dataclasses.replace(wrong, per_person=1)
    database = Database.at(tmp_path)
    with pytest.raises(EmdpoError, match=message):
        rooms.open_room(database, wrong)
    assert set(rows_in(database).values()) == {0}
    database.close()


def test_the_longest_plan_is_taken(database):
    texts = ["ä" * 3999 + str(n) for n in range(8)]
    question = Question("q", "w" * 4000, tuple(Candidate(t[-1], t) for t in texts))
    key = rooms.open_room(database, plan(questions=(question,), per_person=1))
    with database.reading() as connection:
        found = rooms.questions_of(connection, rooms.room_by_key(database, key))
    assert list(found.values()) == [question]


def test_sqlite_writes_ahead_and_flushes_every_commit(tmp_path):
    """synchronous: 2 is FULL (https://sqlite.org/pragma.html#pragma_synchronous)."""
    database = Database.at(tmp_path)
    with database.reading() as connection:
        told = [
            connection.execute(text(f"PRAGMA {name}")).scalar()
            for name in ("journal_mode", "synchronous", "foreign_keys", "secure_delete")
        ]
    assert told == ["wal", 2, 1, 1]
    database.close()


def test_a_block_that_fails_writes_nothing(database):
    with pytest.raises(ZeroDivisionError), database.writing() as connection:
        connection.execute(METADATA.tables["fits"].delete())
        rooms._add_question(connection, 1 / 0, 0, QUESTION)
    assert set(rows_in(database).values()) == {0}


def test_the_url_of_the_environment_is_taken(tmp_path, monkeypatch):
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path / 'elsewhere.db'}")
    Database.at(tmp_path / "home").close()
    assert (tmp_path / "elsewhere.db").exists()
    assert not (tmp_path / "home").exists()


@pytest.mark.parametrize("url", ["nonsense", "nodatabase://x", "sqlite:////no/such/folder/x.db"])
def test_a_bad_url_is_one_line(monkeypatch, tmp_path, url):
    monkeypatch.setenv(URL, url)
    with pytest.raises(EmdpoError, match="cannot be"):
        Database.at(tmp_path)


def test_nothing_deleted_lies_in_the_files_of_sqlite(tmp_path):
    database = Database.at(tmp_path)
    room = rooms.room_by_key(database, rooms.open_room(database, plan()))
    join(database, room.code, "ann", town="Samarkand")

    def found():
        return [b"Samarkand" in path.read_bytes() for path in tmp_path.iterdir()]

    assert any(found())
    people.withdraw(database, room.code, token("ann"))
    assert not any(found())
    database.close()


def test_ranks_are_kept_by_candidate_whatever_was_shown(database, room):
    """What is shown first is candidate `shown[0]`: naming place 0 best makes that one rank 1."""
    join(database, room.code, "ann")
    rank(database, room.code, "ann", 0, (0,), (1, 2))
    tables = METADATA.tables
    with database.reading() as connection:
        shown = connection.execute(
            select(tables["tasks"].c.shown).where(tables["tasks"].c.position == 0)
        ).scalar()
        ranks = connection.execute(select(tables["answers"].c.ranks)).scalar()
    assert ranks[shown[0]] == 1
    assert sorted(ranks) == [1, 2, 2]
