"""The owner of a room in a real browser: opened, watched, closed, types found, left, entered."""

from __future__ import annotations

import pytest

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

from collecting import join, prefer, token  # noqa: E402 - where there is a browser

from .conftest import expect_fit  # noqa: E402

HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}"

QUESTIONS = "\n\n".join(
    f"Question {q} {HOSTILE}?\n- Short {q}.\n- In steps: first this, then {q}.\n"
    f"- Long, and warm, dear friend, about all that question {q} may be about."
    for q in range(4)
)


def opened(page, address):
    """Open a room with what the form asks for, and return its key."""
    page.goto(f"{address}collect")
    page.locator("#room-title").locator("textarea, input").fill(f"Tea {HOSTILE}")
    page.locator("#pasted-questions textarea").fill(QUESTIONS)
    page.locator("#per-person input").fill("4")
    expect(page.locator("#question-preview")).to_contain_text("4 questions, 3 answers each")
    page.click("#open-room")
    expect(page.locator("#way-in svg")).to_be_visible()
    return page.locator("#shown-key").locator("textarea, input").input_value()


def test_a_room_from_its_opening_to_its_types_and_back_by_its_key(page, tab, place, address):
    from emdpo.collect import people
    from emdpo.collect.rooms import room_by_key

    key = opened(page, address)
    room = room_by_key(place.rooms, key)
    expect(page.locator("#way-in .code")).to_have_text(room.code)
    expect(page.locator("#way-in a")).to_have_attribute("href", f"{address}join/{room.code}")
    expect(page.locator("#room-head")).to_contain_text(HOSTILE)
    page.get_by_role("button", name="I have kept the key").click()
    expect(page.locator("#shown-key")).to_have_count(0)
    for n in range(6):
        join(place.rooms, room.code, f"browser-{n}", seed=n)
        prefer(place.rooms, room.code, f"browser-{n}", "Short" if n < 2 else "Long")
    expect(page.locator("#invite-counts")).to_contain_text("24 of 24 questions dealt with")
    page.click("#close-room")
    expect(page.locator("#way-in")).to_contain_text("neither people nor answers")
    assert room_by_key(place.rooms, key).closed
    page.reload()
    expect(page.locator("#way-in .code")).to_have_text(room.code)
    expect(page.locator("#fresh-key")).to_be_hidden()
    tab("3 Types")
    page.click("#room-fit")
    expect(page.locator("#room-types .card")).to_have_count(2, timeout=60_000)
    expect(page.locator("#rests-on")).to_contain_text("24 rankings by 6 people")
    for width in (400, 1280):
        for name in ("2 Answers", "4 Export", "3 Types"):
            tab(name)
            expect_fit(page, width)
    with page.context.expect_page() as new:
        page.get_by_role("link", name="Open this run in the Workbench").click()
    new.value.get_by_role("tab", name="3 Types").first.click()
    expect(new.value.locator(".card").first).to_be_visible()
    new.value.close()
    people.withdraw(place.rooms, room.code, token("browser-3"))
    expect(page.locator("#room-fit-state")).to_contain_text("No types yet")
    expect(page.locator("#room-types .card")).to_have_count(0)
    tab("1 Invite")
    page.click("#leave-room")
    page.get_by_role("button", name="You have a key").click()
    own = page.locator("#own-key input")
    own.fill(f"{key[:-1]}!")
    page.click("#enter-room")
    expect(page.locator("#enter-note")).to_contain_text("opens no room here")
    own.fill(key)
    own.press("Enter")
    expect(page.locator("#way-in .code")).to_have_text(room.code)
    expect(page.locator("#invite-counts")).to_contain_text("20 of 20")
