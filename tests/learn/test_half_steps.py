"""EM by half-steps: against the core's own loop, sums written out, and SciPy."""

from __future__ import annotations

from itertools import pairwise
from math import exp, log

import numpy as np
import pytest
from scipy.optimize import minimize

from emdpo.core.em import run_em
from emdpo.learn.half_steps import (
    ANSWERS,
    CONFIG,
    E_STEP,
    L2,
    M_STEP,
    N_PEOPLE,
    N_TYPES,
    START,
    STARTS,
    TASTES,
    Crowd,
    begin,
    best_known,
    draw_crowd,
    mean_liking,
    planted_policy,
    policy,
    stands_still,
    walk,
    walk_to_end,
)

CROWD = draw_crowd(3, np.random.default_rng(0))


def begun(start, crowd: Crowd = CROWD, seed=1):
    return begin(crowd, start, np.random.default_rng(seed))


def chances(utility, places):
    """Plackett-Luce of one person's rankings (Q, 3), stage by stage."""
    total = 1.0
    for row in places:
        order = np.argsort(row)
        for stage in range(3):
            total *= exp(utility[order[stage]]) / sum(exp(utility[a]) for a in order[stage:])
    return total


def utilities(half):
    """(K, 3) in the order of ANSWERS; theta itself is in the order of the features."""
    return half.policies.theta[:, [CROWD.features.names.index(a) for a in ANSWERS]]


def joints(u, weights):
    """(N, K) share of a type times the chance of a person's rankings."""
    by_type = [[chances(row, p) for p in CROWD.places] for row in u]
    return (np.array(by_type) * weights[:, None]).T


def by_hand(half):
    """Return the posterior (N, K) and the log-likelihood plus log prior, person by person."""
    u, weights = utilities(half), np.exp(half.log_weights)
    joint = joints(u, weights)
    total = joint.sum(axis=1)
    return joint / total[:, None], sum(map(log, total)) - L2 / 2 * (u**2).sum(), joint


def test_forty_people_rank_three_answers_by_plackett_luce():
    """P(brief > funny > thorough) of those who like brief, with 13 x 2,000 drawn orders."""
    crowd = draw_crowd(2_000, np.random.default_rng(5))
    assert crowd.rankings.n_users == N_PEOPLE and (np.bincount(crowd.planted) == [14, 13, 13]).all()
    first = crowd.places[crowd.planted == 0].reshape(-1, 3)
    share = (first == [1, 2, 3]).all(axis=1).mean()
    p = chances(TASTES[0], np.array([[1, 2, 3]]))
    assert abs(share - p) < 5 * np.sqrt(p * (1 - p) / len(first))
    assert (np.sort(crowd.places, axis=2) == [1, 2, 3]).all()


def test_half_steps_take_turns_and_the_start_has_untrained_policies():
    halves = walk(CROWD, begun("random"), 5)
    assert [half.kind for half in halves] == [START, M_STEP, E_STEP, M_STEP, E_STEP, M_STEP]
    assert [half.number for half in halves] == list(range(6))
    np.testing.assert_allclose(policy(CROWD, halves[0].policies), 1 / 3)
    assert halves[0].objective == pytest.approx(-N_PEOPLE * 3 * log(6))  # six orders, as likely


def test_an_m_step_moves_policies_alone_and_an_e_step_responsibilities_alone():
    for old, new in pairwise(walk(CROWD, begun("random"), 8)):
        if new.kind == M_STEP:
            assert np.array_equal(new.log_resp, old.log_resp)
            assert not np.array_equal(new.policies.theta, old.policies.theta)
            np.testing.assert_allclose(np.exp(new.log_weights), old.resp.mean(axis=0))
        else:
            assert new.policies is old.policies and new.log_weights is old.log_weights
            assert abs(new.resp - old.resp).max() > 1e-9


def test_numbers_of_every_half_step_are_those_summed_by_hand():
    """Bound: sum r log(w P / r) + log prior, with the responsibilities shown."""
    for half in walk(CROWD, begun("random"), 4):
        posterior, objective, joint = by_hand(half)
        assert half.objective == pytest.approx(objective, abs=1e-9)
        prior = -L2 / 2 * (utilities(half) ** 2).sum()
        bound = (half.resp * np.log(joint / half.resp)).sum() + prior
        assert half.bound == pytest.approx(bound, abs=1e-8)
        if half.kind == E_STEP:
            np.testing.assert_allclose(half.resp, posterior, atol=1e-12)


