"""Work in worker processes: the same results, none left behind, and quiet."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from processes import children_of, runs, until

from emdpo.core.workers import results


def squared(array, position):
    return array[position] ** 2, os.getpid()


@pytest.mark.parametrize("n_workers", [1, 2])
def test_results_are_those_of_the_work_by_position(n_workers):
    """The array is large enough to be memory-mapped."""
    array = np.random.default_rng(0).normal(size=200_000)
    found = dict(results(lambda position: squared(array, position), range(5), n_workers))
    assert [found[n][0] for n in range(5)] == (array[:5] ** 2).tolist()
    alone = {pid for _, pid in found.values()} == {os.getpid()}
    assert alone == (n_workers == 1)


@pytest.mark.parametrize("n_workers", [1, 2])
def test_an_error_in_the_work_comes_through(n_workers):
    def fail(_):
        raise ValueError("no such type")

    with pytest.raises(ValueError, match="no such type"):
        list(results(fail, range(3), n_workers))


@pytest.mark.parametrize("n_workers", [1, 2])
def test_who_has_enough_stops_without_a_warning(n_workers, recwarn):
    work = results(abs, range(50), n_workers)
    next(iter(work))
    work.close()
    assert [str(each.message) for each in recwarn] == []


def test_the_environment_is_left_as_it_was(monkeypatch):
    for before in (None, "error"):
        if before is None:
            monkeypatch.delenv("PYTHONWARNINGS", raising=False)
        else:
            monkeypatch.setenv("PYTHONWARNINGS", before)
        list(results(abs, range(2), 2))
        assert os.environ.get("PYTHONWARNINGS") == before


BUSY = """
import os, signal, time
signal.signal(signal.SIGINT, signal.default_int_handler)  # a background shell has it ignored
from emdpo.core.workers import results
def wait(position):
    os.write(1, b".")
    time.sleep(60 if position < 2 else 0)
list(results(wait, range(4), 2))
"""


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_no_worker_outlives_its_parent_and_none_complains(how):
    child = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", BUSY], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert child.stdout is not None
    assert child.stderr is not None
    assert child.stdout.read(2) == b".."  # both at work
    started = children_of(child.pid)
    assert len(started) >= 2
    child.send_signal(how)
    until(lambda: not any(map(runs, started)), seconds=20)
    child.wait(20)
    told = child.stderr.read()
    child.stdout.close()
    child.stderr.close()
    assert b"resource_tracker" not in told
    if how is not signal.SIGINT:
        assert told == b""
