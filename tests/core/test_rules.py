"""The aggregation rules together: names, order, and that each wins at what it is for."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from emdpo.core.regret import kl_regret, log_policies, plain_regret, sum_by_prompt
from emdpo.core.rules import RULE_NOTES, rule_policies
from emdpo.core.welfare import gains, lottery_policy

DOCS = Path(__file__).resolve().parents[2] / "docs"
ONE_PROMPT = np.array([0, 0])


def is_mixture(rule, name):
    """Return whether a rule draws a type and lets its policy answer."""
    return rule.weights is not None and name != "consensus"


def test_the_documents_say_of_every_rule_what_the_page_says():
    documented = " ".join((DOCS / "rules.md").read_text("utf-8").split())
    for rule, note in RULE_NOTES.items():
        assert f"(`{rule}`) {note}" in documented


class TestRules:
    names = [
        "type-1",
        "type-2",
        "type-3",
        "pooled",
        "uniform",
        "prevalence",
        "maximin",
        "nash",
        "mixture",
        "consensus",
        "lottery",
    ]
    prevalence = np.array([0.5, 0.3, 0.2])

    def rules(self, seed=0, shift=0.0):
        rng = np.random.default_rng(seed)
        prompt = np.repeat(np.arange(3), [2, 1, 4])
        scores, pooled = rng.normal(size=(3, 7)), rng.normal(size=7)
        moved = scores + shift * np.arange(3)[prompt]
        return scores, prompt, rule_policies(moved, pooled, self.prevalence, prompt, 0.5)

    def test_names_order_and_probabilities(self):
        _, prompt, (rules, gaps) = self.rules()
        assert list(rules) == self.names
        assert list(gaps) == ["maximin", "nash", "mixture", "consensus"]
        for policy, weights in rules.values():
            assert (policy >= 0).all()
            np.testing.assert_allclose(sum_by_prompt(policy, prompt), 1.0)
            assert weights is None or weights.sum() == pytest.approx(1.0)
        assert rules["pooled"].weights is None

    def test_each_rule_is_what_its_name_says(self):
        scores, prompt, (rules, _) = self.rules()
        log_types = log_policies(scores, prompt, 0.5)
        types = np.exp(log_types)
        np.testing.assert_allclose(rules["type-2"].policy, types[1])
        assert rules["type-2"].weights.tolist() == [0, 1, 0]
        np.testing.assert_allclose(rules["uniform"].policy, types.mean(axis=0))
        np.testing.assert_allclose(rules["prevalence"].policy, self.prevalence @ types)
        for name in ("maximin", "nash", "mixture"):
            np.testing.assert_allclose(rules[name].policy, rules[name].weights @ types)
        lottery = lottery_policy(scores, self.prevalence, prompt)
        np.testing.assert_array_equal(rules["lottery"].policy, lottery)
        blend = rules["consensus"].weights @ scores
        np.testing.assert_allclose(
            rules["consensus"].policy, np.exp(log_policies(blend, prompt, 0.5)), rtol=1e-9
        )

    def test_the_two_optimised_rules_win_at_what_they_optimise(self):
        for seed in range(10):
            scores, prompt, (rules, gaps) = self.rules(seed)
            log_types = log_policies(scores, prompt, 0.5)
            policies = np.array([rules[name].policy for name in self.names])
            worst_plain = plain_regret(scores, log_types, policies, prompt).max(axis=0)
            by_name = dict(zip(self.names, worst_plain, strict=True))
            mixtures = [name for name in self.names if is_mixture(rules[name], name)]
            least = min(by_name[name] for name in mixtures)
            assert by_name["mixture"] <= least + gaps["mixture"] + 1e-12
            worst = kl_regret(log_types, policies, prompt, 0.5).max(axis=0)
            assert worst[self.names.index("consensus")] <= worst.min() + gaps["consensus"] + 1e-12

    def test_maximin_and_nash_win_at_what_they_optimise(self):
        n_nash = 0
        for seed in range(10):
            scores, prompt, (rules, gaps) = self.rules(seed)
            policies = np.array([rules[name].policy for name in self.names])
            gain = dict(zip(self.names, gains(scores, policies, prompt).T, strict=True))
            mixtures = [name for name in self.names if is_mixture(rules[name], name)]
            most = max(gain[name].min() for name in mixtures)
            assert gain["maximin"].min() >= most - gaps["maximin"] - 1e-12
            if rules["nash"].weights is None:
                assert not gain["nash"].any()
                continue
            n_nash += 1
            product = self.prevalence @ np.log(gain["nash"])
            for name in mixtures:
                if (gain[name] > 0).all():
                    assert product >= self.prevalence @ np.log(gain[name]) - gaps["nash"] - 1e-12
        assert n_nash >= 3

    def test_weights_of_the_user_s_own(self):
        weights, prompt = np.array([0.2, 0.5, 0.3]), np.repeat(np.arange(3), [2, 1, 4])
        scores = np.random.default_rng(0).normal(size=(3, 7))
        rules, gaps = rule_policies(scores, scores[0], self.prevalence, prompt, 0.5, weights)
        assert list(rules) == [*self.names, "given"] and "given" not in gaps
        types = np.exp(log_policies(scores, prompt, 0.5))
        np.testing.assert_allclose(rules["given"].policy, weights @ types)
        ours = {"given": weights, "given_form": "consensus"}
        rules, _ = rule_policies(scores, scores[0], self.prevalence, prompt, 0.5, **ours)
        powers = np.prod(types ** weights[:, None], axis=0)
        expected = powers / sum_by_prompt(powers, prompt)[prompt]
        np.testing.assert_allclose(rules["given"].policy, expected)
        np.testing.assert_allclose(rules["given"].weights, weights)

    def test_constants_per_prompt_change_no_rule(self):
        _, _, (rules, _) = self.rules()
        _, _, (moved, _) = self.rules(shift=40.0)
        for name in self.names:
            np.testing.assert_allclose(moved[name].policy, rules[name].policy, atol=1e-7)

    def test_one_type_makes_all_its_rules_one(self):
        scores, prompt = np.array([[1.0, 0.0]]), ONE_PROMPT
        rules, gaps = rule_policies(scores, scores[0], np.ones(1), prompt, 1.0)
        for name, (policy, _) in rules.items():
            one = [1.0, 0.0] if name == "lottery" else rules["type-1"].policy
            np.testing.assert_allclose(policy, one)
        assert max(gaps.values()) <= 1e-15

    def test_prevalence_must_be_shares(self):
        with pytest.raises(ValueError, match="sum to 1"):
            rule_policies(np.eye(2), np.zeros(2), np.array([3.0, 1.0]), ONE_PROMPT, 1.0)
