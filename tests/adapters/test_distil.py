"""The consensus as one adapter: its loss, its training, its report, its files and its voice."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import numpy as np
import pytest
import torch
from peft import PeftModel
from text_panels import stir, text_rankings

import emdpo
from emdpo.adapters.base_model import load_base_model
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.consensus import score_consensus
from emdpo.adapters.distil import _gains, consensus_weights, distil
from emdpo.adapters.distilled import DISTILLED, DistilConfig, load_distilled, save_distilled
from emdpo.adapters.fitted import model_of
from emdpo.adapters.lora import attach, load_adapters, merge
from emdpo.adapters.loss import LogRatioDifferences
from emdpo.adapters.scoring import ResponseScorer
from emdpo.adapters.tokens import tokenise
from emdpo.audit_files import save_audit
from emdpo.auditing import audit, with_kept_sampled, with_sampled
from emdpo.bundles import pack, unpack
from emdpo.chatting import cast_of, open_run
from emdpo.cli import main
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.sampled_regret import SamplingPlan
from emdpo.report import audit_page

POLICIES = ["consensus", "token-wise", "merge", DISTILLED]
SETTINGS = {"rank": 2, "rounds": 2, "epochs": 2, "learning_rate": 5e-3, "prompts_per_step": 2}


@pytest.fixture(scope="module")
def panel():
    return text_rankings(n_users=12, n_prompts=10)


@pytest.fixture(scope="module")
def fit(panel, tiny_models):
    return emdpo.fit(
        panel, 2, policy="adapters", base_model=str(tiny_models["llama"]), restarts=2,
        adapters=SETTINGS,
    )  # fmt: skip


@pytest.fixture(scope="module")
def found(fit):
    return distil(fit, DistilConfig(epochs=4))


@pytest.fixture(scope="module")
def finished(fit, found, tmp_path_factory):
    run = fit.save(tmp_path_factory.mktemp("distilled") / "run")
    save_distilled(found, fit, run)
    return run


@pytest.fixture
def run(finished, tmp_path):
    return shutil.copytree(finished, tmp_path / "run")


def objective(target, prompt, per_step=1.0):
    return LogRatioDifferences(torch.tensor(target), torch.tensor(prompt), per_step)


def test_the_loss_by_hand():
    """Gaps 1, 3 to prompt 0 and 0, 3, 6 to prompt 1: variances 1 and 6; 7 over 2 a step.

    Candidates of prompts not asked for, or not learnt, do not matter.
    """
    prompt = [0, 1, 0, 1, 1, 2, -1]
    loss = objective([0.0] * 7, prompt, per_step=2.0)
    ratios = torch.tensor([1.0, 0.0, 3.0, 3.0, 6.0, 100.0, 50.0], dtype=torch.float64)
    assert float(loss([0, 1], ratios)) == pytest.approx(3.5)
    assert float(loss([1], ratios)) == pytest.approx(3.0)
    assert float(loss([2], ratios)) == 0


def test_constants_by_prompt_are_free_and_the_gradient_is_right():
    rng = np.random.default_rng(0)
    prompt = np.array([0, 1, 0, 1, 1])
    loss = objective(rng.normal(size=5), prompt)
    ratios = torch.tensor(rng.normal(size=5), requires_grad=True)
    moved = ratios.detach() + torch.tensor([2.0, -7.0])[prompt]
    assert float(loss([0, 1], moved)) == pytest.approx(float(loss([0, 1], ratios.detach())))
    torch.autograd.gradcheck(lambda h: loss([0, 1], h), [ratios])


def test_a_merge_is_the_weighted_sum_of_updates(tiny_models):
    """x (sum_k a_k scale B_k A_k) layer by layer, by hand, and its rank is the sum."""
    base = load_base_model(str(tiny_models["llama"]), device="cpu")
    adapted = attach(base, ["type-1", "type-2"], AdapterConfig(rank=2, alpha=6.0))
    for seed, name in enumerate(adapted.names):
        stir(adapted, name, seed)
    merged = merge(adapted, DISTILLED, {"type-1": 0.3, "type-2": 0.7})
    assert merged.rank(DISTILLED) == 4
    one, two, sum_ = (merged.tensors(name) for name in ("type-1", "type-2", DISTILLED))
    for a in (key for key in sum_ if ".lora_A." in key):
        b = a.replace(".lora_A.", ".lora_B.")
        by_hand = 3.0 * (0.3 * one[b] @ one[a] + 0.7 * two[b] @ two[a])
        torch.testing.assert_close(sum_[b] @ sum_[a], by_hand)


def test_the_report_has_all_four_policies_on_all_and_on_held_out_prompts(fit, found):
    report = found.report
    weights = consensus_weights(fit)
    np.testing.assert_allclose(report["weights"], weights)
    assert report["n_prompts"] == {"all": 10, "held_out": 1} and report["n_listed"] == 40
    for part in ("all", "held_out"):
        near = report["agreement"][part]
        assert list(near) == POLICIES
        assert near["consensus"]["kl"] < 1e-12 and near["consensus"]["variance"] < 1e-12
        assert all(each["kl"] >= 0 and each["kl_reverse"] >= 0 for each in near.values())
    own = audit(fit, groups=[], n_bootstrap=1)
    for kind in ("plain", "kl"):
        told = report["agreement"]["all"]["consensus"]["regret"][kind]
        np.testing.assert_allclose(told, own.regret[kind]["consensus"], rtol=1e-9)


def test_the_best_epoch_is_kept(found):
    """It lowers the loss of the prompts trained on and of those held out, beside the start's."""
    losses, near = found.report["losses"], found.report["agreement"]
    kept = losses[found.report["best_epoch"]]
    for part in ("training", "guard"):
        assert kept[part] <= losses[0][part]
    assert near["held_out"][DISTILLED]["variance"] == pytest.approx(kept["guard"], rel=1e-5)
    whole = 0.9 * kept["training"] + 0.1 * kept["guard"]  # nine prompts and one
    assert near["all"][DISTILLED]["variance"] == pytest.approx(whole, rel=1e-5)


