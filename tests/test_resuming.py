"""Resumable fits: stopped, killed or crashed at any moment, they end with the same bytes."""

from __future__ import annotations

import json
import math
import subprocess
import sys
import time
from itertools import count
from pathlib import Path

import numpy as np
import pytest
from panels import planted, planted_table
from run_folders import Crash, crash_at_event, events, every_file

import emdpo
from emdpo import kept_starts
from emdpo.cli import main
from emdpo.core.errors import EmdpoError, NotIdentifiableError, RunError
from emdpo.fitting import FitConfig
from emdpo.resuming import PROGRESS, STATE, STOP, fit_in_folder

STARTS = 3
CONFIG = FitConfig(n_types=3, features="columns", restarts=STARTS)


@pytest.fixture(autouse=True)
def no_checkpoints(monkeypatch):
    """On a slow machine there would be some, and one more file than these tests count."""
    monkeypatch.setattr(kept_starts, "SECONDS_BETWEEN_CHECKPOINTS", math.inf)


@pytest.fixture(scope="module")
def rankings():
    return planted()


@pytest.fixture(scope="module")
def uninterrupted(rankings, tmp_path_factory):
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    fit_in_folder(rankings, CONFIG, run)
    return every_file(run)


def test_a_finished_run_is_that_of_fit_and_save(rankings, uninterrupted, tmp_path):
    emdpo.fit(rankings, 3, features="columns", restarts=STARTS).save(tmp_path / "run")
    assert every_file(tmp_path / "run") == uninterrupted


def test_progress_tells_the_whole_story(rankings, tmp_path):
    found = fit_in_folder(rankings, CONFIG, tmp_path)
    told = events(tmp_path)
    names = [event["event"] for event in told]
    assert names[0] == "started"
    assert names[-1] == "finished"
    assert names.count("restart") == STARTS
    assert names.count("iteration") == len(found.trace)
    assert told[0].items() >= {"n_users": 36, "n_rankings": 108, "n_types": 3}.items()
    assert told[-1]["log_likelihood"] == found.log_likelihood
    times = [event["time"] for event in told]
    assert times == sorted(times)
    assert not (tmp_path / STATE).exists()


@pytest.mark.parametrize("n", [0, 3, 7, 20, 33])
def test_a_crash_after_any_iteration_resumes_to_the_same_bytes(
    rankings, uninterrupted, tmp_path, monkeypatch, n
):
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at_event(patch, n)
        fit_in_folder(rankings, CONFIG, tmp_path)
    assert not (tmp_path / "fit.json").exists()
    done = len(list((tmp_path / STATE).glob("restart-*.json")))
    fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert every_file(tmp_path) == uninterrupted
    resumed = [event["event"] for event in events(tmp_path)]
    last = resumed[len(resumed) - resumed[::-1].index("started") :]
    assert last.count("restart") == STARTS - done  # what was done is not done again


def test_a_crash_at_any_write_resumes_to_the_same_bytes(
    rankings, uninterrupted, tmp_path, monkeypatch
):
    """For every n the n-th rename does not happen and the temporary file stays, as with kill -9."""
    replace = Path.replace
    for n in count():
        run = tmp_path / f"run{n}"
        number = count()

        def failing(self, target, number=number, n=n):
            if next(number) == n:
                left = self.with_name(self.name[:-12] + "deadbeef.tmp")
                left.write_bytes(self.read_bytes()[:7])
                raise Crash
            return replace(self, target)

        with monkeypatch.context() as patch:
            patch.setattr(Path, "replace", failing)
            try:
                fit_in_folder(rankings, CONFIG, run)
            except Crash:
                assert not (run / "fit.json").exists()
            else:
                assert n == 5 + 1 + STARTS + 13  # rankings, identity, starts, the run folder
                return
        with pytest.raises(RunError, match="not finished"):
            emdpo.load_fit(run)
        fit_in_folder(rankings, CONFIG, run, resume=True)
        assert every_file(run) == uninterrupted, n


@pytest.mark.parametrize("n", range(STARTS + 2))
def test_a_crash_while_cleaning_up_is_put_right(rankings, uninterrupted, tmp_path, monkeypatch, n):
    """After fit.json, the state goes file by file; a kill in between leaves a finished run."""
    unlink = Path.unlink
    number = count()

    def failing(self, missing_ok=False):
        if self.parent.name == STATE and not self.name.endswith(".tmp") and next(number) == n:
            raise Crash
        unlink(self, missing_ok=missing_ok)

    with monkeypatch.context() as patch:
        patch.setattr(Path, "unlink", failing)
        if n <= STARTS:  # identity.json and the starts
            with pytest.raises(Crash):
                fit_in_folder(rankings, CONFIG, tmp_path)
        else:
            fit_in_folder(rankings, CONFIG, tmp_path)
    assert emdpo.load_fit(tmp_path).stop_reason == "converged"
    fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert every_file(tmp_path) == uninterrupted


