"""The estimate of a fit: what the rounds run through the model, and how near it comes."""

from __future__ import annotations

import json
import time
from dataclasses import replace

import numpy as np
import pytest
from text_panels import text_rankings

from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.estimate import Workload, _Probe, _seconds, estimate_fit, workload
from emdpo.adapters.estimated import Estimate
from emdpo.adapters.fitting import fit_adapters
from emdpo.adapters.folds import plan_folds
from emdpo.cli import main
from emdpo.core.em import EMState
from emdpo.core.errors import EmdpoError
from emdpo.demo import demo_file
from emdpo.settings import FitConfig
from emdpo.telling import estimate_text


@pytest.fixture
def config(tiny_models):
    settings = AdapterConfig(rank=2, rounds=2, top_layers=2, prompts_per_step=2)
    base = str(tiny_models["llama"])
    return FitConfig(n_types=2, policy="adapters", base_model=base, adapters=settings)


def test_rounds_where_users_share_prompts():
    """10 prompts, one held out: 3 adapters learn 9 of 10 and score all; nothing comes after."""
    panel = text_rankings(n_users=12, n_prompts=10)
    folds = plan_folds(panel, AdapterConfig(), np.random.default_rng(0))
    work = workload(panel, 2, folds)
    assert (work.training_low, work.training_high) == pytest.approx((2.7, 2.7))
    assert (work.scoring, work.final_training, work.final_scoring) == (3.0, 0.0, 0.0)
    alone = workload(panel, 1, folds)
    assert (alone.training_high, alone.scoring) == pytest.approx((0.9, 1.0))


def test_more_passes_take_more_training_and_nothing_else():
    """100 tokens, trunk and scoring 1 s each, training 2 to 3 s a token, 2 rounds of 1 unit."""
    probe = _Probe(training=(2.0, 3.0), scoring=1.0, trunk=1.0, activations=0.0)
    work, settings = Workload(1.0, 1.0, 1.0, 0.0, 0.0), AdapterConfig(rounds=2)
    low, high = _seconds(100.0, 1, probe, work, settings)
    assert (low, high) == (200 + 400 + 200, 200 + 600 + 200)
    assert _seconds(100.0, 3, probe, work, settings) == (low + 2 * 400, high + 2 * 600)


def test_rounds_that_are_cross_fitted():
    """Halves: 2 of each type on half the rankings each, so K times all at most; all once at least.

    Types that share no prompt learn all of them once together. The pooled adapter learns all. One
    adapter a type is trained on all rankings in the end.
    """
    panel = text_rankings(n_users=8, shared=False)
    folds = plan_folds(panel, AdapterConfig(), np.random.default_rng(0))
    assert folds.cross_fitted
    work = workload(panel, 3, folds)
    assert (work.training_low, work.training_high, work.scoring) == (2.0, 4.0, 4.0)
    assert (work.final_training, work.final_scoring) == (3.0, 4.0)


def test_a_small_fit_takes_about_as_long_as_was_estimated(config):
    """Within a factor of 4: a tiny model on a busy machine is mostly overhead."""
    panel = text_rankings(n_users=16, n_prompts=12, answers=6)
    log_resp = np.log(np.full((16, 2), 0.5))
    found = estimate_fit(panel, config)
    began = time.monotonic()
    fit_adapters(panel, EMState(None, np.log([0.5, 0.5]), log_resp, 0.0), config)
    took = time.monotonic() - began
    assert 0 < found.seconds_low <= found.seconds_high
    assert found.seconds_low / 4 < took < found.seconds_high * 4
    assert found.n_adapters == 3 and found.rounds == 2 and found.device == "cpu"
    assert found.memory_bytes > 2**26 and found.disk_bytes > found.n_tokens * 32 * 4


def test_a_sample_of_prompts_stands_for_all(config, monkeypatch):
    panel = text_rankings(n_users=16, n_prompts=12, answers=6)
    whole = estimate_fit(panel, config).n_tokens
    monkeypatch.setattr("emdpo.adapters.estimate.SAMPLED_PROMPTS", 6)
    assert estimate_fit(panel, config).n_tokens == pytest.approx(whole, rel=0.3)


def test_a_fit_of_one_prompt_is_estimated(config):
    one = replace(config, n_types=1, adapters=AdapterConfig(rank=2))
    assert estimate_fit(text_rankings(n_prompts=1, answers=1), one).seconds_high > 0


def test_the_command_line_tells_and_fits_nothing(tiny_models, tmp_path, capsys):
    command = ["fit", str(demo_file("classroom.csv")), "--types", "2", "--policy", "adapters"]
    command += ["--base-model", str(tiny_models["llama"]), "--out", str(tmp_path / "run")]
    assert main([*command, "--estimate", "--json"]) == 0
    found = Estimate(**json.loads(capsys.readouterr().out))
    assert found.n_adapters in (3, 5)
    assert main([*command, "--estimate"]) == 0
    told = capsys.readouterr().out
    assert told.startswith("Expect ") and "tokens a second" in told and "of disk" in told
    assert not (tmp_path / "run").exists()
    assert main([*command[:4], "--out", str(tmp_path / "run"), "--estimate"]) == 2
    assert "log-linear fits take seconds" in capsys.readouterr().err


def test_the_sentence():
    found = Estimate(100.0, 400.0, 3 * 2**29, 2**20, 12_345, 210.4, 4, 6, "cpu")
    assert estimate_text(found) == (
        "Expect 2 min to 7 min on this machine (cpu): up to 6 rounds of 4 adapters over 12,345 "
        "tokens, at 210 tokens a second; 1.5 GB of memory and 1 MB of disk while it runs."
    )


@pytest.mark.parametrize(
    ("base", "words"),
    [
        ("./nowhere", "there is no such folder"),
        ("empty", "there is no config.json"),
    ],
)
def test_a_bad_base_model_is_refused_before_any_work(tmp_path, capsys, base, words):
    (tmp_path / "empty").mkdir()
    name = str(tmp_path / base) if base == "empty" else base
    run = tmp_path / "run"
    command = ["fit", str(demo_file("classroom.csv")), "--types", "2", "--policy", "adapters"]
    assert main([*command, "--base-model", name, "--out", str(run)]) == 2
    told = capsys.readouterr().err
    assert words in told and told.count("\n") == 1
    assert "iteration" not in (run / "progress.jsonl").read_text()
    assert not (run / "state").exists()


def test_more_depth_than_the_model_has_is_refused_before_any_work(config):
    deep = replace(config, adapters=AdapterConfig(top_layers=5))
    with pytest.raises(EmdpoError, match="top_layers must be at most 4"):
        estimate_fit(text_rankings(), deep)
