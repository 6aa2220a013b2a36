"""What one page remembers: ids only, in the page and in its browser."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from emdpo.jobs.folder import is_id
from emdpo.ui.fit_events import status_or_none
from emdpo.ui.workplace import Workplace

RUNS_REMEMBERED = 30

SHOW_RUN_IN_ADDRESS = """(mine) => {
    const address = new URL(window.location);
    if (mine && mine.run && address.searchParams.get("run") !== mine.run) {
        address.searchParams.set("run", mine.run);
        window.history.replaceState(null, "", address);
    }
}"""


@dataclass(frozen=True)
class Session:
    """Ids of what a visitor looks at. The things themselves stay on the server."""

    data_id: gr.State
    run_id: gr.State
    choice_id: gr.State
    """A choice of the number of types."""
    estimate_id: gr.State
    """An estimate of what a fit will take."""
    mine: gr.BrowserState
    """{data, run, choice, runs}: the same ids for the time after a reload."""
    talk: gr.BrowserState
    """{talk}: the id of the conversation, likewise."""
    seen: gr.State
    """Which versions of run and choice are on the screen."""
    milestone: gr.State
    """Changes when the run gets another state or result."""
    chosen: gr.State
    """Changes when a policy was saved for the run."""
    clock: gr.Timer
    """Ticks only while a job is under way."""

    @property
    def watched(self) -> list[Any]:
        """What `fit_events.watch` writes first."""
        return [self.seen, self.milestone, self.clock]


def new_session() -> Session:
    """Return the empty session of a page; call it inside the Blocks."""
    return Session(
        data_id=gr.State(""),
        run_id=gr.State(""),
        choice_id=gr.State(""),
        estimate_id=gr.State(""),
        mine=kept_by_the_browser("emdpo"),
        talk=kept_by_the_browser("emdpo-chat"),
        seen=gr.State(None),
        milestone=gr.State(""),
        chosen=gr.State(""),
        clock=gr.Timer(1.0, active=False),
    )


def kept_by_the_browser(name: str) -> gr.BrowserState:
    """Return what outlives a reload; in a tab it would be read only once that is opened."""
    # The key only keeps the ids out of plain sight; it must survive a restart of the server.
    return gr.BrowserState({}, storage_key=name, secret="emdpo-browser-state")  # noqa: S106


def remember(mine: Any, data_id: str, run_id: str, choice_id: str) -> dict[str, Any]:
    """Return what the browser should know from now on."""
    runs = with_run(mine, run_id)["runs"]
    return {"data": data_id, "run": run_id, "choice": choice_id, "runs": runs}


def with_run(mine: Any, run_id: str) -> dict[str, Any]:
    """Return what the browser knows, this run among its runs."""
    mine = mine if isinstance(mine, dict) else {}
    runs = _ids(mine.get("runs"))
    if run_id and run_id not in runs:
        runs = [run_id, *runs][:RUNS_REMEMBERED]
    return {**mine, "runs": runs}


def _ids(value: Any) -> list[str]:
    return [item for item in value if is_id(item)] if isinstance(value, list) else []


def attach(
    place: Workplace, mine: Any, present: tuple[str, str, str], wanted: str | None
) -> list[Any]:
    """Return the ids to begin with: `wanted`, or of this browser's last visit, if still there.

    What the visitor has loaded or started since the page came (`present`) is left as it is.
    """
    mine = mine if isinstance(mine, dict) else {}
    run, choice = wanted or mine.get("run"), mine.get("choice")
    found = (
        mine.get("data") if place.has_data(mine.get("data")) else None,
        run if is_id(run) and status_or_none(place, str(run)) else None,
        choice if is_id(choice) and status_or_none(place, str(choice)) else None,
    )
    pairs = zip(present, found, strict=True)
    return [gr.skip() if now or then is None else then for now, then in pairs]
