"""Figures 3 and 4 of the Learn page in a real browser."""

from __future__ import annotations

import pytest

from .conftest import WIDE, expect_fit

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect


@pytest.fixture
def figure(shared_page, address):
    """Return a function that opens a figure of the Learn page and waits for its drawing."""
    page = shared_page

    def opened(name):
        page.set_viewport_size(WIDE)
        page.goto(f"{address}learn?figure={name}")
        expect(page.locator(".js-plotly-plot:visible").first).to_be_visible()
        return page

    return opened


def press(page, slider, key):
    page.locator(f"{slider} input[type=range]").focus()
    page.keyboard.press(key)


def test_a_policy_moved_by_keys_is_followed_by_words_and_figures(figure):
    """Home puts a type at 0; alone, type 2 loses nothing against its own policy."""
    page = figure("triangle")
    note = page.locator("#triangle-note")
    expect(note).to_contain_text("Worst served")
    press(page, "#own-1", "Home")
    press(page, "#own-3", "Home")
    expect(note).to_contain_text("Type 2 100.0%")
    page.get_by_label("Plain regret").check()
    expect(note).not_to_contain_text("Worst served: Type 2")
    page.locator("#own-on-rule input").click()
    page.get_by_role("option", name="Min-max consensus").click()
    expect(page.get_by_label("Consensus: all types")).to_be_checked()
    expect(note).to_contain_text("Your consensus")
    page.get_by_role("button", name="Table: the rules").click()
    table = page.locator("#triangle-rules")
    expect(table).to_contain_text("Nash welfare")
    page.get_by_role("button", name="People of each type").click()
    before = table.inner_text()
    press(page, "#people-3", "End")
    expect(table).not_to_have_text(before, use_inner_text=True)


def test_the_game_is_played_round_by_round(figure):
    page = figure("triangle")
    state = page.locator("#hedge-state")
    shown = page.locator("#hedge-shown input[type=number]")
    for _ in range(7):  # fast: none is lost
        page.click("#hedge-one")
    expect(shown).to_have_value("8")
    page.click("#hedge-ten")
    expect(shown).to_have_value("18")
    expect(state).to_contain_text("Round18", use_inner_text=False)
    page.click("#hedge-all")
    expect(shown).to_have_value("100")
    page.locator("#hedge-length").get_by_label("20", exact=True).check()
    expect(shown).to_have_value("1")
    page.click("#hedge-all")
    expect(shown).to_have_value("20")


def test_a_table_edited_by_keys_changes_who_wins(figure):
    page = figure("average")
    told = page.locator("#average-told")
    expect(told).to_contain_text("A: Mean utility")
    page.get_by_label("Four rules, four answers").check()
    expect(told).to_contain_text("D: Maximin")
    cells = page.locator("#average-table").get_by_role("gridcell", name="4", exact=True)
    cells.last.dblclick()  # what type 3 thinks of D
    page.keyboard.press("Control+a")
    page.keyboard.type("0")
    page.keyboard.press("Enter")
    expect(told).not_to_contain_text("D: Maximin")
    expect(page.locator("#average-table")).to_contain_text("Type 3")


@pytest.mark.parametrize("name", ["triangle", "average"])
def test_figures_fit_wide_and_narrow_and_show_their_code(figure, name):
    page = figure(name)
    page.get_by_role("button", name="The code that draws this").first.click()
    expect(page.locator(".cm-content:visible").first).to_contain_text("import")
    for width in (1280, 400, 360):
        expect_fit(page, width)
