"""Run folders of adapters: kept, bundled, damaged, resumed, and audited without torch."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from test_imports import BLOCK
from trainers import BASE, QUICK, THREE_TYPES, turned

import emdpo
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.saved import adapter_names
from emdpo.bundles import pack, unpack
from emdpo.cli import main
from emdpo.core.em import StopReason
from emdpo.core.errors import EmdpoError, RunError
from emdpo.demo import demo_file
from emdpo.jobs.children import _options
from emdpo.jobs.progress import ProgressReader
from emdpo.resuming import PROGRESS, STATE, STOP, fit_in_folder
from emdpo.settings import FitConfig

ROOT = Path(__file__).resolve().parent.parent.parent
CLASSROOM = str(demo_file("classroom.csv"))


@pytest.fixture
def run(fit, tmp_path):
    return fit.save(tmp_path / "run")


def test_the_folder_of_an_adapter_fit(run):
    there = {path.relative_to(run).as_posix() for path in run.rglob("*") if path.is_file()}
    policy = {"scores.parquet", "reading/theta.csv", "reading/features.json"}
    policy |= {"reading/features.parquet"}
    for name in ("type-1", "type-2", "type-3", "pooled"):
        policy |= {f"{name}/adapter_config.json", f"{name}/adapter_model.safetensors"}
        policy |= {f"{name}/README.md"}
    assert {name for name in there if name.startswith("policy/")} == {
        f"policy/{name}" for name in policy
    }
    assert {"fit.json", "trace.csv", "responsibilities.csv", "README.md"} < there


def test_fit_json_names_the_base_model(run):
    about = json.loads((run / "fit.json").read_text("utf-8"), parse_constant=pytest.fail)
    assert about["policy"] == "adapters"
    assert about["base_model"] == {
        "name": "tiny", "fingerprint": "f" * 64, "n_parameters": 1234, "hub_id": "nobody/tiny",
        "licence": "apache-2.0",
    }  # fmt: skip
    assert about["config"]["adapters"] == AdapterConfig().to_dict()
    assert about["evidence"] == {"held_out": [-2.5, -2.25]}
    assert about["warnings"] == ["2 of 7 answers were cut"]
    assert "policy/type-2/adapter_model.safetensors" in about["files"]


def test_scores_parquet_names_every_answer(fit, run):
    table = pd.read_parquet(run / "policy" / "scores.parquet")
    names = ["prompt_id", "response_id", "type_1", "type_2", "type_3", "pooled"]
    assert list(table.columns) == names
    assert table["response_id"].tolist() == fit.rankings.candidates["response_id"].tolist()
    np.testing.assert_array_equal(table["type_2"], fit.policies.candidate_scores()[1])
    np.testing.assert_array_equal(table["pooled"], fit.pooled.candidate_scores()[0])


def is_the_same(again, fit):
    assert again.config == fit.config
    for name in ("log_likelihood", "stop_reason", "n_iter", "restarts", "information", "trace"):
        assert getattr(again, name) == getattr(fit, name), name
    for name in ("base_model", "warnings", "evidence", "versions", "data_sha256"):
        assert getattr(again, name) == getattr(fit, name), name
    assert np.isnan(again.remaining_gain)
    for name in ("policies", "pooled"):
        ours, theirs = getattr(again, name), getattr(fit, name)
        np.testing.assert_array_equal(ours.candidate_scores(), theirs.candidate_scores())
    np.testing.assert_array_equal(again.responsibilities, fit.responsibilities)
    np.testing.assert_allclose(again.reading.theta, fit.reading.theta, rtol=1e-14)
    assert list(again.adapters) == list(fit.adapters)
    for name, held in fit.adapters.items():
        assert again.adapters[name].config == held.config
        assert again.adapters[name].tensors.keys() == held.tensors.keys()
        for key, tensor in held.tensors.items():
            np.testing.assert_array_equal(again.adapters[name].tensors[key], tensor)


def test_loading_gives_the_fit_back(fit, run):
    is_the_same(emdpo.load_fit(run), fit)


def test_a_bundle_there_and_back(fit, run, tmp_path):
    is_the_same(unpack(pack(run, tmp_path / "run.zip"), tmp_path / "back"), fit)
    is_the_same(emdpo.load_fit(tmp_path / "back"), fit)


@pytest.mark.parametrize(
    "name",
    ["policy/type-1/evil.py", "policy/type-1/adapter_model.bin", "policy/type-0/README.md",
     "policy/evil/adapter_config.json", "policy/type-1/../../x", "policy/reading/pooled.pkl"],
)  # fmt: skip
def test_a_file_that_no_adapter_has_is_refused(run, tmp_path, name):
    bundle = pack(run, tmp_path / "run.zip")
    with zipfile.ZipFile(bundle, "a") as archive:
        archive.writestr(name, b"x")
    with pytest.raises(RunError, match="no file of a run"):
        unpack(bundle, tmp_path / "back")


def rewritten(run, name, content):
    """Change a file and the fingerprint of it that fit.json holds, as a forger would."""
    (run / name).write_bytes(content)
    about = json.loads((run / "fit.json").read_text("utf-8"))
    about["files"][name] = emdpo.files.sha256(run / name)
    (run / "fit.json").write_text(json.dumps(about), "utf-8")


def refused(run):
    with pytest.raises(RunError) as caught:
        emdpo.load_fit(run)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_damage_is_refused(run):
    for name in json.loads((run / "fit.json").read_text("utf-8"))["files"]:
        content = (run / name).read_bytes()
        (run / name).write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        assert name in refused(run)
        (run / name).write_bytes(content)
    emdpo.load_fit(run)


def test_a_forged_adapter_is_refused(run):
    path = run / "policy" / "type-1" / "adapter_config.json"
    config = json.loads(path.read_text("utf-8")) | {"auto_mapping": {"parent_library": "os"}}
    rewritten(run, "policy/type-1/adapter_config.json", json.dumps(config).encode())
    assert "auto_mapping" in refused(run)


def test_scores_of_other_answers_are_refused(run):
    path = run / "policy" / "scores.parquet"
    emdpo.files.write_parquet(path, pd.read_parquet(path).iloc[::-1])
    rewritten(run, "policy/scores.parquet", path.read_bytes())
    assert "scores.parquet" in refused(run)


def test_scores_that_are_not_finite_are_refused(run):
    path = run / "policy" / "scores.parquet"
    emdpo.files.write_parquet(path, pd.read_parquet(path).assign(type_2=np.inf))
    rewritten(run, "policy/scores.parquet", path.read_bytes())
    assert "contradict" in refused(run)


def test_a_run_without_its_base_model_is_refused(run):
    about = json.loads((run / "fit.json").read_text("utf-8"))
    for other in (None, {}, {"name": "x"}, {**about["base_model"], "evil": 1}):
        (run / "fit.json").write_text(json.dumps(about | {"base_model": other}), "utf-8")
        refused(run)


def test_another_kind_of_fit_leaves_nothing_behind(fit, loglinear, tmp_path):
    for first, second in ((fit, loglinear), (loglinear, fit)):
        run, alone = tmp_path / first.config.policy, tmp_path / f"{first.config.policy}-alone"
        first.save(run)
        (run / "policy" / "type-1").mkdir(exist_ok=True)
        (run / "policy" / "type-1" / "notes.txt").write_text("mine")
        second.save(run)
        second.save(alone)
        there, expected = (
            {path.relative_to(place).as_posix() for path in place.rglob("*") if path.is_file()}
            for place in (run, alone)
        )
        assert there == expected | {"policy/type-1/notes.txt"}
        assert emdpo.load_fit(run).config.policy == second.config.policy


def test_the_audit_is_that_of_the_same_scores(fit, loglinear, run):
    """The trainer took its types from the log-linear fit; only the pooled policy is another."""
    same = emdpo.audit(replace(loglinear, pooled=fit.pooled), n_bootstrap=20).to_dict()
    told = emdpo.audit(emdpo.load_fit(run), n_bootstrap=20).to_dict()
    assert flattened(told) == pytest.approx(flattened(same), rel=1e-9, abs=1e-12)


def flattened(value):
    if isinstance(value, dict):
        return [leaf for each in value.values() for leaf in flattened(each)]
    if isinstance(value, list):
        return [leaf for each in value for leaf in flattened(each)]
    return [value] if isinstance(value, float) else []


def test_a_run_is_read_and_audited_without_torch(run):
    code = (
        BLOCK.replace(", 'plotly'", "")
        + f"""
