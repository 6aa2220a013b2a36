"""A job about the run that a part of the Audit tab starts: its buttons, and what they do.

It is watched by a timer while it is under way, found again after a reload, and may be stopped; what
it found is in the run's audit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from emdpo.jobs import JobState
from emdpo.ui import fit_view
from emdpo.ui.faults import one_line
from emdpo.ui.fit_events import status_or_none
from emdpo.ui.markup import line
from emdpo.ui.results import missing
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.jobs import JobStatus

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}

Event = Callable[..., Any]
"""Connects a function with something that happens, as `Component.change` does."""


@dataclass(frozen=True)
class JobControls:
    """What starts, stops and tells of a job."""

    job_id: gr.State
    """Empty while none is under way."""
    clock: gr.Timer
    """Ticks only while one is."""
    note: gr.HTML
    start: gr.Button
    stop: gr.Button

    @property
    def watched(self) -> list[Any]:
        """What `RunJob.watch` writes."""
        return [self.job_id, self.clock, self.note, self.start, self.stop]


def job_buttons(label: str, name: str) -> tuple[gr.Button, gr.Button]:
    """Lay out a button that starts a job, known as `start-NAME`, and one that stops it."""
    start = gr.Button(label, scale=1, min_width=120, elem_id=f"start-{name}")
    stop = gr.Button(
        "Stop",
        variant="stop",
        interactive=False,
        scale=1,
        min_width=100,
        elem_id=f"stop-{name}",
    )
    return start, stop


def job_controls(start: gr.Button, stop: gr.Button, name: str) -> JobControls:
    """Lay out the line that tells of a job, known as `NAME-note`, below its buttons."""
    note = gr.HTML(elem_id=f"{name}-note")
    return JobControls(gr.State(""), gr.Timer(1.0, active=False), note, start, stop)


@dataclass(frozen=True)
class RunJob:
    """A kind of job about a run, and what its part of the page says of it."""

    kind: str
    settings: Callable[[Any], dict[str, Any]]
    """Of a visitor's choice."""
    outcome: Callable[[Audit | None], str]
    """What a run's audit has of such a job, or else what to do, in one line."""
    refusal: Callable[[Workplace, str], str] = missing
    """Why a run can have no such job, in one line; empty where it can."""

    def start(self, place: Workplace, run_id: str, choice: Any) -> list[Any]:
        """Start a job about the run, or find the one under way; updates of `watched`."""
        try:
            if message := self.refusal(place, run_id):
                return self._said(line(message, "warning"))
            job_id = place.jobs.start_about(run_id, self.kind, **self.settings(choice))
        except Exception as error:  # noqa: BLE001 - shown as one line
            return self._said(line(one_line(error), "error"))
        return self.watch(place, run_id, job_id)

    def _said(self, note: str) -> list[Any]:
        return [gr.skip(), gr.skip(), note, gr.skip(), gr.skip()]

    def attach(self, place: Workplace, run_id: str) -> list[Any]:
        """Find the job that is under way, after a reload, say; updates of `watched`."""
        return self.watch(place, run_id, place.jobs.active_about(run_id, self.kind) or "")

    def stop(self, place: Workplace, job_id: str) -> str:
        """Stop a job, and say so."""
        try:
            if job_id:
                place.jobs.stop(job_id)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return line(one_line(error), "error")
        return line("Stopping.", "good")

    def watch(self, place: Workplace, run_id: str, job_id: str) -> list[Any]:
        """Return updates of `watched`: where a job stands; its id goes when it is over."""
        job = status_or_none(place, job_id)
        if job is not None and job.state.is_active:
            buttons = [gr.Button(interactive=False), gr.Button(interactive=True)]
            return [job_id, gr.Timer(active=True), fit_view.state_html(job), *buttons]
        refused = bool(self.refusal(place, run_id))
        note = self._outcome(place, run_id) if job is None or job.has_result else _failed(job)
        buttons = [gr.Button(interactive=not refused), gr.Button(interactive=False)]
        return ["", gr.Timer(active=False), note, *buttons]

    def _outcome(self, place: Workplace, run_id: str) -> str:
        """Return the line of a run that has no job under way."""
        return line(self.refusal(place, run_id) or self.outcome(audit_or_none(place, run_id)))

    def connect(
        self,
        place: Workplace,
        run_id: gr.State,
        controls: JobControls,
        choice: Any,
        begins: Event,
        show: dict[str, Any],
    ) -> None:
        """Connect the controls.

        Parameters
        ----------
        place, run_id, controls
        choice
            The component whose value `settings` reads.
        begins
            Of the event that brings another run or result.
        show
            Function, inputs and outputs that show what was found: then, and when a job ends.
        """
        look: dict[str, Any] = {
            "fn": partial(self.watch, place),
            "inputs": [run_id, controls.job_id],
            "outputs": controls.watched,
            **QUIET,
        }
        begins(partial(self.attach, place), run_id, controls.watched, **QUIET).then(**show)
        controls.start.click(
            partial(self.start, place), [run_id, choice], controls.watched, **PRIVATE
        )
        stopped = controls.stop.click(
            partial(self.stop, place), controls.job_id, controls.note, **PRIVATE
        )
        stopped.then(**look)
        controls.clock.tick(**look, trigger_mode="once")
        controls.job_id.change(**show)


def _failed(job: JobStatus) -> str:
    words = f"{job.state}: {job.message}" if job.message else str(job.state)
    return line(words[:1].upper() + words[1:], "error" if job.state is JobState.FAILED else "note")


def audit_or_none(place: Workplace, run_id: str) -> Audit | None:
    """Return the audit of a finished run; None where there is none."""
    try:
        return None if missing(place, run_id) else place.audit(run_id)
    except Exception as error:  # noqa: BLE001 - logged; the audit itself says what is wrong
        one_line(error)
        return None
