"""Every number of lesson 3, computed. The function has the name that stands behind the number."""

from __future__ import annotations

import numpy as np

from emdpo.core.hedge import hedge_rounds
from emdpo.learn.triangle import EXAMPLE, marks, regrets

OPENING, CORNER, EVEN = np.array([0.4, 0.3, 0.3]), np.eye(3)[0], np.full(3, 1 / 3)
MATRIX = EXAMPLE.regret_matrix
OWN = np.exp(EXAMPLE.log_types)
MARKS = marks(EXAMPLE)


def losses(weights, kind="share", form="mixture"):
    return getattr(regrets(EXAMPLE, form, weights), kind)[:, 0]


def of_rule(rule, kind):
    return losses(MARKS[rule].weights, kind, MARKS[rule].form)


def worst_type(weights):
    return f"Type {losses(weights).argmax() + 1}"


def opening_worst():
    return worst_type(OPENING)


def opening_worst_share():
    return losses(OPENING).max()


def corner_worst():
    return worst_type(CORNER)


def corner_worst_share():
    return losses(CORNER).max()


def corner_mean():
    return EXAMPLE.shares @ losses(CORNER)


def corner_own():
    return losses(CORNER)[0]


def prevalence_worst():
    return worst_type(EXAMPLE.shares)


def prevalence_worst_share():
    return of_rule("prevalence", "share").max()


def prevalence_mean():
    return EXAMPLE.shares @ of_rule("prevalence", "share")


def prevalence_mean_plain():
    return EXAMPLE.shares @ of_rule("prevalence", "plain")


def favourite_1():
    return EXAMPLE.answers[OWN[0].argmax()]


def favourite_3():
    return EXAMPLE.answers[OWN[2].argmax()]


def favourite_share_1():
    return OWN[0].max()


def favourite_share_2():
    story, word = EXAMPLE.answers.index("a story"), EXAMPLE.answers.index("a kind word")
    assert OWN[1, story] == OWN[1, word] == OWN[1].max()
    return OWN[1].max()


def favourite_share_3():
    return OWN[2].max()


def kind_word_3():
    word = EXAMPLE.answers.index("a kind word")
    assert OWN.min(axis=0).argmax() == word  # what the type that gives it least gives most
    return OWN[2, word]


def regret_31():
    return MATRIX[2, 0]


def regret_32():
    return MATRIX[2, 1]


def even_regret_3():
    return losses(EVEN, "plain")[2]


def mixture_weight_1():
    return MARKS["mixture"].weights[0]


def mixture_weight_2():
    return MARKS["mixture"].weights[1]


def mixture_weight_3():
    return MARKS["mixture"].weights[2]


def mixture_regret():
    found = of_rule("mixture", "plain")
    assert np.ptp(found) < 1e-6
    return found.max()


def most_of_type_1():
    return MATRIX[0].max()


def most_of_type_2():
    return MATRIX[1].max()


def mixture_mean():
    return EXAMPLE.shares @ of_rule("mixture", "plain")


def nash_weight_1():
    return MARKS["nash"].weights[0]


def nash_weight_1_small():
    resized = marks(EXAMPLE.sized([20, 30, 50]))
    for rule in ("uniform", "maximin", "mixture", "consensus"):
        np.testing.assert_allclose(resized[rule].weights, MARKS[rule].weights, atol=1e-5)
    return resized["nash"].weights[0]


def consensus_kl():
    return of_rule("consensus", "kl").max()


def mixture_kl():
    return of_rule("mixture", "kl").max()


def mixture_worst_share():
    return of_rule("mixture", "share").max()


def maximin_worst_share():
    return of_rule("maximin", "share").max()


def hedge_worst_500():
    return hedge_rounds(MATRIX, 500).worst[-1]


def hedge_worst_100():
    return hedge_rounds(MATRIX, 100).worst[-1]


def hedge_gap_100():
    return hedge_rounds(MATRIX, 100).gap[-1]


def first_picked():
    return f"Type {hedge_rounds(MATRIX, 100).picked[0] + 1}"


def second_round_3():
    return hedge_rounds(MATRIX, 100).played[1, 2]


corner_worst_share_again = corner_worst_share
prevalence_worst_share_again = prevalence_worst_share
mixture_weight_2_again = mixture_weight_2
mixture_regret_again = mixture_regret
even_regret_3_again = even_regret_3
hedge_worst_100_again = hedge_worst_100
