"""Two runs of one browser side by side, as a visitor sees them."""

from __future__ import annotations

import time

import pytest

from emdpo.settings import FitConfig

pytestmark = pytest.mark.browser

sync_api = pytest.importorskip("playwright.sync_api")
expect = sync_api.expect


@pytest.fixture(scope="module")
def other_run(place):
    """Return the run id of the demo fitted with two types."""
    data = place.data(place.add_demo()).job_input
    run_id = place.jobs.start_fit(data, FitConfig(n_types=2, restarts=2))
    limit = time.monotonic() + 60
    while place.status(run_id).state.is_active and time.monotonic() < limit:
        time.sleep(0.1)
    return run_id


def test_two_runs_of_this_browser_are_compared(page, tab, address, demo_run, other_run, place):
    for run_id in (other_run, demo_run):
        page.goto(f"{address}?run={run_id}")
        expect(page.locator("#strip")).to_contain_text("types of demo")
        tab("5 Audit")
        expect(page.locator("#report")).to_be_enabled()
        page.wait_for_timeout(1500)  # for the last events of the run: a reload would cut them
    page.get_by_text("Compare with another run").click()
    page.locator("#other-run input").click()
    choices = page.locator("#other-run [role=option]")
    expect(choices).to_have_count(1)
    choices.first.click()
    words = page.locator("#compare-words")
    expect(words).to_contain_text("stay with their type")
    expect(words).to_contain_text("come together in")
    plots = page.locator("#compare-runs .js-plotly-plot:visible")
    expect(plots).to_have_count(2)
    page.get_by_label("Each run's own types").check()
    expect(plots.nth(1)).to_contain_text("each run's own types")
    with page.expect_file_chooser() as chooser:
        page.click("#other-zip")
    chooser.value.set_files(str(place.bundle(demo_run)))
    expect(words).to_contain_text("nobody moves")
