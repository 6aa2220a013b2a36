"""A room on its owner's page: opened, found by its key alone, watched, exported, deleted."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest
from collecting import join, plan, prefer, rank, token

import emdpo
from emdpo.collect import people
from emdpo.collect.people import ClosedError
from emdpo.collect.rooms import delete_room, open_room, room_by_key
from emdpo.ui.app import build_app

HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}"

REQUEST = SimpleNamespace(headers={"referer": "http://192.168.1.20:7860/collect"})


@pytest.fixture
def events(collect_page):
    return collect_page[0]


@pytest.fixture
def page(collect_page):
    return collect_page[2]


@pytest.fixture
def opened(place):
    """Yield the key of a room with a hostile title, and the room; its people go with it."""
    key = open_room(place.rooms, plan(title=HOSTILE))
    room = room_by_key(place.rooms, key)
    yield key, room
    delete_room(place.rooms, room)


def form(**changes):
    """Return what the form of a plan holds, in the order of `plan_of`."""
    values = {"title": "Tea", "source": "paste", "pasted": "p\n- a\n- b\n- c", "file": None}
    values |= {"written": (), "per_person": 8, "groups": "", "consent": "Yes?"}
    return (values | changes).values()


# In and out


def test_a_room_is_opened_and_its_key_shown_this_once(place, events, page):
    shown = events.open(*form())
    key = shown[page.key]
    assert shown[page.fresh.key] == key and shown[page.fresh.column].visible
    assert room_by_key(place.rooms, key).title == "Tea"
    later = events.show(key, REQUEST)
    assert not {page.fresh.key, page.fresh.column} & set(later)
    hidden = events.hide_key()
    assert hidden[page.fresh.key] == "" and not hidden[page.fresh.column].visible


def test_what_is_no_plan_opens_nothing(events, page):
    shown = events.open(*form(pasted="p\n- a"))
    assert set(shown) == {page.plan.note} and "has 1 answers" in shown[page.plan.note]


def test_the_key_opens_the_room_again_and_nothing_else_does(events, page, opened):
    key, room = opened
    assert events.enter(f" {key} ")[page.key] == key
    for wrong in ("", None, room.code, key[:-1], key.swapcase(), "x" * 43):
        shown = events.enter(wrong)
        assert set(shown) == {page.enter_note} and "line-" in shown[page.enter_note]


def test_a_browser_comes_back_to_its_room_until_it_leaves(events, page, opened):
    key, _ = opened
    kept = events.show(key, REQUEST)[page.kept]
    assert events.come_back(kept, "")[page.key] == key
    assert page.key not in events.come_back(kept, "another key, entered meanwhile")
    assert events.leave() == {page.key: ""}
    left = events.show("", REQUEST)
    assert left[page.kept] == {} and left[page.lobby].visible and not left[page.room].visible
    assert not left[page.clock].active
    for nonsense in ({}, None, [], {"key": 7}, {"key": "no such key"}):
        assert page.key not in events.come_back(nonsense, "")


def test_the_room_shows_its_way_in_with_text_escaped(events, page, opened):
    key, room = opened
    shown = events.show(key, REQUEST)
    assert shown[page.invite.site] == "http://192.168.1.20:7860"
    way_in = shown[page.invite.way_in]
    assert f'href="http://192.168.1.20:7860/join/{room.code}"' in way_in and "<svg" in way_in
    assert "<img" not in shown[page.head] and "&lt;img" in shown[page.head]
    assert shown[page.room].visible and shown[page.clock].active
    assert key not in "".join(value for value in shown.values() if isinstance(value, str))


def test_the_link_moves_to_an_address_that_phones_reach(events, page, opened):
    key, room = opened
    here = events.move_site(key, "http://localhost:7860")[page.invite.way_in]
    assert "Phones cannot reach this address" in here
    moved = events.move_site(key, "https://example.org/")
    assert f"https://example.org/join/{room.code}" in moved[page.invite.way_in]
    assert "cannot reach" not in moved[page.invite.way_in]
    refused = events.move_site(key, 'http://x/"><script>')
    assert set(refused) == {page.invite.note}


def test_a_closed_room_takes_nobody_until_it_is_opened_again(place, events, page, opened):
    key, room = opened
    shown = events.set_closed(key, "https://example.org", True)
    assert "closed" in shown[page.head] and shown[page.invite.reopen].visible
    assert "neither people nor answers" in shown[page.invite.way_in]
    with pytest.raises(ClosedError):
        join(place.rooms, room.code, "late")
    shown = events.set_closed(key, "https://example.org", False)
    assert shown[page.invite.close].visible and not shown[page.invite.reopen].visible
    join(place.rooms, room.code, "late")


# Watched


def test_the_numbers_follow_the_answers(place, events, page, opened):
    """Two people with two questions each: one ranks both, the other one and skips one."""
    key, room = opened
    before = events.show(key, REQUEST)
    assert "0 of 0 questions" in before[page.answers.counts]
    for name in ("ann", "bob"):
        join(place.rooms, room.code, name)
    prefer(place.rooms, room.code, "ann", "Answer 0")
    rank(place.rooms, room.code, "bob", 0, (0,), (1, 2))
    skipped = people.Answer(token("bob-skips"), "skipped")
    people.answer(place.rooms, room.code, token("bob"), 1, skipped, None)
    shown = events.watch(key, before[page.seen])
    assert "4 of 4 questions dealt with" in shown[page.answers.counts]
    table = shown[page.answers.questions]
    rows = [row.split("<td>")[1:] for row in table.split("<tr>")[2:]]
    numbers = [[int(cell.split("<")[0]) for cell in row] for row in rows]
    given, ranked, cannot, skips = map(sum, zip(*numbers, strict=True))
    assert len(rows) == 3 and (given, ranked, cannot, skips) == (4, 3, 0, 1)
    assert events.watch(key, shown[page.seen]) == {page.seen: gr.skip()}


def test_people_are_taken_out_by_their_ids_once_the_box_is_ticked(place, events, page, opened):
    key, room = opened
    for name in ("ann", "bob", "cem"):
        join(place.rooms, room.code, name)
    ids = [people.person(place.rooms, room.code, token(name))[1].user_id for name in ("ann", "bob")]
    for given, sure in ((ids[0], False), (" ", True), ("p-nobody", True)):
        shown = events.take_out(key, given, sure)
        assert set(shown) == {page.answers.note} and "line-good" not in shown[page.answers.note]
    shown = events.take_out(key, f" {ids[0]}, {ids[1]}", True)
    assert "Taken out: 2" in shown[page.answers.note] and shown[page.seen].people == 1
    assert shown[page.answers.ids] == "" and shown[page.answers.sure] is False


def test_a_room_that_is_gone_closes_the_page(place, events, page, opened):
    key, room = opened
    wrong = events.delete(key, "no")
    assert set(wrong) == {page.export.deleted} and room.code in wrong[page.export.deleted]
    shown = events.delete(key, f" {room.code.lower()} ")
    assert shown[page.key] == "" and "deleted" in shown[page.enter_note]
    assert events.watch(key, None)[page.key] == ""
    assert events.set_closed(key, "", True) == {page.key: ""}
    assert events.take_out(key, "p-ann", True) == {page.key: ""}
    assert events.delete(key, room.code) == {page.key: ""}
    assert "gone" in events.make_tables(key, False, 1)[page.export.note]
    assert "gone" in events.move_site(key, "http://x.org")[page.invite.note]


# Exported


def filled(place, room):
    """Three people, one alone in what she says of herself; her town would run in a spreadsheet."""
    for name, age in (("ann", "young"), ("bob", "old"), ("cem", "old")):
        town = "=HYPERLINK(1)" if name == "ann" else ""
        join(place.rooms, room.code, name, age=age, town=town)
        prefer(place.rooms, room.code, name, "Answer 0")


def files_of(shown, page):
    return [Path(shown[button].value["path"]) for button in page.export.made[:-1]]


def test_tables_are_what_emdpo_reads_and_no_cell_runs(place, events, page, opened):
    key, room = opened
    filled(place, room)
    shown = events.make_tables(key, True, 1)
    assert "6 rankings by 3 people" in shown[page.export.note]
    table, lines, displayed = files_of(shown, page)
    rankings = emdpo.load(table)
    assert (rankings.n_users, rankings.n_rankings, rankings.n_candidates) == (3, 6, 9)
    assert sorted(map(str, rankings.users["age"])) == ["old", "old", "young"]
    towns = {row["town"] for row in csv.DictReader(table.read_text("utf-8").splitlines())}
    assert towns == {"'=HYPERLINK(1)", ""}
    rows = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert {row["town"] for row in rows} == {"=HYPERLINK(1)", None}
    assert emdpo.load(lines).ranks.tolist() == rankings.ranks.tolist()
    assert len(displayed.read_text("utf-8").splitlines()) == 1 + 3 * 2 * 3


def test_own_words_and_small_groups_are_left_out(place, events, page, opened):
    """Of two ages one has a single person: with 2 as the least, neither may be told."""
    key, room = opened
    filled(place, room)
    table, lines, _ = files_of(events.make_tables(key, False, 2), page)
    assert "HYPERLINK" not in table.read_text("utf-8") + lines.read_text("utf-8")
    rows = [json.loads(line) for line in lines.read_text("utf-8").splitlines()]
    assert {row["age"] for row in rows} == {None} and "town" not in rows[0]


@pytest.mark.parametrize("least", [0, -1, None, True, "2"])
def test_a_smallest_group_that_is_none_is_refused(events, page, opened, least):
    assert "whole number from 1" in events.make_tables(opened[0], False, least)[page.export.note]


# Nobody else


def test_no_named_endpoint_knows_of_rooms(place):
    """What the page does is not in the API that clients see, so that it lists no room."""
    app = build_app(place)
    named = [name for name in app.get_api_info()["named_endpoints"]]
    assert named and not [name for name in named if "room" in name or "collect" in name]
    private = [fn for fn in app.fns.values() if "ui.collect" in (fn.fn or print).__module__]
    assert private and {fn.api_visibility for fn in private} == {"private"}
