"""Agreement with the consensus: by hand, and what must not matter."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from emdpo.core.aggregation import kl_consensus
from emdpo.core.agreement import agreement, prompt_variance
from emdpo.core.regret import kl_regret, log_policies

PROMPT = np.array([0, 1, 0, 1, 1])


def policies(seed, n_types=2):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(n_types, 5)), rng.normal(size=5)


def test_variance_by_hand_whatever_the_order():
    """Prompt 0 has 1 and 3: variance 1. Prompt 1 has 0, 3, 6: mean 3, variance (9 + 0 + 9) / 3."""
    found = prompt_variance(np.array([1.0, 0.0, 3.0, 3.0, 6.0]), PROMPT)
    assert found.tolist() == [1.0, 6.0]


def test_by_hand():
    """Consensus (1/2, 1/2), policy (3/4, 1/4), beta 1.

    KL(cons || pi) = 1/2 log(2/3) + 1/2 log 2 = log(4/3) / 2 = 0.1438; the other way it is
    3/4 log(3/2) + 1/4 log(1/2) = 0.1308. h - t = (log 3, 0) has variance (log 3 / 2)^2.
    """
    scores, prompt = np.log([[3.0, 1.0], [1.0, 3.0]]), np.array([0, 0])
    target = scores.mean(axis=0)
    near = agreement(scores, np.full(2, 0.5), target + [np.log(3), 0.0], prompt, beta=1.0)
    assert near.kl == pytest.approx(np.log(4 / 3) / 2)
    assert near.kl_reverse == pytest.approx(0.75 * np.log(1.5) + 0.25 * np.log(0.5))
    assert near.variance == pytest.approx((np.log(3) / 2) ** 2)
    assert near.regret["kl"] == pytest.approx([0.0, 0.75 * np.log(3) - 0.25 * np.log(3)])


@given(st.integers(0, 1000), st.floats(0.05, 2.0))
def test_the_consensus_is_itself_and_constants_by_prompt_are_free(seed, beta):
    scores, other = policies(seed)
    weights = np.array([0.3, 0.7])
    shift = np.array([2.0, -3.0])[PROMPT]
    own = agreement(scores, weights, weights @ scores + shift, PROMPT, beta)
    assert max(own.kl, own.kl_reverse, own.variance) < 1e-9
    plain, moved = (agreement(scores, weights, other + c, PROMPT, beta) for c in (0.0, shift))
    assert moved.kl == pytest.approx(plain.kl) and moved.variance == pytest.approx(plain.variance)
    assert min(plain.kl, plain.kl_reverse) >= 0


def test_regrets_are_those_of_the_audit():
    scores, _ = policies(0)
    log_types = log_policies(scores, PROMPT, 0.5)
    best = kl_consensus(log_types, PROMPT, 0.5)
    near = agreement(scores, best.weights, best.weights @ scores, PROMPT, 0.5)
    expected = kl_regret(log_types, np.exp(best.log_policy)[None], PROMPT, 0.5)[:, 0]
    assert near.regret["kl"] == pytest.approx(expected)
    assert near.regret["kl"].max() == pytest.approx(best.value)
