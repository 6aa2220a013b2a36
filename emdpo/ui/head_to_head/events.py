"""What the events of the Compare page do; each reads ids, calls the library, returns updates."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import gradio as gr

from emdpo.core.errors import EmdpoError
from emdpo.head_to_head.simulations import simulation_named
from emdpo.jobs import JobState
from emdpo.jobs.folder import COMPARISON, is_id
from emdpo.methods.known_types import KnownTypes
from emdpo.plots.head_to_head import cost_figure, differences_figure
from emdpo.ui import fit_view
from emdpo.ui.faults import one_line
from emdpo.ui.fit_events import status_or_none, usable
from emdpo.ui.head_to_head import view
from emdpo.ui.head_to_head.form import (
    DEMO,
    FILE,
    FIRST_GROUP,
    FIRST_GROUP_LABEL,
    SIMULATION,
    WORKBENCH,
    CompareForm,
    methods_for,
    settings_of,
)
from emdpo.ui.markup import line, pill, text
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.head_to_head.comparison import Comparison
    from emdpo.jobs import JobStatus
    from emdpo.ui.datasets import DataSet

Shown = dict[Any, Any]
"""Updates by component."""

NOTHING_YET = "Choose rankings and methods, and press Compare them. You may leave meanwhile."


@dataclass(frozen=True)
class ComparePage:
    """The components of the page."""

    form: CompareForm
    own_data: gr.State
    """Id of the data uploaded here."""
    job_id: gr.State
    kept: gr.BrowserState
    """{job}: the last comparison of this browser."""
    clock: gr.Timer
    """Ticks only while a comparison is under way."""
    start: gr.Button
    stop: gr.Button
    state: gr.HTML
    shown: gr.State
    """Id of the comparison on the screen; empty where there is none."""
    headline: gr.HTML
    contents: gr.Column
    measure: gr.Radio
    part: gr.Dropdown
    table: gr.HTML
    differences: gr.Plot
    cost: gr.Plot
    facts: gr.HTML
    download: gr.Button
    download_note: gr.HTML

    @property
    def of_data(self) -> list[Any]:
        """What `CompareEvents.choose` and `load` write."""
        form = self.form
        parts = [form.files, form.simulation, form.note, form.methods, form.group, self.start]
        return [self.own_data, *parts]

    @property
    def watched(self) -> list[Any]:
        """What `CompareEvents.watch` writes."""
        return [self.job_id, self.kept, self.clock, self.start, self.stop, self.state, self.shown]

    @property
    def results(self) -> list[Any]:
        """What `CompareEvents.show` writes."""
        controls = [self.contents, self.part, self.facts]
        return [*controls, self.headline, self.table, self.differences, self.cost]


class CompareEvents:
    """The events of the page."""

    def __init__(self, place: Workplace, page: ComparePage) -> None:
        self._place, self._page = place, page

    def begin(self, mine: Any, kept: Any, job_id: str) -> Shown:
        """Take up the Workbench's data and the comparison of this browser's last visit."""
        page, held = self._page, kept if isinstance(kept, dict) else {}
        source = WORKBENCH if self._place.has_data(_data_id(mine)) else DEMO
        if not job_id and is_id(held.get("job")):
            job_id = held["job"] if status_or_none(self._place, held["job"]) else ""
        told = self.choose(source, mine, "", methods_for(source))
        return {page.form.source: source, **told, **self.watch(job_id)}

    def choose(self, source: str, mine: Any, own_data: str, methods: list[str] | None) -> Shown:
        """Show what belongs to a source of rankings, and what is in them."""
        form = self._page.form
        applicable, truth = methods_for(source), KnownTypes.name
        chosen = [name for name in applicable if name in (methods or ()) or name == truth]
        return {
            form.files: gr.Column(visible=source == FILE),
            form.simulation: gr.Dropdown(visible=source == SIMULATION),
            form.methods: gr.CheckboxGroup(choices=applicable, value=chosen),
            **self._about(source, mine, own_data),
        }

    def _about(self, source: str, mine: Any, own_data: str) -> Shown:
        """Show a line about the data, and the groups that they have."""
        page, groups = self._page, ["region"]
        note, good = "", True
        try:
            data = self._data(source, mine, own_data)
            if data is not None and data.rankings is not None:
                panel = data.rankings
                groups = panel.attributes
                note = line(f"{data.name}: {panel.n_users:,} users, {panel.n_rankings:,} rankings.")
        except Exception as error:  # noqa: BLE001 - shown as one line
            groups, good = [], False
            waits = source == FILE and not own_data
            note = line(one_line(error), "note" if waits else "error")
        choices = [(FIRST_GROUP_LABEL, FIRST_GROUP), *((name, name) for name in groups)]
        return {
            page.form.note: gr.HTML(note, visible=bool(note)),
            page.form.group: gr.Dropdown(choices=choices, value=FIRST_GROUP),
            page.start: gr.Button(interactive=good),
        }

    def _data(self, source: str, mine: Any, own_data: str) -> DataSet | None:
        """Return the rankings of a source, None of a simulation; EmdpoError without any."""
        if source == SIMULATION:
            return None
        if source == DEMO:
            return self._place.data(self._place.add_demo())
        if source == FILE and not own_data:
            raise EmdpoError("no file yet: choose a rankings file")
        return usable(self._place, own_data if source == FILE else _data_id(mine))

    def load(self, rankings: str | None, users: str | None, mine: Any, own_data: str) -> Shown:
        """Take in what was uploaded; a users file alone waits for its rankings."""
        page = self._page
        if rankings is None:
            told = "Now choose the rankings file that these users belong to."
            return {page.form.note: line(told)}
        try:
            second = None if users is None else Path(users)
            own_data = self._place.add_data(Path(rankings), second)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {page.form.note: line(one_line(error), "error")}
        return {page.own_data: own_data, **self._about(FILE, mine, own_data)}

    def start(
        self, source: str, mine: Any, own_data: str, simulation: str, *settings: Any
    ) -> Shown:
        """Queue a comparison with the form's settings."""
        try:
            chosen = settings_of(source, *settings)
            data = self._data(source, mine, own_data)
            if data is None:
                simulation_named(simulation)
                name, chosen["simulation"] = f"simulation {simulation}", simulation
            else:
                name = data.name
            given = None if data is None else data.job_input
            job_id = self._place.jobs.start_comparison(given, name, **chosen)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {self._page.state: line(one_line(error), "error")}
        return self.watch(job_id)

    def stop(self, job_id: str) -> Shown:
        """Stop the comparison under way."""
        try:
            if job_id:
                self._place.jobs.stop(job_id)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {self._page.state: line(one_line(error), "error")}
        return self.watch(job_id)

    def watch(self, job_id: str) -> Shown:
        """Show where a comparison stands; its results once they are there."""
        page, job = self._page, status_or_none(self._place, job_id)
        if job is not None and job.kind != COMPARISON:
            job = None
        active = job is not None and job.state.is_active
        done = job is not None and job.has_result
        return {
            page.job_id: job_id if job else "",
            page.kept: {"job": job_id if job else ""},
            page.clock: gr.Timer(active=active),
            page.start: gr.Button(interactive=not active),
            page.stop: gr.Button(
                interactive=job is not None and job.state in (JobState.QUEUED, JobState.RUNNING)
            ),
            page.state: _state_html(job),
            page.shown: job_id if done else "",
        }

    def show(self, job_id: str, measure: str, key: str | None) -> Shown:
        """Show everything that a comparison found; nothing where there is none."""
        page = self._page
        if not job_id:
            return {page.contents: gr.Column(visible=False), page.headline: ""}
        try:
            found = self._place.comparison(job_id)
        except Exception as error:  # noqa: BLE001 - shown as one line
            hidden = gr.Column(visible=False)
            return {page.contents: hidden, page.headline: line(one_line(error), "error")}
        part = view.chosen_part(found, key)
        choices = [(view.part_label(each), view.part_key(each)) for each in found.parts()]
        return {
            page.contents: gr.Column(visible=True),
            page.part: gr.Dropdown(choices=choices, value=view.part_key(part)),
            page.facts: view.facts_html(found),
            **self._measure(found, measure, part),
        }

    def show_measure(self, job_id: str, measure: str, key: str | None) -> Shown:
        """Show another measure, or sort and draw by another part."""
        try:
            found = self._place.comparison(job_id)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {self._page.headline: line(one_line(error), "error")}
        return self._measure(found, measure, view.chosen_part(found, key))

    def _measure(self, found: Comparison, measure: str, part: view.Part) -> Shown:
        page = self._page
        return {
            page.headline: view.headline_html(found, measure),
            page.table: view.measure_html(found, measure, part),
            page.differences: differences_figure(found, measure, *part),
            page.cost: cost_figure(found, measure, *part),
        }


def _data_id(mine: Any) -> str:
    return str(mine.get("data") or "") if isinstance(mine, dict) else ""


def _state_html(job: JobStatus | None) -> str:
    """Return where a comparison stands, and its own settings."""
    if job is None:
        return line(NOTHING_YET)
    if not job.has_result:
        return fit_view.state_html(job) + view.settings_html(job)
    seconds = (job.progress.ended or {}).get("time", job.created) - job.created
    words = f"{pill(job.state)} {text(f'in {seconds:.0f} s, waiting included')}"
    return f'<p class="state" role="status">{words}</p>{view.settings_html(job)}'
