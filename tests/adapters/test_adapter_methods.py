"""Methods as adapters on a tiny random model, beside their log-linear forms."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from scipy.special import logsumexp
from text_panels import text_rankings

import emdpo
from emdpo.adapters.config import AdapterConfig
from emdpo.adapting import told_what_to_install
from emdpo.cli import main
from emdpo.core.errors import EmdpoError
from emdpo.core.features import build_features
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.head_to_head import engine
from emdpo.methods.adapters import policies, strength
from emdpo.methods.adapters.policies import (
    ADAPTER_BUDGET,
    AdapterClusterDPO,
    AdapterDPO,
    AdapterEMDPO,
    AdapterMixDPO,
)
from emdpo.methods.adapters.strength import StrengthObjective
from emdpo.methods.base import Problem
from emdpo.methods.cluster_dpo import ClusterDPO
from emdpo.methods.mixdpo import likeliest_spread, strengths
from emdpo.methods.registry import ADAPTER_METHODS, METHODS, method_named

FEW = AdapterConfig(rank=2, top_layers=1, learning_rate=1e-2, rounds=1, held_out_share=0.0)


@pytest.fixture(scope="module")
def panel():
    """Sixteen users who want long answers, and four who want short ones."""
    both = text_rankings(n_users=32, n_candidates=3, answers=4)
    return both.select((both.user % 2 == 1) | (both.user % 8 == 0), drop_users=True)


@pytest.fixture(scope="module")
def problem(panel, tiny_models):
    features = build_features(panel, "text")
    base = str(tiny_models["llama"])
    return Problem(panel, features, base_model=base, adapters=FEW)


@pytest.fixture(scope="module")
def fits(problem):
    """Every method with its first setting, by name."""
    return {name: kind.grid()[0].fit(problem) for name, kind in ADAPTER_METHODS.items()}


def mean_log_lik(fitted, panel):
    return fitted.predict(panel, panel).log_lik.mean()


class TestAll:
    @pytest.mark.parametrize("kind", ADAPTER_METHODS.values())
    def test_they_are_named_only_and_try_as_many_settings(self, kind):
        assert kind.name not in METHODS and method_named(kind.name) is kind
        assert len(set(kind.grid())) == ADAPTER_BUDGET
        assert kind.source == METHODS[kind.name.removeprefix("adapter_")].source

    @pytest.mark.parametrize("name", ADAPTER_METHODS)
    def test_each_beats_no_tuning_and_counts_its_adapters(self, name, fits, panel):
        """Rank 2 on one block: 2 (inputs + outputs) over its seven linear layers, an adapter."""
        fitted = fits[name]
        assert mean_log_lik(fitted, panel) > -np.log(6) + 0.01
        assert fitted.policy_scores().shape == (panel.n_candidates,)
        layers = [(32, 32), (32, 16), (32, 16), (32, 32), (32, 48), (32, 48), (48, 32)]
        one = 2 * sum(map(sum, layers))
        more = {"adapter_dpo": one, "adapter_mixdpo": one + 1, "adapter_cluster_dpo": 2 * one}
        assert fitted.n_parameters == more.get(name, 2 * one + 1)


class TestAgreement:
    def test_one_type_and_one_cluster_are_dpo(self, fits, problem):
        scores = fits["adapter_dpo"].scores
        assert np.abs(scores).max() > 1e-3
        np.testing.assert_array_equal(AdapterEMDPO(1).fit(problem).scores[0], scores)
        np.testing.assert_array_equal(AdapterClusterDPO(1).fit(problem).scores[0], scores)

    def test_clusters_are_those_of_the_log_linear_method(self, fits, problem, panel):
        """And each cluster's adapter is what DPO finds for its users alone."""
        fitted, plain = fits["adapter_cluster_dpo"], ClusterDPO(2).fit(problem)
        np.testing.assert_array_equal(fitted.posterior(panel), plain.posterior(panel))
        np.testing.assert_array_equal(fitted.log_weights, plain.log_weights)
        own = panel.select((fitted.labels(panel) == 1)[panel.user], drop_users=True)
        alone = AdapterDPO().fit(replace(problem, panel=own))
        np.testing.assert_array_equal(fitted.scores[1], alone.scores)

    def test_without_spread_mixdpo_is_dpo(self, fits, problem, monkeypatch):
        for module in (policies, strength):
            monkeypatch.setattr(module, "likeliest_spread", lambda *_: 1e-6)
        monkeypatch.setattr("emdpo.methods.mixdpo.SPREADS", (1e-6, 2e-6))
        scores = AdapterMixDPO().fit(problem).scores
        np.testing.assert_allclose(scores, fits["adapter_dpo"].scores, atol=1e-4)

    @pytest.mark.parametrize("family", ["lognormal", "gamma"])
    def test_the_spread_is_the_likeliest_of_a_grid(self, family, fits, problem, panel):
        fitted = fits["adapter_mixdpo"]
        if family == "gamma":
            fitted = AdapterMixDPO(family).fit(problem)

        def value(spread):
            felt = strengths(family, spread)[:, None] * fitted.scores[panel.candidate]
            return (logsumexp(log_likelihoods(panel.stages, felt), axis=0)).sum()

        best = max(map(value, np.linspace(0.01, 3, 50)))
        assert value(fitted.spread) >= best - 1e-3
        assert fitted.spread == likeliest_spread(family, panel, fitted.scores[panel.candidate])