def test_an_epoch_that_lowers_one_loss_only_is_no_gain():
    start = {"epoch": 0, "training": 1.0, "guard": 1.0}
    for training, guard, gains in [(0.5, 0.5, True), (0.5, 1.1, False), (1.1, 0.5, False)]:
        assert _gains({"epoch": 1, "training": training, "guard": guard}, start) is gains
    assert not _gains({"epoch": 1, "training": np.nan, "guard": np.nan}, start)


def test_training_comes_nearer_on_the_prompts_it_is_trained_on(fit):
    """With no prompt held out all guard: twelve epochs take a third of the variance off."""
    near = distil(fit, DistilConfig(epochs=12, held_out_share=0.0)).report["agreement"]
    assert list(near) == ["all"]
    assert near["all"][DISTILLED]["variance"] < 0.67 * near["all"]["merge"]["variance"]
    assert near["all"][DISTILLED]["kl"] < near["all"]["merge"]["kl"]


def test_the_token_wise_figures_are_those_of_its_scores(fit, found, tmp_path):
    names = ["type-1", "type-2"]
    adapted = model_of(fit, names)
    tokens = tokenise(fit.rankings, adapted.base, tmp_path / "tokens")
    codes = np.unique(fit.rankings.candidate).astype(np.int64)
    scorer = ResponseScorer(adapted, tokens, codes, folder=tmp_path)
    weights = dict(zip(names, found.report["weights"].tolist(), strict=True))
    ratios = score_consensus(scorer, weights) - scorer.score_all(None)
    target = consensus_weights(fit) @ fit.policies.candidate_scores() / fit.config.beta
    by_prompt = [(ratios - target)[tokens.candidate_prompt == x].var() for x in range(10)]
    told = found.report["agreement"]["all"]["token-wise"]["variance"]
    assert told == pytest.approx(np.mean(by_prompt), rel=1e-4)


def test_the_same_seed_gives_the_same_bytes(fit, found):
    again = distil(fit, DistilConfig(epochs=4))
    assert again.report["losses"] == found.report["losses"]
    for name, tensor in found.adapter.tensors.items():
        np.testing.assert_array_equal(again.adapter.tensors[name], tensor)


