"""The jobs of one server: started, queued, watched and ended.

A job's state is read from its folder and from the process table (`folder`), so that it outlives a
reloaded page and a restarted server; this module only knows what waits and what it started itself.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import threading
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emdpo import files
from emdpo.core.errors import EmdpoError, RunError
from emdpo.jobs.children import is_alive, spawn
from emdpo.jobs.folder import (
    COMPARISON,
    ESTIMATE,
    FIT,
    REFITS,
    SELECTION,
    UPLOAD,
    JobState,
    JobStatus,
    folder_of,
    job_state,
    new_id,
    result_file,
    write_about,
    write_end,
)
from emdpo.jobs.progress import ProgressReaders
from emdpo.resuming import PROGRESS, STOP

if TYPE_CHECKING:
    from emdpo.fitting import FitConfig

_NEWEST = "newest_{}.json"
"""Beside a run's job.json: the last job of a kind about that run."""

_POLL_SECONDS = 0.25
_GRACE_SECONDS = 10.0


@dataclass(frozen=True)
class JobInput:
    """The files that a job reads; they are copied into its folder."""

    rankings: Path
    users: Path | None
    name: str
    """What people call these data."""


def runs_home() -> Path:
    """Return the folder of all runs: $EMDPO_HOME, or runs/ where the program was started."""
    return Path(os.environ.get("EMDPO_HOME") or "runs").resolve()


