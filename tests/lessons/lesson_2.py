"""Every number of lesson 2, computed. The function has the name that stands behind the number."""

from __future__ import annotations

from functools import cache
from itertools import permutations

import numpy as np

from emdpo.core.identifiability import max_types_full_rankings
from emdpo.core.mixture import SAME_OPTIMUM
from emdpo.learn.half_steps import (
    N_TYPES,
    begin,
    best_known,
    draw_crowd,
    planted_policy,
    walk,
    walk_to_end,
)

QUESTIONS, PEOPLE, DRAW = 3, 0, 1
"""As the page opens."""


@cache
def crowd(questions=QUESTIONS):
    return draw_crowd(questions, np.random.default_rng(PEOPLE))


def begun(start="random", draw=DRAW, questions=QUESTIONS):
    return begin(crowd(questions), start, np.random.default_rng(draw))


@cache
def end(start="random", draw=DRAW, questions=QUESTIONS):
    return walk_to_end(crowd(questions), begun(start, draw, questions))[-1]


@cache
def best():
    return best_known(crowd())


def first():
    """Return start, M step and E step."""
    return walk(crowd(), begun(), 2)


def brief():
    """Return how often each planted type puts the brief answer first."""
    return planted_policy()[:, 0]


def brief_by_type_1():
    return brief()[0]


def brief_by_type_2():
    return brief()[1]


def brief_by_type_3():
    return brief()[2]


def posterior(times):
    joint = brief() ** times / N_TYPES
    return joint[0] / joint.sum()


def posterior_one():
    return posterior(1)


def posterior_two():
    return posterior(2)


def objective_start():
    return first()[0].objective


def objective_m1():
    return first()[1].objective


def gain_m1():
    return first()[1].objective - first()[0].objective


def gain_e1():
    return first()[2].objective - first()[1].objective


def bound_e1():
    return first()[2].bound - first()[1].bound


def objective_end():
    assert abs(best() - end().objective) <= 5 * SAME_OPTIMUM
    return end().objective


def with_their_own():
    """Return the most people in their planted type under any naming of the types."""
    most_likely = end().resp.argmax(axis=1)
    names = (np.array(order) for order in permutations(range(N_TYPES)))
    return max(int((order[crowd().planted] == most_likely).sum()) for order in names)


def people():
    return len(crowd().planted)


def end_share_1():
    return np.exp(end().log_weights)[0]


def end_share_2():
    return np.exp(end().log_weights)[1]


def end_share_3():
    return np.exp(end().log_weights)[2]


def planted_share_1():
    return np.bincount(crowd().planted)[0] / people()


def planted_share_2():
    sizes = np.bincount(crowd().planted)
    assert sizes[1] == sizes[2]
    return sizes[1] / people()


def torn_short():
    return best() - end("torn").objective


def torn_share():
    return np.exp(end("torn").log_weights).max()


def alike_short():
    return best() - end("alike").objective


def alike_gain():
    return end("alike").objective - begun("alike").objective


def starts_at_best():
    reached = [end("random", draw).objective for draw in range(1, 11)]
    return sum(best() - each <= 5 * SAME_OPTIMUM for each in reached)


def most_types():
    return max_types_full_rankings(3)


def sure_people_one():
    return int((end(questions=1).resp.max(axis=1) > 0.9).sum())


def sure_people_three():
    return int((end().resp.max(axis=1) > 0.9).sum())


gain_e1_again, torn_short_again = gain_e1, torn_short
