"""Figures 1 and 2 of the Learn page in a real browser."""

from __future__ import annotations

import pytest

from tests.browser.test_learn_rules import figure, fits, press

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

__all__ = ["figure"]


def test_three_ways_of_asking_are_compared_and_follow_the_keys(figure):
    """At strength 0 the two populations are one; with one answer each, links tell nothing."""
    page = figure("pairs")
    told = [page.locator(f"#pairs-difference-{place}") for place in (1, 2, 3)]
    found = [page.locator(f"#pairs-em-{place}") for place in (1, 2, 3)]
    expect(told[0]).to_contain_text("flat valley")
    expect(told[2]).to_contain_text("nats a person: about")
    expect(found[0]).to_contain_text("4.0 or more open")
    expect(found[1]).to_contain_text("All 6 starts")
    expect(page.locator("#pairs-theorems")).to_contain_text("can tell")
    page.get_by_text("What each statement says").click()
    expect(page.locator("#pairs-theorems")).to_contain_text("Premises: rewards are linear")
    press(page, "#pairs-answers", "Home")
    expect(told[2]).to_contain_text("no number of people")
    page.get_by_role("button", name="The code that draws this").first.click()
    expect(page.locator("#pairs-code")).to_contain_text("n_answers=1")
    assert all(fits(page, width) for width in (1280, 400, 360))
