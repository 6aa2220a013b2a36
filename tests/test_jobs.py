"""Jobs: states derived from files and processes, queueing, stopping, resuming, foreign ids."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
from processes import children_of, runs, until

from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.workers import usable_cores
from emdpo.demo import demo_file
from emdpo.fitting import FitConfig
from emdpo.jobs import JobInput, Jobs, JobState, folder_of, result_of
from emdpo.jobs import registry as registry_module
from emdpo.jobs.children import child_command, is_alive
from emdpo.jobs.folder import write_about, write_end
from emdpo.jobs.progress import Pace, ProgressReader, ProgressReaders
from emdpo.runs import load_fit

CLASSROOM = JobInput(demo_file("classroom.csv"), None, "classroom")
DEMO = JobInput(demo_file(), None, "demo")


@pytest.fixture
def jobs(tmp_path):
    jobs = Jobs(tmp_path)
    yield jobs
    jobs.close()


@pytest.fixture
def sleepers(monkeypatch):
    """Replace the children by processes that only wait."""
    spawn = registry_module.spawn

    def spawn_sleeper(folder: Path):
        with pytest.MonkeyPatch.context() as patch:
            command = [sys.executable, "-c", "import time; time.sleep(60)"]
            patch.setattr("emdpo.jobs.children.child_command", lambda folder: command)
            return spawn(folder)

    monkeypatch.setattr(registry_module, "spawn", spawn_sleeper)


def wait(jobs, job_id, until, seconds=40.0):
    """Return the first status for which `until` holds."""
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        status = jobs.status(job_id)
        if until(status):
            return status
        time.sleep(0.05)
    raise AssertionError(f"still {jobs.status(job_id)}")


def ended(status):
    return not status.state.is_active


def test_a_fit_runs_to_its_end_and_leaves_a_run_folder(jobs, tmp_path):
    job_id = jobs.start_fit(CLASSROOM, FitConfig(n_types=2, restarts=2))
    assert jobs.status(job_id).state.is_active
    status = wait(jobs, job_id, ended)
    assert (status.state, status.message, status.has_result) == (JobState.DONE, "", True)
    assert status.config["n_types"] == 2 and status.name == "classroom"
    fit = load_fit(folder_of(tmp_path, job_id))
    assert fit.log_likelihood == status.progress.ended["log_likelihood"]
    weights = status.progress.trace_table()[["weight_1", "weight_2"]].iloc[-1]
    assert weights.tolist() == sorted(weights, reverse=True)


def test_another_server_sees_the_same_states(jobs, tmp_path):
    done = jobs.start_fit(CLASSROOM, FitConfig(n_types=1))
    wait(jobs, done, ended)
    assert Jobs(tmp_path).status(done).state is JobState.DONE


def test_bad_input_fails_with_its_one_line(jobs, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("user_id,prompt,response,rank\nann,p,a,first\n")
    job_id = jobs.start_fit(JobInput(bad, None, "bad"), FitConfig(n_types=1))
    status = wait(jobs, job_id, ended)
    assert status.state is JobState.FAILED and not status.can_resume
    assert "rank must be a whole number" in status.message and "\n" not in status.message


def test_stop_ends_within_an_iteration_keeps_the_best_and_can_go_on(jobs):
    job_id = jobs.start_fit(DEMO, FitConfig(n_types=4, restarts=100))
    wait(jobs, job_id, lambda status: status.progress.restarts_done >= 1)
    jobs.stop(job_id)
    assert jobs.status(job_id).state in (JobState.STOPPING, JobState.STOPPED)
    status = wait(jobs, job_id, ended, seconds=15)
    assert (status.state, status.has_result, status.can_resume) == (JobState.STOPPED, True, True)
    done_before = status.progress.restarts_done
    jobs.resume(job_id)
    assert jobs.status(job_id).state is JobState.RUNNING
    status = wait(jobs, job_id, lambda s: s.progress.restarts_done > done_before)
    jobs.stop(job_id)
    wait(jobs, job_id, ended, seconds=15)


def test_a_job_stopped_before_its_first_iteration_has_no_result(jobs):
    job_id = jobs.start_fit(DEMO, FitConfig(n_types=3))
    jobs.stop(job_id)
    status = wait(jobs, job_id, ended, seconds=10)
    assert (status.state, status.has_result) == (JobState.STOPPED, False)
    with pytest.raises(RunError, match="without a result"):
        result_of(jobs.home, job_id)


def test_a_killed_child_is_interrupted_and_goes_on(jobs, tmp_path):
    job_id = jobs.start_fit(DEMO, FitConfig(n_types=3, restarts=5))
    wait(jobs, job_id, lambda status: status.progress.restarts_done >= 1)
    pid = json.loads((folder_of(tmp_path, job_id) / "job" / "process.json").read_text())["pid"]
    os.kill(pid, signal.SIGKILL)
    status = wait(jobs, job_id, ended)
    assert (status.state, status.message) == (JobState.FAILED, "interrupted")
    assert status.can_resume
    jobs.resume(job_id)
    assert wait(jobs, job_id, ended).state is JobState.DONE


def test_what_is_not_for_people_stays_in_the_log(tmp_path):
    """A child that ended with code 1 and a traceback: a log id, not the traceback."""
    jobs = Jobs(tmp_path)
    folder = tmp_path / ("a" * 22)
    write_about(folder, "fit", "x", {})
    for stderr in ("Traceback: secret", "error: unexpected KeyError: secret"):
        (folder / "job" / "stderr").write_text(stderr)
        write_end(folder, 1, stopped=False)
        status = jobs.status(folder.name)
        assert (status.state, status.can_resume) == (JobState.FAILED, False)
        assert status.message == "something went wrong (log aaaaaa)"


@pytest.mark.usefixtures("sleepers")
def test_one_runs_and_the_others_wait_in_line(tmp_path):
    jobs = Jobs(tmp_path, queue_length=2)
    first, second, third = (jobs.start_fit(CLASSROOM, FitConfig(n_types=1)) for _ in range(3))
    states = [jobs.status(job).state for job in (first, second, third)]
    assert states == [JobState.RUNNING, JobState.QUEUED, JobState.QUEUED]
    assert jobs.status(third).message == "1 to start before it"
    with pytest.raises(EmdpoError, match="2 fits are waiting"):
        jobs.start_fit(CLASSROOM, FitConfig(n_types=1))
    jobs.stop(second)
    assert jobs.status(second).state is JobState.STOPPED
    jobs.stop(first)
    assert wait(jobs, third, lambda status: status.state is JobState.RUNNING, 10)
    jobs.close()


@pytest.mark.usefixtures("sleepers")
def test_closing_ends_and_reaps_the_children(tmp_path):
    jobs = Jobs(tmp_path)
    job_id = jobs.start_fit(CLASSROOM, FitConfig(n_types=1))
    folder = folder_of(tmp_path, job_id)
    assert is_alive(folder)
    jobs.close()
    assert not is_alive(folder)
    status = Jobs(tmp_path).status(job_id)
    assert (status.state, status.message, status.can_resume) == (
        JobState.FAILED,
        "interrupted",
        True,
    )


@pytest.mark.usefixtures("sleepers")
def test_a_job_waiting_when_the_server_ended_is_interrupted(tmp_path):
    jobs = Jobs(tmp_path)
    jobs.start_fit(CLASSROOM, FitConfig(n_types=1))
    waiting = jobs.start_fit(CLASSROOM, FitConfig(n_types=1))
    jobs.close()
    assert Jobs(tmp_path).status(waiting).message == "interrupted"


@pytest.mark.usefixtures("sleepers")
def test_the_time_limit_stops_a_job(tmp_path):
    jobs = Jobs(tmp_path, time_limit=0.3)
    job_id = jobs.start_fit(CLASSROOM, FitConfig(n_types=1))
    assert wait(jobs, job_id, ended, 10).state is JobState.STOPPED
    jobs.close()


def test_the_number_of_a_later_process_does_not_count(tmp_path):
    """A process.json that names this very process, but born at another time, is not alive."""
    (tmp_path / "job").mkdir()
    identity = {"pid": os.getpid(), "born": "1"}
    (tmp_path / "job" / "process.json").write_text(json.dumps(identity))
    assert not is_alive(tmp_path)


@pytest.mark.parametrize(
    "job_id",
    ["", ".", "..", "../../etc/passwd", "a" * 21, "a" * 23, "a" * 21 + "/", "a/../" + "b" * 17]
    + [None, 7, ["a" * 22], "a" * 21 + "\n", "\0" * 22, "é" * 22],
)
def test_no_path_can_be_smuggled_in_as_an_id(jobs, job_id):
    with pytest.raises(RunError, match="not a run id"):
        jobs.status(job_id)


def test_an_unknown_id_is_told_so(jobs):
    with pytest.raises(RunError, match="no such run"):
        jobs.status("a" * 22)


def test_ids_are_long_and_differ(jobs):
    ids = {jobs.start_fit(CLASSROOM, FitConfig(n_types=1)) for _ in range(3)}
    assert len(ids) == 3 and all(len(job_id) == 22 for job_id in ids)


@pytest.mark.usefixtures("sleepers")
def test_nothing_that_a_visitor_types_reaches_the_command_line(tmp_path):
    source = tmp_path / "evil; touch x.csv"
    source.write_bytes(CLASSROOM.rankings.read_bytes())
    jobs = Jobs(tmp_path / "home")
    data = JobInput(source, source, "$(touch x)")
    job_id = jobs.start_fit(data, FitConfig(n_types=2), force=True)
    command = child_command(folder_of(jobs.home, job_id))
    jobs.close()
    assert not any("evil" in word or "touch" in word for word in command)
    assert command[1:4] == ["-m", "emdpo", "fit"] and "--force" in command
    assert command[command.index("--types") + 1] == "2"


def test_a_choice_of_the_number_of_types_ends_with_a_selection(jobs):
    job_id = jobs.start_selection(CLASSROOM, largest=2, restarts=2)
    status = wait(jobs, job_id, ended)
    log = (folder_of(jobs.home, job_id) / "job" / "stderr").read_text()
    assert status.state is JobState.DONE, status.message + log
    assert status.progress.steps[0] == status.progress.steps[1]
    held = json.loads(result_of(jobs.home, job_id).read_text())
    assert [row["n_types"] for row in held["table"]] == [1, 2]


@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="looks processes up in /proc")
def test_stopping_a_choice_leaves_no_process_behind(jobs):
    """Neither the child nor its workers, and nothing that complains of them."""
    job_id = jobs.start_selection(DEMO, largest=6)
    job = folder_of(jobs.home, job_id) / "job"
    until((job / "process.json").exists)
    child = json.loads((job / "process.json").read_text())["pid"]
    until(lambda: len(children_of(child)) >= usable_cores() > 1 or usable_cores() == 1)
    started = children_of(child)
    jobs.stop(job_id)
    assert wait(jobs, job_id, ended).state is JobState.STOPPED
    until(lambda: not any(map(runs, [child, *started])))
    assert (job / "stderr").read_text() == ""


def write_events(path, *events):
    with path.open("a") as stream:
        for event in events:
            stream.write(json.dumps(event) + "\n")


def iteration(restart, number, value=-1.0, weights=(0.4, 0.6)):
    facts = {"restart": restart, "iteration": number, "log_likelihood": value}
    return {"event": "iteration", **facts, "weights": list(weights)}


def test_progress_is_read_in_parts_and_never_a_cut_line(tmp_path):
    path = tmp_path / "progress.jsonl"
    reader = ProgressReader(path)
    assert reader.read().started is None
    write_events(path, {"event": "started", "n_types": 2}, iteration(0, 0))
    assert len(reader.read().iterations) == 1
    with path.open("a") as stream:
        stream.write('{"event": "iter')
    assert len(reader.read().iterations) == 1
    with path.open("a") as stream:
        stream.write("\n")
    write_events(path, iteration(0, 1), {"event": "restart", "restart": 0})
    progress = reader.read()
    assert (len(progress.iterations), progress.restarts_done) == (2, 1)


def test_going_on_keeps_only_the_starts_that_ended(tmp_path):
    path = tmp_path / "progress.jsonl"
    write_events(path, {"event": "started"}, iteration(0, 0), {"event": "restart", "restart": 0})
    write_events(path, iteration(1, 0), {"event": "failed", "message": "x"}, {"event": "started"})
    progress = ProgressReaders().read(path)
    assert [event["restart"] for event in progress.iterations] == [0]
    assert progress.ended is None


def test_the_largest_type_comes_first_in_every_start(tmp_path):
    path = tmp_path / "progress.jsonl"
    write_events(path, iteration(0, 0, weights=(0.5, 0.5)), iteration(0, 1, weights=(0.2, 0.8)))
    write_events(path, iteration(1, 0, weights=(0.9, 0.1)))
    table = ProgressReaders().read(path).trace_table()
    assert table["weight_1"].tolist() == [0.5, 0.8, 0.9]


def test_speed_and_time_left_of_adapters():
    """Half of the first round's steps in 30 s are 0.75 / 2 of it, so a round takes 80 s.

    From 0.025 of round 1 (2 s) to 0.375 (30 s): 28 s for 0.35 rounds; 1.625 of 2 are left, 130 s.
    """
    pace = Pace()
    assert pace.tokens_per_second is None and pace.seconds_left is None
    pace.take({"event": "loading", "time": 0.0})
    for done, moment in ((1 / 30, 2.0), (1 / 2, 30.0)):
        step = {"event": "step", "round": 1, "rounds": 2, "done": done, "n_tokens": 560}
        pace.take({**step, "time": moment})
    assert pace.tokens_per_second == pytest.approx(20.0)
    assert pace.seconds_left == pytest.approx(130.0)
    pace.take({"event": "scoring", "round": 2, "rounds": 2, "done": 1.0, "time": 99.0})
    assert pace.seconds_left == 0.0


def test_time_left_of_a_job_in_steps(tmp_path):
    """Two of 10 draws 6 s after the start: 8 more take 24 s."""
    path = tmp_path / "progress.jsonl"
    steps = [
        {"event": "step", "done": done, "steps": 10, "time": 100.0 + 3 * done} for done in range(3)
    ]
    write_events(path, {"event": "started", "time": 90.0}, steps[0])
    reader = ProgressReader(path)
    assert reader.read().seconds_left is None
    write_events(path, *steps[1:])
    progress = reader.read()
    assert progress.steps == (2, 10)
    assert progress.seconds_left == pytest.approx(24.0)


def test_a_job_that_listened_to_stop_after_its_server_ended_is_stopped(tmp_path):
    """Nobody was there to write down how the child ended: its stop file tells."""
    folder = tmp_path / ("a" * 22)
    write_about(folder, "refits", "x", {})
    assert Jobs(tmp_path).status(folder.name).message == "interrupted"
    (folder / "stop").touch()
    status = Jobs(tmp_path).status(folder.name)
    assert (status.state, status.message) == (JobState.STOPPED, "before there was a result")


def test_rounds_are_kept_when_a_fit_of_adapters_goes_on(tmp_path):
    log = tmp_path / "progress.jsonl"
    rounds = [{"event": "round", "round": number, "guard": -number} for number in (0, 1, 0, 1, 2)]
    started = {"event": "started", "time": 0.0}
    told = [started, *rounds[:2], started, *rounds[2:]]
    log.write_text("".join(f"{json.dumps(each)}\n" for each in told))
    assert [row["round"] for row in ProgressReader(log).read().rounds] == [0, 1, 2]
