"""Aggregation rules against games of known value, brute force and each other."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
from grids import simplex_grid
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize

from emdpo.core import aggregation
from emdpo.core.aggregation import (
    AggregationError,
    kl_consensus,
    min_max_regret_mixture,
    mixture,
    verify,
)
from emdpo.core.regret import kl_regret, log_policies

ONE_PROMPT = np.array([0, 0])
ROCK_PAPER_SCISSORS = np.array([[0.0, 1.0, -1.0], [-1.0, 0.0, 1.0], [1.0, -1.0, 0.0]])

seeds = st.integers(0, 2**32 - 1)


def random_types(seed, n_types=3, n_prompts=4, max_candidates=5, spread=2.0):
    """Log policies of types over prompts of 1..5 candidates, whose rows are shuffled."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, max_candidates + 1, size=n_prompts)
    prompt = rng.permutation(np.repeat(np.arange(n_prompts), sizes))
    scores = rng.normal(scale=spread, size=(n_types, len(prompt)))
    return log_policies(scores, prompt, 1.0), prompt


def worst_kl(log_types, policies, prompt, beta=1.0):
    """Return the worst KL regret of each policy, (J,)."""
    return kl_regret(log_types, np.atleast_2d(policies), prompt, beta).max(axis=0)


class TestMixture:
    def test_averages_probabilities(self):
        """0.75 (0.8, 0.2) + 0.25 (0.4, 0.6) = (0.7, 0.3)."""
        policy = mixture(np.log([[0.8, 0.2], [0.4, 0.6]]), np.array([0.75, 0.25]))
        np.testing.assert_allclose(policy, [0.7, 0.3])

    @pytest.mark.parametrize("weights", [[0.5, 0.6], [1.5, -0.5], [np.nan, 1.0]])
    def test_refuses_weights_outside_the_simplex(self, weights):
        with pytest.raises(ValueError, match="sum to 1"):
            mixture(np.log([[0.8, 0.2], [0.4, 0.6]]), np.array(weights))


class TestMinMaxRegretMixture:
    @pytest.mark.parametrize(
        ("matrix", "weights", "value"),
        [
            (ROCK_PAPER_SCISSORS, [1 / 3, 1 / 3, 1 / 3], 0.0),
            ([[0.0, 3.0], [1.0, 0.0]], [0.75, 0.25], 0.75),
            ([[0.0, 4.0], [4.0, 0.0]], [0.5, 0.5], 2.0),
            ([[0.0, -2.0], [-1.0, 0.0]], [2 / 3, 1 / 3], -2 / 3),
            ([[0.0, -0.3], [5.0, 0.0]], [0.0, 1.0], 0.0),
            ([[7.0]], [1.0], 7.0),
        ],
        ids=["rock-paper-scissors", "unequal", "symmetric", "all-gain", "dominated", "one-type"],
    )
    def test_games_of_known_value(self, matrix, weights, value):
        """Rows (0, c) and (d, 0) under (a, 1 - a) are worst off alike where c (1 - a) = d a.

        So a = c / (c + d) at c d / (c + d), also where both are negative and every type gains.
        Dominated: policy 2 alone leaves type 1 better off by 0.3 and costs type 2 nothing.
        """
        solution = min_max_regret_mixture(np.array(matrix))
        np.testing.assert_allclose(solution.weights, weights, atol=1e-9)
        assert solution.value == pytest.approx(value, abs=1e-9)
        assert 0 <= solution.duality_gap <= 1e-9

    def test_agrees_with_brute_force_on_a_grid(self):
        """No grid point is better, and one within 1/200 in each weight is nearly as good."""
        rng = np.random.default_rng(0)
        grid = simplex_grid(200)
        for _ in range(20):
            matrix = rng.normal(size=(3, 3)) * 3
            np.fill_diagonal(matrix, 0.0)
            best = (grid @ matrix.T).max(axis=1).min()
            value = min_max_regret_mixture(matrix).value
            assert value - 1e-9 <= best <= value + 2 * np.ptp(matrix) / 200

    @pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
    @pytest.mark.parametrize("shift", [0.0, -5.0])
    def test_units_and_shifts_leave_the_weights(self, scale, shift):
        matrix = np.array([[0.0, 3.0], [1.0, 0.0]])
        solution = min_max_regret_mixture(scale * (matrix + shift))
        np.testing.assert_allclose(solution.weights, [0.75, 0.25], atol=1e-9)
        assert solution.value == pytest.approx(scale * (0.75 + shift), rel=1e-9)

    def test_the_adversary_is_the_other_half_of_the_proof(self):
        """For ((0, 3), (1, 0)) the adversary y equalises columns: y_2 = 3 y_1, so (1/4, 3/4)."""
        solution = min_max_regret_mixture(np.array([[0.0, 3.0], [1.0, 0.0]]))
        np.testing.assert_allclose(solution.adversary, [0.25, 0.75], atol=1e-9)

    @pytest.mark.parametrize(("prevalence", "chosen"), [([0.2, 0.6, 0.2], 1), ([0.2, 0.2, 0.6], 0)])
    def test_ties_go_to_the_least_mean_regret(self, prevalence, chosen):
        """Type 1 loses 1 whatever is done; the larger of the other two types then decides."""
        matrix = np.array([[1.0, 1.0], [0.0, -1.0], [-1.0, 0.0]])
        solution = min_max_regret_mixture(matrix, np.array(prevalence))
        np.testing.assert_allclose(solution.weights, np.eye(2)[chosen], atol=1e-9)
        assert solution.value == pytest.approx(1.0)

    def test_a_constant_matrix_is_no_failure(self):
        solution = min_max_regret_mixture(np.full((3, 3), -2.0))
        assert solution.value == pytest.approx(-2.0)
        assert solution.duality_gap <= 1e-15

    @pytest.mark.parametrize("matrix", [[[np.nan]], [[np.inf, 0.0]], [1.0, 2.0], np.zeros((0, 0))])
    def test_refuses_what_is_no_game(self, matrix):
        with pytest.raises(ValueError, match="regret_matrix must be"):
            min_max_regret_mixture(np.array(matrix))

    @settings(max_examples=40, deadline=None)
    @given(seeds)
    def test_relabelling_types_permutes_the_weights(self, seed):
        rng = np.random.default_rng(seed)
        matrix, order = rng.normal(size=(4, 4)), rng.permutation(4)
        solution = min_max_regret_mixture(matrix)
        again = min_max_regret_mixture(matrix[np.ix_(order, order)])
        assert again.value == pytest.approx(solution.value, abs=1e-8)
        np.testing.assert_allclose(again.weights, solution.weights[order], atol=1e-6)


