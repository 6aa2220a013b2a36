"""The types of a room: one press, shown with what they rest on, gone when they must be."""

from __future__ import annotations

import os
import shutil
import time
from types import SimpleNamespace

import pytest
from class_room import answer, class_plan
from collecting import token
from processes import runs

from emdpo.collect import people
from emdpo.collect.export import ExportConfig, rankings_table
from emdpo.collect.fits import add_fit, fits_of, stale_fits
from emdpo.collect.rooms import delete_room, open_room, room_by_key
from emdpo.core.errors import EmdpoError
from emdpo.jobs import JobState, folder_of
from emdpo.ui.collect.runs import (
    close_for_good,
    fit_room,
    forget_stale,
    newest_run,
    remove,
    shown_run,
)
from emdpo.ui.collect.told import told
from emdpo.ui.workplace import Workplace

REQUEST = SimpleNamespace(headers={"referer": "http://x/collect"})

SETTINGS = (False, 1, {}, 2, "auto", "loglinear", 0)
"""Own words, smallest group, what the browser knows, types, features, policy, seed."""


@pytest.fixture
def events(collect_page):
    return collect_page[1]


@pytest.fixture
def part(collect_page):
    return collect_page[3]


@pytest.fixture
def opened(place):
    key = open_room(place.rooms, class_plan())
    room = room_by_key(place.rooms, key)
    yield key, room
    close_for_good(place, room)


@pytest.fixture
def copied(place, opened, class_room):
    """Return key, room and run of another room, whose run is a copy that may be deleted."""
    key, room = opened
    answer(place, room, ["ann", "bob"])
    run_id = place._copy(folder_of(place.home, class_room[2]), "a copy")
    add_fit(place.rooms, room, run_id, set(rankings_table(place.rooms, room)["user_id"]))
    return key, room, run_id


def test_types_appear_with_their_shares_and_what_they_rest_on(place, events, part, class_room):
    """Planted: 4 of 12 people are of one taste, 8 of the other; every one gave 4 rankings."""
    key, room, run_id = class_room
    shown = events.watch(key, "")
    assert shown[part.contents].visible and shown[part.start].interactive
    assert "48 rankings by 12 people" in shown[part.rests_on]
    assert list(shown[part.shares].data[0].x) == pytest.approx([8 / 12, 4 / 12], abs=0.02)
    assert shown[part.cards].count('class="card"') == 2
    assert f"./?run={run_id}" in shown[part.state]
    again = events.watch(key, shown[part.seen])
    assert part.cards not in again and part.contents not in again
    answer(place, room, ["latecomer"])
    assert "4 more have come since" in events.watch(key, shown[part.seen])[part.rests_on]


def test_after_a_reload_the_run_is_found_again(events, part, class_room):
    shown = events.show(class_room[0])
    assert shown[part.contents].visible and "card" in shown[part.cards]
    assert shown[part.share] is False


def test_what_was_found_stays_until_there_are_newer_types(place, events, part, copied, monkeypatch):
    """On the wall and on phones: while a fit waits, after a reload, and after it was stopped."""
    key, room, run_id = copied
    monkeypatch.setattr(place.jobs, "_slots", 0)  # it waits, as behind another fit
    seen = events.watch(key, "")[part.seen]
    events.start(key, *SETTINGS)
    newer = newest_run(place, room).job_id
    assert newer != run_id == shown_run(place, room).job_id
    watched, reloaded = events.watch(key, seen), events.show(key)
    assert part.cards not in watched and "of an earlier fit" in watched[part.rests_on]
    assert not watched[part.start].interactive and watched[part.stop].interactive
    assert reloaded[part.contents].visible and "card" in reloaded[part.cards]
    events.stop(key)
    assert place.status(newer).state is JobState.STOPPED
    stopped = events.show(key)
    assert stopped[part.contents].visible and "stopped" in stopped[part.state]
    assert len(told(place, room, rankings_table(place.rooms, room).head(0))["types"]) == 2


def test_who_withdraws_while_a_fit_runs_ends_it(place, events, opened):
    key, room = opened
    answer(place, room, ["ann", "bob"])
    events.start(key, *SETTINGS)
    run_id = newest_run(place, room).job_id
    child = place.jobs._running[run_id].pid
    people.withdraw(place.rooms, room.code, token("ann"))
    events.watch(key, "")
    assert not (place.home / run_id).exists() and not runs(child)


