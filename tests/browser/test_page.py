"""What a visitor sees and does, in a real browser."""

from __future__ import annotations

import json
import zipfile

import pytest

from .conftest import expect_fit

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

HOSTILE = (
    "<img src=x onerror=alert(1)>",
    "${alert(1)}",
    "{{constructor.constructor('alert(1)')()}}",
    "$\\href{javascript:alert(1)}{x}$",
    "<script>alert(1)</script>",
)


def downloaded(page, button):
    """Press a button that writes a file; return what the browser saves."""
    with page.expect_download() as download:
        page.click(button)
    return download.value


def load_demo(page):
    page.click("#load-demo")
    expect(page.locator("#data-status .line-good")).to_contain_text("simulated")


def set_number(page, label, value):
    box = page.get_by_label(label, exact=True).locator("visible=true").first
    box.fill(str(value))
    box.press("Tab")


def start_fit(page, tab, restarts=2, types=3):
    tab("2 Fit")
    page.locator("#n-types input[type=number]").fill(str(types))
    page.locator("#n-types input[type=number]").press("Tab")
    page.get_by_text("Advanced settings").click()
    set_number(page, "Restarts", restarts)
    page.click("#start")


def wait_for_state(page, state, seconds=60):
    page.wait_for_selector(f"#run-state .pill-{state}", timeout=seconds * 1000)


def test_demo_fit_types_audit(page, tab, address):
    page.goto(address)
    load_demo(page)
    start_fit(page, tab)
    expect(page.locator("#run-state .state")).to_be_visible()
    wait_for_state(page, "done")
    assert page.locator(".js-plotly-plot:visible").count() >= 2
    tab("3 Types")
    expect(page.locator(".card")).to_have_count(3)
    page.locator("#user-id").locator("textarea, input").fill("u001")
    page.click("#look-up")
    expect(page.locator("#user-answer")).to_contain_text("most likely Type")
    tab("5 Audit")
    expect(page.locator(".findings")).to_contain_text("DPO")
    page.get_by_label("KL regret").check()
    expect(page.locator(".js-plotly-plot:visible").first).to_contain_text("nats")
    assert downloaded(page, "#report").suggested_filename == "report.html"
    bundle = downloaded(page, "#publication")
    assert bundle.suggested_filename == "emdpo-publication.zip"
    assert zipfile.is_zipfile(bundle.path())


def test_a_run_leaves_for_other_tools(page, tab, address, demo_run):
    page.goto(f"{address}?run={demo_run}")
    tab("3 Types")
    page.get_by_text("Take it to another tool").click()
    second = page.locator("#export").get_by_label("Type 2")
    page.locator("#export").get_by_label("Type 1").uncheck()
    page.locator("#export").get_by_label("Type 3").uncheck()
    expect(second).to_be_checked()
    pairs = downloaded(page, "#export-file")
    assert pairs.suggested_filename == "trl-pairs.jsonl"
    rows = map(json.loads, pairs.path().read_text("utf-8").splitlines())
    assert {row["type"] for row in rows} == {"type-2"}
    page.get_by_label("LLM Comparator").check()
    expect(page.locator("#export").get_by_label("Type 1")).to_be_checked()
    second.uncheck()
    page.click("#export-file")
    expect(page.locator("#export .line-error")).to_contain_text("compares two types, got 1")
    page.get_by_label("PrefLib").check()
    expect(second).to_be_hidden()
    assert downloaded(page, "#export-file").suggested_filename == "orders.soc"
    for width in (1280, 400):
        expect_fit(page, width)


def test_a_tab_without_its_input_says_so_and_fits_the_demo(page, tab, address):
    page.goto(address)
    tab("5 Audit")
    line = page.get_by_text("No fitted run yet").locator("visible=true")
    expect(line).to_be_visible()
    page.get_by_role("button", name="Fit the demo").locator("visible=true").click()
    expect(page.locator(".findings")).to_be_visible(timeout=60_000)
    expect(line).to_have_count(0)


def test_a_log_linear_run_says_why_it_cannot_chat(page, tab, address, demo_run):
    page.goto(f"{address}?run={demo_run}")
    load_demo(page)
    for name in ("1 Data", "2 Fit", "3 Types", "4 Chat"):
        tab(name)
        page.wait_for_timeout(500)
    expect(page.get_by_text("This run's policies are log-linear")).to_be_visible()
    expect(page.get_by_role("button", name="Open the demo with adapters")).to_be_visible()


