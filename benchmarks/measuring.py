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
    prepare: Callable[[], Any], work: Callable[[Any], Any], repeats: int = 1
) -> Measurement:
    """Return the cost of `work(prepare())`; preparing is not counted. Both must be picklable."""
    context = multiprocessing.get_context("spawn")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_measured, args=(prepare, work, repeats, send))
    child.start()
    send.close()
    try:
        return receive.recv()
    finally:
        child.join()


def _measured(prepare: Callable, work: Callable, repeats: int, send: Any) -> None:
    data = prepare()
    before = _reset_peak_mb()
    seconds, result = [], None
    for _ in range(repeats):
        began = time.perf_counter()
        result = work(data)
        seconds.append(time.perf_counter() - began)
    send.send(Measurement(min(seconds), _peak_mb() - before, result))


def _reset_peak_mb() -> float:
    """Return the memory held now and, on Linux, start the high-water mark afresh from there."""
    Path("/proc/self/clear_refs").write_text("5")
    return _status_mb("VmRSS")


def _peak_mb() -> float:
    return _status_mb("VmHWM")


def _status_mb(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(field)).split()[1]) / 1024
