"""People drawn, and EM on the surface of figure 1: against counting, SciPy and brute force."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import check_grad, minimize_scalar

from emdpo.core.em import SmoothTypePolicies, evaluate, user_log_likelihoods
from emdpo.learn.designs import designs, log_panels, love_and_hate
from emdpo.learn.opposed import STARTS, OpposedPolicies, em_paths
from emdpo.learn.sampling import FEATURE, sample_answers
from emdpo.learn.surfaces import sample_surface
from emdpo.learn.theorems import coverage, curvatures


def drawn(n_people=400, n_answers=2, n_types=2, seed=0):
    truth = love_and_hate(1.5, n_types)
    return [
        sample_answers(d, truth, n_people, np.random.default_rng(seed)) for d in designs(n_answers)
    ]


def test_people_answer_with_the_exact_probabilities():
    """Of 40,000 bundles each count is within five standard deviations of n p."""
    truth = love_and_hate(1.5, 3)
    for sample in drawn(40_000, n_types=3):
        counts = sample.counts()
        p, n = np.exp(log_panels(sample.design, truth)), counts.sum()
        assert n == 40_000 * sample.design.n_panels
        assert (abs(counts - n * p) < 5 * np.sqrt(n * p * (1 - p)) + 1e-9).all()


def test_linked_answers_of_a_person_go_together_and_unlinked_ones_do_not():
    """Half love and half hate: with names a person takes more jokes both times or neither."""
    pair, _, linked = drawn(20_000)
    jokes = linked.answers % 2  # place 1 has more jokes
    assert np.corrcoef(jokes.T)[0, 1] > 0.3
    assert pair.answers.shape == (40_000, 1)


def test_answers_become_rankings_that_say_the_same():
    for sample in drawn(25):
        rankings = sample.rankings()
        assert rankings.n_users == len(sample.answers)
        width = len(sample.design.questions[0])
        jokes = rankings.candidates[FEATURE].to_numpy()[rankings.candidate].reshape(-1, width)
        first = (rankings.ranks == 1).reshape(-1, width)
        assert (first.sum(axis=1) == 1).all()
        told = sorted(
            (tuple(sorted(row)), row[chosen.argmax()])
            for row, chosen in zip(jokes.tolist(), first, strict=True)
        )
        asked = [(sample.design.questions[a // width], a % width) for a in sample.answers.ravel()]
        assert told == sorted((question, question[place]) for question, place in asked)


def test_a_sample_s_likelihood_is_what_em_sees():
    """Differences over the grid equal those of EM's own log-likelihood of the rankings."""
    for sample in drawn(60, n_answers=3):
        surface = sample_surface(sample.design, sample.counts(), 2, 60, size=4)
        rankings = sample.rankings()
        seen = [
            [
                evaluate(OpposedPolicies(t, 2), rankings, np.log([1 - s, s])).log_likelihood
                for t in surface.theta
            ]
            for s in surface.leaning[1:-1]
        ]
        by_em = np.array(seen)
        inner = surface.loss[1:-1]
        np.testing.assert_allclose(by_em[0, 0] - by_em, inner - inner[0, 0], atol=1e-8)


def test_the_m_step_finds_the_best_strength():
    rankings = drawn(80)[1].rankings()
    resp = np.random.default_rng(1).dirichlet([1, 1, 1], rankings.n_users)

    def objective(theta):
        return -(resp * user_log_likelihoods(OpposedPolicies(theta, 3), rankings)).sum()

    found = OpposedPolicies(0.3, 3).update(rankings, resp).theta
    best = minimize_scalar(objective, bounds=(-5, 5), method="bounded", options={"xatol": 1e-9})
    assert found == pytest.approx(best.x, abs=1e-4)


def test_the_gradient_is_the_slope_of_the_scores():
    policies = OpposedPolicies(0.7, 3)
    assert isinstance(policies, SmoothTypePolicies)
    rankings = drawn(5)[1].rankings()
    pull = np.random.default_rng(0).normal(size=policies.scores(rankings).shape)

    def value(vector):
        return (policies.with_parameters(vector).scores(rankings) * pull).sum()

    slope = check_grad(value, lambda v: policies.pull_back(rankings, pull), np.array([0.7]))
    assert slope < 1e-5


def test_em_agrees_where_three_or_links_tell():
    """All starts reach the best point of a grid of likelihoods, or one a little better."""
    for sample in drawn()[1:]:
        rankings = sample.rankings()
        paths = em_paths(rankings, 2, np.random.default_rng(0))
        assert len(paths) == STARTS and {path.stop_reason for path in paths} == {"converged"}
        surface = sample_surface(sample.design, sample.counts(), 2, 400)
        row, column = np.unravel_index(surface.loss.argmin(), surface.loss.shape)
        theta, share = surface.theta[column], surface.leaning[row]
        log_weights = np.log([1 - share, share])
        best = evaluate(OpposedPolicies(theta, 2), rankings, log_weights).log_likelihood
        reached = [path.log_likelihood for path in paths]
        assert min(reached) >= best - 1e-3 and max(reached) - min(reached) < 1e-2
        ends = np.array([path.points[-1] for path in paths])
        assert np.ptp(ends, axis=0).max() < 0.05
        np.testing.assert_allclose(ends[0], [theta, share], atol=0.1)


def test_em_ends_all_over_the_valley_of_single_pairs():
    paths = em_paths(drawn()[0].rankings(), 2, np.random.default_rng(0))
    assert np.ptp([path.points[-1][0] for path in paths]) > 2
    assert np.ptp([path.log_likelihood for path in paths]) < 1


def test_a_statement_covers_what_its_premises_allow():
    one, two = coverage(drawn(20, n_answers=1)), coverage(drawn(20, n_answers=2))
    covers = {
        number: {s.name.split()[0]: s.covers for s in stated}
        for number, stated in ((1, one), (2, two))
    }
    assert covers[1]["Chidambaram,"] == (True, False, True)  # one linked pair is a single one
    assert covers[2]["Chidambaram,"] == (True, False, False)
    assert covers[1]["Fox,"] == covers[2]["Fox,"] == (False, True, False)
    assert covers[1]["Two"] == (False, False, False) and covers[2]["Two"] == (False, False, True)
    assert covers[2]["Zhao,"] == (True, True, False)
    assert not any(covers[2]["Zhang,"])
    for statement in (*one, *two):
        assert len(statement.says) == 3 and statement.premises and statement.source


@pytest.mark.parametrize("n_answers", [1, 2, 3])
def test_statements_that_hide_or_tell_agree_with_the_curvature_computed(n_answers):
    truth = love_and_hate(1.5)
    computed = curvatures(designs(n_answers), truth)
    for statement in coverage(drawn(20, n_answers=n_answers)):
        for covered, curvature in zip(statement.covers, computed, strict=True):
            if covered and statement.kind == "hides":
                assert curvature == 0
            if covered and statement.kind == "tells":
                assert curvature > 1e-4
