"""Runs made of a room: started with one press, known to the room, and gone when they must be."""

from __future__ import annotations

import json
import shutil
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from emdpo.collect.export import ExportConfig, rankings_table
from emdpo.collect.fits import beginning_fit, fits_of, forget_fit, stale_fits
from emdpo.collect.rooms import Room, delete_room
from emdpo.core.errors import EmdpoError, RunError
from emdpo.fitting import FitConfig
from emdpo.jobs import JobInput, new_id
from emdpo.ui.fit_events import status_or_none
from emdpo.ui.fit_form import config_of
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd

    from emdpo.jobs import JobStatus

_HANDED_OUT_SECONDS = 60.0


def fit_room(
    place: Workplace,
    room: Room,
    export: ExportConfig,
    n_types: float,
    features: str,
    policy: str,
    seed: float,
) -> str:
    """Queue a fit of all rankings that a room has now, and return the run's id.

    The room knows of the run before it begins, so that it goes when somebody in it withdraws.

    Raises
    ------
    EmdpoError
        There are no rankings, the settings are out of range, somebody withdraws at this moment, or
        too many fits wait.
    """
    default = FitConfig(n_types=1)
    config = config_of(
        *(n_types, features, default.beta, default.l2, default.restarts, default.max_iter),
        *(seed, policy),
    )
    table = rankings_table(place.rooms, room, export)
    users = set(table["user_id"])
    if not users:
        raise EmdpoError("nobody has ranked anything yet")
    run_id = new_id()
    with tempfile.TemporaryDirectory(dir=place.copies) as folder:
        path = Path(folder) / "rankings.jsonl"
        path.write_text(as_jsonl(table), "utf-8")
        data = JobInput(path, None, room.title)
        with beginning_fit(place.rooms, room, run_id, users):
            place.jobs.start_fit(data, config, job_id=run_id)
    return run_id


def newest_run(place: Workplace, room: Room) -> JobStatus | None:
    """Return where the run made last of a room stands; None where there is none.

    One that is registered and has not begun does not count.
    """
    return next(_runs(place, room), None)


def shown_run(place: Workplace, room: Room) -> JobStatus | None:
    """Return the newest run of a room that has types to show; None where there is none."""
    return next((run for run in _runs(place, room) if run.has_result), None)


def _runs(place: Workplace, room: Room) -> Iterator[JobStatus]:
    """Give the runs of a room that have begun, newest first."""
    for run_id in fits_of(place.rooms, room):
        if (status := status_or_none(place, run_id)) is not None:
            yield status


def as_jsonl(table: pd.DataFrame) -> str:
    """Return a table as JSON lines, each cell exactly as it is; null = not known."""
    rows = table.astype(object).where(table.notna(), None).to_dict("records")
    return "".join(f"{json.dumps(row, ensure_ascii=False)}\n" for row in rows)


def forget_stale(place: Workplace) -> None:
    """Delete runs that must go, as after a withdrawal, and tables that were handed out.

    A run that is worked on goes as soon as it can; Gradio has a copy of a table after a moment.
    """
    for path in place.room_downloads().glob("*/*"):
        if time.time() - path.stat().st_mtime > _HANDED_OUT_SECONDS:
            path.unlink(missing_ok=True)
    for run_id in stale_fits(place.rooms):
        if remove(place, run_id):
            forget_fit(place.rooms, run_id)
    place.rooms.forget_what_is_left()


def remove(place: Workplace, run_id: str) -> bool:
    """Delete a run, and return whether it is gone."""
    try:
        return place.remove_run(run_id)
    except RunError:  # it is no longer there
        return True


def close_for_good(place: Workplace, room: Room) -> None:
    """Delete a room with all answers, the runs made of them and the tables for download."""
    shutil.rmtree(place.room_downloads() / str(room.room_id), ignore_errors=True)
    for run_id in delete_room(place.rooms, room):
        remove(place, run_id)