def test_it_starts_from_a_type_that_is_nearer(fit, monkeypatch):
    """Where all weight is on type 2, that type is the consensus, and so is the merge: a tie. With
    the merge spoilt the type is taken, in the merge's shape."""
    monkeypatch.setattr("emdpo.adapters.distil.consensus_weights", lambda fit: np.array([0.0, 1.0]))
    whole = distil(fit, DistilConfig(epochs=0))
    near = whole.report["agreement"]["all"]
    assert near["merge"]["kl"] == pytest.approx(0.0, abs=1e-6)
    spoilt = {"type-1": 0.9, "type-2": 0.1}

    def spoil(adapted, name, weights):
        return merge(adapted, name, spoilt if name == DISTILLED else weights)

    monkeypatch.setattr("emdpo.adapters.distil.merge", spoil)
    from_type = distil(fit, DistilConfig(epochs=0)).report
    assert from_type["started_from"] == "type-2" and from_type["rank"] == 4
    assert from_type["agreement"]["all"][DISTILLED]["kl"] == pytest.approx(0.0, abs=1e-6)


def test_sampled_answers_are_learnt_beside_the_listed(fit):
    config = DistilConfig(epochs=1, sampled=2, max_tokens=5)
    told = []
    report = distil(fit, config, on_progress=lambda event, **facts: told.append(event)).report
    assert 0 < report["n_sampled"] <= 20 and report["n_listed"] == 40
    assert {"loading", "drawing", "scoring", "step", "epoch"} <= set(told)
    assert list(report["agreement"]["all"]) == POLICIES


@pytest.mark.parametrize("after", [0, 1, 9, 20])
def test_a_stop_is_none(fit, after):
    asked = iter(range(10**6))
    config = DistilConfig(epochs=50, sampled=1, max_tokens=3)
    assert distil(fit, config, should_stop=lambda: next(asked) >= after) is None


def test_other_models_and_loglinear_fits_are_refused_in_one_line(fit, panel, tiny_models):
    other = load_base_model(str(tiny_models["qwen2"]), device="cpu")
    with pytest.raises(RunError, match="trained on another base model than .* here"):
        distil(fit, base=other)
    with pytest.raises(EmdpoError, match="log-linear and score answers without writing any"):
        distil(emdpo.fit(panel, 2, restarts=1))


@pytest.mark.parametrize(
    "settings", [{"epochs": -1}, {"sampled": 1.5}, {"held_out_share": 0.6}, {"max_tokens": 0}]
)
def test_settings_out_of_range(settings):
    with pytest.raises(EmdpoError, match=next(iter(settings))):
        DistilConfig(**settings)


@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated")  # PEFT's own use
def test_peft_alone_loads_it_and_says_the_same(finished, fit, tiny_models):
    ids = torch.tensor([[5, 9, 20, 31]])
    own = load_base_model(str(tiny_models["llama"]), device="cpu")
    plain = PeftModel.from_pretrained(own.model, finished / "policy" / "consensus")
    ours = load_adapters(
        load_base_model(str(tiny_models["llama"]), device="cpu"),
        {DISTILLED: finished / "policy" / "consensus"},
    )
    with torch.inference_mode(), ours.speaking(DISTILLED):
        torch.testing.assert_close(plain(ids).logits, ours.model(ids).logits)
    card = (finished / "policy" / "consensus" / "README.md").read_text("utf-8")
    assert "Consensus of preference types" in card and "KL(consensus || adapter)" in card


def test_a_run_with_it_is_loaded_bundled_and_talked_to(run, tmp_path, found):
    emdpo.load_fit(run)
    unpack(pack(run, tmp_path / "run.zip"), tmp_path / "again")
    held = load_distilled(tmp_path / "again")
    for name, tensor in found.adapter.tensors.items():
        np.testing.assert_array_equal(held.tensors[name], tensor)
    assert list(cast_of(run).speakers)[-1] == DISTILLED
    talkable = open_run(run)
    history = [{"role": "user", "content": "Why?"}]
    *_, last = talkable.answers([history] * 2, [DISTILLED, "base"])
    assert all(partial.ending for partial in last)


def test_a_run_without_it(fit, tmp_path):
    run = fit.save(tmp_path / "run")
    assert load_distilled(run) is None and DISTILLED not in cast_of(run).speakers


def test_a_new_fit_in_the_folder_removes_it(run, fit):
    fit.save(run)
    assert not (run / "policy" / "consensus").exists()


def test_damage_is_refused(run):
    path = run / "policy" / "consensus" / "adapter_model.safetensors"
    path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(RunError, match=r"consensus/adapter_model\.safetensors is damaged"):
        cast_of(run)


