"""Figures 1 and 2 of the Learn page in a real browser."""

from __future__ import annotations

import pytest

from tests.browser.test_learn_rules import figure, press

from .conftest import expect_fit

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
    for width in (1280, 400, 360):
        expect_fit(page, width)


def test_em_goes_by_half_steps_gets_stuck_and_restarts(figure):
    """From the torn start EM ends below the best; from a random start it does not."""
    page = figure("em")
    state, verdict = page.locator("#em-state"), page.locator("#em-verdict")
    m_step, e_step = page.locator("#em-m"), page.locator("#em-e")
    expect(state).to_contain_text("untrained")
    expect(e_step).to_be_disabled()
    m_step.focus()
    page.keyboard.press("Enter")
    expect(state).to_contain_text("still the old ones")
    expect(m_step).to_be_disabled()
    e_step.click()
    expect(state).to_contain_text("match the policies again")
    expect(state).to_contain_text("2, last an E step")
    page.click("#em-back")
    expect(state).to_contain_text("1, last an M step")
    page.get_by_label("badly: two types in one").check()
    expect(state).to_contain_text("0, at the start")
    page.click("#em-end")
    expect(verdict).to_contain_text("nats below the best of 5 starts: it is stuck")
    expect(page.locator("#em-end")).to_be_disabled()
    page.click("#em-again")
    expect(page.get_by_label("at random")).to_be_checked()
    expect(page.locator("#em-draw input[type=number]")).to_have_value("2")
    expect(state).to_contain_text("0, at the start")
    page.click("#em-end")
    expect(verdict).to_contain_text("at the best that 5 starts")
    page.get_by_role("button", name="The code that draws this").first.click()
    expect(page.locator("#em-code")).to_contain_text('"random", np.random.default_rng(2)')
    page.click("#em-again")
    expect(state).to_contain_text("0, at the start")
    page.click("#em-end")
    page.click("#em-again")  # while it runs to the end, which must not be what stays
    expect(page.locator("#em-draw input[type=number]")).to_have_value("4")
    page.wait_for_timeout(3000)
    expect(state).to_contain_text("0, at the start")
    for width in (1280, 400, 360):
        expect_fit(page, width)