@pytest.mark.parametrize("start", STARTS)
def test_nothing_ever_falls_and_an_e_step_brings_the_bound_up_to_the_likelihood(start):
    for old, new in pairwise(walk_to_end(CROWD, begun(start))):
        assert new.objective >= old.objective - 1e-9 and new.bound >= old.bound - 1e-9
        if new.kind == E_STEP:
            assert new.objective == pytest.approx(old.objective, abs=1e-9)
            assert new.bound == pytest.approx(new.objective, abs=1e-9)


def test_an_m_step_is_what_scipy_finds():
    """The prior and the bound of one type, maximised by Nelder-Mead."""
    half = walk(CROWD, begun("random"), 3)[-1]

    def minus(u):
        log_chances = np.log([chances(u, p) for p in CROWD.places])
        return L2 / 2 * (u**2).sum() - half.resp[:, 0] @ log_chances

    found = minimize(minus, np.zeros(3), method="Nelder-Mead", options={"xatol": 1e-6})
    np.testing.assert_allclose(utilities(half)[0], found.x, atol=2e-3)


@pytest.mark.parametrize("start", STARTS)
def test_the_walk_is_the_core_s_own_run(start):
    first = begun(start)
    halves = walk_to_end(CROWD, first)
    run = run_em(first.policies, CROWD.rankings, first.resp, CONFIG)
    last = halves[-1]
    assert last.number == 2 * len(run.trace) and stands_still(halves)
    assert str(run.stop_reason) == "converged"
    assert np.array_equal(last.log_resp, run.state.log_resp)
    assert np.array_equal(last.policies.theta, run.state.policies.theta)
    reached = [half.objective for half in halves if half.kind == E_STEP]
    prior = reached[-1] - run.state.log_likelihood
    assert prior == pytest.approx(last.policies.log_prior())


def test_a_random_start_finds_the_planted_types_and_bad_ones_get_stuck():
    """The torn start ends at a true local optimum: all around it is lower."""
    best = best_known(CROWD)
    ends = {start: walk_to_end(CROWD, begun(start))[-1] for start in STARTS}
    for start in ("random", "clusters"):
        assert ends[start].objective == pytest.approx(best, abs=0.01)
        found = policy(CROWD, ends[start].policies)
        assert sorted(found.argmax(axis=1)) == [0, 1, 2]
        agree = ends[start].resp.argmax(axis=1)
        assert all(
            np.bincount(agree[CROWD.planted == k]).max() >= 0.9 * (CROWD.planted == k).sum()
            for k in range(N_TYPES)
        )
    assert best - ends["torn"].objective > 30
    assert best - ends["alike"].objective > 50

    def minus(vector):
        u, logits = vector[:9].reshape(3, 3), vector[9:]
        weights = np.exp(logits) / np.exp(logits).sum()
        return L2 / 2 * (u**2).sum() - np.log(joints(u, weights).sum(axis=1)).sum()

    stuck = np.concatenate([utilities(ends["torn"]).ravel(), ends["torn"].log_weights])
    around = np.random.default_rng(2).normal(scale=1e-2, size=(10, 12)) + stuck
    assert minus(stuck) == pytest.approx(-ends["torn"].objective, abs=1e-8)
    assert min(map(minus, around)) > minus(stuck) - 1e-6


def test_types_that_start_alike_stay_alike():
    """A saddle: equal responsibilities give equal policies, which give equal responsibilities."""
    last = walk_to_end(CROWD, begun("alike"))[-1]
    assert np.ptp(last.resp, axis=1).max() < 1e-9
    assert np.ptp(last.policies.theta, axis=0).max() < 1e-9


def test_the_torn_start_has_two_planted_types_in_one():
    into = begun("torn").resp.argmax(axis=1)
    assert set(into[CROWD.planted < 2]) == {0}
    assert abs(np.bincount(into[CROWD.planted == 2], minlength=3) - [0, 6.5, 6.5]).max() <= 0.5


def test_an_unknown_start_is_refused():
    with pytest.raises(ValueError, match="start must be one of random, clusters, torn, alike"):
        begun("well")


def test_policies_are_in_the_order_of_the_answers():
    np.testing.assert_allclose(planted_policy().sum(axis=1), 1)
    half = walk_to_end(CROWD, begun("clusters"))[-1]
    u = utilities(half)
    np.testing.assert_allclose(
        policy(CROWD, half.policies), np.exp(u) / np.exp(u).sum(axis=1, keepdims=True)
    )
    first = CROWD.places[0]
    expected = [np.mean([(3 - place) / 3 for place in first[:, a]]) for a in range(3)]
    np.testing.assert_allclose(mean_liking(CROWD)[0], expected)
    np.testing.assert_allclose(mean_liking(CROWD).sum(axis=1), 1)
