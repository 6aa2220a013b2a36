"""Every number of lesson 1, computed. The function has the name that stands behind the number."""

from __future__ import annotations

from functools import cache
from math import ceil

import numpy as np

from emdpo.learn.designs import (
    DIFFERENCES,
    INDIFFERENT,
    counts_of_jokes,
    designs,
    divergence,
    log_choices,
    love_and_hate,
)
from emdpo.learn.opposed import em_paths
from emdpo.learn.sampling import sample_answers
from emdpo.learn.surfaces import open_strengths, smallest_curvature
from emdpo.ui.learn.pairs_view import SURE

STRENGTH, WEAK = 1.5, 0.5
PEOPLE, SEED = 400, 0
"""As the page opens."""

ODDHAM = love_and_hate(STRENGTH)
PAIR, THREE, _ = designs(1)
LINKED = designs(2)[2]
UNIT = DIFFERENCES.index(1.0)
"""The question whose outer answers are one joke apart."""


def nats(design, population=ODDHAM):
    return divergence(design, population, INDIFFERENT)


def people(design, population=ODDHAM):
    return ceil(SURE / nats(design, population))


def chances(design, taste):
    """Return (questions, answers) how often somebody with a taste picks each answer."""
    width = len(design.questions[0])
    return np.exp(log_choices(design, np.array([taste]))[0]).reshape(-1, width)


@cache
def fitted(design):
    """Return the ends of EM and the strengths left open by the people that the page draws."""
    sample = sample_answers(design, ODDHAM, PEOPLE, np.random.default_rng(SEED))
    paths = em_paths(sample.rankings(), ODDHAM.n_types, np.random.default_rng(SEED))
    return paths, open_strengths(design, sample.counts(), ODDHAM.n_types)


def joke_share_evenham():
    return counts_of_jokes(PAIR, INDIFFERENT)[1]


def joke_share_oddham():
    return counts_of_jokes(PAIR, ODDHAM)[1]


def sigmoid_pair_sum():
    return (chances(PAIR, STRENGTH) + chances(PAIR, -STRENGTH))[:, 1].max()


def single_pairs_nats():
    return nats(PAIR)


def single_pairs_nats_strong():
    return nats(PAIR, love_and_hate(3.0))


def single_open_from():
    return fitted(PAIR)[1][0]


def single_open_to():
    return fitted(PAIR)[1][1]


def single_curvature():
    return smallest_curvature(PAIR, ODDHAM)


def exp_half():
    lowest, middle, _ = chances(THREE, STRENGTH)[UNIT]
    return middle / lowest


def exp_whole():
    lowest, _, highest = chances(THREE, STRENGTH)[UNIT]
    return highest / lowest


def middle_lover_by_hand():
    return chances(THREE, STRENGTH)[UNIT, 1]


def middle_hater_by_hand():
    return chances(THREE, -STRENGTH)[UNIT, 1]


def middle_evenham():
    return chances(THREE, 0.0)[UNIT, 1]


def three_nats():
    return nats(THREE)


def three_people():
    return people(THREE)


def three_em_strength():
    ends = [path.points[-1][0] for path in fitted(THREE)[0]]
    assert max(ends) - min(ends) < 0.005, "the starts no longer end at one point"
    return max(ends)


def three_open_from():
    return fitted(THREE)[1][0]


def three_open_to():
    return fitted(THREE)[1][1]


def three_people_weak():
    return people(THREE, love_and_hate(WEAK))


def middle_oddham():
    return counts_of_jokes(THREE, ODDHAM)[1]


def middle_oddham_weak():
    return counts_of_jokes(THREE, love_and_hate(WEAK))[1]


def times_more_people():
    return three_people_weak() / three_people()


def single_pairs_nats_two():
    return nats(designs(2)[0])


def linked_nats():
    return nats(LINKED)


def linked_people():
    return people(LINKED)


def linked_people_three():
    return people(LINKED, love_and_hate(STRENGTH, 3))


linked_people_again, linked_people_three_again = linked_people, linked_people_three


def same_twice(population):
    never, _, twice = counts_of_jokes(LINKED, population)
    return never + twice


def same_twice_evenham():
    return same_twice(INDIFFERENT)


def same_twice_oddham():
    return same_twice(ODDHAM)


def linked_nats_one_answer():
    return nats(designs(1)[2])


def linked_curvature():
    return smallest_curvature(LINKED, ODDHAM)


def linked_curvature_three():
    return smallest_curvature(LINKED, love_and_hate(STRENGTH, 3))
