"""What leaves a room."""

from __future__ import annotations

from collections import Counter

import pytest
from collecting import join, plan, prefer, rank, token
from hypothesis import given
from hypothesis import strategies as st

import emdpo
from emdpo.collect import people, rooms
from emdpo.collect.export import (
    ExportConfig,
    person_table,
    rankings_table,
    shown_table,
    without_small_groups,
)


def test_the_table_is_canonical_and_says_what_was_ranked(database, room):
    join(database, room.code, "ann", age="old", town="Ulm")
    join(database, room.code, "ben")
    prefer(database, room.code, "ann", "Answer 2")
    rank(database, room.code, "ben", 0, (0, 1), (2,))
    table = rankings_table(database, room)
    assert list(table)[:6] == ["user_id", "prompt_id", "prompt", "response_id", "response", "rank"]
    report = emdpo.check(table)
    assert report.errors == ()
    assert report.summary.n_users == 2
    assert report.summary.n_rankings == 3
    _, ann = people.person(database, room.code, token("ann"))
    hers = table[table.user_id == ann.user_id]
    best = hers[hers["rank"] == 1]
    assert best.response_id.str.endswith("-2").all()
    assert len(best) == 2
    assert set(hers.age) == {"old"}
    assert set(hers.town) == {"Ulm"}
    ben = table[table.user_id != ann.user_id]
    assert sorted(ben["rank"]) == [1, 1, 2]
    assert ben.age.isna().all()
    assert [group.attribute for group in report.summary.groups] == ["age", "town"]


def test_rows_come_in_the_order_shown(database, room):
    join(database, room.code, "ann")
    prefer(database, room.code, "ann", "Answer 0")
    _, ann = people.person(database, room.code, token("ann"))
    shown = [text for task in ann.tasks for text in task.responses]
    assert rankings_table(database, room).response.tolist() == shown
    told = shown_table(database, room)
    assert told.shown.tolist() == [1, 2, 3, 1, 2, 3]
    assert told.place.tolist() == [1, 1, 1, 2, 2, 2]
    assert told.response_id.tolist() == rankings_table(database, room).response_id.tolist()


def test_what_was_not_ranked_is_in_the_second_table_only(database, room):
    join(database, room.code, "ann")
    said = people.Answer(token("a"), "cannot_say")
    people.answer(database, room.code, token("ann"), 0, said, None)
    assert len(rankings_table(database, room)) == 0
    told = shown_table(database, room)
    assert told.outcome.tolist() == ["cannot_say"] * 3 + [""] * 3
    assert told["rank"].isna().all()


def test_a_person_alone_has_the_same_rows(database, room):
    for name in ("ann", "ben"):
        join(database, room.code, name, age="old")
        prefer(database, room.code, name, "Answer 1")
    _, ann = people.person(database, room.code, token("ann"))
    whole = rankings_table(database, room)
    mine = person_table(database, room, ann.user_id)
    expected = whole[whole.user_id == ann.user_id].drop(columns=["age", "town"])
    assert mine.to_dict("records") == expected.to_dict("records")
    assert len(person_table(database, room, "nobody")) == 0


def test_people_come_in_the_order_of_their_ids(database, room):
    for name in range(12):
        join(database, room.code, name)
        prefer(database, room.code, name, "Answer 1")
    users = rankings_table(database, room).user_id.drop_duplicates().tolist()
    assert users == sorted(users)


def test_own_words_stay_where_they_are_unless_asked_for(database, room):
    join(database, room.code, "ann", age="old", town="My name is Ann")
    prefer(database, room.code, "ann", "Answer 1")
    table = rankings_table(database, room, ExportConfig(own_words=False))
    assert "town" not in table
    assert "My name is Ann" not in table.to_csv()
    assert set(table.age) == {"old"}


def test_small_groups_stay_away(database, room):
    """Five old, two young: with a least size of three nobody's age can be told, since the five
    would leave the two alone among the blanks; with two both can."""
    for name in range(7):
        join(database, room.code, name, age="old" if name < 5 else "young")
        prefer(database, room.code, name, "Answer 1")
    ages = {
        least: Counter(
            rankings_table(database, room, ExportConfig(own_words=False, min_group=least))
            .drop_duplicates("user_id")
            .age.fillna("?")
        )
        for least in (2, 3)
    }
    assert ages == {2: {"old": 5, "young": 2}, 3: {"?": 7}}


@given(
    st.lists(
        st.fixed_dictionaries(
            {
                "age": st.sampled_from(["a", "b", "c", None]),
                "town": st.sampled_from(["x", "y", None]),
            }
        ),
        max_size=30,
    ),
    st.integers(1, 6),
)
def test_every_combination_told_is_shared_by_enough(values, least):
    """k-anonymity, checked by counting; what is told is true or blank, and with 1 all is told."""
    people_ = {str(n): value for n, value in enumerate(values)}
    told = without_small_groups(people_, least)
    sizes = Counter(tuple(each.values()) for each in told.values())
    if len(values) >= least:
        assert all(n >= least for n in sizes.values())
    else:
        assert set(sizes) <= {(None, None)}
    for name, each in told.items():
        assert all(v in (None, people_[name][key]) for key, v in each.items())
    if least == 1:
        assert told == people_


HOSTILE = ("<script>alert(1)</script>", "=cmd|' /C calc'!A0", "{{7*7}}", 'a"b\nc,d', "\u202eabc")


def test_hostile_text_stays_text(database, tmp_path):
    from emdpo.collect.plans import Candidate, Question

    answers = tuple(Candidate(f"r{n}", text) for n, text in enumerate(HOSTILE))
    questions = (Question("q", HOSTILE[0], answers),)
    key = rooms.open_room(database, plan(questions=questions, per_person=1))
    room = rooms.room_by_key(database, key)
    join(database, room.code, "ann", town=HOSTILE[1])
    prefer(database, room.code, "ann", HOSTILE[2])
    from emdpo import files

    path = tmp_path / "rankings.csv"
    files.write_csv(path, rankings_table(database, room))
    rankings = emdpo.load(path)
    assert set(rankings.candidates.response) == set(HOSTILE)
    assert rankings.users.town.tolist() == [HOSTILE[1]]
    assert rankings.prompts.prompt.tolist() == [HOSTILE[0]]


@pytest.mark.parametrize("n", [0, 1])
def test_an_empty_room_has_an_empty_table(database, room, n):
    for name in range(n):
        join(database, room.code, name)
    table = rankings_table(database, room)
    assert len(table) == 0
    assert list(table)[-2:] == ["age", "town"]
    assert len(shown_table(database, room)) == 6 * n
