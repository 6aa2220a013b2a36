"""The Chat tab in a real browser, on a tiny model that answers nonsense."""

from __future__ import annotations

import json
import shutil
import threading
import time

import pytest

pytest.importorskip("playwright.sync_api")
pytest.importorskip("torch")
pytest.importorskip("peft")

from adapter_runs import make_base, make_run
from playwright.sync_api import expect

from emdpo.ui.talks import Talk

from .conftest import expect_fit
from .test_page import HOSTILE, strange_nodes

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def run_id(place, tmp_path_factory):
    """A run with adapters, as if it had been fitted here."""
    from emdpo.jobs.folder import FIT, new_id, write_about

    home = tmp_path_factory.mktemp("adapters")
    folder = make_run(home / "run", make_base(home / "base"))
    config = json.loads((folder / "fit.json").read_text())["config"]
    write_about(folder, FIT, "tiny", config)
    run_id = new_id()
    place.home.mkdir(parents=True, exist_ok=True)
    shutil.move(folder, place.home / run_id)
    return run_id


@pytest.fixture
def slowly(monkeypatch):
    """Let every token take a while, as with a model of use."""
    from emdpo.adapters.generation import Chorus

    hear = Chorus.hear
    monkeypatch.setattr(Chorus, "hear", lambda *row: (time.sleep(0.05), hear(*row)))


def open_chat(page, address, run_id):
    page.goto(f"{address}?run={run_id}")
    page.get_by_role("tab", name="4 Chat").first.click()
    expect(page.locator("#question textarea")).to_be_visible()


@pytest.fixture
def chat(page, address, run_id):
    """The page at the Chat tab with an empty conversation."""
    open_chat(page, address, run_id)
    return page


def set_length(page, tokens):
    box = page.get_by_label("number input for Longest answer")
    if not box.is_visible():
        page.get_by_text("Who answers, length, temperature, seed").click()
    box.fill(str(tokens))
    box.press("Tab")


def put(page, question, cards=5):
    page.locator("#question textarea").fill(question)
    page.click("#ask")
    expect(page.locator("#answers .voice")).to_have_count(cards)


def wait_until_over(page):
    expect(page.locator("#answers .growing")).to_have_count(0)
    expect(page.locator("#ask")).to_be_enabled()


def test_one_question_streams_an_answer_of_every_policy(chat, slowly):
    set_length(chat, 300)
    put(chat, "What is a good day?", 5)
    first = chat.locator("#answers .said").first
    expect(first).not_to_be_empty()
    before = first.inner_text()
    expect(chat.locator("#hush")).to_be_enabled()
    expect(first).not_to_have_text(before)
    expect(chat.locator("#answers")).to_contain_text("Type 1 (60%)")
    expect(chat.locator("#answers")).to_contain_text("Sounds like")
    chat.click("#hush")
    wait_until_over(chat)
    expect(chat.locator("#answers .ending").first).to_have_text("stopped")
    chat.get_by_role("button", name="How can I sleep better?").click()
    chat.click("#ask")
    expect(chat.locator("#answers .question")).to_contain_text("How can I sleep better?")
    expect(chat.locator("#earlier")).to_contain_text("What is a good day?")
    chat.click("#hush")
    wait_until_over(chat)
    with chat.expect_download() as download:
        chat.get_by_role("button", name="Conversation (JSONL)").click()
    assert download.value.suggested_filename == "conversation.jsonl"


