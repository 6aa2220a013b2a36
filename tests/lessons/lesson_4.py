"""Every number of lesson 4, computed. The function has the name that stands behind the number."""

from __future__ import annotations

from functools import cache

import numpy as np

import emdpo
from emdpo.demo import demo_file
from emdpo.learn.whose_average import (
    AVERAGE_AGAINST_BORDA,
    COMPROMISE,
    FOUR_WINNERS,
    borda,
    case,
    duels,
    verdicts,
)

A, B, C, D = range(4)
QUICK = 3
"""Starts of the Fit tab's Quick."""

CHANGED = case(
    np.where(np.indices((3, 4)).sum(axis=0) == 5, 0, FOUR_WINNERS.utilities).tolist(),
    (100 * FOUR_WINNERS.shares).tolist(),
    FOUR_WINNERS.answers,
)
"""Type 3 finds D worthless: row 2 and column 3 alone sum to 5."""


@cache
def scores(case_, rule):
    return verdicts(case_)[rule].scores


def winner(case_, rule):
    (place,) = verdicts(case_)[rule].winners
    return case_.answers[place]


@cache
def audited(name="rankings.csv", types=3, groups="age_band"):
    fit = emdpo.fit(emdpo.load(demo_file(name)), types, restarts=QUICK)
    return fit, emdpo.audit(fit, groups=[groups])


def group(value, *data):
    (found,) = (each for each in audited(*data)[1].groups if each.value == value)
    return found


def lost(value, rule, *data):
    return group(value, *data).regret["share"][rule]


def mean_a():
    return scores(AVERAGE_AGAINST_BORDA, "mean")[A]


def mean_b():
    return scores(AVERAGE_AGAINST_BORDA, "mean")[B]


def borda_a():
    return borda(AVERAGE_AGAINST_BORDA)[A]


def borda_b():
    return borda(AVERAGE_AGAINST_BORDA)[B]


def one_reward_winner():
    return winner(AVERAGE_AGAINST_BORDA, "pairs")


def a_over_b_noise():
    return duels(AVERAGE_AGAINST_BORDA, 1.0)[A, B]


def a_over_b_sure():
    return duels(AVERAGE_AGAINST_BORDA)[A, B]


def borda_a_noise():
    return borda(AVERAGE_AGAINST_BORDA, 1.0)[A]


def borda_b_noise():
    return borda(AVERAGE_AGAINST_BORDA, 1.0)[B]


def four_borda_a():
    assert winner(FOUR_WINNERS, "borda") == "A"
    return borda(FOUR_WINNERS)[A]


def four_duel_c():
    won = np.delete(duels(FOUR_WINNERS)[C], C)
    assert np.ptp(won) < 1e-12
    return won[0]


def four_least_d():
    assert winner(FOUR_WINNERS, "maximin") == "D"
    return scores(FOUR_WINNERS, "maximin")[D]


def four_regret_b():
    assert winner(FOUR_WINNERS, "regret") == "B"
    return -scores(FOUR_WINNERS, "regret")[B]


def changed_least_d():
    return scores(CHANGED, "maximin")[D]


def changed_maximin():
    return winner(CHANGED, "maximin")


def changed_least_c():
    return scores(CHANGED, "maximin")[C]


def compromise_first():
    return COMPROMISE.shares @ (COMPROMISE.utilities.argmax(axis=1) == C)


def compromise_duel():
    return duels(COMPROMISE)[A, C]


def compromise_last():
    return COMPROMISE.shares @ (COMPROMISE.utilities.argmin(axis=1) == A)


def n_old():
    return group("60+").n


def pooled_old():
    return lost("60+", "pooled")


def consensus_old():
    return lost("60+", "consensus")


def pooled_young():
    return lost("18-29", "pooled")


def consensus_young():
    return lost("18-29", "consensus")


def old_type_3():
    return group("60+").type_shares[2]


def young_type_3():
    return group("18-29").type_shares[2]


def pooled_mean():
    return audited()[1].mean("share")["pooled"]


def consensus_mean():
    return audited()[1].mean("share")["consensus"]


def share_1():
    return audited()[0].weights[0]


def share_2():
    return audited()[0].weights[1]


def share_3():
    return audited()[0].weights[2]


def pooled_1():
    return audited()[1].regret["share"]["pooled"][0]


def pooled_2():
    return audited()[1].regret["share"]["pooled"][1]


def pooled_3():
    return audited()[1].regret["share"]["pooled"][2]


CLASSROOM = ("classroom.csv", 2, "class")


def class_size():
    assert group("5a", *CLASSROOM).n == group("5b", *CLASSROOM).n
    return group("5a", *CLASSROOM).n


def class_a():
    return lost("5a", "pooled", *CLASSROOM)


def class_b():
    return lost("5b", "pooled", *CLASSROOM)


def class_a_low():
    return group("5a", *CLASSROOM).interval["share"]["pooled"][0]


def class_a_high():
    return group("5a", *CLASSROOM).interval["share"]["pooled"][1]


def class_b_low():
    return group("5b", *CLASSROOM).interval["share"]["pooled"][0]


def class_b_high():
    return group("5b", *CLASSROOM).interval["share"]["pooled"][1]


def class_p():
    return group("5b", *CLASSROOM).p_value["share"]["pooled"]


four_least_d_again = four_least_d
pooled_old_again = pooled_old
