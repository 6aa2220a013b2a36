"""A workplace in a temporary folder, with the demo fitted once for all tests of the page."""

from __future__ import annotations

import time

import pytest

pytest.importorskip("gradio")

from emdpo.jobs import JobState
from emdpo.ui.results import fit_demo
from emdpo.ui.workplace import Workplace


@pytest.fixture(scope="session")
def wait_for():
    """Return a function that returns the status of a job once it has ended."""

    def wait(place, job_id, seconds=60.0):
        limit = time.monotonic() + seconds
        while time.monotonic() < limit:
            status = place.status(job_id)
            if not status.state.is_active:
                return status
            time.sleep(0.05)
        raise AssertionError(f"still {place.status(job_id)}")

    return wait


@pytest.fixture(scope="package")
def place(tmp_path_factory):
    place = Workplace(tmp_path_factory.mktemp("home"))
    yield place
    place.close()


@pytest.fixture(scope="package")
def demo_run(place, wait_for):
    """Return the ids of the demo's data and of its finished run."""
    data_id, run_id, _ = fit_demo(place)
    assert wait_for(place, run_id).state is JobState.DONE
    return data_id, run_id


@pytest.fixture(scope="package")
def collect_page(place):
    """Return the events and components of the Collect page: rooms, types, page, types' part."""
    import gradio as gr

    from emdpo.ui.collect.page import layout
    from emdpo.ui.collect.room_events import RoomEvents
    from emdpo.ui.collect.types_part import TypesEvents
    from emdpo.ui.session import kept_by_the_browser

    with gr.Blocks():
        page, part = layout(kept_by_the_browser("emdpo"))
    rooms = RoomEvents(place, page)
    return rooms, TypesEvents(place, rooms, part), page, part


@pytest.fixture(scope="package")
def class_room(place, collect_page, wait_for):
    """Return key, room and run of a room of twelve people whose types were found."""
    from class_room import answer, class_plan

    from emdpo.collect.rooms import open_room, room_by_key
    from emdpo.ui.collect.runs import newest_run

    _, events, _, part = collect_page
    key = open_room(place.rooms, class_plan())
    room = room_by_key(place.rooms, key)
    answer(place, room, [f"person-{n}" for n in range(12)])
    shown = events.start(key, False, 1, {}, 2, "auto", "loglinear", 0)
    run_id = newest_run(place, room).job_id
    assert shown[part.mine]["run"] == run_id and shown[part.mine]["runs"][0] == run_id
    assert not shown[part.start].interactive and shown[part.stop].interactive
    assert wait_for(place, run_id).state is JobState.DONE
    return key, room, run_id