class TestCertificates:
    solution = min_max_regret_mixture(ROCK_PAPER_SCISSORS)

    def test_verify_returns_the_gap(self):
        assert verify(self.solution, ROCK_PAPER_SCISSORS) == self.solution.duality_gap

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"value": -0.1}, "worst regret is"),
            ({"value": np.nan}, "worst regret is"),
            ({"duality_gap": 0.1}, "duality gap is"),
            ({"weights": np.array([0.5, 0.5, 0.5])}, "weights must be"),
            ({"adversary": np.array([1.5, -0.5, 0.0])}, "adversary must be"),
            ({"weights": np.array([1.0, 0.0, 0.0]), "value": 1.0, "duality_gap": 1.0}, "above"),
        ],
    )
    def test_verify_finds_what_was_tampered_with(self, change, message):
        with pytest.raises(AggregationError, match=message):
            verify(replace(self.solution, **change), ROCK_PAPER_SCISSORS)

    def test_a_solver_that_stops_short_raises(self, monkeypatch):
        failed = SimpleNamespace(status=4, message="numerical difficulties")
        monkeypatch.setattr(aggregation, "linprog", lambda *_, **__: failed)
        with pytest.raises(AggregationError, match="numerical difficulties"):
            min_max_regret_mixture(ROCK_PAPER_SCISSORS)

    def test_a_consensus_without_certificate_raises(self, monkeypatch):
        monkeypatch.setattr(aggregation, "_maximise_dual", lambda *_: np.array([0.9, 0.1]))
        with pytest.raises(AggregationError, match="not solved"):
            kl_consensus(np.log([[0.8, 0.2], [0.2, 0.8]]), ONE_PROMPT, 1.0)


def consensus_by_brute_force(log_types, prompt, beta):
    """Least worst KL regret over all policies: SLSQP on the probabilities and the bound t."""
    n_rows, n_prompts = log_types.shape[1], prompt.max() + 1
    member = (np.arange(n_prompts)[:, None] == prompt).astype(float)

    def regrets(z):
        return beta * (z[:-1] * (np.log(z[:-1]) - log_types)).sum(axis=1) / n_prompts

    start = np.append(1.0 / member.sum(axis=1)[prompt], 10.0)
    result = minimize(
        lambda z: z[-1],
        start,
        bounds=[(1e-12, 1.0)] * n_rows + [(0.0, None)],
        constraints=[
            {"type": "ineq", "fun": lambda z: z[-1] - regrets(z)},
            {"type": "eq", "fun": lambda z: member @ z[:-1] - 1.0},
        ],
        options={"ftol": 1e-12, "maxiter": 1000},
    )
    assert (regrets(result.x) <= result.fun + 1e-9).all()
    np.testing.assert_allclose(member @ result.x[:-1], 1.0, atol=1e-9)
    return result.fun


