"""Exact answer probabilities, against every answer sheet written out one by one."""

from __future__ import annotations

from itertools import product
from math import exp, log

import numpy as np
import pytest

from emdpo.learn.designs import (
    DIFFERENCES,
    INDIFFERENT,
    Population,
    counts_of_jokes,
    designs,
    divergence,
    log_choices,
    log_panels,
    love_and_hate,
)

UNEVEN = Population((-1.0, 0.4, 2.0), (0.2, 0.5, 0.3))


def choice(taste, question, chosen):
    """exp(t x) over the sum of them, as the definition says."""
    return exp(taste * question[chosen]) / sum(exp(taste * x) for x in question)


def every_sheet(design, population):
    """Yield each ordered sheet of `n_linked` answers with its probability in a population."""
    single = [(q, c) for q in design.questions for c in range(len(q))]
    for sheet in product(single, repeat=design.n_linked):
        by_type = [
            weight * np.prod([choice(taste, q, c) for q, c in sheet])
            for taste, weight in zip(population.tastes, population.weights, strict=True)
        ]
        yield sheet, sum(by_type) / len(design.questions) ** design.n_linked


@pytest.mark.parametrize("n_answers", [1, 2, 3])
@pytest.mark.parametrize("population", [UNEVEN, love_and_hate(1.3), INDIFFERENT])
def test_bundles_have_the_probability_of_the_sheets_that_they_stand_for(n_answers, population):
    for design in designs(n_answers):
        single = [(q, c) for q in design.questions for c in range(len(q))]
        expected = dict.fromkeys(map(tuple, design.panels.tolist()), 0.0)
        for sheet, probability in every_sheet(design, population):
            counts = np.bincount([single.index(a) for a in sheet], minlength=len(single))
            expected[tuple(counts.tolist())] += probability
        found = np.exp(log_panels(design, population))
        np.testing.assert_allclose(found, list(expected.values()), rtol=1e-12)


def test_a_choice_is_softmax_of_taste_times_jokes():
    pair, three, _ = designs(1)
    found = np.exp(log_choices(three, np.array([-0.7, 2.0])))
    expected = [[choice(t, q, c) for q in three.questions for c in range(3)] for t in (-0.7, 2.0)]
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert [q[-1] for q in pair.questions] == list(DIFFERENCES)


@pytest.mark.parametrize("n_types", [2, 3, 4])
@pytest.mark.parametrize("theta", [0.3, 1.0, 3.0])
def test_unlinked_pairs_of_symmetric_types_are_a_fair_coin_for_every_question(n_types, theta):
    """sigma(z) + sigma(-z) = 1, so theta and -theta in equal parts answer each pair 50/50."""
    pair, three, linked = designs(2)
    population = love_and_hate(theta, n_types)
    np.testing.assert_allclose(log_panels(pair, population), log(1 / 8), rtol=1e-12)
    assert divergence(pair, population, INDIFFERENT) < 1e-14
    assert divergence(three, population, INDIFFERENT) > 1e-4
    assert divergence(linked, population, INDIFFERENT) > 1e-4


def test_one_linked_answer_is_an_unlinked_one():
    pair, _, linked = designs(1)
    assert np.array_equal(log_panels(pair, UNEVEN), log_panels(linked, UNEVEN))


def test_divergence_is_the_sum_over_all_sheets():
    for design in designs(2):
        truth = dict(every_sheet(design, UNEVEN))
        other = dict(every_sheet(design, INDIFFERENT))
        expected = sum(p * log(p / other[sheet]) for sheet, p in truth.items())
        found = divergence(design, UNEVEN, INDIFFERENT)
        assert found == pytest.approx(design.n_panels * expected, rel=1e-10)


def test_counts_of_jokes_add_the_sheets_up():
    for design in designs(3):
        expected = np.zeros(design.n_linked * (len(design.questions[0]) - 1) + 1)
        for sheet, probability in every_sheet(design, UNEVEN):
            expected[sum(place for _, place in sheet)] += probability
        np.testing.assert_allclose(counts_of_jokes(design, UNEVEN), expected, rtol=1e-12)


def test_the_middle_answer_is_what_gives_lovers_and_haters_away():
    """With x = 0, d/2, d and z = theta d/2 the middle one has 1 / (1 + e^z + e^-z), below 1/3."""
    _, three, _ = designs(1)
    middle = counts_of_jokes(three, love_and_hate(2.0))[1]
    by_hand = np.mean([1 / (1 + exp(d) + exp(-d)) for d in DIFFERENCES])
    assert middle == pytest.approx(by_hand, rel=1e-12)
    assert counts_of_jokes(three, INDIFFERENT)[1] == pytest.approx(1 / 3, rel=1e-12)
