"""What answers leave open, against likelihoods summed over every answer sheet, one by one."""

from __future__ import annotations

from itertools import product
from math import exp, log

import numpy as np
import pytest
from scipy.optimize import minimize
from scipy.special import softmax

from emdpo.learn.designs import Population, designs, log_panels_by_type, love_and_hate
from emdpo.learn.sampling import sample_answers
from emdpo.learn.surfaces import (
    CONFIDENT,
    expected_surface,
    information,
    leaning,
    open_strengths,
    sample_surface,
    smallest_curvature,
    tilted,
)

UNEVEN = Population((-1.0, 0.4, 2.0), (0.2, 0.5, 0.3))


def chance(sheet, tastes, weights):
    """The probability of a sheet of (question, place) by one person, given the questions."""
    by_type = [
        weight * np.prod([exp(t * q[c]) / sum(exp(t * x) for x in q) for q, c in sheet])
        for t, weight in zip(tastes, weights, strict=True)
    ]
    return sum(by_type)


def all_sheets(design):
    single = [(q, c) for q in design.questions for c in range(len(q))]
    return list(product(single, repeat=design.n_linked))


def lost(design, truth, tastes, weights, n_people):
    """n KL(truth || other), the sum over all sheets written out."""
    total = 0.0
    for sheet in all_sheets(design):
        p = chance(sheet, truth.tastes, truth.weights) / len(design.questions) ** design.n_linked
        q = chance(sheet, tastes, weights) / len(design.questions) ** design.n_linked
        total += p * log(p / q)
    return n_people * design.n_panels * total


@pytest.mark.parametrize("n_types", [2, 3])
def test_the_expected_surface_is_the_divergence_summed_over_all_sheets(n_types):
    truth = love_and_hate(1.5, n_types)
    for design in designs(2):
        surface = expected_surface(design, truth, 100, size=9)  # theta by 0.5, shares by 1/8
        for column, row in ((0, 3), (3, 4), (5, 1), (8, 7)):
            share = row / 8
            weights = tilted(share, n_types)
            tastes = surface.theta[column] * np.linspace(-1, 1, n_types)
            expected = lost(design, truth, tastes, weights, 100)
            assert surface.loss[row, column] == pytest.approx(expected, abs=1e-9, rel=1e-9)
            assert surface.leaning[row] == pytest.approx(
                (1 + weights @ np.linspace(-1, 1, n_types)) / 2
            )


@pytest.mark.parametrize("theta", [0.8, 1.5, 2.5])
def test_single_pairs_leave_a_flat_valley_and_the_other_two_do_not(theta):
    """Along the even split every strength loses nothing by pairs, however many people answer."""
    truth = love_and_hate(theta)
    pair, three, linked = (expected_surface(d, truth, 400) for d in designs(2))
    even = list(pair.leaning).index(0.5)
    assert pair.loss[even].max() < 1e-9
    assert pair.loss[even + 10].max() > CONFIDENT
    far = abs(pair.theta - theta) > 0.7
    assert min(three.loss[:, far].min(), linked.loss[:, far].min()) > CONFIDENT
    for surface in (three, linked):
        kept = surface.theta[(surface.loss < CONFIDENT).any(axis=0)]
        low, high = kept[0], kept[-1]
        assert theta - 0.7 < low <= theta + 1e-9 and theta - 1e-9 <= high < theta + 0.7


def test_one_answer_a_person_keeps_the_valley_but_best_of_three_has_none():
    pair, three, linked = (expected_surface(d, love_and_hate(2.0), 400) for d in designs(1))
    assert np.array_equal(pair.loss, linked.loss)
    assert ((pair.loss < CONFIDENT).any(axis=0)).all()
    assert 1.0 < three.theta[(three.loss < CONFIDENT).any(axis=0)][0] < 2.0


def test_a_sample_s_surface_is_the_likelihood_of_its_answers_one_by_one():
    truth = love_and_hate(1.0)
    for design in designs(2):
        sample = sample_answers(design, truth, 30, np.random.default_rng(3))
        width = len(design.questions[0])
        sheets = [
            [(design.questions[a // width], a % width) for a in bundle] for bundle in sample.answers
        ]
        surface = sample_surface(design, sample.counts(), 2, 30, size=5)
        by_hand = np.array(
            [
                [
                    sum(log(chance(sheet, (-t, t), (1 - s, s))) for sheet in sheets)
                    for t in surface.theta
                ]
                for s in surface.leaning
            ]
        )
        np.testing.assert_allclose(surface.loss, by_hand.max() - by_hand, atol=1e-9)


@pytest.mark.parametrize("n_types", [2, 3])
def test_open_strengths_are_those_that_some_shares_keep(n_types):
    """The best shares by SciPy at each strength; at most 3 nats below the best strength."""
    for design in designs(2):
        truth = love_and_hate(1.5, n_types)
        counts = sample_answers(design, truth, 150, np.random.default_rng(4)).counts()
        theta = np.linspace(0, 4, 9)
        best = []
        for t in theta:
            chances = np.exp(log_panels_by_type(design, t * np.linspace(-1, 1, n_types)))

            def minus(logits, chances=chances, counts=counts):
                return -(counts @ np.log(softmax(logits) @ chances))

            starts = np.random.default_rng(0).normal(scale=2, size=(3, n_types))
            best.append(-min(minimize(minus, start, tol=1e-10).fun for start in starts))
        kept = theta[np.max(best) - np.array(best) < CONFIDENT]
        assert open_strengths(design, counts, n_types, size=9) == (kept[0], kept[-1])


@pytest.mark.parametrize("population", [UNEVEN, love_and_hate(1.2)])
def test_information_is_the_curvature_of_the_divergence(population):
    """Of KL(truth || truth + h), by second differences in tastes and in contrasts of the logits."""
    n_types = population.n_types
    contrast = np.linalg.qr(np.eye(n_types, n_types - 1) - 1.0 / n_types)[0]
    for design in designs(2):

        def divergence(step, design=design):
            logits = np.log(population.weights) + contrast @ step[n_types:]
            weights = np.exp(logits) / np.exp(logits).sum()
            tastes = np.array(population.tastes) + step[:n_types]
            return lost(design, population, tastes, weights, 1)

        size, h = 2 * n_types - 1, 1e-3
        found = information(design, population)
        for a, b in product(range(size), repeat=2):
            ea, eb = h * np.eye(size)[a], h * np.eye(size)[b]
            corners = (
                divergence(ea + eb)
                - divergence(ea - eb)
                - divergence(eb - ea)
                + divergence(-ea - eb)
            )
            assert found[a, b] == pytest.approx(corners / (4 * h * h), abs=2e-5)


def test_curvature_is_nought_where_pairs_hide_opposite_types_and_only_there():
    for theta in (0.5, 1.5, 2.5):
        pair, three, linked = (smallest_curvature(d, love_and_hate(theta)) for d in designs(2))
        assert pair == 0.0 and three > 1e-4 and linked > 1e-4


def test_tilting_keeps_even_shares_at_a_half_and_one_type_at_the_ends():
    np.testing.assert_allclose(tilted(0.5, 4), 0.25)
    np.testing.assert_allclose(tilted(0.0, 3), [1, 0, 0])
    np.testing.assert_allclose(tilted(0.8, 3), np.array([0.2, 0.4, 0.8]) / 1.4)  # sqrt(.2 .8) = .4
    assert leaning(np.array([0.25, 0.75])) == 0.75