class TestStrengthObjective:
    def test_the_loss_is_the_mean_over_strengths(self, panel):
        rng = np.random.default_rng(0)
        ratios, weights = rng.normal(size=panel.n_candidates), rng.random(panel.n_rankings)
        nodes, prompts = strengths("gamma", 0.7), [0, 2]
        objective = StrengthObjective(panel, weights, 0.5, 2.0, nodes)
        log_lik = np.stack(
            [
                log_likelihoods(panel.stages, b * 0.5 * ratios[None, panel.candidate])[0]
                for b in nodes
            ]
        )
        asked = np.isin(panel.prompt, prompts)
        expected = -(np.log(np.exp(log_lik).mean(axis=0)) @ (weights * asked)) / 2.0
        assert float(objective(prompts, torch.from_numpy(ratios))) == pytest.approx(expected)

    @pytest.mark.parametrize("family", ["lognormal", "gamma"])
    def test_its_gradient_is_the_numerical_one(self, family):
        part = text_rankings(n_users=2, n_prompts=2, n_candidates=3, answers=2)
        nodes = strengths(family, 0.8)
        objective = StrengthObjective(part, part.weight, 0.7, 1.0, nodes)
        ratios = torch.from_numpy(np.random.default_rng(1).normal(size=part.n_candidates))
        assert torch.autograd.gradcheck(
            lambda x: objective(range(part.n_prompts), x), ratios.requires_grad_(True)
        )


class TestComparing:
    def test_the_command(self, panel, tiny_models, tmp_path, capsys):
        file, base = tmp_path / "rankings.csv", str(tiny_models["llama"])
        table_of(panel).to_csv(file, index=False)
        options = ["--methods", "adapter_dpo,dpo", "--bootstrap", "50", "--base-model", base]
        for setting in ("rounds=1", "top_layers=1", "rank=2"):
            options += ["--adapter", setting]
        assert main(["compare", str(file), *options]) == 0
        shown = capsys.readouterr().out
        assert f"adapters: base_model={base}, rank=2" in shown
        assert shown.count("adapter_dpo") == 4  # three measures and the facts

    def test_adapters_are_judged_as_every_other_method(self, panel, tiny_models):
        base = str(tiny_models["llama"])
        names = ["dpo", "adapter_dpo"]
        found = emdpo.compare(panel, names, base_model=base, adapters=FEW, n_bootstrap=50)
        assert found.methods == names
        facts = found.facts[1]
        assert facts.n_settings == ADAPTER_BUDGET and facts.seconds_in_all > facts.seconds > 0
        parts = [
            [(m.users, m.known, m.n_rankings) for m in found.measures if m.method == name]
            for name in names
        ]
        assert parts[0] == parts[1] and len(parts[0]) == 12
        again = emdpo.compare(panel, ["dpo"], n_bootstrap=50)
        mine = [m.mean for m in found.measures if m.method == "dpo"]
        assert mine == [m.mean for m in again.measures]

    def test_what_is_missing_is_told_before_any_work(self, panel, monkeypatch):
        with pytest.raises(EmdpoError, match="there is no such folder"):
            emdpo.compare(panel, ["adapter_dpo"], base_model="./nowhere")
        with pytest.raises(EmdpoError, match="need one of the methods adapter_dpo, "):
            emdpo.compare(panel, ["dpo"], base_model="embedded")
        with pytest.raises(EmdpoError, match="no setting 'depth'"):
            emdpo.compare(panel, ["adapter_dpo"], adapters={"depth": 3})

    def test_without_torch_there_is_one_line(self, panel, monkeypatch):
        def blocked(config):
            with told_what_to_install():
                raise ModuleNotFoundError("No module named 'torch'", name="torch")

        monkeypatch.setattr(engine, "adapter_trainer", blocked)
        with pytest.raises(EmdpoError, match=r"need torch .*pip install"):
            emdpo.compare(panel, ["adapter_dpo"])


def table_of(panel):
    """Return the rankings as rows of a file."""
    shown = panel.candidates.iloc[panel.candidate]
    return pd.DataFrame(
        {
            "user_id": panel.users.index[panel.user[panel.ranking_of_row]],
            "prompt": panel.prompts["prompt"].iloc[panel.prompt[panel.ranking_of_row]].to_numpy(),
            "response": shown["response"].to_numpy(),
            "ranking_id": panel.ranking_ids[panel.ranking_of_row],
            "rank": panel.ranks,
        }
    )
