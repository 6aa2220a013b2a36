"""Rooms for those who answer."""

from __future__ import annotations

import threading
from collections import Counter

import numpy as np
import pytest
from collecting import join, plan, prefer, rank, token
from hypothesis import given
from hypothesis import strategies as st

from emdpo.collect import fits, people, rooms
from emdpo.core.errors import EmdpoError


def stands(database, room, name):
    return people.person(database, room.code, token(name))[1]


def test_joining_twice_is_joining_once(database, room):
    join(database, room.code, "ann", seed=0, age="old")
    first = stands(database, room, "ann")
    join(database, room.code, "ann", seed=1, age="young")
    assert stands(database, room, "ann") == first
    assert rooms.counts(database, room).people == 1


def test_many_who_join_at_once_are_all_in_and_each_once(database, room):
    """Twelve people, each from three threads at once: 12 people, 2 of 3 questions each, so every
    question is given 12 * 2 / 3 = 8 times."""
    faults = []

    def run(name):
        try:
            join(database, room.code, name, seed=hash(name) % 1000)
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(f"n{k % 12}",)) for k in range(36)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert faults == []
    assert rooms.counts(database, room).people == 12
    assert [each.shown for each in rooms.counts_by_question(database, room)] == [8, 8, 8]


def test_ids_are_random_and_say_nothing(database, room):
    for name in range(20):
        join(database, room.code, name)
    ids = [stands(database, room, name).user_id for name in range(20)]
    assert len(set(ids)) == 20
    assert ids != sorted(ids)


def test_orders_shown_are_drawn_evenly(tmp_path):
    """600 people, one question of three answers: each of 3! = 6 orders is binomial with mean 100
    and standard deviation 9.1; 60 to 140 is more than four of them."""
    from emdpo.collect.database import Database

    database = Database.at(tmp_path)
    room = rooms.room_by_key(database, rooms.open_room(database, plan(1, 1)))
    with database.writing() as connection:
        rng = np.random.default_rng(0)
        drawn = [people._draw_tasks(connection, room, 1, rng)[0]["shown"] for _ in range(600)]
    orders = Counter(map(tuple, drawn))
    assert len(orders) == 6
    assert all(60 < n < 140 for n in orders.values())
    database.close()


def test_an_answer_comes_back_as_it_was_given(database, room):
    join(database, room.code, "ann")
    rank(database, room.code, "ann", 0, (2,), (0, 1))
    first, second = stands(database, room, "ann").tasks
    assert first.answer == people.Answer(token("ann-0"), "ranked", ((2,), (0, 1)))
    assert second.answer is None
    assert first.responses != ()


def test_an_answer_sent_twice_counts_once(database, room):
    join(database, room.code, "ann")
    for _ in range(3):
        rank(database, room.code, "ann", 0, (0,), (1,), (2,))
    assert rooms.counts(database, room).answers == 1


def test_an_answer_sent_again_after_closing_is_still_acknowledged(database, room):
    join(database, room.code, "ann")
    rank(database, room.code, "ann", 0, (0,), (1,), (2,))
    rooms.set_closed(database, room, True)
    rank(database, room.code, "ann", 0, (0,), (1,), (2,))
    assert rooms.counts(database, room).answers == 1


def test_what_comes_after_closing_does_not_count(database, room):
    join(database, room.code, "ann")
    rank(database, room.code, "ann", 0, (0,), (1,), (2,), of=token("first"))
    rooms.set_closed(database, room, True)
    with pytest.raises(people.ClosedError, match="too late"):
        rank(database, room.code, "ann", 1, (0,), (1,), (2,))
    with pytest.raises(people.ClosedError, match="too late"):
        rank(database, room.code, "ann", 0, (2,), (1,), (0,), replaces=token("first"))
    with pytest.raises(people.ClosedError, match="nobody"):
        join(database, room.code, "ben")
    join(database, room.code, "ann")
    assert rooms.counts(database, room) == rooms.Counts(1, 0, 1, 0, 0)
    assert stands(database, room, "ann").tasks[0].answer.order == ((0,), (1,), (2,))


