"""Independent pieces of work in worker processes: the same results, sooner."""

from __future__ import annotations

import os
import threading
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

from joblib import Parallel, cpu_count, delayed, parallel_config
from threadpoolctl import threadpool_limits

Task = TypeVar("Task")
Result = TypeVar("Result")

IDLE_SECONDS = 5
"""A worker without work ends after this."""

_LOOK_SECONDS = 0.5


def usable_cores() -> int:
    """Return the cores that this process may use, by affinity and container limits."""
    return cpu_count()


def results(
    work: Callable[[Task], Result], tasks: Sequence[Task], n_workers: int
) -> Iterator[tuple[int, Result]]:
    """Yield the position and result of each task as it ends, in any order.

    The arrays that `work` holds are memory-mapped where they are large, so that workers share them.
    Each piece of work has one BLAS thread, in a worker or not, so that results are the same.
    """
    if n_workers < 2:
        yield from (_done(work, position, task) for position, task in enumerate(tasks))
        return
    calls = (delayed(_done)(work, position, task) for position, task in enumerate(tasks))
    settings: dict[str, Any] = {"inner_max_num_threads": 1, "idle_worker_timeout": IDLE_SECONDS}
    settings |= {"initializer": _end_with, "initargs": (os.getpid(),)}
    with _quiet_trackers(), parallel_config("loky", **settings):
        parallel: Any = Parallel(n_workers, return_as="generator_unordered")
        done = parallel(calls)
        try:
            for each in done:  # noqa: UP028 - it is closed below, in silence
                yield each
        finally:
            with warnings.catch_warnings():  # who wants no more knows that work is under way
                warnings.simplefilter("ignore", UserWarning)
                done.close()


@contextmanager
def _quiet_trackers() -> Iterator[None]:
    """Start no process that complains of what a killed parent left, as it removes it."""
    before = os.environ.get("PYTHONWARNINGS")
    quiet = "ignore:resource_tracker:UserWarning"
    os.environ["PYTHONWARNINGS"] = quiet if before is None else f"{before},{quiet}"
    try:
        yield
    finally:
        if before is None:
            del os.environ["PYTHONWARNINGS"]
        else:
            os.environ["PYTHONWARNINGS"] = before


def _done(work: Callable[[Task], Result], position: int, task: Task) -> tuple[int, Result]:
    with threadpool_limits(1):
        return position, work(task)


def _end_with(parent: int) -> None:
    """End this process, a worker that begins, soon after its parent, even one that is killed."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_SECONDS)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
