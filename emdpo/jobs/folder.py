"""What a job's folder tells: what it was asked to do and where it stands.

Beside the run folder's own files (`emdpo.runs`), `job/` holds job.json (kind, name of the data,
settings), copies of the input files, process.json (the child), its stdout and stderr, and end.json
once the child has ended.
"""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Any

from emdpo import files
from emdpo.core.errors import RunError
from emdpo.jobs.children import is_alive
from emdpo.jobs.progress import Progress
from emdpo.resuming import STOP

FIT, SELECTION, ESTIMATE, UPLOAD = "fit", "selection", "estimate", "upload"
EVIDENCE, REFITS = "evidence", "refits"
COMPARISON = "comparison"
"""Kinds of job; an upload is a finished run that came as a bundle; EVIDENCE and REFITS are about a
run, in whose audit they leave what they find; a comparison is of methods."""

_RESULTS = {
    SELECTION: "selection.json",
    ESTIMATE: "estimate.json",
    EVIDENCE: "evidence.json",
    REFITS: "refits.json",
    COMPARISON: "comparison.json",
}
"""What each kind of job writes last; the others fit.json."""

_ID = re.compile(r"[A-Za-z0-9_-]{22}")


class JobState(StrEnum):
    """Where a job stands."""

    QUEUED = "queued"
    RUNNING = "running"
    STOPPING = "stopping"
    DONE = "done"
    STOPPED = "stopped"
    FAILED = "failed"

    @property
    def is_active(self) -> bool:
        """Whether the job may still change."""
        return self in (JobState.QUEUED, JobState.RUNNING, JobState.STOPPING)


@dataclass(frozen=True)
class JobStatus:
    """A job as its files tell it."""

    job_id: str
    kind: str
    """fit, selection, estimate, upload, evidence, refits or comparison."""
    name: str
    """Of the data."""
    config: dict[str, Any]
    """The job's own saved settings."""
    created: float
    """Seconds since the epoch."""
    state: JobState
    message: str
    """One line: why it waits, failed or stopped; empty where there is nothing to say."""
    has_result: bool
    can_resume: bool
    """Whether it can go on where it was."""
    progress: Progress


def new_id() -> str:
    """Return an id that nobody can guess: 128 random bits."""
    return secrets.token_urlsafe(16)


def is_id(value: object) -> bool:
    """Return whether a value, which may come from anybody, is an id and nothing else."""
    return isinstance(value, str) and _ID.fullmatch(value) is not None


def folder_of(home: Path, job_id: object) -> Path:
    """Return the folder of an id, which may come from anybody.

    Raises
    ------
    RunError
        Not an id (so that no path can be smuggled in), or no such run.
    """
    if not is_id(job_id):
        raise RunError("this is not a run id")
    folder = home / str(job_id)
    if not (folder / "job" / "job.json").is_file():
        raise RunError("there is no such run here; it may have been on a server that was replaced")
    return folder


def write_about(folder: Path, kind: str, name: str, config: dict[str, Any]) -> None:
    """Write what a job was asked to do."""
    about = {"kind": kind, "name": name, "config": config, "created": time.time()}
    files.write_json(folder / "job" / "job.json", about)


def write_end(folder: Path, exit_code: int | None, *, stopped: bool) -> None:
    """Write that a job's child has ended, or will never start (no exit code)."""
    files.write_json(folder / "job" / "end.json", {"exit_code": exit_code, "stopped": stopped})


def result_of(home: Path, job_id: str) -> Path:
    """Return the file that a job writes last, fit.json of a fit; RunError where it has none."""
    folder = folder_of(home, job_id)
    if is_alive(folder):
        raise RunError("this run has not ended yet")
    kind = files.read_json(folder / "job" / "job.json")["kind"]
    result = result_file(folder, kind)
    if result is None:
        raise RunError("this run ended without a result")
    return result


def result_file(folder: Path, kind: str) -> Path | None:
    """Return the file that a job of this kind writes last, None where it is not there."""
    path = folder / _RESULTS.get(kind, "fit.json")
    return path if path.exists() else None


def job_state(
    folder: Path, kind: str, place: int | None, alive: bool
) -> tuple[JobState, str, bool]:
    """Return the state, one line about it, and whether the job was interrupted.

    Parameters
    ----------
    place
        How many jobs are to start before it; None where it does not wait.
    alive
        Whether its child runs.
    """
    if kind == UPLOAD:
        return JobState.DONE, "", False
    if place is not None:
        return JobState.QUEUED, f"{place} to start before it" if place else "next in line", False
    if alive:
        stopping = (folder / STOP).exists()
        return JobState.STOPPING if stopping else JobState.RUNNING, "", False
    result = result_file(folder, kind)
    if result is None:
        return _ended_without_result(folder)
    if files.read_json(result).get("stop_reason") == "cancelled":
        return JobState.STOPPED, "the best so far is kept", False
    return JobState.DONE, "", False


def _ended_without_result(folder: Path) -> tuple[JobState, str, bool]:
    path = folder / "job" / "end.json"
    unknown = {"exit_code": None, "stopped": (folder / STOP).exists()}
    end = files.read_json(path) if path.exists() else unknown
    if end["stopped"]:
        return JobState.STOPPED, "before there was a result", False
    message, by_itself = _error_line(folder), (end["exit_code"] or 0) > 0
    if message.startswith("unexpected ") or (by_itself and not message):
        # The details stay in the folder's stderr.
        return JobState.FAILED, f"something went wrong (log {folder.name[:6]})", False
    if message:
        return JobState.FAILED, message, False
    return JobState.FAILED, "interrupted", True


def _error_line(folder: Path) -> str:
    """Return the child's own `error: ...` line without that word, or nothing."""
    try:
        lines = (folder / "job" / "stderr").read_text("utf-8", "replace").splitlines()
    except OSError:
        return ""
    found = [line for line in lines if line.startswith("error: ")]
    return found[-1].removeprefix("error: ") if found else ""
