"""Regret of drawn answers: the estimator and its standard error, without a model."""

from __future__ import annotations

import json

import numpy as np
import pytest

from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.sampled_regret import (
    Draws,
    SampledRegret,
    SamplingPlan,
    mean_and_error,
    regret_of_draws,
)


def test_mean_and_error_by_hand():
    """Two prompts of two, two answers: means 2 and 6, variances of the mean 1 and 4.

    The mean is 4 and its variance (1 + 4) / 4. With four prompts in all half of that remains, and
    the other half is between: s^2 = 8, (1 - 1/2) 8 / 2 = 2, plus (1/2) (5/2) / 2 = 0.625.
    """
    values = np.array([[[1.0, 3.0], [4.0, 8.0]]])
    one = np.ones(1)
    assert mean_and_error(values, one, 2) == pytest.approx((4.0, np.sqrt(5 / 4)))
    assert mean_and_error(values, one, 4) == pytest.approx((4.0, np.sqrt(2.625)))


def test_one_prompt_of_many_has_no_standard_error():
    mean, error = mean_and_error(np.array([[[1.0, 3.0]]]), np.ones(1), 2)
    assert mean == 2.0 and np.isnan(error)


def test_a_difference_of_a_voice_with_itself_is_exactly_zero():
    assert mean_and_error(np.random.default_rng(0).normal(size=(2, 3, 4)), np.zeros(2), 9) == (0, 0)


@pytest.mark.parametrize("n_prompts", [12, 5])
def test_errors_have_the_right_size(n_prompts):
    """4,000 panels of 5 or 12 of 12 prompts, two strata: z has mean 0 and variance 1, about.

    Variances are estimated from few prompts, so that z has heavier tails than a normal: its
    median size is compared with that of a t with 4 degrees of freedom for 5 prompts (0.741), and
    with a normal's (0.674) for 12, where 24 variances of one degree of freedom or two add up.
    """
    rng = np.random.default_rng(1)
    level, spread = rng.normal(size=(2, 12)), rng.uniform(0.5, 2.0, size=(2, 12))
    shares = np.array([0.7, -0.4])
    truth = (shares @ level).mean()
    found = []
    for _ in range(4000):
        asked = rng.permutation(12)[:n_prompts]
        noise = rng.normal(size=(2, n_prompts, 3)) * spread[:, asked, None]
        found.append(mean_and_error(level[:, asked, None] + noise, shares, 12))
    means, errors = np.array(found).T
    assert means.mean() == pytest.approx(truth, abs=4 * means.std() / np.sqrt(4000))
    assert (errors**2).mean() == pytest.approx(means.var(), rel=0.06)
    assert np.median(np.abs(means - truth) / errors) == pytest.approx(0.7, abs=0.06)


def two_answers(n_draws, seed=0):
    """Draw from two types over two answers, (3/4, 1/4) and (1/4, 3/4); the reference is even."""
    rng = np.random.default_rng(seed)
    chances = np.array([[0.75, 0.25], [0.25, 0.75]])
    said = np.stack([rng.choice(2, size=(1, n_draws), p=row) for row in chances])  # (V, P, S)
    log_types = np.log(chances)[:, said]
    own = np.stack([log_types[v, v] for v in range(2)])
    return Draws(("type-1", "type-2"), own, log_types, np.full(said.shape, np.log(0.5)))


def test_regrets_of_two_types_by_hand():
    """beta 1: s = log(3/2) and log(1/2). V_1 is 0.1308 with its own policy and -0.4185 with the
    other's, so type 1 loses 0.5493 = log(3) / 2, and KL(pi_2 || pi_1) is the same. The even mixture
    is the reference: plain regret 0.2747, KL regret log(2/sqrt(3)) = 0.1438.
    """
    rules = {"type-1": np.eye(2)[0], "type-2": np.eye(2)[1], "even": np.full(2, 0.5)}
    mean, error = regret_of_draws(two_answers(4000), rules, 1.0, 1)
    half = np.log(3) / 2
    for kind, rule, expected in [
        ("plain", "type-2", [half, 0.0]),
        ("kl", "type-1", [0.0, half]),
        ("plain", "even", [half / 2, half / 2]),
        ("kl", "even", [np.log(2 / np.sqrt(3))] * 2),
    ]:
        gap = np.abs(mean[kind][rule] - expected)
        assert (gap <= 4 * error[kind][rule]).all()
    assert mean["kl"]["type-1"][0] == mean["plain"]["type-1"][0] == 0 == error["kl"]["type-1"][0]


def test_beta_scales_regrets_and_errors():
    rules = {"type-1": np.eye(2)[0]}
    one, tenth = (regret_of_draws(two_answers(20), rules, beta, 1) for beta in (1.0, 0.1))
    for whole, part in zip(one, tenth, strict=True):
        assert part["kl"]["type-1"] == pytest.approx(0.1 * whole["kl"]["type-1"])


def held(**changes):
    table = {kind: {"base": np.array([0.5, np.nan])} for kind in ("plain", "kl")}
    facts = {"n_prompts": 1, "n_prompts_in_all": 3, "n_samples": 2, "max_tokens": 4, "seed": 0}
    return SampledRegret(**facts, regret=table, standard_error=table, adapters={}, **changes)


def test_json_there_and_back():
    told = json.loads(json.dumps(held().to_dict(), allow_nan=False))
    assert told["rules"] == ["base"] and told["regret"]["kl"]["base"] == [0.5, None]
    again = SampledRegret.from_dict(told)
    np.testing.assert_array_equal(again.regret["kl"]["base"], [0.5, np.nan])
    assert again.to_dict() == told


@pytest.mark.parametrize("told", [{}, {"rules": 3}, [], "x"])
def test_damaged_json_is_one_line(told):
    with pytest.raises(RunError, match="sampled regrets are damaged"):
        SampledRegret.from_dict(told)


@pytest.mark.parametrize(
    "plan", [{"n_samples": 1}, {"max_prompts": 0}, {"max_tokens": 0}, {"seed": -1}]
)
def test_plans_out_of_range(plan):
    with pytest.raises(EmdpoError, match=next(iter(plan))):
        SamplingPlan(**plan)
