"""Seconds and peak memory of a function, each in a child process of its own."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Measurement:
    """What one function cost."""

    seconds: float
    """Wall time of the fastest repeat."""
    peak_mb: float
    """Peak resident memory above what stood before the call, MB."""
    result: Any


def measure(
    prepare: Callable[[], Any],
    work: Callable[[Any], Any],
    repeats: int = 1,
    after: Callable[[Any], Any] | None = None,
) -> Measurement:
    """Return the cost of `work(prepare())`; preparing is not counted. All must be picklable.

    `after(data)` gives the result where the work changes its data; it is not counted either.
    """
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_measured, args=(prepare, work, repeats, after, send))
    child.start()
    send.close()
    try:
        return receive.recv()
    finally:
        child.join()


def _measured(
    prepare: Callable, work: Callable, repeats: int, after: Callable | None, send: Any
) -> None:
    data = prepare()
    before = _reset_peak_mb()
    seconds, result = [], None
    for _ in range(repeats):
        began = time.perf_counter()
        result = work(data)
        seconds.append(time.perf_counter() - began)
    peak_mb = _peak_mb() - before
    result = result if after is None else after(data)
    send.send(Measurement(min(seconds), peak_mb, result))


def _reset_peak_mb() -> float:
    """Return the memory held now and, on Linux, start the high-water mark afresh from there."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_mb("VmRSS")


def _peak_mb() -> float:
    return _status_mb("VmHWM")


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024
