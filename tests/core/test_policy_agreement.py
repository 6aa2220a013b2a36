"""How far two policies agree, against SciPy, brute force and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import kendalltau

from emdpo.core import regret
from emdpo.core.policy_agreement import policy_agreement, prompt_kendall, prompt_same_top

DRAW = {"n_bootstrap": 300, "confidence": 0.95}


def panel(sizes, seed=0, ties=False):
    """Return two score vectors and shuffled prompt codes."""
    rng = np.random.default_rng(seed)
    prompt = rng.permutation(np.repeat(np.arange(len(sizes)), sizes))
    scores = rng.normal(size=(2, len(prompt)))
    return (*(scores.round(0) if ties else scores), prompt)


@pytest.mark.parametrize("ties", [False, True])
def test_kendall_is_that_of_scipy_at_every_prompt(ties):
    one, other, prompt = panel([2, 3, 5, 5, 7, 4, 4], ties=ties)
    expected = [kendalltau(one[prompt == p], other[prompt == p]).statistic for p in range(7)]
    assert prompt_kendall(one, other, prompt) == pytest.approx(expected, nan_ok=True)


def test_kendall_in_pieces_is_the_same(monkeypatch):
    one, other, prompt = panel([4] * 9, seed=1)
    whole = prompt_kendall(one, other, prompt)
    monkeypatch.setattr(regret, "PAIRS_AT_ONCE", 40)
    assert np.array_equal(prompt_kendall(one, other, prompt), whole)


def test_a_prompt_with_one_answer_or_without_preference_has_no_order():
    prompt = np.array([0, 1, 1, 2, 2])
    tau = prompt_kendall(np.array([1.0, 2, 2, 0, 1]), np.array([1.0, 0, 1, 3, 5]), prompt)
    assert np.isnan(tau[:2]).all() and tau[2] == 1


def test_the_best_answers_of_both_by_hand():
    """Prompt 0: the same one. Prompt 1: another. Prompt 2: {0, 1} against {1}: half in common."""
    prompt = np.array([0, 0, 1, 1, 2, 2])
    one = np.array([1.0, 0, 1, 0, 1, 1])
    other = np.array([9.0, 0, 0, 1, 0, 1])
    assert prompt_same_top(one, other, prompt).tolist() == [1, 0, 0.5]


def test_a_policy_agrees_with_itself_entirely():
    one, _, prompt = panel([1, 3, 4, 2])
    told = policy_agreement(one, one, prompt, (0.1, 0.1), **DRAW, rng=np.random.default_rng(0))
    assert told.kendall == told.same_top == (1, 1, 1, 3)
    assert told.in_common == pytest.approx((1, 1, 1, 3))


def test_shared_probability_by_hand():
    """Policies (3/4, 1/4) and (1/4, 3/4) share 1/4 + 1/4; with twice the beta they are nearer."""
    scores, prompt = np.log([3.0, 1.0]), np.array([0, 0])
    draw = {**DRAW, "rng": np.random.default_rng(0)}
    told = policy_agreement(scores, scores[::-1], prompt, (1.0, 1.0), **draw)
    assert told.in_common.value == pytest.approx(0.5)
    assert told.kendall.value == -1 and told.same_top.value == 0
    root = np.sqrt(3) / (1 + np.sqrt(3))
    nearer = policy_agreement(scores, scores[::-1], prompt, (2.0, 2.0), **draw)
    assert nearer.in_common.value == pytest.approx(2 * (1 - root))


def test_one_prompt_has_no_interval_and_says_so():
    one, other, prompt = panel([4])
    told = policy_agreement(one, other, prompt, (1, 1), **DRAW, rng=np.random.default_rng(0))
    assert told.same_top.n == 1 and np.isnan([told.same_top.low, told.same_top.high]).all()


def test_prompts_with_one_answer_alone_leave_nothing_to_agree_on():
    told = policy_agreement(
        np.ones(2), np.ones(2), np.array([0, 1]), (1, 1), **DRAW, rng=np.random.default_rng(0)
    )
    assert [each.n for each in told] == [0, 0, 0] and np.isnan(told.kendall.value)


def test_the_interval_is_over_prompts():
    """Of 100 prompts the policies have the same best answer at 60: 0.6 -+ 1.96 sqrt(0.24 / 100)."""
    prompt = np.repeat(np.arange(100), 2)
    one = np.tile([1.0, 0.0], 100)
    other = np.where(prompt < 60, one, 1 - one)
    draw = {"n_bootstrap": 3000, "confidence": 0.95, "rng": np.random.default_rng(0)}
    told = policy_agreement(one, other, prompt, (1, 1), **draw).same_top
    assert told.value == pytest.approx(0.6) and told.n == 100
    assert (told.low, told.high) == pytest.approx((0.504, 0.696), abs=0.012)