@pytest.mark.parametrize("n", [1, 4, 17])
def test_a_stop_file_cancels_within_one_iteration_and_keeps_the_best(
    rankings, uninterrupted, tmp_path, monkeypatch, n
):
    with monkeypatch.context() as patch:
        crash_at_event(patch, n, action=(tmp_path / STOP).touch)
        found = fit_in_folder(rankings, CONFIG, tmp_path)
    told = events(tmp_path)
    assert sum(event["event"] == "iteration" for event in told) == n + 1
    assert told[-1]["event"] == "finished"
    assert told[-1]["stop_reason"] == "cancelled"
    about = json.loads((tmp_path / "fit.json").read_text("utf-8"))
    assert about["stop_reason"] == "cancelled"
    kept = emdpo.load_fit(tmp_path)
    assert kept.log_likelihood == found.log_likelihood
    ends = [event["log_likelihood"] for event in told if event["event"] == "restart"]
    last = [event["log_likelihood"] for event in told if event["event"] == "iteration"][-1]
    assert any(found.log_likelihood == pytest.approx(value, abs=1e-6) for value in [*ends, last])
    assert len(kept.trace) == n + 1
    assert emdpo.audit(kept, n_bootstrap=5).n_users == 36
    again = fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert again.stop_reason == "converged"
    assert every_file(tmp_path) == uninterrupted


