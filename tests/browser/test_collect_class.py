"""A class in real browsers: an owner, three phones 360 pixels wide, and the type of each."""

from __future__ import annotations

import pytest

from .test_collect_owner import opened

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect


@pytest.fixture
def phone(browser):
    """Return a function that opens a link on a phone of its own; no phone may run into errors."""
    contexts, errors = [], []

    def take(link):
        viewport = {"width": 360, "height": 740}
        contexts.append(browser.new_context(viewport=viewport, has_touch=True, is_mobile=True))
        page = contexts[-1].new_page()
        page.set_default_timeout(60_000)
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(link)
        page.get_by_label("I have read this and agree").check()
        page.get_by_role("button", name="Begin").tap()
        return page

    yield take
    for context in contexts:
        context.close()
    assert errors == []


def prefer(page, words, *, question, tie=False):
    """Put the answer with these words on top, that in steps second, and save the order.

    The last one is tied with the second if wished. Without a second place types would rest on the
    chance order in which answers are shown: in one class of 300 a phone came out alone.
    """
    expect(page.get_by_role("heading", level=1)).to_have_text(f"Question {question} of 4")
    for each in ("In steps", words):
        up = page.locator("ol.order li", has_text=each).get_by_role("button", name="Up")
        while up.is_enabled():
            up.tap()
    if tie:
        page.get_by_role("button", name="As good as above").last.tap()
    page.locator("#save").tap()


def test_three_phones_answer_and_each_learns_its_type(page, tab, place, address, phone):
    """Two like short answers best, one long ones: with two types, two thirds are of Type 1."""
    from emdpo.collect.export import rankings_table
    from emdpo.collect.rooms import room_by_key

    key = opened(page, address)
    link = page.locator("#way-in a").get_attribute("href")
    ann, bob, cem = (phone(link) for _ in range(3))
    for question in range(1, 5):
        prefer(ann, "Short", question=question)
        prefer(bob, "Short", question=question, tie=question == 2)
        if question == 2:
            bob.reload()
        if question < 4:
            prefer(cem, "Long, and warm", question=question)
    cem.get_by_role("button", name="I cannot say").tap()
    expect(page.locator("#invite-counts")).to_contain_text("12 of 12 questions dealt with")
    table = rankings_table(place.rooms, room_by_key(place.rooms, key))
    assert table.groupby(["user_id", "prompt_id"]).ngroups == 11
    best = table[table["rank"] == 1]["response"].str.split(" |,", regex=True).str[0]
    assert best.value_counts().to_dict() == {"Short": 8, "Long": 3}
    assert sorted(table.groupby(["user_id", "prompt_id"])["rank"].max()) == [2, *[3] * 10]
    tab("3 Types")
    page.click("#room-fit")
    expect(page.locator("#room-types .card")).to_have_count(2, timeout=60_000)
    for who, number in ((ann, 1), (bob, 1), (cem, 2)):
        verdict = who.locator(".verdict")
        expect(verdict).to_contain_text(f"Type {number}.")
        expect(who.locator("#types")).to_contain_text("From 11 rankings by 3 people")
        assert who.evaluate("document.documentElement.scrollWidth") <= 360
    cem.get_by_role("button", name="Withdraw and delete all of mine").tap()
    cem.get_by_role("button", name="Delete all of mine", exact=True).tap()
    expect(cem.get_by_role("heading", level=1)).to_have_text("You have withdrawn")
    expect(page.locator("#room-fit-state")).to_contain_text("No types yet")
    expect(ann.locator(".verdict")).to_have_count(0)
    assert rankings_table(place.rooms, room_by_key(place.rooms, key))["user_id"].nunique() == 2