def test_of_a_server_killed_while_it_queues_a_fit_a_withdrawal_finds_the_run(tmp_path, monkeypatch):
    """What is on disk when the fit has just been queued is what a killed server leaves."""
    place = Workplace(tmp_path / "home")
    room = room_by_key(place.rooms, open_room(place.rooms, class_plan()))
    answer(place, room, ["ann", "bob"])
    place.jobs._slots = 0  # it waits, as behind another fit
    queue = place.jobs.start_fit

    def queue_and_copy(*given, **settings):
        run_id = queue(*given, **settings)
        shutil.copytree(place.home, tmp_path / "killed")
        return run_id

    monkeypatch.setattr(place.jobs, "start_fit", queue_and_copy)
    run_id = fit_room(place, room, ExportConfig(), 2, "auto", "loglinear", 0)
    place.close()
    after = Workplace(tmp_path / "killed")
    assert (after.home / run_id / "job" / "rankings.jsonl").exists()
    people.withdraw(after.rooms, room.code, token("ann"))
    forget_stale(after)
    assert not (after.home / run_id).exists()
    after.close()


def test_a_run_that_never_began_hides_none_that_did(place, events, part, copied):
    """A server killed between registering and queueing leaves the run before on the wall."""
    key, room, run_id = copied
    add_fit(place.rooms, room, "x" * 22, [])
    assert newest_run(place, room).job_id == run_id
    assert events.watch(key, "")[part.contents].visible


def test_a_fit_that_cannot_be_queued_leaves_nothing(place, events, opened, monkeypatch):
    key, room = opened
    answer(place, room, ["ann", "bob"])
    monkeypatch.setattr(place.jobs, "_queue_length", 0)
    with pytest.raises(EmdpoError, match="are waiting"):
        fit_room(place, room, ExportConfig(), 2, "auto", "loglinear", 0)
    forget_stale(place)
    assert fits_of(place.rooms, room) == stale_fits(place.rooms) == []


def test_adapters_are_fitted_on_the_embedded_model(place, opened):
    _, room = opened
    answer(place, room, ["ann", "bob"])
    run_id = fit_room(place, room, ExportConfig(), 2, "auto", "adapters", 0)
    config = place.status(run_id).config
    assert (config["policy"], config["base_model"]) == ("adapters", "embedded")
    assert remove(place, run_id)


def test_who_withdraws_takes_the_run_along(place, events, part, copied):
    key, room, run_id = copied
    folder = folder_of(place.home, run_id)
    assert events.watch(key, "")[part.contents].visible
    people.withdraw(place.rooms, room.code, token("bob"))
    shown = events.watch(key, "")
    assert not folder.exists() and stale_fits(place.rooms) == []
    assert not shown[part.contents].visible and "No types yet" in shown[part.state]
    assert newest_run(place, room) is None


def test_a_deleted_room_leaves_no_run_and_no_table(place, collect_page, copied):
    key, room, run_id = copied
    collect_page[0].make_tables(key, False, 1)
    folder = place.room_downloads() / str(room.room_id)
    assert len(list(folder.iterdir())) == 3
    close_for_good(place, room)
    assert not (place.home / run_id).exists() and not folder.exists()


def test_tables_handed_out_a_minute_ago_do_not_outlive_a_withdrawal(place, collect_page, copied):
    key, room, _ = copied
    collect_page[0].make_tables(key, False, 1)
    old, *young = (place.room_downloads() / str(room.room_id)).iterdir()
    os.utime(old, (0, time.time() - 61))
    forget_stale(place)
    assert not old.exists() and all(path.exists() for path in young)


def test_the_owner_decides_whether_people_may_open_the_run(place, events, opened):
    key, _ = opened
    events.set_share(key, True)
    assert room_by_key(place.rooms, key).shares_run
    events.set_share("no key", False)
    assert room_by_key(place.rooms, key).shares_run


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({0: True}, "nobody has ranked"),
        ({1: 0}, "whole number from 1"),
        ({3: 99}, "at most 12"),
        ({4: "columns of mine"}, "features must be"),
        ({6: None}, "seed must be a number"),
    ],
)
def test_what_cannot_be_class_room_is_one_line(events, part, opened, changes, words):
    settings = [changes.get(n, value) for n, value in enumerate(SETTINGS)]
    shown = events.start(opened[0], *settings)
    assert set(shown) == {part.state} and words in shown[part.state]


def test_more_types_than_people_fail_with_the_reason(place, events, part, opened, wait_for):
    key, room = opened
    answer(place, room, ["ann", "bob"])
    events.start(key, False, 1, {}, 3, "auto", "loglinear", 0)
    assert wait_for(place, newest_run(place, room).job_id).state is JobState.FAILED
    shown = events.watch(key, "")
    assert "n_types" in shown[part.state] or "types" in shown[part.state]
    assert not shown[part.contents].visible


def test_a_room_that_is_gone_has_no_types(place, events, part, opened):
    key, room = opened
    delete_room(place.rooms, room)
    assert "gone" in events.start(key, *SETTINGS)[part.state]
    assert set(events.watch(key, "")) == {part.stop}
    assert not events.show(key)[part.contents].visible
    with pytest.raises(EmdpoError, match="nobody has ranked"):
        fit_room(place, room, ExportConfig(), 2, "items", "loglinear", 0)
