"""The page: seconds until `emdpo app` serves it, and until a visitor's action shows something."""

from __future__ import annotations

import shutil
from typing import Any, NamedTuple

from benchmarks.serving import EMDPO, served

STARTS = 3

REST = 2000
"""Milliseconds before each action."""

BARE = """
import sys
import gradio as gr

with gr.Blocks() as app:
    told, press = gr.Textbox(elem_id="told"), gr.Button(elem_id="press")
    press.click(lambda: "pressed", outputs=told)
app.launch(server_name="127.0.0.1", server_port=int(sys.argv[1]))
"""
"""A page with one button and one text, to compare with."""

SECONDS_UNTIL = """([press, told]) => new Promise((done, fail) => {
    const shown = () => {
        const part = document.querySelector(told);
        if (!part || !part.checkVisibility()) return "";
        return [part.textContent, ...[...part.querySelectorAll("textarea")].map((t) => t.value)]
            .join(" ").trim();
    };
    const before = shown(), began = performance.now();
    document.querySelector(press).click();
    const look = () => {
        const now = shown();
        const seconds = (performance.now() - began) / 1000;
        if (now && now !== before) done(seconds);
        else if (seconds > 30) fail(new Error(`${press}: nothing new in ${told}`));
        else requestAnimationFrame(look);
    };
    requestAnimationFrame(look);
})"""
"""Presses one part, and tells when another shows other words than before, on the screen."""


class Action(NamedTuple):
    """What a visitor does."""

    what: str
    press: str
    """The part that is pressed."""
    told: str
    """Where something is to be seen then."""
    after: str = "body"
    """What has to be on the screen before."""


TAB = "#tabs button[role=tab]:nth-of-type({})"

PRESS_A_BUTTON = Action("a bare Gradio page: press its button", "#press", "#told")

ACTIONS = (
    Action("Load the demo", "#load-demo", "#data-status"),
    Action("open 2 Fit", TAB.format(2), "#n-types"),
    Action("Start the fit: its state", "#start", "#run-state"),
    Action("open 3 Types", TAB.format(3), ".card", "#run-state .pill-done"),
    Action("open Which type am I?", "#which-type > button", "#who-begin"),
    Action("its first question", "#who-begin", "#who-question"),
    Action("order an answer", "#who-card-0", "#who-card-0", "#who-card-0"),
    Action("open 5 Audit", TAB.format(5), ".findings"),
    Action("Download the report: that it is written", "#report", "#report-note"),
)


def run() -> list[dict[str, object]]:
    """Return the rows of the table."""
    bare = ("-c", BARE, "{port}")
    return [*_starts(bare), *_waits(bare)]


def _starts(bare: tuple[str, ...]) -> list[dict[str, object]]:
    seconds: dict[str, list[float]] = {"a bare Gradio page": [], "emdpo app": []}
    for _ in range(STARTS):
        for arguments, waits in zip((bare, EMDPO), seconds.values(), strict=True):
            with served(arguments) as (_, until):
                waits.append(until)
    return [
        {
            "case": f"first page, {STARTS} starts",
            "what": what,
            "seconds": min(waits),
            "result": f"slowest {max(waits):.1f} s",
            "ratio": min(waits) / min(seconds["a bare Gradio page"]),
        }
        for what, waits in seconds.items()
    ]


def _waits(bare: tuple[str, ...]) -> list[dict[str, object]]:
    with served(bare) as (port, _):
        waits = _visited(port, (PRESS_A_BUTTON,))
    least = waits[PRESS_A_BUTTON.what]
    with served() as (port, _):
        waits |= _visited(port, ACTIONS)
    return [
        {"case": "until something is seen", "what": what, "seconds": wait, "ratio": wait / least}
        for what, wait in waits.items()
    ]


def _visited(port: int, actions: tuple[Action, ...]) -> dict[str, float]:
    """Return the seconds that each action takes, one after another on one page."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        path = shutil.which("chromium") or shutil.which("chromium-browser")
        chromium = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        page = chromium.new_page(viewport={"width": 1280, "height": 900})
        page.goto(f"http://127.0.0.1:{port}/")
        waits = {action.what: _timed(page, action) for action in actions}
        chromium.close()
    return waits


def _timed(page: Any, action: Action) -> float:
    """Return the seconds of an action, begun once the page has come to rest."""
    page.wait_for_selector(action.after)
    page.wait_for_selector(f"{action.press}:not([disabled])", state="attached")
    page.wait_for_timeout(REST)
    return page.evaluate(SECONDS_UNTIL, [action.press, action.told])
