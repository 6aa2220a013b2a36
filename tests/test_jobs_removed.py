"""Jobs that are deleted with everything they read and wrote, whatever they are doing."""

from __future__ import annotations

import sys

import pytest
from processes import runs, until

from emdpo.core.errors import RunError
from emdpo.demo import demo_file
from emdpo.fitting import FitConfig
from emdpo.jobs import JobInput, Jobs, JobState
from emdpo.jobs import registry as registry_module
from emdpo.resuming import STOP

CLASSROOM = JobInput(demo_file("classroom.csv"), None, "classroom")

WAITS = (
    "import pathlib, signal, sys, time; signal.signal(signal.SIGTERM, signal.{}); "
    "pathlib.Path(sys.argv[1], 'listens').touch(); time.sleep(60)"
)


@pytest.fixture(params=["SIG_DFL", "SIG_IGN"])
def jobs(request, tmp_path, monkeypatch):
    """Jobs whose children only wait; those of the second kind do not end when told to."""
    command = [sys.executable, "-c", WAITS.format(request.param)]
    monkeypatch.setattr("emdpo.jobs.children.child_command", lambda folder: [*command, str(folder)])
    monkeypatch.setattr(registry_module, "_GRACE_SECONDS", 0.5)
    jobs = Jobs(tmp_path)
    yield jobs
    for process in jobs._running.values():
        process.kill()
    jobs.close()


def test_a_job_goes_while_it_runs_or_waits_and_the_next_begins(jobs, tmp_path):
    first, second, third = (jobs.start_fit(CLASSROOM, FitConfig(1)) for _ in range(3))
    child = jobs._running[first].pid
    until((tmp_path / first / "listens").exists)
    assert jobs.remove(second) and jobs.remove(first)
    assert not runs(child)
    assert {path.name for path in tmp_path.iterdir()} == {third}
    assert jobs.status(third).state is JobState.RUNNING
    for gone in (first, second):
        with pytest.raises(RunError, match="no such run"):
            jobs.remove(gone)


def test_the_child_of_another_server_is_asked_to_stop_first(jobs, tmp_path):
    """A server that was started anew has no right to kill by number; it looks again later."""
    job = jobs.start_fit(CLASSROOM, FitConfig(1))
    other = Jobs(tmp_path)
    assert not other.remove(job)
    assert (tmp_path / job / STOP).exists() and runs(jobs._running[job].pid)
    jobs._running[job].kill()
    until(lambda: other.remove(job))
    assert not (tmp_path / job).exists()
