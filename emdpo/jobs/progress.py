"""What a running fit has done so far, read from its progress.jsonl a few bytes at a time."""

from __future__ import annotations

import json
import threading
from collections import OrderedDict, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd

TRAINING = (
    *("loading", "tokenising", "trunk", "reference"),
    *("step", "scoring", "round", "held_out"),
)
"""Events of the training of adapters."""

TRAINED, SCORED = 0.75, 0.25
"""Shares of a round's time that its steps and its scoring take, about: a backward pass costs two
forward ones."""

RECENT = 40
"""Batches that the present speed is taken over."""

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
    """Fits or draws done and in all, of a job that is no fit; None before, and for a fit."""
    training: dict[str, Any] | None
    """The last event of the training of adapters, one of TRAINING; None before it. `step` and
    `scoring` have round, rounds and done, the share of the round's steps or scores in [0, 1]."""
    rounds: tuple[dict[str, Any], ...]
    """Events `round` of adapters, the start included: round, guard, pooled_guard, n_guard."""
    tokens_per_second: float | None
    """At which adapters are trained or scored now; None before."""
    seconds_left: float | None
    """Until the last round allowed or the last step, at the speed so far; None where it cannot be
    told."""
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
class Pace:
    """How fast a job gets on since it began or went on."""

    _recent: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=RECENT))
    """Time and tokens of the last batches."""
    _first: tuple[float, float] | None = None
    """Time and rounds of adapters, or steps, done when they were first told."""
    _last: tuple[float, float, float] = (0.0, 0.0, 0.0)
    """Time, rounds or steps done, rounds or steps allowed."""

    def take(self, event: dict[str, Any]) -> None:
        """Take note of an event of the training."""
        if event.get("n_tokens"):
            self._recent.append((event["time"], event["n_tokens"]))
        if event["event"] in ("step", "scoring") and "done" in event:
            self._reach(event["time"], rounds_done(event), float(event["rounds"]))

    def take_step(self, event: dict[str, Any]) -> None:
        """Take note of an event that has steps done and in all."""
        self._reach(event["time"], float(event["done"]), float(event["steps"]))

    def _reach(self, now: float, done: float, in_all: float) -> None:
        self._first = self._first or (now, done)
        self._last = (now, done, in_all)

    @property
    def tokens_per_second(self) -> float | None:
        """Of the last batches; None before there are two."""
        if len(self._recent) < 2 or self._recent[-1][0] <= self._recent[0][0]:
            return None
        tokens = sum(tokens for _, tokens in self._recent) - self._recent[0][1]
        return tokens / (self._recent[-1][0] - self._recent[0][0])

    @property
    def seconds_left(self) -> float | None:
        """If all rounds or steps that are allowed are needed."""
        if self._first is None:
            return None
        (began, done_then), (now, done, rounds) = self._first, self._last
        if done <= done_then:
            return None
        return max(rounds - done, 0.0) * (now - began) / (done - done_then)


def rounds_done(event: dict[str, Any]) -> float:
    """Return how many rounds of adapters are done at an event of their training."""
    before, share = event.get("round", 0) - 1, min(event.get("done", 0.0), 1.0)
    match event["event"]:
        case "step":
            return before + TRAINED * share
        case "scoring":
            return before + TRAINED + SCORED * share
        case _:
            return max(before + 1.0, 0.0)


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
    _rounds: dict[int, dict[str, Any]] = field(default_factory=dict)
    _pace: Pace = field(default_factory=lambda: Pace())
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
            rounds=tuple(self._rounds.values()),
            tokens_per_second=self._pace.tokens_per_second,
            seconds_left=self._pace.seconds_left,
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
                self._pace = Pace()
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
                self._pace.take_step(event)
            case name if name in TRAINING:
                self._training = event
                self._pace.take(event)
                if name == "round":
                    self._rounds[event["round"]] = event
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