def test_an_own_file_and_a_bad_one(page, address, tmp_path):
    page.goto(address)
    good = tmp_path / "mine.csv"
    rows = [f"u{i},p,answer {c},{r}" for i in range(12) for r, c in enumerate("abc", 1)]
    good.write_text("\n".join(["user_id,prompt,response,rank", *rows]))
    page.set_input_files("#rankings-file input[type=file]", str(good))
    expect(page.locator("#data-status")).to_contain_text("Loaded: mine.csv")
    bad = tmp_path / "bad.csv"
    bad.write_text("user_id,prompt,response,rank\nann,p,a,first\n")
    page.get_by_label("Remove this file").or_(page.get_by_label("Clear")).first.click()
    page.set_input_files("#rankings-file input[type=file]", str(bad))
    status = page.locator("#data-status .line-error")
    expect(status).to_have_text(
        "bad.csv, row 2, column 'rank': rank must be a whole number >= 1 or blank, got 'first'"
    )
    assert "Traceback" not in page.content()


def test_a_reload_during_a_fit_attaches_again_and_stop_works(page, tab, address):
    page.goto(address)
    load_demo(page)
    start_fit(page, tab, restarts=100, types=5)
    wait_for_state(page, "running")
    page.wait_for_url("**?run=*")
    page.wait_for_selector("#run-state :text('iteration')")
    page.reload()
    page.wait_for_selector("#load-demo")
    expect(page.locator("#strip")).to_contain_text("5 types of demo")
    tab("2 Fit")
    wait_for_state(page, "running")
    first = page.locator("#run-state .state").inner_text()
    expect(page.locator("#run-state .state")).not_to_have_text(first)
    page.click("#stop")
    wait_for_state(page, "stopped")
    expect(page.locator("#run-state")).to_contain_text("the best so far is kept")
    tab("3 Types")
    expect(page.locator(".card")).to_have_count(5)


def test_hostile_text_is_shown_and_never_run(page, tab, address, tmp_path):
    page.goto(address)
    path = tmp_path / "hostile.jsonl"
    path.write_text("\n".join(hostile_rows()))
    page.set_input_files("#rankings-file input[type=file]", str(path))
    expect(page.locator("#data-status")).to_contain_text("Loaded: hostile.jsonl")
    page.get_by_text("Groups (1)").click()
    expect(page.locator(".report")).to_contain_text(HOSTILE[0])
    expect(page.locator("#preview")).to_contain_text(HOSTILE[0])
    start_fit(page, tab, types=2)
    wait_for_state(page, "done")
    tab("3 Types")
    expect(page.locator(".cards")).to_contain_text("Type 2")
    page.locator("#user-id").locator("textarea, input").fill(f"{HOSTILE[0]} 0")
    page.click("#look-up")
    expect(page.locator("#user-answer h4")).to_contain_text(HOSTILE[0])
    expect(page.locator("#user-answer")).to_contain_text(HOSTILE[3])
    page.locator("#user-id").locator("textarea, input").fill(HOSTILE[1])
    page.click("#look-up")
    expect(page.locator("#user-answer .line-error")).to_contain_text(HOSTILE[1])
    tab("5 Audit")
    expect(page.locator(".findings")).to_be_visible()
    for name in ("1 Data", "2 Fit", "3 Types", "4 Chat", "5 Audit"):
        tab(name)
        page.wait_for_timeout(300)
        assert strange_nodes(page) == []


def hostile_rows():
    """Return 24 users in groups with hostile names, ids, prompts and answers."""
    import json

    for user in range(24):
        order = [0, 1, 2, 3, 4] if user % 2 else [4, 3, 2, 1, 0]
        for rank, answer in enumerate(order, start=1):
            row = {"user_id": f"{HOSTILE[user % 5]} {user}", "prompt": f"{HOSTILE[answer]} ?"}
            row |= {"prompt": HOSTILE[0], "response": HOSTILE[answer], "rank": rank}
            yield json.dumps({**row, HOSTILE[0]: HOSTILE[user % 2]})


def strange_nodes(page):
    """Return nodes that only hostile text could have made."""
    return page.evaluate(
        """() => [...document.querySelectorAll(
            'img[src="x"], [onerror], a[href^="javascript:"], iframe, .katex, mjx-container'
        )].map((node) => node.outerHTML)"""
    )


def test_nothing_is_wider_than_the_screen(page, tab, address, demo_run):
    page.goto(f"{address}?run={demo_run}")
    load_demo(page)
    tab("5 Audit")
    expect(page.locator(".findings")).to_be_visible()
    for name in ("1 Data", "2 Fit", "3 Types", "4 Chat", "5 Audit"):
        tab(name)
        for width in (1280, 400):
            expect_fit(page, width)
