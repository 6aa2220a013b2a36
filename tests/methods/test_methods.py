"""Each method on rankings with planted tastes, its gradients, and where methods must agree."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.optimize import check_grad
from sklearn.metrics import adjusted_rand_score

from emdpo.core.errors import EmdpoError
from emdpo.core.features import build_features
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.regret import log_normalise, log_reference, regret_table
from emdpo.head_to_head.simulations import Simulation, simulate
from emdpo.methods.base import BUDGET, Problem
from emdpo.methods.cluster_dpo import ClusterDPO, user_vectors
from emdpo.methods.dpo import DPO, Reference
from emdpo.methods.em_dpo import EMDPO, CrossFittedEMDPO
from emdpo.methods.group_dpo import GroupDPO
from emdpo.methods.known_types import KnownTypes
from emdpo.methods.lore import Basis, LoRe
from emdpo.methods.maxmin import MaxMinRLHF, max_min_scores
from emdpo.methods.mixdpo import MixDPO, RandomStrength, strengths
from emdpo.methods.pal import PAL, IdealPoints
from emdpo.methods.registry import METHODS, method_named, methods_named
from emdpo.methods.reward_model import RewardModel, as_pairs
from emdpo.methods.user_weights import UserWeights, fit_user_weights

PLANTED = Simulation(n_types=2, n_users=120, answers=6, length=4, n_prompts=30, n_features=3)


@pytest.fixture(scope="module")
def drawn():
    return simulate(PLANTED, 1)


@pytest.fixture(scope="module")
def problem(drawn):
    return problem_of(drawn)


def problem_of(drawn, **more):
    features = build_features(drawn.panel, "columns")
    truth = {"truth": drawn.scores, "truth_shares": drawn.shares}
    return Problem(drawn.panel, features, **truth, **more)


def mean_log_lik(fitted, known, test):
    return fitted.predict(known, test).log_lik.mean()


class TestAll:
    @pytest.mark.parametrize("name", METHODS)
    def test_every_method_tries_as_many_settings_and_says_what_it_is(self, name):
        kind = method_named(name)
        assert len(set(kind.grid())) in (1, BUDGET)
        assert all(type(setting) is kind for setting in kind.grid())
        assert kind.source and kind.assumes and kind.changed

    @pytest.mark.parametrize("name", [name for name in METHODS if name != "reference"])
    def test_every_method_predicts_probabilities_and_beats_no_tuning(self, name):
        """All orders of a shown set have probabilities that sum to one, whatever is known."""
        drawn = simulate(replace(PLANTED, n_users=40), 1)
        groups = (drawn.panel.users["region"] == "region 0").to_numpy().astype(np.int64)
        fitted = method_named(name).grid()[0].fit(problem_of(drawn, groups=groups))
        panel = drawn.panel
        nothing = panel.select(np.zeros(panel.n_rankings, bool))
        one = panel.select(np.arange(panel.n_rankings) == 0)
        for known in (nothing, panel):
            told = [
                fitted.predict(known, replace(one, ranks=np.argsort(order) + 1)).log_lik[0]
                for order in permutations_of(4)
            ]
            assert np.exp(told).sum() == pytest.approx(1.0, abs=1e-9)
        assert mean_log_lik(fitted, panel, panel) > -np.log(24) + 0.05
        assert fitted.policy_scores().shape == (panel.n_candidates,)

    def test_names(self):
        assert [kind.name for kind in methods_named(["dpo", "pal", "dpo"])] == ["dpo", "pal"]
        with pytest.raises(EmdpoError, match="no method 'x'"):
            method_named("x")
        with pytest.raises(EmdpoError, match="vpl is missing"):
            method_named("vpl")


def permutations_of(n):
    from itertools import permutations

    return [np.array(order, np.int32) for order in permutations(range(n))]


class TestOnePolicy:
    def test_one_type_of_em_and_one_cluster_are_dpo(self, problem):
        pooled = DPO(l2=1.0).fit(problem).scores
        for method in (EMDPO(1, 1.0), CrossFittedEMDPO(1, 1.0), MaxMinRLHF(1, 1.0)):
            scores = method.fit(problem).scores
            np.testing.assert_allclose(scores, pooled[None], atol=1e-3)
        np.testing.assert_allclose(ClusterDPO(1, 1.0).fit(problem).scores[0], pooled, atol=1e-3)

    def test_the_aggregate_of_one_type_is_its_own_policy(self, problem):
        fitted = EMDPO(1, 1.0).fit(problem)
        difference = fitted.policy_scores() - fitted.scores[0]  # but for a constant a prompt
        for code in np.unique(problem.prompt):
            part = difference[problem.prompt == code]
            np.testing.assert_allclose(part, part[0], atol=1e-6)

    def test_no_tuning_knows_nothing(self, problem, drawn):
        told = Reference().fit(problem).predict(drawn.panel, drawn.panel)
        np.testing.assert_allclose(told.log_lik, -np.log(24))

    def test_pairs_of_a_ranking_share_its_weight(self, drawn):
        panel = drawn.panel.select(np.arange(drawn.panel.n_rankings) < 2)
        panel = replace(panel, ranks=np.array([2, 1, 0, 0, 1, 1, 2, 3], np.int32))
        pairs = as_pairs(panel)
        ranking = np.array([0] * 5 + [1] * 5)  # the tied and the two not ranked are not told apart
        np.testing.assert_array_equal(pairs.user, panel.user[ranking])
        assert pairs.weight.tolist() == [0.2] * 10
        better, worse = pairs.candidate.reshape(-1, 2).T
        place = {c: p for c, p in zip(panel.candidate, [2, 1, 9, 9, 1, 1, 2, 3], strict=True)}
        assert all(place[a] < place[b] for a, b in zip(better, worse, strict=True))

    def test_pairs_alone_make_reward_model_and_dpo_equal(self, drawn):
        panel = as_pairs(drawn.panel)
        problem = Problem(panel, build_features(panel, "columns"))
        own, dpo = RewardModel(1.0).fit(problem).scores, DPO(1.0).fit(problem).scores
        np.testing.assert_allclose(own, dpo, atol=1e-4)


class TestTypes:
    def test_planted_types_are_found(self, problem, drawn):
        for method in (EMDPO(2, 1.0), CrossFittedEMDPO(2, 1.0), MaxMinRLHF(2, 1.0)):
            label = method.fit(problem).labels(drawn.panel)
            assert adjusted_rand_score(drawn.label, label) > 0.8

    def test_user_vectors_are_gradients_at_no_tuning(self, problem, drawn):
        """Numerically, for one user: d/dtheta of the mean log-likelihood at theta = 0."""
        panel, features = drawn.panel, problem.features
        mine = panel.select(panel.user == 7)

        def mean(theta):
            rows = features.scores(theta[None])[:, mine.candidate]
            return log_likelihoods(mine.stages, rows)[0].mean()

        steps = 1e-6 * np.eye(features.n_features)
        slope = [(mean(step) - mean(-step)) / 2e-6 for step in steps]
        np.testing.assert_allclose(user_vectors(panel, features)[7], slope, atol=1e-7)

    def test_unknown_users_count_as_the_shares(self, problem, drawn):
        nothing = drawn.panel.select(np.zeros(drawn.panel.n_rankings, bool))
        for fitted in (ClusterDPO(2, 1.0).fit(problem), EMDPO(2, 1.0).fit(problem)):
            expected = np.tile(np.exp(fitted.log_weights), (drawn.panel.n_users, 1))
            np.testing.assert_allclose(fitted.posterior(nothing), expected)

    def test_known_types_need_a_truth(self, problem):
        assert KnownTypes().fit(problem).n_parameters == 0
        with pytest.raises(EmdpoError, match="simulations"):
            KnownTypes().fit(replace(problem, truth=None))


class TestMaxMin:
    def test_the_policy_is_the_best_for_the_worst_off(self):
        """One prompt of three answers: a fine grid of all policies finds none better."""
        scores, beta = np.array([[1.0, 0.0, 0.2], [-0.5, 0.9, 0.3]]), 0.5
        prompt = np.zeros(3, int)
        found = np.exp(max_min_scores(scores, prompt, beta) / beta)
        grid = np.array([(a, b, 200 - a - b) for a in range(201) for b in range(201 - a)]) / 200
        grid = np.vstack([np.maximum(grid, 1e-12), found / found.sum()])
        rewards = scores - scores.mean(axis=1, keepdims=True)
        kl = (grid * np.log(3 * grid)).sum(axis=1)
        worth = (grid @ rewards.T - beta * kl[:, None]).min(axis=1)
        assert worth[-1] >= worth[:-1].max() - 1e-6

    def test_the_minority_is_lifted(self):
        """As in its paper: one reward leaves a minority of a tenth badly served."""
        shares = (0.9, 0.1)
        drawn = simulate(replace(PLANTED, shares=shares, n_users=300, strength=2.0), 3)
        problem = problem_of(drawn, beta=1.0)
        worst = {}
        for method in (DPO(1.0), MaxMinRLHF(2, 1.0)):
            log_policy = method.fit(problem).policy_scores() + log_reference(problem.prompt)
            policy = np.exp(log_normalise(log_policy, problem.prompt))
            table = regret_table(drawn.scores, policy[None], problem.prompt, 1.0)
            gain = table.value_own - table.plain[:, 0] - table.value_reference
            worst[method.name] = gain.min()  # nats of reward above the untuned model
        assert worst["maxmin_rlhf"] > worst["dpo"] + 0.1


class TestUserWeights:
    @pytest.mark.parametrize("kind", ["basis", "ideal points"])
    def test_gradients_are_those_of_difference_quotients(self, kind, drawn):
        panel = drawn.panel.select(drawn.panel.user < 4)
        features = build_features(drawn.panel, "columns")
        rng = np.random.default_rng(0)
        shared = Basis(features, rng.normal(size=(3, 3)))
        if kind == "ideal points":
            shared = IdealPoints(features, rng.normal(size=(2, 3)), rng.normal(size=(2, 3)))
        weights = rng.dirichlet(np.ones(3), panel.n_users)
        by_row = rng.normal(size=panel.n_rows)
        n = len(shared.vector())
        point = np.concatenate([shared.vector(), weights.ravel()])

        def value(vector):
            at = shared.with_vector(vector[:n])
            return by_row @ at.rows(panel, vector[n:].reshape(-1, 3))

        def gradient(vector):
            at = shared.with_vector(vector[:n])
            parts = at.pull_back(panel, vector[n:].reshape(-1, 3), by_row)
            return np.concatenate([parts[0], parts[1].ravel()])

        assert check_grad(value, gradient, point) < 1e-3 * np.linalg.norm(gradient(point))

    def test_pal_places_unseen_users_from_few_answers(self):
        """As its paper claims: weights alone, of users it has never seen."""
        sizes = {"n_users": 200, "answers": 10, "strength": 2.0}
        drawn = simulate(replace(PLANTED, tastes="between", **sizes), 2)
        panel = drawn.panel
        seen = panel.user < 150
        train = panel.select(seen, drop_users=True)
        fitted = PAL(2, 0.3).fit(Problem(train, build_features(train, "columns")))
        place = np.arange(panel.n_rankings) % 10
        test = panel.select(~seen & (place >= 5))
        told = [mean_log_lik(fitted, panel.select(~seen & (place < n)), test) for n in (0, 1, 3, 5)]
        assert told[1] > told[0] and told[3] > told[0] + 0.1

    def test_lore_finds_tastes_between_two(self):
        drawn = simulate(replace(PLANTED, tastes="between", answers=12, strength=2.0), 4)
        fitted = LoRe(2, 1.0).fit(problem_of(drawn))
        weights = fitted.weights(drawn.panel)
        utility = weights @ fitted.shared.features.scores(fitted.shared.theta)  # (N, A)
        assert adjusted_rand_score(drawn.label, fitted.labels(drawn.panel)) > 0.4
        assert np.isfinite(utility).all()

    def test_nothing_known_gives_the_mean_user(self, problem, drawn):
        basis = Basis(problem.features, np.ones((2, 3)))
        fitted = UserWeights(basis, np.array([0.3, 0.7]))
        nothing = drawn.panel.select(np.zeros(drawn.panel.n_rankings, bool))
        np.testing.assert_allclose(fitted.weights(nothing)[0], [0.3, 0.7], atol=1e-9)

    def test_the_fit_is_better_than_its_start(self, problem):
        start = Basis(problem.features, np.zeros((1, 3)))
        value, fitted = fit_user_weights(problem.panel, start, 1.0)
        pooled = DPO(1.0).fit(problem).scores
        np.testing.assert_allclose(fitted.policy_scores(), pooled, atol=1e-2)
        assert value > -np.log(24) * problem.panel.n_rankings


class TestMixDPO:
    def test_it_recovers_the_spread_of_strengths(self):
        """As its paper claims, on strengths drawn log-normal with a standard deviation of one."""
        sizes = {"n_users": 600, "answers": 10, "n_features": 3, "strength": 1.5}
        spread = {}
        for tastes in ("strengths", "types"):
            drawn = simulate(Simulation(n_types=1, tastes=tastes, **sizes), 5)
            spread[tastes] = MixDPO("lognormal", 0.3).fit(problem_of(drawn)).spread
        assert spread["strengths"] == pytest.approx(1.0, abs=0.2)
        assert spread["types"] < 0.35

    @pytest.mark.parametrize("family", ["lognormal", "gamma"])
    def test_its_gradient_is_that_of_difference_quotients(self, family, problem):
        method, panel, features = MixDPO(family), problem.panel, problem.features
        point = np.array([0.4, -0.2, 0.7, 0.6])

        def value(vector):
            return method._likelihood(panel, features, vector[:3], vector[3])[0]

        def gradient(vector):
            _, by_theta, by_spread = method._likelihood(panel, features, vector[:3], vector[3])
            return np.append(by_theta, by_spread)

        assert check_grad(value, gradient, point) < 1e-3 * np.linalg.norm(gradient(point))

    def test_without_spread_it_is_plackett_luce(self, drawn):
        scores = drawn.scores[0]
        fitted = RandomStrength(scores, strengths("lognormal", 1e-6), 0.0, 1)
        plain = log_likelihoods(drawn.panel.stages, scores[None, drawn.panel.candidate])[0]
        told = fitted.predict(drawn.panel, drawn.panel).log_lik
        np.testing.assert_allclose(told, plain, atol=1e-4)


class TestGroupDPO:
    def test_the_worst_group_loses_least(self):
        """Against a grid over the one weight that two groups have."""
        drawn = simulate(replace(PLANTED, shares=(0.8, 0.2)), 6)
        groups = drawn.label
        problem = problem_of(drawn, groups=groups)
        worst = worst_loss(GroupDPO(1.0).fit(problem).scores, drawn)
        size = np.bincount(groups[drawn.panel.user])
        tried = []
        for share in np.linspace(0.02, 0.98, 25):
            weight = np.array([1 - share, share])[groups[drawn.panel.user]]
            weight = weight / size[groups[drawn.panel.user]] * len(weight)
            tilted = replace(problem, panel=replace(drawn.panel, weight=weight))
            tried.append(worst_loss(DPO(1.0).fit(tilted).scores, drawn))
        assert worst < min(tried) + 0.01
        assert worst < worst_loss(DPO(1.0).fit(problem).scores, drawn) - 0.05

    def test_it_needs_groups(self, problem):
        with pytest.raises(EmdpoError, match="observed group"):
            GroupDPO().fit(problem)


def worst_loss(scores, drawn):
    loss = -log_likelihoods(drawn.panel.stages, scores[None, drawn.panel.candidate])[0]
    kind = drawn.label[drawn.panel.user]
    return max(loss[kind == k].mean() for k in (0, 1))
