"""Regret against closed forms, the KL identity and prompts drawn again by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.special import logsumexp

from emdpo.core.regret import (
    average_prompts,
    kl_regret,
    log_policies,
    log_reference,
    plain_regret,
    prompt_kl_regret,
    prompt_preference_regret,
    prompt_regret,
    prompt_values,
    regret_share,
    regret_table,
    sum_by_prompt,
    values,
)

LOG3 = np.log(3.0)
ONE_PROMPT = np.array([0, 0])
OPPOSED = np.array([[LOG3, 0.0], [0.0, LOG3]])  # at beta = 1: pi_1 = (3/4, 1/4), pi_2 = (1/4, 3/4)

seeds = st.integers(0, 2**32 - 1)


def random_case(seed, n_types=3, n_prompts=4, max_candidates=5, spread=2.0):
    """Scores of types over prompts of 1..5 candidates, whose rows are shuffled."""
    rng = np.random.default_rng(seed)
    sizes = rng.integers(1, max_candidates + 1, size=n_prompts)
    prompt = rng.permutation(np.repeat(np.arange(n_prompts), sizes))
    return rng.normal(scale=spread, size=(n_types, len(prompt))), prompt


def kl(log_p, log_q, prompt):
    """E_x KL(p || q), one prompt at a time."""
    return np.mean(
        [
            np.sum(np.exp(log_p[prompt == x]) * (log_p[prompt == x] - log_q[prompt == x]))
            for x in range(prompt.max() + 1)
        ]
    )


class TestPolicies:
    def test_match_the_softmax_of_each_prompt(self):
        scores, prompt = random_case(0)
        log_types = log_policies(scores, prompt, beta=0.5)
        for x in range(prompt.max() + 1):
            logits = scores[:, prompt == x] / 0.5
            expected = logits - logsumexp(logits, axis=1, keepdims=True)
            np.testing.assert_allclose(log_types[:, prompt == x], expected, atol=1e-12)

    @pytest.mark.parametrize("spread", [1e3, 1e6])
    def test_stay_normalised_for_huge_logits(self, spread):
        scores, prompt = random_case(1)
        log_types = log_policies(scores * spread, prompt, beta=1.0)
        assert np.isfinite(log_types).all()
        np.testing.assert_allclose(sum_by_prompt(np.exp(log_types), prompt), 1.0, rtol=1e-14)

    def test_reference_is_uniform_within_prompts(self):
        """Prompt 0 has two candidates, prompt 1 one, prompt 2 three."""
        prompt = np.array([2, 0, 2, 1, 0, 2])
        expected = [1 / 3, 1 / 2, 1 / 3, 1, 1 / 2, 1 / 3]
        np.testing.assert_allclose(np.exp(log_reference(prompt)), expected)

    def test_of_zero_scores_are_the_reference(self):
        _, prompt = random_case(2)
        policy = log_policies(np.zeros(len(prompt)), prompt, beta=0.1)
        np.testing.assert_allclose(policy, log_reference(prompt), atol=1e-15)

    @pytest.mark.parametrize("beta", [0.0, -1.0, np.nan, np.inf])
    def test_refuse_a_beta_that_is_no_temperature(self, beta):
        with pytest.raises(ValueError, match="beta must be"):
            log_policies(OPPOSED, ONE_PROMPT, beta)

    def test_refuse_scores_that_are_not_finite(self):
        with pytest.raises(ValueError, match="finite"):
            log_policies(np.array([[0.0, np.nan]]), ONE_PROMPT, 1.0)

    @pytest.mark.parametrize(
        ("codes", "message"),
        [
            ([0, 2], "code 1 has no candidate"),
            ([-1, 0], ">= 0"),
            ([], "non-empty"),
            ([0.0, 1.0], "integer"),
            ([[0, 1]], "1-d"),
        ],
    )
    def test_refuse_prompt_codes_with_gaps(self, codes, message):
        with pytest.raises(ValueError, match=message):
            log_reference(np.array(codes))


class TestClosedForms:
    def test_values_weigh_prompts_equally(self):
        """Prompt 0: (1 + 3) / 2 = 2 over two rows. Prompt 1: 10 over one. Mean 6, not 14 / 3."""
        scores, prompt = np.array([[1.0, 10.0, 3.0]]), np.array([0, 1, 0])
        policy = np.array([[0.5, 1.0, 0.5]])
        assert prompt_values(scores, policy, prompt).tolist() == [[[2.0, 10.0]]]
        assert values(scores, policy, prompt).tolist() == [[6.0]]

    def test_two_types_two_answers(self):
        """V_1(pi_1) = 3/4 log 3, V_1(pi_2) = 1/4 log 3, V_1(ref) = 1/2 log 3.

        Regret of the other's policy: 1/2 log 3 = 0.549, twice the own gain 1/4 log 3.
        KL(pi_2 || pi_1) = 1/4 log(1/3) + 3/4 log 3 = 1/2 log 3.
        KL(ref || pi_1) = 1/2 log(2/3) + 1/2 log 2 = log 2 - 1/2 log 3.
        """
        policies = np.array([[0.75, 0.25], [0.25, 0.75], [0.5, 0.5]])
        table = regret_table(OPPOSED, policies, ONE_PROMPT, beta=1.0)
        half, quarter, ref = LOG3 / 2, LOG3 / 4, np.log(2) - LOG3 / 2
        np.testing.assert_allclose(
            table.plain, [[0, half, quarter], [half, 0, quarter]], atol=1e-15
        )
        np.testing.assert_allclose(table.kl, [[0, half, ref], [half, 0, ref]], atol=1e-15)
        np.testing.assert_allclose(table.share, [[0, 2, 1], [2, 0, 1]], atol=1e-14)
        np.testing.assert_allclose(table.value_own, [3 * quarter, 3 * quarter])
        np.testing.assert_allclose(table.value_reference, [half, half])

    def test_beta_scales_regret_and_leaves_shares(self):
        """Scores times 0.1 at beta 0.1 are the same policies; every nat counts a tenth."""
        policies = np.array([[0.75, 0.25], [0.25, 0.75]])
        one = regret_table(OPPOSED, policies, ONE_PROMPT, beta=1.0)
        tenth = regret_table(0.1 * OPPOSED, policies, ONE_PROMPT, beta=0.1)
        np.testing.assert_allclose(tenth.plain, 0.1 * one.plain, atol=1e-15)
        np.testing.assert_allclose(tenth.kl, 0.1 * one.kl, atol=1e-15)
        np.testing.assert_allclose(tenth.share, one.share, atol=1e-14)

    def test_a_prompt_with_one_candidate_costs_nothing_and_counts(self):
        """The case above beside such a prompt: every regret halves."""
        scores = np.column_stack([OPPOSED, [7.0, -7.0]])
        policies = np.array([[0.25, 0.75, 1.0]])
        table = regret_table(scores, policies, np.array([0, 0, 1]), beta=1.0)
        assert table.plain[0, 0] == pytest.approx(LOG3 / 4)
        assert table.kl[0, 0] == pytest.approx(LOG3 / 4)
        assert table.share[0, 0] == pytest.approx(2.0)

    def test_plain_regret_can_be_negative(self):
        """Type 1 scores (1, 0), type 2 (5, 0): pi_2 takes the answer type 1 likes more often.

        R_1(pi_2) = 1 / (1 + e^-1) - 1 / (1 + e^-5) = 0.7311 - 0.9933 = -0.2622.
        """
        scores = np.array([[1.0, 0.0], [5.0, 0.0]])
        log_types = log_policies(scores, ONE_PROMPT, 1.0)
        regret = plain_regret(scores, log_types, np.exp(log_types), ONE_PROMPT)
        assert regret[0, 1] == pytest.approx(-0.2622, abs=1e-4)
        assert kl_regret(log_types, np.exp(log_types), ONE_PROMPT, 1.0)[0, 1] > 0

    def test_impossible_answers_add_nothing_to_kl(self):
        """A policy sure of the first answer: KL = -log pi_k(first) = log(4/3) and log 4."""
        regret = kl_regret(np.log([[0.75, 0.25], [0.25, 0.75]]), np.eye(2)[:1], ONE_PROMPT, 1.0)
        np.testing.assert_allclose(regret, np.log([[4 / 3], [4]]))


class TestShare:
    def test_is_nan_for_an_indifferent_type_only(self):
        scores = np.array([[LOG3, 0.0], [0.0, 0.0], [4.2, 4.2]])
        table = regret_table(scores, np.array([[0.25, 0.75]]), ONE_PROMPT, beta=1.0)
        assert table.share[0, 0] == pytest.approx(2.0)
        assert np.isnan(table.share[1:, 0]).all()

    def test_keeps_a_faint_but_real_preference(self):
        """Scores a thousandth the size leave the share of the reference at 1."""
        table = regret_table(1e-3 * OPPOSED, np.array([[0.5, 0.5]]), ONE_PROMPT, beta=1.0)
        np.testing.assert_allclose(table.share, 1.0)

    def test_judges_indifference_by_the_size_of_the_scores(self):
        plain, gain = np.array([[1e-8]]), np.array([1e-8])
        assert regret_share(plain, gain).tolist() == [[1.0]]
        assert np.isnan(regret_share(plain, gain, scale=1e5)).all()


class TestProperties:
    @settings(max_examples=50)
    @given(seeds)
    def test_plain_regret_is_a_difference_of_three_divergences(self, seed):
        """R_i(pi_j) / beta = KL(pi_i || ref) - KL(pi_j || ref) + KL(pi_j || pi_i)."""
        scores, prompt = random_case(seed)
        beta = 0.7
        log_types, ref = log_policies(scores, prompt, beta), log_reference(prompt)
        regret = plain_regret(scores, log_types, np.exp(log_types), prompt)
        to_ref = np.array([kl(row, ref, prompt) for row in log_types])
        between = np.array([[kl(other, own, prompt) for other in log_types] for own in log_types])
        expected = to_ref[:, None] - to_ref[None, :] + between
        np.testing.assert_allclose(regret / beta, expected, atol=1e-10)
        np.testing.assert_allclose(
            kl_regret(log_types, np.exp(log_types), prompt, beta), beta * between, atol=1e-10
        )

    @settings(max_examples=50)
    @given(seeds, st.sampled_from([1e-6, 1.0, 1e3, 1e6]))
    def test_kl_regret_and_own_gain_are_never_negative(self, seed, spread):
        scores, prompt = random_case(seed, spread=spread)
        log_types = log_policies(scores, prompt, 1.0)
        parts = prompt_regret(scores, np.exp(log_types), prompt, 1.0)
        assert (parts.kl >= 0).all()
        assert (parts.value_own - parts.value_reference >= -1e-12 * spread).all()
        np.testing.assert_allclose(np.diagonal(parts.kl), 0.0, atol=1e-14 * (1 + spread))

    @settings(max_examples=50)
    @given(seeds)
    def test_a_constant_per_prompt_changes_no_regret(self, seed):
        scores, prompt = random_case(seed)
        shift = np.random.default_rng(seed).normal(scale=50.0, size=(3, prompt.max() + 1))
        moved = scores + shift[:, prompt]
        policies = np.exp(log_policies(scores[::-1], prompt, 0.3))
        before, after = (regret_table(s, policies, prompt, 0.3) for s in (scores, moved))
        np.testing.assert_allclose(after.plain, before.plain, atol=1e-9)
        np.testing.assert_allclose(after.kl, before.kl, atol=1e-9)
        np.testing.assert_allclose(after.share, before.share, atol=1e-6)

    @settings(max_examples=30)
    @given(seeds)
    def test_the_order_of_rows_and_types_changes_nothing(self, seed):
        scores, prompt = random_case(seed)
        rng = np.random.default_rng(seed)
        rows, types = rng.permutation(len(prompt)), rng.permutation(3)
        policies = np.exp(log_policies(scores[:2] * 3, prompt, 1.0))
        table = regret_table(scores, policies, prompt, 1.0)
        again = regret_table(scores[types][:, rows], policies[:, rows], prompt[rows], 1.0)
        np.testing.assert_allclose(again.plain, table.plain[types], atol=1e-12)
        np.testing.assert_allclose(again.kl, table.kl[types], atol=1e-12)


class TestPreferenceRegret:
    @given(seeds)
    @settings(max_examples=30)
    def test_is_the_chance_of_winning_less_that_of_losing(self, seed):
        """All pairs of answers, one by one, on prompts of one to five answers."""
        scores, prompt = random_case(seed)
        log_types = log_policies(scores, prompt, 0.7)
        policies = np.exp(log_policies(scores[:2] * -2, prompt, 1.0))
        found = prompt_preference_regret(scores, log_types, policies, prompt)
        expected = np.zeros((3, 2, 4))
        for y, other in np.argwhere(prompt[:, None] == prompt):
            for k, j in np.ndindex(3, 2):
                met = np.exp(log_types[k, y]) * policies[j, other]
                preferred = 1 / (1 + np.exp(scores[k, other] - scores[k, y]))
                expected[k, j, prompt[y]] += met * (2 * preferred - 1)
        np.testing.assert_allclose(found, expected, atol=1e-12)

    @given(seeds)
    @settings(max_examples=30)
    def test_is_bounded_antisymmetric_and_nothing_against_itself(self, seed):
        scores, prompt = random_case(seed, spread=200.0)
        log_types = log_policies(scores, prompt, 1.0)
        found = prompt_preference_regret(scores, log_types, np.exp(log_types), prompt)
        assert (np.abs(found) <= 1 + 1e-12).all()
        np.testing.assert_allclose(found[range(3), range(3)], 0.0, atol=1e-12)

    def test_many_answers_are_compared_in_pieces(self, monkeypatch):
        scores, prompt = random_case(1, n_prompts=30)
        log_types = log_policies(scores, prompt, 1.0)
        whole = prompt_preference_regret(scores, log_types, np.exp(log_types), prompt)
        monkeypatch.setattr("emdpo.core.regret.PAIRS_AT_ONCE", 20)
        pieces = prompt_preference_regret(scores, log_types, np.exp(log_types), prompt)
        np.testing.assert_array_equal(pieces, whole)


class TestPrompts:
    def test_averages_of_prompts_are_the_plain_functions(self):
        scores, prompt = random_case(3)
        log_types = log_policies(scores, prompt, 0.4)
        types = np.exp(log_types)
        parts = prompt_regret(scores, types, prompt, 0.4)
        table = average_prompts(parts)
        np.testing.assert_allclose(
            table.plain, plain_regret(scores, log_types, types, prompt), atol=1e-14
        )
        np.testing.assert_allclose(
            prompt_kl_regret(log_types, types, prompt, 0.4).mean(axis=-1), table.kl, atol=1e-14
        )
        np.testing.assert_allclose(table.value_own, np.diagonal(values(scores, types, prompt)))

    def test_redrawn_prompts_equal_a_table_that_repeats_them(self):
        """Drawing prompts 2, 0, 2, 3 is the table with those prompts copied out in full."""
        scores, prompt = random_case(4)
        policies = np.exp(log_policies(scores[::-1], prompt, 1.0))
        counts = np.array([[1, 0, 2, 1], [1, 1, 1, 1]])
        drawn = average_prompts(prompt_regret(scores, policies, prompt, 1.0), counts)

        rows = [np.flatnonzero(prompt == x) for x in (2, 0, 2, 3)]
        codes = np.repeat(np.arange(4), [len(r) for r in rows])
        taken = np.concatenate(rows)
        copied = regret_table(scores[:, taken], policies[:, taken], codes, 1.0)
        assert drawn.plain.shape == (2, 3, 3)
        assert drawn.value_own.shape == (2, 3)
        for name in ("plain", "kl", "share", "preference", "value_own", "value_reference"):
            np.testing.assert_allclose(getattr(drawn, name)[0], getattr(copied, name), atol=1e-12)

    def test_sums_by_prompt_keep_leading_axes(self):
        prompt = np.array([1, 0, 1])
        sums = sum_by_prompt(np.arange(12.0).reshape(2, 2, 3), prompt)
        np.testing.assert_array_equal(sums, [[[1, 2], [4, 8]], [[7, 14], [10, 20]]])
