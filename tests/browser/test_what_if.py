"""The what-if in a real browser: sliders that are followed at once, and a policy that is saved."""

from __future__ import annotations

import pytest

from emdpo.jobs import folder_of

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

STANDS_STILL = """(part) => {
    const before = window.lastPlace;
    window.lastPlace = document.querySelector(part).getBoundingClientRect().y;
    return window.lastPlace === before;
}"""
"""Whether a part is where it was when last asked for."""


@pytest.fixture
def run_id(place, demo_run):
    """A copy of the fitted demo, in which a policy may be saved."""
    return place._copy(folder_of(place.home, demo_run), "a copy")


@pytest.fixture
def what_if(page, tab, address, run_id):
    """The page at the Audit tab, its what-if filled."""
    page.goto(f"{address}?run={run_id}")
    tab("5 Audit")
    expect(page.locator("#losses table")).to_be_visible()
    expect(page.locator(".js-plotly-plot .main-svg:visible").first).to_be_visible()
    return page


def press(page, slider, key):
    page.locator(f"{slider} input[type=range]").focus()
    page.keyboard.press(key)


def on_screen(page, part):
    """Return how far below the window's top a part is, once nothing above it grows any more."""
    page.wait_for_function(STANDS_STILL, arg=part, polling=500)
    return page.locator(part).bounding_box()["y"]


def test_a_slider_is_followed_by_weights_table_and_figures(what_if):
    """End puts a type at 100, Home at 0; alone, type 3 loses nothing against its own policy."""
    table = what_if.locator("#losses table")
    before = table.inner_text()
    press(what_if, "#weight-3", "End")
    expect(table).not_to_have_text(before, use_inner_text=True)
    height = on_screen(what_if, "#weight-3")
    press(what_if, "#weight-2", "Home")
    press(what_if, "#weight-1", "Home")
    expect(what_if.locator("#weights")).to_contain_text("In effect: Type 3 100.0%")
    own = table.get_by_role("row", name="Type 3").get_by_role("cell")
    expect(own.nth(1)).to_have_text("0.0%")
    expect(what_if.locator("#start-from input")).to_have_value("")
    assert abs(on_screen(what_if, "#weight-3") - height) < 300  # nothing jumped away
    press(what_if, "#along-the-curve", "End")
    expect(what_if.locator("#weights")).to_contain_text("Type 1")
    expect(own.nth(1)).not_to_have_text("0.0%")
    what_if.get_by_label("KL regret").check()
    expect(what_if.locator("#what-if-summary")).not_to_contain_text("%")
    for width in (1280, 400):
        what_if.set_viewport_size({"width": width, "height": 900})
        what_if.wait_for_timeout(600)
        assert what_if.evaluate("document.documentElement.scrollWidth") <= width
        name = table.locator("th[scope=row]").first.bounding_box()
        assert name["width"] >= 100 and name["height"] < 90  # words stay words


def test_a_rule_sets_the_sliders_and_a_saved_policy_is_a_rule(what_if, tab, address, run_id):
    what_if.locator("#start-from input").click()
    what_if.get_by_role("option", name="Min-max consensus").click()
    expect(what_if.get_by_label("Consensus: all types")).to_be_checked()
    rules = what_if.locator("fieldset", has_text="Rules compared by group")
    expect(rules.get_by_label("Given weights")).to_have_count(0)
    what_if.locator("#policy-name").locator("textarea, input").fill("Fair <b>to</b> all")
    what_if.click("#save-policy")
    expect(what_if.locator("#saved-policy")).to_contain_text("Saved “Fair <b>to</b> all”")
    expect(rules.get_by_label("Given weights")).to_be_checked()
    what_if.goto(f"{address}?run={run_id}")
    tab("5 Audit")
    expect(what_if.locator("#saved-policy")).to_contain_text("Fair <b>to</b> all")
    expect(what_if.locator("#start-from input")).to_have_value("Given weights")