import emdpo.cli
assert emdpo.cli.main(["audit", {str(run)!r}, "--bootstrap", "5"]) == 0
import emdpo
fit = emdpo.load_fit({str(run)!r})
print(fit.adapters["type-2"].tensors.keys())
assert not [name for name in {("torch", "transformers", "peft")!r} if name in sys.modules]
"""
    )
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert "lora_A" in done.stdout
    assert (run / "audit" / "report.html").exists()


def front_matter(text):
    _, matter, body = text.split("---\n", 2)
    return yaml.safe_load(matter), body


@pytest.mark.parametrize("name", list(adapter_names(3)))
def test_every_adapter_has_a_card_in_the_hubs_form(run, name):
    about, body = front_matter((run / "policy" / name / "README.md").read_text("utf-8"))
    assert about["base_model"] == "nobody/tiny"
    assert (about["library_name"], about["license"]) == ("peft", "apache-2.0")
    assert "emdpo" in about["tags"]
    assert ("everybody" if name == "pooled" else "% of users: prefers ") in body
    assert "f" * 64 in body and "not demographic groups" in body and "2510.15716" in body


def test_a_base_model_that_is_a_folder_is_no_id_of_the_hub(fit, tmp_path):
    base = replace(BASE, name="/models/<b>x</b>", hub_id=None, licence=None)
    run = replace(fit, base_model=base).save(tmp_path)
    about, body = front_matter((run / "policy" / "type-1" / "README.md").read_text("utf-8"))
    assert "base_model" not in about
    assert about["license"] == "unknown"
    assert "<b>" not in body.replace("\\<b\\>", "")


def events(run):
    return [json.loads(line) for line in (run / PROGRESS).read_text("utf-8").splitlines()]


def test_a_fit_in_a_folder_lets_training_keep_its_state(rankings, by_hand, tmp_path):
    def with_state(loglinear):
        kept = tmp_path / STATE / "adapters" / "round-1"
        kept.mkdir(parents=True)
        (kept / "type-1.safetensors").write_bytes(b"x")
        return turned(loglinear)

    by_hand.outcome = with_state
    found = fit_in_folder(rankings, THREE_TYPES, tmp_path)
    assert by_hand.calls[0][3]["folder"] == tmp_path / STATE / "adapters"
    assert not (tmp_path / STATE).exists()
    names = [event["event"] for event in events(tmp_path)]
    assert "step" in names and names[-1] == "finished"
    progress = ProgressReader(tmp_path / PROGRESS).read()
    assert progress.steps is None
    assert progress.training["done"] == 0.5
    assert {event["restart"] for event in progress.iterations} == {0, 1, 2}
    is_the_same(emdpo.load_fit(tmp_path), found)


class Crash(BaseException):
    """As if the process ended there."""


@pytest.mark.parametrize("how", ["crash", "refusal"])
def test_what_training_kept_is_there_when_the_fit_goes_on(rankings, by_hand, tmp_path, how):
    kept = tmp_path / STATE / "adapters" / "round-1"

    def failing(loglinear):
        kept.mkdir(parents=True)
        raise Crash if how == "crash" else EmdpoError("out of memory")

    by_hand.outcome = failing
    with pytest.raises((Crash, EmdpoError)):
        fit_in_folder(rankings, THREE_TYPES, tmp_path)
    assert kept.exists()
    seen = []
    by_hand.outcome = lambda loglinear: seen.append(kept.exists()) or turned(loglinear)
    with pytest.raises(RunError, match=r"adapters\.rank = 8, not 4"):
        other = replace(THREE_TYPES, adapters=AdapterConfig(rank=4))
        fit_in_folder(rankings, other, tmp_path, resume=True)
    with pytest.raises(RunError, match="policy = adapters, not loglinear"):
        fit_in_folder(rankings, FitConfig(n_types=3, **QUICK), tmp_path, resume=True)
    found = fit_in_folder(rankings, THREE_TYPES, tmp_path, resume=True)
    assert seen == [True]
    assert not (tmp_path / STATE).exists()
    is_the_same(emdpo.load_fit(tmp_path), found)


def test_a_refusal_before_training_leaves_the_folder_free(rankings, by_hand, tmp_path):
    def refusing(loglinear):
        (tmp_path / STATE / "adapters").mkdir()  # where it would have kept something
        raise EmdpoError("no such base model")

    by_hand.outcome = refusing
    with pytest.raises(EmdpoError, match="no such base model"):
        fit_in_folder(rankings, THREE_TYPES, tmp_path)
    by_hand.outcome = turned
    fit_in_folder(rankings, replace(THREE_TYPES, base_model="another"), tmp_path)


def test_a_stopped_training_is_kept_and_goes_on(rankings, by_hand, tmp_path):
    def stopped(loglinear):
        (tmp_path / STATE / "adapters").mkdir(parents=True)
        return replace(turned(loglinear), stop_reason=StopReason.CANCELLED)

    by_hand.outcome = stopped
    fit_in_folder(rankings, THREE_TYPES, tmp_path)
    assert emdpo.load_fit(tmp_path).stop_reason is StopReason.CANCELLED
    assert (tmp_path / STATE / "adapters").exists()
    by_hand.outcome = turned
    assert fit_in_folder(rankings, THREE_TYPES, tmp_path, resume=True).stop_reason == "converged"
    assert not (tmp_path / STATE).exists()


def test_a_stop_before_training_goes_on_to_adapters(rankings, by_hand, tmp_path):
    """The log-linear fit stands until then; its files go when adapters take their place."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("emdpo.resuming.ProgressLog.write", stop_at_iteration(tmp_path))
        fit_in_folder(rankings, THREE_TYPES, tmp_path)
    stopped = emdpo.load_fit(tmp_path)
    assert (stopped.config.policy, stopped.stop_reason) == ("loglinear", "cancelled")
    found = fit_in_folder(rankings, THREE_TYPES, tmp_path, resume=True)
    assert not (tmp_path / "policy" / "theta.csv").exists()
    is_the_same(emdpo.load_fit(tmp_path), found)


