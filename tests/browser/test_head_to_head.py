"""The Compare page in a real browser: a simulation compared, its results, the zip, a stop."""

from __future__ import annotations

import json
import zipfile

import pytest

from emdpo.methods.registry import METHODS

from .conftest import expect_fit

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect

FEW = ("reference", "dpo", "known_types")


@pytest.fixture
def compare_page(page, address):
    page.goto(f"{address}compare")
    expect(page.locator("#compare-data")).to_contain_text("240 users")
    return page


def test_methods_are_compared_on_a_simulation(compare_page, tmp_path):
    page = compare_page
    page.get_by_label("Simulation with planted types").check()
    expect(page.get_by_label("known_types", exact=True)).to_be_checked()
    for name in METHODS:
        if name not in FEW:
            page.get_by_label(name, exact=True).uncheck()
    page.click("#start-comparison")
    state = page.locator("#comparison-state")
    expect(state.locator(".pill")).to_be_visible()
    expect(state).to_contain_text("done", timeout=150_000)
    headline = page.locator("#comparison-headline")
    expect(headline).to_contain_text("pooled DPO")
    expect(headline).to_contain_text("Who knew the planted types")
    table = page.locator("#comparison-table")
    expect(table.locator("tbody tr")).to_have_count(len(FEW))
    expect(page.locator("#comparison .js-plotly-plot:visible")).to_have_count(2)
    page.get_by_label("Best answer named").check()
    expect(headline).to_contain_text("by the best answer named")
    expect(page.locator("#comparison-facts")).to_contain_text("ARI")
    with page.expect_download() as download:
        page.click("#comparison-zip")
    download.value.save_as(tmp_path / "all.zip")
    with zipfile.ZipFile(tmp_path / "all.zip") as archive:
        found = json.loads(archive.read("comparison.json"))
        assert [each["method"] for each in found["facts"]] == list(FEW)
        assert b"emdpo compare --simulation three-types" in archive.read("REPRODUCE.txt")
    for width in (1280, 400, 360):
        expect_fit(page, width)
    page.reload()
    expect(table.locator("tbody tr")).to_have_count(len(FEW))


def test_a_comparison_is_stopped(compare_page):
    page = compare_page
    page.click("#start-comparison")
    state = page.locator("#comparison-state")
    expect(state.locator(".pill-running")).to_be_visible()
    page.click("#stop-comparison")
    expect(state).to_contain_text("stopped")
    expect(page.locator("#start-comparison")).to_be_enabled()
    expect(page.locator("#comparison")).to_be_hidden()
