"""A server and a real Chromium, for tests that see what a visitor sees."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from pathlib import Path

import pytest

sync_api = pytest.importorskip("playwright.sync_api")
pytest.importorskip("gradio")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")

HARMLESS = (
    "favicon",
    "manifest.json",
    "net::ERR_ABORTED",
    "AbortError",
    "Connection errored out",
)
"""Said by Gradio's own script, the last three when a reload cuts its event stream."""

LEFT = ("404", "network error", "Unexpected error")
"""Said where a page is left in the middle of an event: its session is forgotten at once."""

PATIENCE = 60_000
"""Milliseconds that anything may take on a machine that does much else."""

WIDE = {"width": 1280, "height": 900}

FITS = """(width) =>
    window.innerWidth === width &&
    document.documentElement.scrollWidth <= width &&
    [...document.querySelectorAll(".js-plotly-plot, .js-plotly-plot .main-svg")]
        .filter((each) => each.checkVisibility())
        .map((each) => each.getBoundingClientRect())
        .every((box) => box.left >= 0 && box.right <= width + 1)"""


NEVER_DRAWN = r"visible, enabled and stable\s*\Z"
"""How the log of a click ends that waited in vain for the next frame: headless Chromium leaves one
of some hundred pages undrawn. What is disabled, hidden or moving says so in that log."""


def pytest_collection_modifyitems(items):
    """Try tests of pages that Chromium does not draw once more."""
    again = pytest.mark.flaky(reruns=1, only_rerun=[NEVER_DRAWN])
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(again)


@pytest.fixture(scope="package")
def place(tmp_path_factory):
    from emdpo.ui.workplace import Workplace

    place = Workplace(tmp_path_factory.mktemp("home"))
    yield place
    place.close()


@pytest.fixture(scope="package")
def address(place):
    from emdpo.ui.app import build_app, launch_settings

    app = build_app(place)
    _, address, _ = app.launch(
        server_name="127.0.0.1", prevent_thread_lock=True, quiet=True, **launch_settings(place)
    )
    yield address
    app.close()


@pytest.fixture(scope="package")
def demo_run(place):
    """Return the run id of the fitted demo."""
    import time

    from emdpo.ui.results import fit_demo

    _, run_id, _ = fit_demo(place)
    limit = time.monotonic() + 60
    while place.status(run_id).state.is_active and time.monotonic() < limit:
        time.sleep(0.1)
    return run_id


@pytest.fixture(scope="package")
def browser():
    if CHROMIUM is None:
        pytest.skip("no chromium on this machine (apt-get install chromium)")
    sync_api.expect.set_options(timeout=PATIENCE)
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"]
        )
        yield browser
        browser.close()


@pytest.fixture(scope="package")
def profile(browser):
    """Yield a browser's profile: with the scripts in its cache a page costs half the time."""
    context = browser.new_context(viewport=WIDE)
    yield context
    context.close()


@contextmanager
def watched_page(profile, address):
    """Give an empty page without memories; fail on console errors, dialogs, other hosts."""
    page = profile.new_page()
    origin = {"origin": address.rstrip("/"), "storageTypes": "cookies,local_storage"}
    profile.new_cdp_session(page).send("Storage.clearDataForOrigin", origin)
    page.set_default_timeout(PATIENCE)
    complaints: list[str] = []
    page.on("console", lambda m: complaints.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("dialog", lambda dialog: (complaints.append("a dialog"), dialog.dismiss()))
    page.on("request", lambda r: None if is_own(r.url, address) else complaints.append(r.url))
    loads: list[object] = []
    page.on("load", lambda loaded: loads.append(loaded))
    yield page
    page.close()
    harmless = (*HARMLESS, *LEFT) if len(loads) > 1 else HARMLESS
    assert [c for c in complaints if not any(word in c for word in harmless)] == []


@pytest.fixture
def page(profile, address):
    """Yield a page that is still empty."""
    with watched_page(profile, address) as page:
        yield page


@pytest.fixture(scope="module")
def shared_page(profile, address):
    """Yield a page for all tests of a module that each open what they need: loading is slow."""
    with watched_page(profile, address) as page:
        yield page


def expect_fit(page, width):
    """Make the page so wide, and wait until nothing, no figure either, is wider."""
    page.set_viewport_size({"width": width, "height": WIDE["height"]})
    page.wait_for_function(FITS, arg=width)


def is_own(url: str, address: str) -> bool:
    return url.startswith((address, "data:", "blob:"))


@pytest.fixture
def tab(page):
    """Return a function that opens a tab by its name."""

    def click(name):
        page.get_by_role("tab", name=name).first.click()

    return click
