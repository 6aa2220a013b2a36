"""Which type am I? in a real browser: by touch on a phone, by keyboard, and with hostile texts."""

from __future__ import annotations

import time

import pandas as pd
import pytest

import emdpo
from emdpo.demo import demo_run
from emdpo.fitting import FitConfig

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

HOSTILE = "<img src=x onerror=alert(1)> $x$ <b>bold</b>"


@pytest.fixture(scope="module")
def survey(place, tmp_path_factory):
    """The run id of a survey of six items whose texts would be markup."""
    rows = []
    for user in range(30):
        order = "abcdef" if user % 3 else "fedcba"
        for rank, item in enumerate(order, start=1):
            rows.append((f"u{user}", f"Which? {HOSTILE}", item, f"{item} {HOSTILE}", rank))
    path = tmp_path_factory.mktemp("survey") / "own.csv"
    names = ["user_id", "prompt", "response_id", "response", "rank"]
    pd.DataFrame(rows, columns=names).to_csv(path, index=False)
    data = place.data(place.add_data(path))
    run_id = place.jobs.start_fit(data.job_input, FitConfig(n_types=2, restarts=1))
    limit = time.monotonic() + 60
    while place.status(run_id).state.is_active and time.monotonic() < limit:
        time.sleep(0.1)
    return run_id


def opened(page, tab, address, run_id):
    """Open the part on a run and begin."""
    page.goto(f"{address}?run={run_id}")
    tab("3 Types")
    page.get_by_role("button", name="Which type am I?").click()
    page.click("#who-begin")
    expect(page.locator("#who-question")).to_be_visible()
    expect(page.locator("#who-card-0")).to_be_visible()


def question(page):
    return page.locator("#who-question")


def expect_question(page, number):
    """Wait for a question, and until the page has moved the keyboard to it."""
    expect(question(page)).to_contain_text(f"Question {number}.")
    page.wait_for_function("document.activeElement.id === 'who-question'")


def test_a_phone_taps_its_way_to_a_verdict_and_to_the_chat(page, tab, address, place):
    if demo_run() is None:
        pytest.skip("the shipped run is not here")
    page.set_viewport_size({"width": 400, "height": 800})
    opened(page, tab, address, place.add_demo_run())
    for number in range(1, 9):
        expect_question(page, number)
        for card in (1, 3, 0):
            page.click(f"#who-card-{card}")
        expect(page.locator("#who-card-1")).to_contain_text("B · 1st")
        expect(page.locator("#who-card-2")).to_contain_text("C · 4th")
        page.click("#who-send")
        after = page.locator(f"#who-verdict, #who-question:has-text('Question {number + 1}.')")
        expect(after).to_be_visible()
        if page.locator("#who-verdict").count():
            break
        expect(page.locator("#who-standing")).to_contain_text(f"After {number} order")
        expect(page.locator("#who-standing")).to_contain_text("was ")
    assert number >= 4
    told = page.locator("#who-verdict")
    expect(told).to_contain_text("You are ")
    expect(told.locator("details")).to_have_count(number)
    expect(page.locator("#which-type tspan", has_text="become clear?")).to_be_visible()
    for width in (400, 360):
        page.set_viewport_size({"width": width, "height": 800})
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.get_by_role("button", name="in 4 Chat").click()
    expect(page.locator("#question")).to_be_visible()


def test_keys_alone_order_send_skip_and_begin_again(page, tab, address, demo_run):
    opened(page, tab, address, demo_run)
    expect_question(page, 1)
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "who-card-0"
    page.keyboard.press("Enter")
    expect(page.locator("#who-card-0")).to_contain_text("A · 1st")
    page.keyboard.press("Tab")
    page.keyboard.press("Space")
    expect(page.locator("#who-card-1")).to_contain_text("B · 2nd")
    page.keyboard.press("Shift+Tab")
    page.keyboard.press("Enter")  # taken back
    expect(page.locator("#who-card-1")).to_contain_text("B · 1st")
    page.locator("#who-send").focus()
    page.keyboard.press("Enter")
    expect_question(page, 2)
    page.locator("#who-send").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_text("Tap the answer that you like best first")).to_be_visible()
    page.locator("#who-skip").focus()
    page.keyboard.press("Enter")
    expect_question(page, 3)
    expect(page.locator("#who-standing")).to_contain_text("After 1 order")
    page.locator("#who-finish").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#who-verdict")).to_be_visible()
    page.wait_for_function("document.activeElement.id === 'who-verdict'")
    with page.expect_download() as mine:
        page.click("#who-file")
    read = emdpo.load(mine.value.path().rename(mine.value.path().with_suffix(".jsonl")))
    assert read.n_rankings == 1 and sorted(read.ranks.tolist()) == [0, 0, 0, 1]
    page.locator("#who-again").focus()
    page.keyboard.press("Enter")
    expect_question(page, 1)
    expect(page.locator("#who-verdict")).to_be_hidden()


def test_fast_taps_all_count(page, tab, address, demo_run):
    """Taps as fast as fingers are, the second late on its way: the places are those of the taps."""
    opened(page, tab, address, demo_run)
    page.evaluate("""async () => {
        const send = window.fetch;
        let taps = 0;
        window.fetch = async (...given) => {
            const isSecond = String(given[0]).includes("queue/join") && ++taps === 2;
            if (isSecond) await new Promise((go) => setTimeout(go, 700));
            return send(...given);
        };
        for (const place of [3, 1, 0, 2]) {
            document.getElementById("who-card-" + place).click();
            await new Promise((go) => setTimeout(go, 120));
        }
    }""")
    for place, told in enumerate(("A · 3rd", "B · 2nd", "C · 4th", "D · 1st")):
        expect(page.locator(f"#who-card-{place}")).to_contain_text(told)


def test_a_surveys_texts_stay_texts(page, tab, address, survey):
    """The page fixture fails on any dialog or error; six items are shown by threes."""
    opened(page, tab, address, survey)
    expect(question(page)).to_contain_text(f"Which? {HOSTILE}")
    expect(page.locator("#who-card-2")).to_contain_text(HOSTILE)
    assert page.locator("#which-type img").count() == 0
    page.click("#who-card-0")
    expect(page.locator("#who-card-0")).to_contain_text("1st")
    page.click("#who-finish")  # nothing was sent yet
    expect(page.get_by_text("Order the answers to one question first")).to_be_visible()
    page.click("#who-send")
    after = page.locator("#who-verdict, #who-question:has-text('Question 2.')")
    expect(after.first).to_be_visible()
    if page.locator("#who-verdict").count() == 0:
        page.click("#who-finish")
    told = page.locator("#who-verdict")
    expect(told).to_contain_text("You are ")
    told.locator("summary").first.click()
    expect(told.locator("ol").first).to_contain_text(HOSTILE)
    assert page.locator("#which-type img").count() == 0