def test_a_reload_keeps_the_conversation_and_frees_the_model(chat, slowly):
    set_length(chat, 16)
    put(chat, "Is this kept?")
    wait_until_over(chat)
    said = chat.locator("#answers .said").all_inner_texts()
    set_length(chat, 400)
    put(chat, "And this, half said?")
    expect(chat.locator("#answers .question")).to_contain_text("half said?")
    expect(chat.locator("#answers .said").first).not_to_be_empty()
    chat.reload()
    chat.get_by_role("tab", name="4 Chat").first.click()
    expect(chat.locator("#answers .question")).to_contain_text("half said?")
    expect(chat.locator("#earlier .said").first).to_have_text(said[0])
    expect(chat.locator("#answers .ending").first).to_have_text("stopped")
    set_length(chat, 16)
    put(chat, "Can we go on?")
    expect(chat.locator("#answers .question")).to_contain_text("go on?")
    wait_until_over(chat)
    chat.click("#anew")
    expect(chat.locator("#answers .voice")).to_have_count(0)


def test_a_new_conversation_right_after_a_question_stays_empty(chat, monkeypatch):
    """The question's own event ends later than the one that starts anew."""
    ask, asked = Talk.ask, threading.Event()

    def late(self, *args, **settings):
        turn = ask(self, *args, **settings)
        asked.set()
        time.sleep(1)
        return turn

    set_length(chat, 16)
    monkeypatch.setattr(Talk, "ask", late)
    chat.locator("#question textarea").fill("Is anybody there?")
    chat.click("#ask")
    assert asked.wait(20)
    chat.wait_for_timeout(200)
    chat.click("#anew")
    chat.wait_for_timeout(3000)
    expect(chat.locator("#answers .question")).to_have_count(0)
    expect(chat.locator("#ask")).to_be_enabled()
    put(chat, "And now?")
    wait_until_over(chat)
    expect(chat.locator("#answers .question")).to_contain_text("And now?")
    expect(chat.locator("#earlier .said")).to_have_count(0)


def test_hostile_text_is_shown_and_never_run(chat):
    set_length(chat, 16)
    for question in HOSTILE:
        put(chat, question)
        wait_until_over(chat)
        expect(chat.locator("#answers .question")).to_contain_text(question)
    assert strange_nodes(chat) == []


def test_two_visitors_ask_at_once_and_do_not_mix(chat, browser, address, run_id, slowly):
    other = browser.new_context().new_page()
    open_chat(other, address, run_id)
    set_length(chat, 300)
    set_length(other, 16)
    put(chat, "The first visitor's?")
    expect(chat.locator("#answers .said").first).not_to_be_empty()
    put(other, "The second visitor's?")
    expect(other.locator("#answers .line")).to_contain_text("one question at a time")
    wait_until_over(chat)
    wait_until_over(other)
    expect(chat.locator("#answers")).not_to_contain_text("second visitor")
    expect(other.locator("#answers")).not_to_contain_text("first visitor")
    assert len(other.locator("#answers .said").all_inner_texts()) == 5
    other.context.close()


def test_blind_answers_are_judged_and_then_named(chat):
    set_length(chat, 16)
    chat.locator("#blind input").check()
    put(chat, "Which is best?")
    wait_until_over(chat)
    expect(chat.locator("#answers")).to_contain_text("Answer A")
    expect(chat.locator("#answers")).not_to_contain_text("Type 1")
    chat.get_by_label("B", exact=True).check()
    chat.get_by_role("button", name="Show who answered").click()
    expect(chat.locator("#answers .badge")).to_have_text("your pick")
    expect(chat.locator("#answers")).to_contain_text("Type 1 (60%)")
    with chat.expect_download() as download:
        chat.get_by_role("button", name="My picks as rankings").click()
    assert download.value.suggested_filename == "picks.jsonl"


def test_a_loglinear_run_says_what_is_missing(page, address, demo_run):
    page.goto(f"{address}?run={demo_run}")
    page.get_by_role("tab", name="4 Chat").first.click()
    expect(page.get_by_text("log-linear: they score answers")).to_be_visible()
    expect(page.locator("#question")).to_be_hidden()


def test_the_conversation_is_no_wider_than_the_screen(chat):
    set_length(chat, 40)
    put(chat, "W" * 300)
    wait_until_over(chat)
    for width in (1280, 400):
        expect_fit(chat, width)