def stop_at_iteration(run):
    from emdpo.resuming import ProgressLog

    write = ProgressLog.write

    def writing(self, event, **facts):
        write(self, event, **facts)
        if event == "iteration":
            (run / STOP).touch()

    return writing


def test_a_folder_with_adapters_of_others_is_refused(rankings, by_hand, tmp_path):
    folder = tmp_path / "policy" / "type-1"
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(RunError, match="policy/type-1/adapter_config.json"):
        fit_in_folder(rankings, THREE_TYPES, tmp_path)


def command(*more, out):
    return ["fit", CLASSROOM, "--types", "2", "--out", str(out), "--restarts", "2", *more]


def test_the_command_line(by_hand, tmp_path, capsys):
    options = ("--policy", "adapters", "--base-model", "a/b", "--adapter", "rounds=3")
    assert main(command(*options, "--adapter", "cross_fit=never", out=tmp_path)) == 0
    config = by_hand.calls[0][2]
    assert (config.base_model, config.adapters.rounds) == ("a/b", 3)
    assert config.adapters.cross_fit == "never"
    assert "LoRA adapters on nobody/tiny" in capsys.readouterr().out
    assert emdpo.load_fit(tmp_path).config == config
    assert main(["audit", str(tmp_path), "--bootstrap", "5"]) == 0


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--base-model", "a/b"], "--policy adapters"),
        (["--adapter", "rounds=3"], "--policy adapters"),
        (["--policy", "adapters", "--adapter", "rounds"], "NAME=VALUE"),
        (["--policy", "adapters", "--adapter", "=3"], "NAME=VALUE"),
        (["--policy", "adapters", "--adapter", "evil=3"], "no setting 'evil'"),
        (["--policy", "adapters", "--adapter", "rank=many"], "rank"),
        (["--policy", "adapters", "--base-model", ""], "base_model"),
    ],
)
def test_options_that_do_not_go_together(by_hand, tmp_path, capsys, options, words):
    try:
        code = main(command(*options, out=tmp_path / "run"))
    except SystemExit as end:
        code = end.code
    said = capsys.readouterr().err
    assert code == 2
    assert said.startswith("error: ") and said.count("\n") == 1
    assert words in said
    assert not (tmp_path / "run").exists()


def test_a_job_asks_for_what_its_settings_say(tmp_path):
    """The options of the child give the settings of the job back."""
    from emdpo.cli import _setting

    config = FitConfig(n_types=3, policy="adapters", adapters=AdapterConfig(rank=4, rounds=2))
    options = _options({**config.to_dict(), "force": False})
    pairs = list(zip(options[::2], options[1::2], strict=True))
    assert ("--base-model", "embedded") in pairs
    given = dict(_setting(value) for name, value in pairs if name == "--adapter")
    assert AdapterConfig(**given) == config.adapters