def test_that_of_another_fit_is_refused(run):
    report = run / "policy" / "consensus" / "distil.json"
    report.write_text(json.dumps(json.loads(report.read_text()) | {"fit_sha256": "0" * 64}))
    with pytest.raises(RunError, match="made from another fit; run emdpo distil again"):
        load_distilled(run)


def test_the_command(fit, tmp_path, capsys):
    run = fit.save(tmp_path / "run")
    assert main(["distil", str(run), "--epochs", "1"]) == 0
    told = capsys.readouterr().out
    assert all(name in told for name in POLICIES) and "held out prompts (n = 1)" in told
    assert main(["distil", str(run), "--epochs", "1", "--json"]) == 0
    written = (run / "policy" / "consensus" / "distil.json").read_text("utf-8")
    assert json.loads(capsys.readouterr().out) == json.loads(written, parse_constant=pytest.fail)


@pytest.fixture(scope="module")
def drawn(fit, finished):
    return with_sampled(audit(fit, n_bootstrap=5), fit, SamplingPlan(2, 3, 5), run=finished)


def test_the_audit_of_drawn_answers(drawn, fit):
    told = drawn.to_dict()["sampled"]
    assert (told["n_prompts"], told["n_prompts_in_all"], told["n_samples"]) == (3, 10, 2)
    assert drawn.rules[-1] == "lottery"  # it picks among listed answers and writes none
    writing = [
        rule for rule in drawn.rules[:-1] if rule != "nash" or drawn.weights[rule] is not None
    ]
    assert told["rules"] == [*writing, DISTILLED, "base"]
    for table in (told["regret"], told["standard_error"]):
        assert {len(values) for kind in table.values() for values in kind.values()} == {2}
    assert set(audit(fit, n_bootstrap=5).to_dict()) == set(drawn.to_dict()) - {"sampled"}


def test_it_is_kept_by_later_audits_of_the_same_policies(drawn, fit, run, found):
    save_audit(drawn, run)
    later = with_kept_sampled(audit(fit, n_bootstrap=5), run)
    assert later.sampled.to_dict() == drawn.sampled.to_dict()
    assert (run / "audit" / "sampled.csv").exists()
    other = {name: tensor * 2 for name, tensor in found.adapter.tensors.items()}
    save_distilled(replace(found, adapter=replace(found.adapter, tensors=other)), fit, run)
    anew = with_kept_sampled(audit(fit, n_bootstrap=5), run)
    assert anew.sampled is None
    save_audit(anew, run)
    assert not (run / "audit" / "sampled.csv").exists()


@pytest.mark.parametrize("damage", ["{", '{"sampled": 3}', "[]"])
def test_a_damaged_audit_is_made_anew(damage, fit, run):
    (run / "audit").mkdir(exist_ok=True)
    (run / "audit" / "audit.json").write_text(damage)
    assert with_kept_sampled(audit(fit, n_bootstrap=5), run).sampled is None


def test_the_page_states_answers_prompts_and_errors(drawn, fit):
    page = audit_page(drawn, fit)
    assert "By the answers that policies write" in page
    assert "S = 2 answers of each policy to n = 3 of 10 prompts" in page
    assert page.count("+/-") > 2 * len(drawn.sampled.rules)
    assert "By the answers that policies write" not in audit_page(audit(fit, n_bootstrap=5), fit)


def test_the_audit_command(fit, tmp_path, capsys):
    run = fit.save(tmp_path / "run")
    options = ["--sampled", "2", "--prompts", "2", "--max-tokens", "4", "--bootstrap", "5"]
    assert main(["audit", str(run), *options]) == 0
    assert "S = 2 answers of each policy to n = 2 of 10 prompts" in capsys.readouterr().out
    assert main(["audit", str(run), "--bootstrap", "5", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sampled"]["n_samples"] == 2
    assert main(["audit", str(run), "--sampled", "1"]) == 2
    assert "n_samples must be" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["audit", "--sampled", "2"], ["distil"]])
def test_loglinear_runs_are_refused_in_one_line(command, panel, tmp_path, capsys):
    run = emdpo.fit(panel, 2, restarts=1).save(tmp_path / "run")
    assert main([command[0], str(run), *command[1:]]) == 2
    told = capsys.readouterr()
    assert told.err.startswith("error: ") and told.err.count("\n") == 1 and told.out == ""
    assert "log-linear" in told.err and "--policy adapters" in told.err
