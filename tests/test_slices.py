"""Fits in slices: any number of them, each from the folder alone, end with the same bytes."""

from __future__ import annotations

import json

import pytest
from panels import planted
from run_folders import events, every_file

from emdpo.core.em import StopReason
from emdpo.core.errors import RunError
from emdpo.fitting import FitConfig
from emdpo.resuming import STATE, STOP, begin_in_folder, fit_in_folder, run_slice

CONFIG = FitConfig(n_types=3, features="columns", restarts=4)


@pytest.fixture(scope="module")
def rankings():
    return planted()


@pytest.fixture(scope="module")
def uninterrupted(rankings, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    fit_in_folder(rankings, CONFIG, run)
    return every_file(run)


def test_slices_of_no_time_do_one_start_each_and_give_the_same_bytes(
    rankings, uninterrupted, tmp_path
):
    """The last start ends the fit: three slices end by the clock, the fourth with the fit."""
    begin_in_folder(rankings, CONFIG, tmp_path)
    ends = [run_slice(tmp_path, 0.0)]
    while ends[-1] is None:
        assert not (tmp_path / "fit.json").exists()
        ends.append(run_slice(tmp_path, 0.0))
    assert ends == [None, None, None, StopReason.CONVERGED]
    assert every_file(tmp_path) == uninterrupted
    assert [event["event"] for event in events(tmp_path)].count("paused") == 3


def test_one_slice_without_a_limit_is_the_whole_fit(rankings, uninterrupted, tmp_path):
    begin_in_folder(rankings, CONFIG, tmp_path)
    assert run_slice(tmp_path) is StopReason.CONVERGED
    assert every_file(tmp_path) == uninterrupted
    assert run_slice(tmp_path, 1.0) is StopReason.CONVERGED


def test_slices_and_a_resumed_fit_take_turns(rankings, uninterrupted, tmp_path):
    begin_in_folder(rankings, CONFIG, tmp_path)
    assert run_slice(tmp_path, 0.0) is None
    assert fit_in_folder(rankings, CONFIG, tmp_path, resume=True).stop_reason == "converged"
    assert every_file(tmp_path) == uninterrupted


def test_a_stop_ends_the_slice_with_the_best_so_far(rankings, uninterrupted, tmp_path):
    begin_in_folder(rankings, CONFIG, tmp_path)
    assert run_slice(tmp_path, 0.0) is None
    (tmp_path / STOP).touch()
    assert run_slice(tmp_path, 60.0) is StopReason.CANCELLED
    assert json.loads((tmp_path / "fit.json").read_text())["stop_reason"] == "cancelled"
    fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert every_file(tmp_path) == uninterrupted


def test_where_nothing_was_begun(tmp_path):
    with pytest.raises(RunError, match="no fit was begun here"):
        run_slice(tmp_path, 1.0)


@pytest.mark.parametrize("damage", ["rankings", "settings"])
def test_damage_is_one_line(rankings, tmp_path, damage):
    begin_in_folder(rankings, CONFIG, tmp_path)
    if damage == "rankings":
        begin_in_folder(planted(seed=1), CONFIG, tmp_path / "other")
        other = tmp_path / "other" / STATE / "data" / "rows.parquet"
        other.replace(tmp_path / STATE / "data" / "rows.parquet")
    else:
        (tmp_path / STATE / "identity.json").write_text("{}")
    with pytest.raises(RunError, match="damaged"):
        run_slice(tmp_path, 1.0)
