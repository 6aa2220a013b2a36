"""Run folders under test: their bytes, their log, and crashes at a chosen moment."""

from __future__ import annotations

import json
from itertools import count

from emdpo import resuming
from emdpo.resuming import PROGRESS


def every_file(run):
    """Return every byte of a run but the log, which tells times."""
    paths = sorted(path for path in run.rglob("*") if path.is_file())
    return {
        path.relative_to(run).as_posix(): path.read_bytes()
        for path in paths
        if path.name != PROGRESS
    }


def events(run):
    return [json.loads(line) for line in (run / PROGRESS).read_text("utf-8").splitlines()]


class Crash(BaseException):
    """As if the process ended there."""


def crash_at_event(monkeypatch, n, name="iteration", action=None):
    """Crash, or do something, right after the n-th event of this name was logged, from 0."""
    number = count()
    write = resuming.ProgressLog.write

    def failing(self, event, **facts):
        write(self, event, **facts)
        if event == name and next(number) == n:
            if action is None:
                raise Crash
            action()

    monkeypatch.setattr(resuming.ProgressLog, "write", failing)
