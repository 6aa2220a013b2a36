"""Fits of adapters in slices, stopped at every stage and killed at any moment: the same bytes."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from run_folders import events, every_file
from text_panels import text_rankings

from emdpo.adapters.config import AdapterConfig
from emdpo.cli import main
from emdpo.core.em import StopReason
from emdpo.resuming import PROGRESS, STATE, STOP, ProgressLog, begin_in_folder, fit_in_folder
from emdpo.resuming import run_slice as slice_of
from emdpo.settings import FitConfig

SETTINGS = {"rank": 2, "rounds": 2, "top_layers": 2, "prompts_per_step": 3, "tokens_per_pass": 200}


@pytest.fixture(scope="module")
def config(tiny_models):
    base = str(tiny_models["llama"])
    settings = AdapterConfig(**SETTINGS)
    more = {"features": "items", "restarts": 1, "policy": "adapters", "base_model": base}
    return FitConfig(n_types=2, adapters=settings, **more)


@pytest.fixture(scope="module", params=[True, False], ids=["shared prompts", "cross-fitted"])
def panel(request):
    return text_rankings(n_users=6, answers=2, shared=request.param)


@pytest.fixture(scope="module")
def uninterrupted(panel, config, tmp_path_factory):
    run = tmp_path_factory.mktemp("whole") / "run"
    fit_in_folder(panel, config, run)
    return every_file(run)


def test_slices_give_the_same_bytes(panel, config, uninterrupted, tmp_path):
    """A slice of no time does one unit: a batch of the trunk, a step, a batch of scores."""
    begin_in_folder(panel, config, tmp_path)
    seconds = iter([0.0] * 7 + [1.0] * 200)
    n_slices = 1
    while slice_of(tmp_path, next(seconds)) is None:
        n_slices += 1
    assert n_slices > 6
    assert every_file(tmp_path) == uninterrupted


@pytest.mark.parametrize("stage", ["tokenising", "trunk", "reference", "step", "scoring"])
def test_a_stop_at_any_stage_is_heeded_and_can_go_on(
    panel, config, uninterrupted, tmp_path, monkeypatch, stage
):
    """Where no round was done yet, what is kept until then are the log-linear policies."""
    write = ProgressLog.write
    told = []

    def stopping(self, event, **facts):
        write(self, event, **facts)
        told.append(event)
        if event == stage and told.count(stage) == 1:
            (tmp_path / STOP).touch()

    with monkeypatch.context() as patch:
        patch.setattr(ProgressLog, "write", stopping)
        stopped = fit_in_folder(panel, config, tmp_path)
    assert stopped.stop_reason is StopReason.CANCELLED
    after = [event for event in told[told.index(stage) + 1 :] if event == stage]
    assert after == []  # not one batch more
    assert stopped.config.policy == ("adapters" if stage in ("step", "scoring") else "loglinear")
    fit_in_folder(panel, config, tmp_path, resume=True)
    assert every_file(tmp_path) == uninterrupted


def test_a_trunk_half_written_by_another_fit_is_not_trusted(panel, config, tmp_path):
    begin_in_folder(panel, config, tmp_path)
    assert slice_of(tmp_path, 0.0) is None  # the log-linear start
    assert slice_of(tmp_path, 0.0) is None  # a batch of the trunk
    trunk = tmp_path / STATE / "adapters" / "trunk.bin"
    before = trunk.read_bytes()
    trunk.write_bytes(before[:-4])
    slice_of(tmp_path, 0.0)
    assert len(trunk.read_bytes()) == len(before)


CHILD = """
import sys
import torch
import emdpo.adapters.store
from emdpo.cli import main
torch.set_num_threads(1)
emdpo.adapters.store.SECONDS_BETWEEN = 0.05
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(scope="module")
def fit_command(tiny_models, tmp_path_factory):
    """The arguments of a fit by the command line, and its uninterrupted bytes."""
    home = tmp_path_factory.mktemp("kills")
    panel = text_rankings(n_users=8, shared=False)
    rows = panel.ranking_of_row
    table = {
        "user_id": panel.users.index[panel.user[rows]],
        "ranking_id": panel.ranking_ids[rows],
        "prompt": panel.prompts["prompt"].to_numpy()[panel.prompt[rows]],
        "response": panel.candidates["response"].to_numpy()[panel.candidate],
        "rank": panel.ranks,
    }
    pd.DataFrame(table).to_csv(home / "rankings.csv", index=False)
    options = ["--types", "2", "--policy", "adapters", "--features", "items", "--restarts", "1"]
    options += ["--base-model", str(tiny_models["llama"]), "--resume"]
    for name, value in SETTINGS.items():
        options += ["--adapter", f"{name}={value}"]
    command = ["fit", str(home / "rankings.csv"), *options, "--out"]
    assert main([*command, str(home / "run")]) == 0
    return command, every_file(home / "run"), len(events(home / "run"))


@pytest.mark.parametrize("seed", range(2))
def test_kill_9_at_any_moment_then_resume_gives_the_same_bytes(fit_command, tmp_path, seed, capsys):
    """The moment is drawn: after so many lines of the log, and up to 50 ms later."""
    command, whole, n_events = fit_command
    rng = np.random.default_rng(seed)
    wanted, log = rng.integers(2, n_events), tmp_path / PROGRESS
    child = subprocess.Popen(  # noqa: S603 - our own program
        [sys.executable, "-c", CHILD, *command, str(tmp_path)], stdout=subprocess.DEVNULL
    )
    limit = time.monotonic() + 120
    while child.poll() is None and not (log.exists() and log.read_bytes().count(b"\n") >= wanted):
        assert time.monotonic() < limit
        time.sleep(0.001)
    time.sleep(rng.uniform(0, 0.05))
    child.kill()
    child.wait()
    assert main([*command, str(tmp_path)]) == 0
    assert every_file(tmp_path) == whole
    capsys.readouterr()
