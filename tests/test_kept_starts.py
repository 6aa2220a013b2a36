"""Kept starts and checkpoints: taken over bit for bit, and worked out again where damaged."""

from __future__ import annotations

import json
from contextlib import nullcontext

import numpy as np
import pytest
from panels import planted
from run_folders import Crash, crash_at_event, events, every_file

from emdpo import kept_starts
from emdpo.core import ascent, mixture
from emdpo.core.em import Checkpoint, TraceRow
from emdpo.core.features import build_features
from emdpo.core.mixture import fit_mixture
from emdpo.fitting import FitConfig
from emdpo.kept_starts import load_restarts, save_restart
from emdpo.resuming import STATE, STOP, fit_in_folder

CONFIG = FitConfig(n_types=3, features="columns", restarts=3)


@pytest.fixture(scope="module")
def rankings():
    return planted()


@pytest.fixture(scope="module")
def uninterrupted(rankings, tmp_path_factory):
    run = tmp_path_factory.mktemp("uninterrupted") / "run"
    fit_in_folder(rankings, CONFIG, run)
    return every_file(run)


DAMAGE = {
    "truncated": lambda content: content[: len(content) // 2],
    "empty": lambda content: b"",
    "a digit": lambda content: content.replace(b"1", b"2", 1),
    "no object": lambda content: b"[]",
    "no outcome": lambda content: b"{}",
    "not UTF-8": lambda content: b"\xff" + content,
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_start_is_run_again(rankings, uninterrupted, tmp_path, monkeypatch, damage):
    with monkeypatch.context() as patch, pytest.raises(Crash):
        crash_at_event(patch, 1, "restart")
        fit_in_folder(rankings, CONFIG, tmp_path)
    path = tmp_path / STATE / "restart-0001.json"
    content = path.read_bytes()
    path.write_bytes(DAMAGE[damage](content))
    assert path.read_bytes() != content
    fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert every_file(tmp_path) == uninterrupted
    redone = [event["restart"] for event in events(tmp_path) if event["event"] == "restart"]
    assert redone == [0, 1, 1, 2]


def test_a_kept_start_is_what_it_was_bit_for_bit(rankings, tmp_path):
    """Not even the last bit of a responsibility may move: it may decide what is best."""
    features = build_features(rankings, "columns")
    runs = fit_mixture(rankings, features, 3, l2=1.0, n_restarts=5, seed=0).runs
    for restart, run in enumerate(runs):
        save_restart(tmp_path, restart, run)
    kept = load_restarts(tmp_path, features, CONFIG)
    assert list(kept) == [0, 1, 2, 3, 4]
    for run, again in zip(runs, kept.values(), strict=True):
        for name in ("log_weights", "log_resp"):
            np.testing.assert_array_equal(getattr(again.state, name), getattr(run.state, name))
        np.testing.assert_array_equal(again.state.policies.theta, run.state.policies.theta)
        assert again.state.objective == run.state.objective
        assert again.trace == run.trace
        assert (again.stop_reason, again.remaining_gain) == (run.stop_reason, run.remaining_gain)


@pytest.fixture
def short_stretches(monkeypatch):
    """Stretches of three iterations and a checkpoint after each, so that there are many."""
    monkeypatch.setattr(ascent, "STRETCH", 3)
    monkeypatch.setattr(kept_starts, "SECONDS_BETWEEN_CHECKPOINTS", 0.0)


@pytest.fixture(scope="module")
def in_short_stretches(rankings, tmp_path_factory):
    run = tmp_path_factory.mktemp("short") / "run"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ascent, "STRETCH", 3)
        fit_in_folder(rankings, CONFIG, run)
    return every_file(run)


def interrupted(rankings, run, n, action=None):
    """Crash (or act) right after the n-th iteration was logged; return it and the checkpoint."""
    with pytest.MonkeyPatch.context() as patch:
        crash_at_event(patch, n, action=action)
        with nullcontext() if action else pytest.raises(Crash):
            fit_in_folder(rankings, CONFIG, run)
    last = [event for event in events(run) if event["event"] == "iteration"][-1]
    return last, json.loads((run / STATE / "checkpoint.json").read_text())["outcome"]


@pytest.mark.parametrize("n", [1, 2, 4, 7, 8, 12, 18, 25, 33])
@pytest.mark.parametrize("how", ["crash", "stop"])
def test_a_start_goes_on_from_its_checkpoint(
    rankings, in_short_stretches, short_stretches, tmp_path, monkeypatch, n, how
):
    """At most the stretch under way, of three iterations, is lost; the start is not drawn again.

    What is held is logged again, for whoever watches, before anything else.
    """
    action = (tmp_path / STOP).touch if how == "stop" else None
    last, held = interrupted(rankings, tmp_path, n, action)
    drawn = []
    draw = mixture.starting_responsibilities

    def recorded(*arguments, **settings):
        drawn.append(arguments[2:4])
        return draw(*arguments, **settings)

    n_logged = len(events(tmp_path))
    monkeypatch.setattr(mixture, "starting_responsibilities", recorded)
    fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert every_file(tmp_path) == in_short_stretches
    if held["restart"] == last["restart"]:  # else the next start had only just begun
        assert 0 <= last["iteration"] - held["trace"][-1]["iteration"] <= 3
        assert (3, held["restart"]) not in drawn
        told = events(tmp_path)[n_logged + 1 :]
        rows = [
            {key: event[key] for key in TraceRow._fields} for event in told[: len(held["trace"])]
        ]
        assert rows == held["trace"]
    else:
        assert last["iteration"] == 0


@pytest.mark.parametrize("damage", DAMAGE)
def test_from_a_damaged_checkpoint_the_start_begins_anew(
    rankings, in_short_stretches, short_stretches, tmp_path, damage
):
    interrupted(rankings, tmp_path, 4)
    path = tmp_path / STATE / "checkpoint.json"
    path.write_bytes(DAMAGE[damage](path.read_bytes()))
    fit_in_folder(rankings, CONFIG, tmp_path, resume=True)
    assert every_file(tmp_path) == in_short_stretches


def test_quick_fits_write_no_checkpoint(rankings, tmp_path, monkeypatch):
    """The first is due a second after the fit began, and then one a second."""
    seconds = [0.0]
    monkeypatch.setattr(kept_starts.time, "monotonic", lambda: seconds[0])
    monkeypatch.setattr(kept_starts, "_keep", lambda *_: written.append(seconds[0]))
    written = []
    write = kept_starts.checkpoint_writer(tmp_path)
    state = fit_mixture(
        rankings, build_features(rankings, "columns"), 1, l2=1.0, n_restarts=1, seed=0
    ).best.state
    for seconds[0] in np.arange(0, 3, 0.25):
        write(0, Checkpoint(state, (), 0, (0.0,)))
    assert written == [1.0, 2.0]