class Jobs:
    """Starts, queues, watches and ends the child processes of one server."""

    def __init__(
        self,
        home: Path,
        *,
        slots: int = 1,
        queue_length: int = 8,
        time_limit: float = 3600.0,
    ) -> None:
        self.home = home
        self._slots, self._queue_length, self._time_limit = slots, queue_length, time_limit
        self._queue: deque[str] = deque()
        self._running: dict[str, subprocess.Popen[bytes]] = {}
        self._asked: set[str] = set()
        self._watchers: list[threading.Thread] = []
        self._lock = threading.RLock()
        self._closed = False
        self._logs = ProgressReaders()

    def start_fit(
        self, data: JobInput, config: FitConfig, *, force: bool = False, job_id: str | None = None
    ) -> str:
        """Queue a fit and return its id, a new one unless given; EmdpoError where too many wait."""
        settings = {**config.to_dict(), "force": force}
        return self._start(FIT, data.name, settings, data, job_id)

    def start_selection(self, data: JobInput, **settings: Any) -> str:
        """Queue a choice of the number of types and return its id; options of `selection`."""
        return self._start(SELECTION, data.name, settings, data)

    def start_estimate(self, data: JobInput, config: FitConfig) -> str:
        """Queue an estimate of what a fit of adapters will take, and return its id."""
        return self._start(ESTIMATE, data.name, config.to_dict(), data)

    def start_comparison(self, data: JobInput | None, name: str, **settings: Any) -> str:
        """Queue a comparison of methods and return its id.

        On data, or without any on the simulation that `settings` name; the others are those of
        `emdpo.compare`.
        """
        if data is not None:
            given = {"rankings": data.rankings, "users": data.users}
            settings["files"] = {role: each.name for role, each in given.items() if each}
        return self._start(COMPARISON, name, settings, data)

    def start_about(self, run_id: str, kind: str, **settings: Any) -> str:
        """Queue a job about a finished run, of kind EVIDENCE or REFITS, and return its id.

        Of the one of its kind that is under way already, if so: a run's audit has room for one.
        """
        run = folder_of(self.home, run_id)
        with self._lock:
            if not self.status(run_id).has_result:
                raise RunError("this run has no result yet")
            active = self.active_about(run_id, kind)
            if active is None:
                name = files.read_json(run / "job" / "job.json")["name"]
                active = self._start(kind, name, {"run": run_id, **settings})
                files.write_json(run / "job" / _NEWEST.format(kind), {"job": active})
        return active

    def active_about(self, run_id: str, kind: str) -> str | None:
        """Return the job of a kind about this run that is under way; None where there is none."""
        try:
            told = folder_of(self.home, run_id) / "job" / _NEWEST.format(kind)
            job = files.read_json(told)["job"]
            return job if self.status(job).state.is_active else None
        except (KeyError, RunError):
            return None

    def add_upload(self, folder: Path, name: str, config: dict[str, Any]) -> str:
        """Take in (move) a finished run folder and return its id."""
        job_id = new_id()
        write_about(folder, UPLOAD, name, config)
        self.home.mkdir(parents=True, exist_ok=True)
        shutil.move(folder, self.home / job_id)
        return job_id

    def resume(self, job_id: str) -> None:
        """Queue an interrupted or stopped fit again: it goes on where it was."""
        folder = folder_of(self.home, job_id)
        with self._lock:
            if not self.status(job_id).can_resume:
                raise RunError("only an interrupted or stopped fit can go on")
            self._check_room()
            (folder / "job" / "end.json").unlink(missing_ok=True)
            (folder / STOP).unlink(missing_ok=True)
            self._enqueue(job_id)

    def stop(self, job_id: str) -> None:
        """Ask a job to stop: a fit ends within one iteration and keeps the best so far."""
        folder = folder_of(self.home, job_id)
        with self._lock:
            if job_id in self._queue:
                self._queue.remove(job_id)
                write_end(folder, None, stopped=True)
            elif self.status(job_id).state is JobState.RUNNING:
                if job_id in self._running:
                    self._asked.add(job_id)
                (folder / STOP).touch()
                self._end_if_nothing_is_lost(job_id)

    def _end_if_nothing_is_lost(self, job_id: str) -> None:
        """End a child that has nothing to save yet: a choice of K, a fit that still reads.

        One that finds types anew listens after every draw, so as to leave the run's audit whole.
        """
        process, folder = self._running.get(job_id), self.home / job_id
        listens = files.read_json(folder / "job" / "job.json")["kind"] == REFITS
        if process and not listens and not self._logs.read(folder / PROGRESS).iterations:
            process.terminate()

    def remove(self, job_id: str) -> bool:
        """Delete a job with all its files, and return whether they are gone.

        One that runs is ended first; another server's child is only asked to stop.
        """
        folder = folder_of(self.home, job_id)
        with self._lock:
            if job_id in self._queue:
                self._queue.remove(job_id)
            process = self._running.get(job_id)
        if process is not None:
            _end(process)
            self._settle(job_id)
        if is_alive(folder):
            (folder / STOP).touch()
            return False
        shutil.rmtree(folder)
        return True

    def status(self, job_id: str) -> JobStatus:
        """Return where a job stands; RunError where there is none."""
        folder = folder_of(self.home, job_id)
        about = files.read_json(folder / "job" / "job.json")
        kind = about["kind"]
        with self._lock:
            self._settle(job_id)
            alive = job_id in self._running or is_alive(folder)
            place = self._queue.index(job_id) if job_id in self._queue else None
            state, message, interrupted = job_state(folder, kind, place, alive)
        return JobStatus(
            job_id=job_id,
            kind=kind,
            name=about["name"],
            config=about["config"],
            created=about["created"],
            state=state,
            message=message,
            has_result=not state.is_active and result_file(folder, kind) is not None,
            can_resume=kind == FIT and (interrupted or state is JobState.STOPPED),
            progress=self._logs.read(folder / PROGRESS),
        )

    def close(self) -> None:
        """End the children of this server, each by its own process, and reap them."""
        with self._lock:
            self._closed = True
            self._queue.clear()
            running, watchers = list(self._running.values()), list(self._watchers)
        for process in running:
            process.terminate()
        for watcher in watchers:
            watcher.join(_GRACE_SECONDS)

    def _start(
        self,
        kind: str,
        name: str,
        settings: dict[str, Any],
        data: JobInput | None = None,
        job_id: str | None = None,
    ) -> str:
        with self._lock:
            self._check_room()
            job_id = job_id or new_id()
            folder = self.home / job_id
            (folder / "job").mkdir(parents=True)
            given = {} if data is None else {"rankings": data.rankings, "users": data.users}
            for role, source in given.items():
                if source is not None:
                    shutil.copyfile(source, folder / "job" / f"{role}{source.suffix.lower()}")
            write_about(folder, kind, name, settings)
            self._enqueue(job_id)
        return job_id

    def _check_room(self) -> None:
        if len(self._queue) >= self._queue_length:
            raise EmdpoError(f"{len(self._queue)} fits are waiting; please try again in a while")

    def _enqueue(self, job_id: str) -> None:
        self._queue.append(job_id)
        self._start_waiting()

    def _start_waiting(self) -> None:
        with self._lock:
            while self._queue and len(self._running) < self._slots and not self._closed:
                job_id = self._queue.popleft()
                process = self._running[job_id] = spawn(self.home / job_id)
                watcher = threading.Thread(target=self._watch, args=(job_id, process), daemon=True)
                self._watchers = [t for t in self._watchers if t.is_alive()] + [watcher]
                watcher.start()

    def _watch(self, job_id: str, process: subprocess.Popen[bytes]) -> None:
        """Wait for a child; ask it to stop again until it listens, and at the time limit."""
        limit = time.monotonic() + self._time_limit
        while process.poll() is None:
            if job_id in self._asked:  # a child that is still starting removes what it finds
                (self.home / job_id / STOP).touch()
            elif time.monotonic() > limit:
                self.stop(job_id)
            time.sleep(_POLL_SECONDS)
        self._settle(job_id)

    def _settle(self, job_id: str) -> None:
        """Write down that a child of ours has ended, if so, and start the next."""
        with self._lock:
            process = self._running.get(job_id)
            if process is None or process.poll() is None:  # poll also reaps
                return
            del self._running[job_id]
            write_end(self.home / job_id, process.returncode, stopped=job_id in self._asked)
            self._asked.discard(job_id)
            self._start_waiting()


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a child whose work is to go, gently if it listens."""
    process.terminate()
    try:
        process.wait(_GRACE_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
