"""What a running fit has done so far, read from its progress.jsonl a few bytes at a time."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

TRAINING = ("loading", "tokenising", "trunk", "reference", "step", "scoring", "round")
"""Events of the training of adapters."""

READERS_KEPT = 64
"""Logs whose read positions are remembered; the longest unused is read again from its start."""


@dataclass(frozen=True)
class Progress:
    """A snapshot of a job's log."""

    started: dict[str, Any] | None
    """The event `started`: n_users, n_rankings, n_types, restarts, max_iter; None before it."""
    iterations: tuple[dict[str, Any], ...]
    """Events `iteration` of every start: restart, iteration, log_likelihood, weights."""
    restarts_done: int
    """Starts that ended."""
    steps: tuple[int, int] | None
    """Fits done and in all, of a choice of the number of types; None for a fit."""
    training: dict[str, Any] | None
    """The last event of the training of adapters, one of TRAINING; None before it. `step` has
    round, rounds and done, the share of the round in [0, 1]."""
    ended: dict[str, Any] | None
    """The event `finished` or `failed`; None while the job runs."""

    def trace_table(self) -> pd.DataFrame:
        """Return the iterations as trace.csv has them; in each start the largest type is first."""
        import pandas as pd

        columns = ["restart", "iteration", "log_likelihood"]
        table = pd.DataFrame(list(self.iterations))
        weights = np.array(table["weights"].tolist(), float)  # (iterations, K)
        for restart in table["restart"].unique():
            rows = np.flatnonzero(table["restart"] == restart)
            weights[rows] = weights[rows][:, np.argsort(-weights[rows[-1]], kind="stable")]
        names = [f"weight_{k + 1}" for k in range(weights.shape[1])]
        return table[columns].assign(**dict(zip(names, weights.T, strict=True)))


@dataclass
class ProgressReader:
    """Reads what was appended to one log since the last look."""

    path: Path
    _offset: int = 0
    _started: dict[str, Any] | None = None
    _iterations: dict[int, list[dict[str, Any]]] = field(default_factory=dict)
    _done: set[int] = field(default_factory=set)
    _steps: tuple[int, int] | None = None
    _training: dict[str, Any] | None = None
    _ended: dict[str, Any] | None = None

    def read(self) -> Progress:
        """Return the state after all whole lines that the file holds by now."""
        for line in self._new_lines():
            try:
                self._take(json.loads(line))
            except (ValueError, KeyError, TypeError):
                continue  # a line cut by a crash; the next start of the job begins a new one
        iterations = [event for restart in self._iterations.values() for event in restart]
        return Progress(
            started=self._started,
            iterations=tuple(iterations),
            restarts_done=len(self._done),
            steps=self._steps,
            training=self._training,
            ended=self._ended,
        )

    def _new_lines(self) -> list[bytes]:
        try:
            with self.path.open("rb") as stream:
                stream.seek(self._offset)
                new = stream.read()
        except OSError:
            return []
        whole = new[: new.rfind(b"\n") + 1]
        self._offset += len(whole)
        return whole.splitlines()

    def _take(self, event: dict[str, Any]) -> None:
        match event["event"]:
            case "started":  # also when an interrupted fit goes on: only ended starts stand
                self._started, self._training, self._ended = event, None, None
                self._iterations = {r: self._iterations[r] for r in sorted(self._done)}
            case "iteration":
                if event["iteration"] == 0:
                    self._iterations[event["restart"]] = []
                self._iterations.setdefault(event["restart"], []).append(event)
            case "restart":
                self._iterations.setdefault(event["restart"], [])
                self._done.add(event["restart"])
            case "step" if "steps" in event:
                self._steps = (event["done"], event["steps"])
            case name if name in TRAINING:
                self._training = event
            case "finished" | "failed":
                self._ended = event


class ProgressReaders:
    """The logs being watched, by path; bounded and safe to share between threads."""

    def __init__(self) -> None:
        self._readers: OrderedDict[Path, ProgressReader] = OrderedDict()
        self._lock = threading.Lock()

    def read(self, path: Path) -> Progress:
        """Return what the log at `path` says by now."""
        with self._lock:
            reader = self._readers.pop(path, None) or ProgressReader(path)
            self._readers[path] = reader
            if len(self._readers) > READERS_KEPT:
                self._readers.popitem(last=False)
            return reader.read()