def test_of_two_windows_the_second_is_told(database, room):
    join(database, room.code, "ann")
    rank(database, room.code, "ann", 0, (0,), (1,), (2,), of=token("left"))
    with pytest.raises(people.ConflictError, match="another window"):
        rank(database, room.code, "ann", 0, (1,), (0,), (2,), of=token("right"))
    rank(database, room.code, "ann", 0, (2,), (0, 1), of=token("right"), replaces=token("left"))
    with pytest.raises(people.ConflictError):
        rank(database, room.code, "ann", 0, (1,), (0, 2), of=token("more"), replaces=token("left"))
    assert stands(database, room, "ann").tasks[0].answer.order == ((2,), (0, 1))
    assert rooms.counts(database, room).answers == 1


def test_what_was_skipped_may_still_be_ranked(database, room):
    join(database, room.code, "ann")
    skip = people.Answer(token("skip"), "skipped")
    people.answer(database, room.code, token("ann"), 0, skip, None)
    assert rooms.counts(database, room) == rooms.Counts(1, 0, 0, 0, 1)
    rank(database, room.code, "ann", 0, (0,), (1,), (2,), replaces=token("skip"))
    assert rooms.counts(database, room) == rooms.Counts(1, 0, 1, 0, 0)


def test_many_answers_at_once_are_all_there_once(database, room):
    """Eight people answer both of their questions, each sent by three threads at once."""
    for name in range(8):
        join(database, room.code, name)
    faults = []

    def run(name):
        try:
            for position in range(2):
                rank(database, room.code, name, position, (name % 3,), *_others(name % 3))
        except Exception as error:
            faults.append(error)

    threads = [threading.Thread(target=run, args=(k % 8,)) for k in range(24)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # A database may refuse one of two equal inserts; the page then sends it again.
    assert all("IntegrityError" in type(fault).__name__ for fault in faults)
    assert rooms.counts(database, room) == rooms.Counts(8, 8, 16, 0, 0)
    for name in range(8):
        assert [t.answer.order[0] for t in stands(database, room, name).tasks] == [(name % 3,)] * 2


def _others(place):
    return [(other,) for other in range(3) if other != place]


@pytest.mark.parametrize(
    ("outcome", "order", "message"),
    [
        ("ranked", (), "exactly once"),
        ("ranked", ((0,), (1,)), "exactly once"),
        ("ranked", ((0,), (1,), (1,)), "exactly once"),
        ("ranked", ((0,), (1,), (3,)), "exactly once"),
        ("ranked", ((0,), (1,), (-1,)), "exactly once"),
        ("ranked", ((0, 1, 2, 10**30),), "exactly once"),
        ("cannot_say", ((0,), (1,), (2,)), "only a ranking has an order"),
        ("best", (), "an answer is one of ranked, cannot_say, skipped"),
    ],
)
def test_what_is_no_answer_is_refused(database, room, outcome, order, message):
    join(database, room.code, "ann")
    said = people.Answer(token("a"), outcome, order)
    with pytest.raises(EmdpoError, match=message):
        people.answer(database, room.code, token("ann"), 0, said, None)
    assert rooms.counts(database, room) == rooms.Counts(1, 0, 0, 0, 0)


def test_there_is_no_third_of_two_questions(database, room):
    join(database, room.code, "ann")
    with pytest.raises(EmdpoError, match="no such question for you"):
        rank(database, room.code, "ann", 2, (0,), (1,), (2,))


@pytest.mark.parametrize("bad", ["", "short", "x" * 65, "token of 24 characters..", "<script>" * 4])
def test_tokens_that_are_none(database, room, bad):
    rng = np.random.default_rng(0)
    with pytest.raises(EmdpoError, match="a token is"):
        people.join(database, room.code, bad, {}, rng)
    join(database, room.code, "ann")
    with pytest.raises(EmdpoError, match="a token is"):
        rank(database, room.code, "ann", 0, (0,), (1,), (2,), of=bad or " ")


def test_what_people_say_of_themselves(database, room):
    join(database, room.code, "ann", age="old", town="  Ulm ")
    join(database, room.code, "ben", age="", town=" ")
    for wrong in ({"age": "middle"}, {"height": "tall"}, {"town": "x" * 81}, {"town": "a\0"}):
        with pytest.raises(EmdpoError):
            join(database, room.code, "cid", **wrong)
    from sqlalchemy import select

    from emdpo.collect.schema import PERSONS

    with database.reading() as connection:
        said = connection.execute(select(PERSONS.c.groups).order_by(PERSONS.c.id)).scalars().all()
    assert said == [{"age": "old", "town": "Ulm"}, {}]


def test_a_token_is_somebody_in_one_room_only(database, room):
    other = rooms.room_by_key(database, rooms.open_room(database, plan()))
    join(database, room.code, "ann")
    with pytest.raises(people.NoPersonError):
        people.person(database, other.code, token("ann"))
    people.withdraw(database, other.code, token("ann"))
    assert rooms.counts(database, room).people == 1
    with pytest.raises(people.NoPersonError):
        rank(database, other.code, "ann", 0, (0,), (1,), (2,))
    with pytest.raises(people.NoRoomError):
        people.person(database, "NOROOM", token("ann"))


def test_one_token_may_be_used_in_two_rooms(database, room):
    other = rooms.room_by_key(database, rooms.open_room(database, plan()))
    join(database, room.code, "ann")
    join(database, other.code, "ann")
    people.withdraw(database, other.code, token("ann"))
    assert rooms.counts(database, room).people == 1


def test_withdrawing_leaves_nothing_of_one_and_all_of_the_other(database, room):
    for name in ("ann", "ben"):
        join(database, room.code, name, age="old")
        prefer(database, room.code, name, "Answer 1")
    ben = stands(database, room, "ben")
    people.withdraw(database, room.code, token("ann"))
    people.withdraw(database, room.code, token("ann"))
    assert stands(database, room, "ben") == ben
    assert rooms.counts(database, room) == rooms.Counts(1, 1, 2, 0, 0)
    with pytest.raises(people.NoPersonError):
        stands(database, room, "ann")
    with pytest.raises(people.NoPersonError):
        rank(database, room.code, "ann", 0, (0,), (1,), (2,))


def test_the_owner_takes_out_all_who_are_named_or_nobody(database, room):
    for name in ("ann", "ben", "cid"):
        join(database, room.code, name)
    ann, ben, cid = (stands(database, room, name).user_id for name in ("ann", "ben", "cid"))
    fits.add_fit(database, room, "of ann", [ann])
    fits.add_fit(database, room, "of cid", [cid])
    with pytest.raises(people.NoPersonError, match="the id 'p-nobody'"):
        people.take_out(database, room, {ann, "p-nobody"})
    assert rooms.counts(database, room).people == 3
    people.take_out(database, room, {ann, ben})
    assert rooms.counts(database, room).people == 1
    assert fits.fits_of(database, room) == ["of cid"]
    other = rooms.room_by_key(database, rooms.open_room(database, plan()))
    with pytest.raises(people.NoPersonError):
        people.take_out(database, other, {cid})


def test_one_may_withdraw_from_a_closed_room(database, room):
    join(database, room.code, "ann")
    rooms.set_closed(database, room, True)
    people.withdraw(database, room.code, token("ann"))
    assert rooms.counts(database, room).people == 0


def test_a_full_room(database, room, monkeypatch):
    monkeypatch.setattr(people, "MOST_PEOPLE", 1)
    join(database, room.code, "ann")
    with pytest.raises(EmdpoError, match="full"):
        join(database, room.code, "ben")
    join(database, room.code, "ann")


@st.composite
def shown_orders(draw):
    """Return an order shown of 1 to 8 candidates and a weak order of their places."""
    n = draw(st.integers(1, 8))
    shown = draw(st.permutations(range(n)))
    levels = draw(st.lists(st.integers(0, 7), min_size=n, max_size=n))
    order = [tuple(p for p in range(n) if levels[p] == level) for level in sorted(set(levels))]
    return list(shown), tuple(order)


@given(shown_orders())
def test_ranks_and_orders_are_each_others_inverse(case):
    shown, order = case
    ranks = people._ranks(people.Answer("t", "ranked", order), shown)
    assert people._order_of(ranks, shown) == order
    for place, candidate in enumerate(shown):
        level = next(level for level, tied in enumerate(order, start=1) if place in tied)
        assert ranks[candidate] == level
