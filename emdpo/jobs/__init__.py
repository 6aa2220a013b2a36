"""Background jobs: fits and choices of K in child processes, known by unguessable ids."""

from __future__ import annotations

from emdpo.jobs.folder import JobState, JobStatus, folder_of, new_id, result_of
from emdpo.jobs.registry import JobInput, Jobs, runs_home

__all__ = [
    "JobInput",
    "JobState",
    "JobStatus",
    "Jobs",
    "folder_of",
    "new_id",
    "result_of",
    "runs_home",
]
