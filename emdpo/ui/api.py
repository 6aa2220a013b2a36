"""The endpoints for programs: the main job through gradio_client, with ids instead of a session."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import closing
from pathlib import Path
from typing import Any

import gradio as gr
from gradio.events import api

from emdpo.adapters.answers import Sampling
from emdpo.core.errors import RunError
from emdpo.core.json_values import plain
from emdpo.jobs import JobStatus
from emdpo.jobs.folder import SELECTION
from emdpo.settings import EMBEDDED
from emdpo.ui.chat_events import missing_chat, sampling_of
from emdpo.ui.datasets import DataSet
from emdpo.ui.faults import told_to_clients
from emdpo.ui.fit_events import new_fit, new_selection
from emdpo.ui.fit_form import DEFAULT, DEFAULT_ADAPTERS, DEFAULT_DEPTH
from emdpo.ui.talks import Talk
from emdpo.ui.type_facts import portraits
from emdpo.ui.workplace import Workplace

ITERATIONS_TOLD = 200
"""Latest iterations in a status; the run folder's trace.csv has all."""


class Endpoints:
    """What a program may call. Everything goes in and out as JSON; ids are the only memory."""

    def __init__(self, place: Workplace) -> None:
        self._place = place

    def load_demo(self) -> dict[str, Any]:
        """Load the embedded demo (simulated raters); returns data_id, summary and problems."""
        with told_to_clients():
            return self._about(self._place.add_demo())

    def load_file(
        self, rankings: str, users: str | None = None, columns: dict[str, str] | None = None
    ) -> dict[str, Any]:
        """Load a rankings file and optionally a users file and corrected columns (role: column)."""
        with told_to_clients():
            second = None if users is None else Path(users)
            return self._about(self._place.add_data(Path(rankings), second, columns))

    def start_fit(
        self,
        data_id: str,
        n_types: int = 3,
        features: str = DEFAULT.features,
        beta: float = DEFAULT.beta,
        l2: float = DEFAULT.l2,
        restarts: int = DEFAULT.restarts,
        max_iter: int = DEFAULT.max_iter,
        seed: int = DEFAULT.seed,
        force: bool = False,
        policy: str = DEFAULT.policy,
        base_model: str = EMBEDDED,
        rounds: int = DEFAULT_ADAPTERS.rounds,
        top_layers: float = DEFAULT_DEPTH,
        learning_rate: float = DEFAULT_ADAPTERS.learning_rate,
    ) -> dict[str, Any]:
        """Start a fit in the background; returns run_id and state. Poll /fit_status."""
        numbers = (n_types, features, beta, l2, restarts, max_iter, seed)
        adapters = (policy, base_model, rounds, top_layers, learning_rate)
        with told_to_clients():
            return self._told(new_fit(self._place, data_id, *numbers, *adapters, force))

    def select_types(self, data_id: str, restarts: int = DEFAULT.restarts) -> dict[str, Any]:
        """Start a choice of the number of types, 1 to 6; poll /fit_status for its `selection`."""
        numbers = (1, DEFAULT.features, DEFAULT.beta, DEFAULT.l2, restarts)
        with told_to_clients():
            job = new_selection(
                self._place, data_id, *numbers, DEFAULT.max_iter, DEFAULT.seed, False
            )
            return self._told(job)

    def fit_status(self, run_id: str) -> dict[str, Any]:
        """Return state, message, settings and progress of a run; its result once it has one."""
        with told_to_clients():
            return self._told(run_id)

    def stop_fit(self, run_id: str) -> dict[str, Any]:
        """Stop a run within one iteration, keeping the best so far; returns its state."""
        with told_to_clients():
            self._place.jobs.stop(run_id)
            return self._told(run_id)

    def types(self, run_id: str) -> list[dict[str, Any]]:
        """Return the types of a finished run: weight, wishes, what sets them apart, examples."""
        with told_to_clients():
            return [_portrait(portrait) for portrait in portraits(self._place, run_id)]

    def audit(self, run_id: str) -> dict[str, Any]:
        """Return the audit of a finished run: regret by type, rule and group, and findings."""
        from emdpo.core.findings import findings

        with told_to_clients():
            result = self._place.audit(run_id)
            return plain({**result.to_dict(), "findings": [vars(f) for f in findings(result)]})

    def chat(
        self,
        run_id: str,
        question: str,
        policies: list[str] | None = None,
        max_tokens: int = Sampling.max_tokens,
        temperature: float = Sampling.temperature,
        seed: int = Sampling.seed,
    ) -> Generator[list[dict[str, Any]], None, None]:
        """Ask base, type-1 .. type-K, mixture, consensus, given; or `policies`; streams answers."""
        with told_to_clients():
            if message := missing_chat(self._place, run_id):
                raise RunError(message)
            cast = self._place.cast(run_id)
            talk = Talk("", run_id, cast)
            asked = cast.speakers if policies is None else policies
            sampling = sampling_of(max_tokens, temperature, seed)
            turn = talk.ask(question, asked, sampling, blind=False)
            growing = self._place.models.answers(
                cast, talk.histories(turn), turn.names, turn.sampling
            )
            with closing(growing):
                for partials in growing:
                    turn.partials = partials or turn.partials
                    yield plain(talk.rows())

    def _about(self, data_id: str) -> dict[str, Any]:
        return {"data_id": data_id, **_data(self._place.data(data_id))}

    def _told(self, run_id: str) -> dict[str, Any]:
        return _status(self._place, self._place.status(run_id))


def _data(data: DataSet) -> dict[str, Any]:
    layout, report = data.layout, data.report
    return plain(
        {
            "name": data.name,
            "form": layout.form.value if layout and layout.form else None,
            "columns": dict(layout.roles) if layout else {},
            "errors": [str(problem) for problem in report.errors],
            "warnings": [str(problem) for problem in report.warnings],
            "summary": report.to_dict()["summary"],
            "identifiability": report.identifiability and report.identifiability.to_dict(),
        }
    )


def _status(place: Workplace, status: JobStatus) -> dict[str, Any]:
    progress = status.progress
    told = {
        "run_id": status.job_id,
        "kind": status.kind,
        "state": status.state.value,
        "message": status.message,
        "config": status.config,
        "restarts_done": progress.restarts_done,
        "steps": progress.steps,
        "training": progress.training,
        "iterations": progress.iterations[-ITERATIONS_TOLD:],
    }
    if status.has_result and status.kind == SELECTION:
        told["selection"] = place.selection(status.job_id).to_dict()
    elif status.has_result:
        from emdpo.runs import summary

        told["fit"] = place.derived(status.job_id, "summary", summary)
    return plain(told)


def _portrait(portrait: Any) -> dict[str, Any]:
    from dataclasses import asdict

    return plain(asdict(portrait))


def add_endpoints(place: Workplace) -> None:
    """Register the endpoints; call it inside the Blocks."""
    endpoints = Endpoints(place)
    for name in ("load_demo", "start_fit", "fit_status", "stop_fit", "types", "audit"):
        api(getattr(endpoints, name), api_name=name)
    api(endpoints.select_types, api_name="select_types")
    api(endpoints.chat, api_name="chat", concurrency_id="model", concurrency_limit=1)
    # Through file components, which accept nothing but what this visitor has uploaded.
    with gr.Row(visible=False):
        rankings, users = gr.File(label="rankings"), gr.File(label="users")
        columns, loaded = gr.JSON(label="columns"), gr.JSON(label="loaded")
        button = gr.Button()
    button.click(endpoints.load_file, [rankings, users, columns], loaded, api_name="load_file")