def test_the_best_so_far_stays_until_the_resumed_fit_replaces_it(rankings, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        crash_at_event(patch, 9, action=(tmp_path / STOP).touch)
        stopped = fit_in_folder(rankings, CONFIG, tmp_path)
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at_event(patch, 2)
        fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert emdpo.load_fit(tmp_path).log_likelihood == stopped.log_likelihood
    with pytest.raises(RunError, match="--resume"):
        fit_in_folder(rankings, CONFIG, tmp_path)
    assert fit_in_folder(rankings, CONFIG, tmp_path, resume=True).stop_reason == "converged"


def test_resuming_where_nothing_was_started_begins(rankings, uninterrupted, tmp_path):
    fit_in_folder(rankings, CONFIG, tmp_path / "new", resume=True)
    assert every_file(tmp_path / "new") == uninterrupted
    (tmp_path / "killed" / STATE).mkdir(parents=True)  # before identity.json was there
    (tmp_path / "killed" / STATE / ".identity.json.01234567.tmp").write_bytes(b"{")
    fit_in_folder(rankings, CONFIG, tmp_path / "killed")
    assert every_file(tmp_path / "killed") == uninterrupted


def test_starts_of_an_unknown_fit_are_not_taken_over(rankings, uninterrupted, tmp_path):
    """Without identity.json nobody knows which data and settings they belong to."""
    with pytest.MonkeyPatch.context() as patch, pytest.raises(Crash):
        crash_at_event(patch, 0, "restart")
        fit_in_folder(planted(seed=9), CONFIG, tmp_path)
    (tmp_path / STATE / "identity.json").unlink()
    fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert every_file(tmp_path) == uninterrupted


def test_a_finished_run_is_returned_as_it_is(rankings, uninterrupted, tmp_path):
    fit_in_folder(rankings, CONFIG, tmp_path)
    before = (tmp_path / PROGRESS).read_bytes()
    found = fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert found.stop_reason == "converged"
    assert (tmp_path / PROGRESS).read_bytes() == before
    assert every_file(tmp_path) == uninterrupted


def begun(rankings, run, how):
    """Leave a run finished, stopped or crashed."""
    with pytest.MonkeyPatch.context() as patch:
        if how == "finished":
            fit_in_folder(rankings, CONFIG, run)
        elif how == "stopped":
            crash_at_event(patch, 3, action=(run / STOP).touch)
            fit_in_folder(rankings, CONFIG, run)
        else:
            crash_at_event(patch, 3)
            with pytest.raises(Crash):
                fit_in_folder(rankings, CONFIG, run)


@pytest.mark.parametrize("how", ["finished", "stopped", "crashed"])
def test_other_data_settings_or_a_missing_resume_are_refused(rankings, tmp_path, how):
    begun(rankings, tmp_path, how)
    before = every_file(tmp_path)
    with pytest.raises(RunError, match="already holds .* --resume"):
        fit_in_folder(rankings, CONFIG, tmp_path)
    with pytest.raises(RunError, match="other data"):
        fit_in_folder(planted(seed=1), CONFIG, tmp_path, resume=True)
    changes = {"seed": 1, "n_types": 2, "beta": 0.2, "l2": 2.0, "restarts": 5, "max_iter": 9}
    for name, value in changes.items():
        other = FitConfig(**{**CONFIG.to_dict(), name: value})
        message = f"begun with {name} = {getattr(CONFIG, name)}, not {value}"
        with pytest.raises(RunError, match=message):
            fit_in_folder(rankings, other, tmp_path, resume=True)
    assert every_file(tmp_path) == before
    assert fit_in_folder(rankings, CONFIG, tmp_path, resume=True).stop_reason == "converged"


def test_a_refused_fit_leaves_the_folder_free(rankings, uninterrupted, tmp_path):
    """Too many types, a refusal for pairs, features that are not there: then the right ones."""
    with pytest.raises(EmdpoError, match="n_types"):
        fit_in_folder(rankings, FitConfig(n_types=37, features="columns"), tmp_path)
    with pytest.raises(EmdpoError, match="columns"):
        table = planted_table().drop(columns=["x_a", "x_b"])
        fit_in_folder(emdpo.load(table), CONFIG, tmp_path)
    pairs = planted(n_users=30, answers=1, n_candidates=2)
    with pytest.raises(NotIdentifiableError):
        fit_in_folder(pairs, CONFIG, tmp_path)
    assert every_file(tmp_path) == {}
    assert [event["event"] for event in events(tmp_path)].count("failed") == 3
    fit_in_folder(rankings, CONFIG, tmp_path)
    assert every_file(tmp_path) == uninterrupted


def test_somebody_elses_files_are_left_alone(rankings, tmp_path):
    (tmp_path / STATE).mkdir()
    mine = {"notes.txt": "mine", f"{STATE}/letter.txt": "mine too", ".x.tmp": "not ours"}
    for name, text in mine.items():
        (tmp_path / name).write_text(text)
    fit_in_folder(rankings, CONFIG, tmp_path)
    for name, text in mine.items():
        assert (tmp_path / name).read_text() == text
    assert not (tmp_path / STATE / "identity.json").exists()


@pytest.mark.parametrize("name", ["trace.csv", "policy/theta.csv", "data/rows.parquet"])
def test_somebody_elses_file_of_the_same_name_is_not_overwritten(rankings, tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_text("mine")
    with pytest.raises(RunError, match=name):
        fit_in_folder(rankings, CONFIG, tmp_path)
    assert (tmp_path / name).read_text() == "mine"


def test_a_folder_that_cannot_be(rankings, tmp_path):
    (tmp_path / "file").write_text("x")
    for run in (tmp_path / "file", tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(RunError, match="cannot be written to"):
            fit_in_folder(rankings, CONFIG, run)


SLOW = ("--types", "3", "--features", "columns", "--restarts", "12")


@pytest.fixture(scope="module")
def slow_file(tmp_path_factory):
    """A file whose fit takes a second or two, so that a kill hits it at work."""
    path = tmp_path_factory.mktemp("slow") / "rankings.csv"
    planted_table(n_users=400, answers=4, seed=2).to_csv(path, index=False)
    return path


@pytest.fixture(scope="module")
def slow_bytes(slow_file):
    run = slow_file.parent / "uninterrupted"
    assert main(["fit", str(slow_file), "--out", str(run), *SLOW]) == 0
    return every_file(run)


def lines_of(run):
    path = run / PROGRESS
    return path.read_bytes().count(b"\n") if path.exists() else 0


def child_at_work(slow_file, run, n_lines):
    """Start a fit in a child process and wait until it has logged so many lines, or ended."""
    command = [sys.executable, "-m", "emdpo", "fit", str(slow_file), "--out", str(run), *SLOW]
    child = subprocess.Popen(  # noqa: S603 - our own program
        command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    limit = time.monotonic() + 60
    while lines_of(run) < n_lines and child.poll() is None:
        assert time.monotonic() < limit
        time.sleep(0.001)
    return child


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_at_any_moment_then_resume_gives_the_same_bytes(
    slow_file, slow_bytes, tmp_path, seed, capsys
):
    """The moment is drawn: after so many lines of the log, and up to 30 ms later."""
    rng = np.random.default_rng(seed)
    n_lines = rng.integers(1, lines_of(slow_file.parent / "uninterrupted"))
    child = child_at_work(slow_file, tmp_path, n_lines)
    time.sleep(rng.uniform(0, 0.03))
    child.kill()
    child.communicate()
    told = events_so_far(tmp_path)
    if not any(event["event"] == "finished" for event in told):
        assert child.returncode == -9
    if (tmp_path / "fit.json").exists():
        emdpo.load_fit(tmp_path)  # then it is whole
    code = main(["fit", str(slow_file), "--out", str(tmp_path), *SLOW, "--resume"])
    assert code == 0
    assert every_file(tmp_path) == slow_bytes
    capsys.readouterr()


def events_so_far(run):
    """Return the whole lines of the log: the last may be cut."""
    if not (run / PROGRESS).exists():
        return []
    whole = (run / PROGRESS).read_text("utf-8").split("\n")[:-1]
    return [json.loads(line) for line in whole]


def test_a_stop_file_stops_a_child(slow_file, slow_bytes, tmp_path, capsys):
    child = child_at_work(slow_file, tmp_path, 10)
    (tmp_path / STOP).touch()
    _, stderr = child.communicate(timeout=60)
    assert child.returncode == 0, stderr
    assert json.loads((tmp_path / "fit.json").read_text())["stop_reason"] == "cancelled"
    assert main(["fit", str(slow_file), "--out", str(tmp_path), *SLOW, "--resume"]) == 0
    assert every_file(tmp_path) == slow_bytes
    assert main(["fit", str(slow_file), "--out", str(tmp_path), *SLOW, "--resume"]) == 0
    assert "finished already" in capsys.readouterr().out
