"""What is refused: a second fit in the same folder, and types that pairs cannot tell apart."""

from __future__ import annotations

import subprocess
import sys

import pytest
from panels import planted, planted_table

import emdpo
from emdpo import locks
from emdpo.cli import main
from emdpo.core.errors import NotIdentifiableError, RunError
from emdpo.fitting import FitConfig
from emdpo.locks import alone_in
from emdpo.resuming import fit_in_folder

CONFIG = FitConfig(n_types=2, features="columns", restarts=1)

HOLDER = """
import sys, time
from pathlib import Path
from emdpo.locks import alone_in
with alone_in(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""

needs_locks = pytest.mark.skipif(locks.fcntl is None, reason="the platform has no such locks")


@needs_locks
def test_a_second_fit_in_the_folder_is_refused_until_the_first_is_killed(tmp_path, capsys):
    """The system lets go of the lock; nothing is left behind that would have to be cleaned up."""
    path, run = tmp_path / "rankings.csv", tmp_path / "run"
    planted_table().to_csv(path, index=False)
    command = ["fit", str(path), "--types", "2", "--restarts", "1", "--out", str(run), "--resume"]
    holder = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", HOLDER, str(run)], stdout=subprocess.PIPE
    )
    with holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        assert main(command) == 2
        said = capsys.readouterr()
        assert said.err == f"error: {run}: another fit is at work in this folder\n"
        assert list(run.iterdir()) == []
        holder.kill()
    assert main(command) == 0


@needs_locks
def test_two_fits_of_one_process_exclude_each_other_too(tmp_path):
    with alone_in(tmp_path), pytest.raises(RunError, match="another fit"):
        fit_in_folder(planted(), CONFIG, tmp_path)
    assert fit_in_folder(planted(), CONFIG, tmp_path).stop_reason == "converged"


def test_without_locks_a_fit_goes_on(tmp_path, monkeypatch):
    monkeypatch.setattr(locks, "fcntl", None)
    with alone_in(tmp_path):
        fit_in_folder(planted(), CONFIG, tmp_path)


@pytest.fixture(scope="module")
def pairs():
    return planted(n_users=20, answers=1, n_candidates=2)


def test_select_refuses_pairs_as_fit_does(pairs):
    """One type is no question of telling types apart."""
    with pytest.raises(NotIdentifiableError) as by_fit:
        emdpo.fit(pairs, 2)
    with pytest.raises(NotIdentifiableError) as by_select:
        emdpo.select(pairs, [1, 2])
    assert str(by_select.value) == str(by_fit.value)
    assert emdpo.select(pairs, [1], restarts=1).n_types == 1
    forced = emdpo.select(pairs, [1, 2], restarts=1, force=True)
    assert forced.table["n_types"].tolist() == [1, 2]


def test_select_on_the_command_line_takes_force(tmp_path, capsys):
    path = tmp_path / "pairs.csv"
    planted_table(n_users=20, answers=1, n_candidates=2).to_csv(path, index=False)
    command = ["select", str(path), "--types", "1:2", "--restarts", "1"]
    assert main(command) == 2
    said = capsys.readouterr()
    assert "--force" in said.err and said.err.count("\n") == 1 and said.out == ""
    assert main([*command, "--force"]) == 0
