"""A fit of adapters from the page: estimated, started, watched and talked to, in a real browser."""

from __future__ import annotations

import pytest
from adapter_runs import make_base

from .test_page import set_number, wait_for_state

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("peft")
expect = sync_api.expect


@pytest.fixture(scope="module")
def base(tmp_path_factory):
    return make_base(tmp_path_factory.mktemp("base"))


def wishes():
    """Yield the rows of twelve users, six who like long answers and six who like short ones."""
    for user in range(12):
        for prompt in range(3):
            answers = [" ".join(["word"] * n) + f" {prompt}" for n in (1, 4, 8)]
            for rank, answer in enumerate(answers[:: 1 if user % 2 else -1], start=1):
                yield f"u{user},Question {prompt}?,{answer},{rank}"


def test_adapters_are_estimated_fitted_and_watched(page, tab, address, base, tmp_path):
    page.goto(address)
    path = tmp_path / "mine.csv"
    path.write_text("\n".join(["user_id,prompt,response,rank", *wishes()]))
    page.set_input_files("#rankings-file input[type=file]", str(path))
    expect(page.locator("#data-status")).to_contain_text("Loaded: mine.csv")
    tab("2 Fit")
    expect(page.locator("#estimate")).to_be_hidden()
    page.locator("#n-types input[type=number]").fill("2")
    page.get_by_label("Adapters (language models)").check()
    page.get_by_text("Advanced settings").click()
    page.locator("#base-model").locator("input, textarea").first.fill(str(base))
    for label, value in (("Restarts", 2), ("Rounds", 2), ("Depth", 1)):
        set_number(page, label, value)
    page.click("#estimate")
    expect(page.locator("#estimation")).to_contain_text("Trying")
    expect(page.locator("#estimation")).to_contain_text("Expect", timeout=90_000)
    page.click("#start")
    wait_for_state(page, "done", 120)
    expect(page.locator("#strip")).to_contain_text("base")
    figures = page.locator(".js-plotly-plot:visible")
    expect(figures.filter(has_text="predict unseen rankings")).to_have_count(1)
    expect(figures.filter(has_text="Has the fit settled?")).to_have_count(1)
    expect(page.get_by_text("learning_rate").locator("visible=true")).to_be_visible()


def test_a_base_model_that_is_not_there_is_one_line(page, tab, address):
    page.goto(address)
    page.click("#load-demo")
    expect(page.locator("#data-status .line-good")).to_contain_text("simulated")
    tab("2 Fit")
    page.get_by_label("Adapters (language models)").check()
    page.get_by_text("Advanced settings").click()
    page.locator("#base-model").locator("input, textarea").first.fill("./nowhere")
    page.click("#start")
    wait_for_state(page, "failed")
    expect(page.locator("#run-state")).to_contain_text("there is no such folder")