class TestConsensus:
    def test_mirror_images_meet_in_the_middle(self):
        """(p, 1 - p) and (1 - p, p) meet at (1/2, 1/2): KL = -log(2 sqrt(p (1 - p))) = -log 0.8."""
        solution = kl_consensus(np.log([[0.8, 0.2], [0.2, 0.8]]), ONE_PROMPT, beta=0.1)
        np.testing.assert_allclose(solution.weights, 0.5, atol=1e-9)
        np.testing.assert_allclose(np.exp(solution.log_policy), 0.5, atol=1e-9)
        assert solution.value == pytest.approx(-0.1 * np.log(0.8))

    def test_beats_the_best_mixture_of_mirror_images_strictly(self):
        """Types p = (.50 .30 .10 .06 .03 .01) and its mirror image: both optima are half and half.

        Consensus: -log sum sqrt(p p') = -log(2 (sqrt .005 + sqrt .009 + sqrt .006)) = 0.7214.
        Mixture m = (.255 .165 .08 .08 .165 .255): sum m log(m / p) = 0.8420, from
        -.1717 - .0986 - .0179 + .0230 + .2813 + .8259.
        """
        p = np.array([0.50, 0.30, 0.10, 0.06, 0.03, 0.01])
        log_types, prompt = np.log([p, p[::-1]]), np.zeros(6, dtype=int)
        solution = kl_consensus(log_types, prompt, 1.0)
        shares = np.linspace(0, 1, 1001)[:, None]
        best_mixture = worst_kl(log_types, shares * p + (1 - shares) * p[::-1], prompt).min()
        assert solution.value == pytest.approx(0.7214, abs=5e-5)
        assert best_mixture == pytest.approx(0.8420, abs=5e-5)
        assert solution.value < best_mixture

    def test_two_types_end_up_equally_badly_off(self):
        for seed in range(20):
            log_types, prompt = random_types(seed, n_types=2)
            policy = np.exp(kl_consensus(log_types, prompt, 1.0).log_policy)
            first, second = kl_regret(log_types, policy[None], prompt, 1.0)[:, 0]
            assert first == pytest.approx(second, rel=1e-5, abs=1e-12)

    def test_a_type_in_between_gets_no_weight(self):
        """Logits 2, 0.5, -2: the middle (0) of the outer two suits the third better than either."""
        log_types = log_policies(np.array([[2.0, 0], [0.5, 0], [-2.0, 0]]), ONE_PROMPT, 1.0)
        solution = kl_consensus(log_types, ONE_PROMPT, 1.0)
        np.testing.assert_allclose(solution.weights, [0.5, 0.0, 0.5], atol=1e-6)

    @pytest.mark.parametrize("n_types", [2, 3, 4])
    @pytest.mark.parametrize("seed", range(4))
    def test_no_policy_does_better_by_brute_force(self, n_types, seed):
        log_types, prompt = random_types(seed, n_types, n_prompts=2, max_candidates=4, spread=1.0)
        solution = kl_consensus(log_types, prompt, beta=0.5)
        brute = consensus_by_brute_force(log_types, prompt, beta=0.5)
        assert solution.value == pytest.approx(brute, abs=1e-5)

    @settings(max_examples=40, deadline=None)
    @given(seeds, st.integers(1, 6), st.sampled_from([1.0, 1e1, 1e3, 1e4, 1e6]))
    def test_hard_cases_are_certified(self, seed, n_types, spread):
        """The stated value and gap are those of the stated policy, and the gap is at most 1e-6."""
        log_types, prompt = random_types(seed, n_types, n_prompts=6, spread=spread)
        solution = kl_consensus(log_types, prompt, 1.0)
        assert solution.duality_gap <= 1e-6 * solution.value + 1e-13 * spread
        assert np.all(solution.weights >= 0)
        assert solution.weights.sum() == pytest.approx(1.0)

        policy = np.exp(solution.log_policy)
        regrets = kl_regret(log_types, policy[None], prompt, 1.0)[:, 0]
        assert solution.value == pytest.approx(regrets.max(), rel=1e-9, abs=1e-9)
        dual = -np.mean(
            [
                np.logaddexp.reduce(solution.weights @ log_types[:, prompt == x])
                for x in range(prompt.max() + 1)
            ]
        )
        assert solution.value - dual == pytest.approx(
            solution.duality_gap, abs=1e-8 * (1 + solution.value)
        )

    @pytest.mark.parametrize(
        "scores",
        [
            lambda rng, a: 1e3 * rng.integers(0, 3, (4, a)),
            lambda rng, a: 1e3 * np.outer([1, -1, 1, -1], rng.normal(size=a)),
            lambda rng, a: np.array([[1e-2], [1.0], [1e2], [1e4]]) * rng.normal(size=(4, a)),
            lambda rng, a: rng.normal(size=a) + 1e-3 * rng.normal(size=(4, a)),
            lambda rng, a: 1e4 * np.clip(rng.standard_cauchy((4, a)), -100, 100),
            lambda rng, a: 1e4 * rng.normal(size=(4, a))[[0, 1, 0, 1]],
        ],
        ids=["ties", "opposed", "mixed scales", "nearly alike", "heavy tails", "twins"],
    )
    @pytest.mark.parametrize("n_prompts", [1, 40])
    def test_odd_shapes_of_scores_are_certified(self, scores, n_prompts):
        rng = np.random.default_rng(n_prompts)
        prompt = rng.permutation(np.repeat(np.arange(n_prompts), 5))
        log_types = log_policies(scores(rng, len(prompt)), prompt, 1.0)
        solution = kl_consensus(log_types, prompt, 1.0)
        assert solution.duality_gap <= 1e-6 * solution.value
        assert solution.value > 0

    def test_the_same_input_gives_the_same_bytes(self):
        log_types, prompt = random_types(8, spread=1e3)
        first, second = (kl_consensus(log_types, prompt, 1.0) for _ in range(2))
        assert first.log_policy.tobytes() == second.log_policy.tobytes()
        assert first.weights.tobytes() == second.weights.tobytes()

    def test_beta_multiplies_value_and_gap_only(self):
        log_types, prompt = random_types(9)
        one, tenth = (kl_consensus(log_types, prompt, beta) for beta in (1.0, 0.1))
        assert tenth.value == pytest.approx(0.1 * one.value)
        np.testing.assert_array_equal(tenth.weights, one.weights)

    def test_a_copied_prompt_changes_nothing(self):
        """Every prompt twice is the same expectation over prompts."""
        log_types, prompt = random_types(10)
        doubled = np.concatenate([prompt, prompt + prompt.max() + 1])
        once, twice = (
            kl_consensus(t, x, 1.0)
            for t, x in ((log_types, prompt), (np.tile(log_types, 2), doubled))
        )
        assert twice.value == pytest.approx(once.value, rel=1e-6)
        np.testing.assert_allclose(twice.weights, once.weights, atol=1e-4)

    @pytest.mark.parametrize("spread", [1.0, 1e3])
    def test_is_never_worse_than_a_mixture(self, spread):
        grid = simplex_grid(20)
        for seed in range(10):
            log_types, prompt = random_types(seed, spread=spread)
            value = kl_consensus(log_types, prompt, 1.0).value
            assert value <= worst_kl(log_types, grid @ np.exp(log_types), prompt).min() * (1 + 1e-6)

    def test_one_type_is_its_own_consensus(self):
        log_types, prompt = random_types(5, n_types=1)
        solution = kl_consensus(log_types, prompt, 1.0)
        assert solution.weights.tolist() == [1.0]
        np.testing.assert_allclose(solution.log_policy, log_types[0], atol=1e-14)
        assert solution.value <= 1e-14

    def test_identical_types_share_the_weight(self):
        log_types, prompt = random_types(6, n_types=1)
        solution = kl_consensus(np.repeat(log_types, 4, axis=0), prompt, 1.0)
        np.testing.assert_allclose(solution.weights, 0.25, atol=1e-6)
        assert solution.value <= 1e-14

    def test_prompts_with_one_candidate_only(self):
        solution = kl_consensus(np.zeros((3, 4)), np.arange(4), 1.0)
        assert solution.value == 0.0
        assert solution.log_policy.tolist() == [0.0] * 4

    @settings(max_examples=30, deadline=None)
    @given(seeds)
    def test_relabelling_types_permutes_the_weights(self, seed):
        log_types, prompt = random_types(seed, n_prompts=8)
        order = np.random.default_rng(seed).permutation(3)
        solution, again = (kl_consensus(t, prompt, 1.0) for t in (log_types, log_types[order]))
        assert again.value == pytest.approx(solution.value, rel=1e-6)
        np.testing.assert_allclose(again.weights, solution.weights[order], atol=1e-3)

    def test_refuses_zero_probabilities(self):
        with pytest.raises(ValueError, match="finite"):
            kl_consensus(np.array([[0.0, -np.inf]]), ONE_PROMPT, 1.0)
