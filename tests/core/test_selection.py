"""How many types: planted numbers are found, folds are fair, scores are held-out scores."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference_em import planted_panel, rankings_of
from scipy.special import logsumexp

from emdpo.choosing import select
from emdpo.core import selection as selection_module
from emdpo.core.em import EMConfig
from emdpo.core.errors import EmdpoError
from emdpo.core.features import build_features
from emdpo.core.mixture import fit_mixture
from emdpo.core.selection import SelectionConfig, _recommend, held_out_folds, select_types

CONFIG = SelectionConfig(l2=1.0, restarts=3, fold_restarts=2, n_folds=3, max_iter=200, seed=0)


def repeated(n_users, n_types, answers=3, n_items=5, seed=0):
    """Return a panel where each user, of a planted type, ranks the same items several times."""
    rng = np.random.default_rng(seed)
    theta = rng.normal(0, 3, (n_types, n_items))
    users = np.tile(np.arange(n_users), answers)
    noisy = theta[users % n_types] + rng.gumbel(size=(len(users), n_items))
    return rankings_of((-noisy).argsort(axis=1).argsort(axis=1) + 1.0, users)


def selection(rankings, candidates=range(1, 5), config=CONFIG, progress=None):
    features = build_features(rankings, "items")
    return select_types(rankings, features, candidates, config, progress)


@pytest.mark.parametrize("planted", [1, 2, 3])
def test_the_planted_number_of_types_is_recommended(planted):
    found = selection(repeated(45, planted, seed=3))
    assert found.n_types == planted
    assert found.held_out == "within users"
    table = found.table.set_index("n_types")
    assert table.index.tolist() == [1, 2, 3, 4]
    assert table["recommended"].tolist() == [k == planted for k in (1, 2, 3, 4)]
    assert table["bic"].idxmin() == planted


def test_one_type_is_always_in_the_table():
    assert selection(repeated(12, 1), [2]).table["n_types"].tolist() == [1, 2]


def test_more_types_than_users_are_left_out():
    assert selection(repeated(3, 1), [2, 3, 4]).table["n_types"].tolist() == [1, 2, 3]


def test_progress_counts_every_fit():
    seen = []
    selection(repeated(12, 1), [1, 2], progress=lambda done, steps: seen.append((done, steps)))
    assert seen == [(i + 1, 8) for i in range(8)]  # (3 folds + the whole) x two K


def test_workers_change_nothing(monkeypatch):
    """Not the last bit of any number, nor what progress is told."""
    rankings = repeated(45, 2, seed=3)
    told, tables = [], []
    for n_workers in (1, 2):
        monkeypatch.setattr(selection_module, "ALONE_WORK", 0)
        monkeypatch.setattr(selection_module, "usable_cores", lambda n=n_workers: n)
        steps = []
        found = selection(rankings, [1, 2, 3], progress=lambda *step, s=steps: s.append(step))
        tables.append(found.to_dict())
        told.append(steps)
    assert tables[0] == tables[1]
    assert told[0] == told[1] == [(n + 1, 12) for n in range(12)]


def test_little_work_is_done_alone(monkeypatch):
    monkeypatch.setattr(selection_module, "usable_cores", lambda: 64)
    little = repeated(12, 1)
    assert selection_module._n_workers(little, [1, 2], CONFIG) == 1
    monkeypatch.setattr(selection_module, "ALONE_WORK", 0)
    assert selection_module._n_workers(little, [1, 2], CONFIG) == 64


def test_folds_are_balanced_within_users():
    """Seven answers in three folds: every user has two or three in each, the file a third."""
    rankings = repeated(30, 1, answers=7)
    folds = held_out_folds(rankings, CONFIG)
    assert set(folds) == {0, 1, 2}
    for user in range(30):
        counts = np.bincount(folds[rankings.user == user], minlength=3)
        assert sorted(counts) == [2, 2, 3]
    assert np.bincount(folds).min() >= 60


def test_single_answers_are_held_out_by_whole_users():
    """A third of users answer twice: below half, so that users are not split."""
    ranks = planted_panel(40, 4, 1, seed=1)[0]
    rankings = rankings_of(ranks, np.concatenate([np.arange(30), np.arange(10)]))
    folds = held_out_folds(rankings, CONFIG)
    for user in range(30):
        assert len(set(folds[rankings.user == user])) == 1
    by_user = folds[:30]
    assert np.bincount(by_user).tolist() == [10, 10, 10]
    assert selection(rankings, [1]).held_out == "across users"


def test_folds_depend_on_the_seed_only():
    rankings = repeated(20, 1)
    first, again = held_out_folds(rankings, CONFIG), held_out_folds(rankings, CONFIG)
    other = held_out_folds(rankings, SelectionConfig(l2=1.0, n_folds=3, seed=5))
    assert (first == again).all()
    assert (first != other).any()


def log_plackett_luce(order_scores):
    """Return log P of an order, given scores best first: a product of softmaxes."""
    return sum(order_scores[t] - logsumexp(order_scores[t:]) for t in range(len(order_scores) - 1))


def log_likelihood_of(rankings, scores, keep):
    """Return log P_k of each user's kept rankings, (N, K), by loops."""
    total = np.zeros((rankings.n_users, len(scores)))
    for r in np.flatnonzero(keep):
        rows = slice(rankings.offsets[r], rankings.offsets[r + 1])
        order = rankings.candidate[rows][np.argsort(rankings.ranks[rows])]
        for k, row in enumerate(scores):
            total[rankings.user[r], k] += log_plackett_luce(row[order])
    return total


@pytest.mark.parametrize("answers", [1, 3])
def test_scores_are_log_p_of_held_out_given_own_other_rankings(answers):
    """Sum over folds of log sum_k w_k P_k(train_i) P_k(test_i) - log sum_k w_k P_k(train_i).

    By loops over rankings; the parameters of each fold are those of a fit to the other folds. With
    one answer per user nothing of a held-out user was fitted, and log sum_k w_k P_k(test_i) is
    left. The standard error is that of the paired sum of differences to the best K, over users.
    """
    rankings = repeated(24, 2, answers=answers, seed=5)
    features = build_features(rankings, "items")
    table = selection(rankings, [1, 2]).table
    folds = held_out_folds(rankings, CONFIG)
    by_user = np.zeros((2, 24))
    for row, n_types in enumerate((1, 2)):
        for fold in range(3):
            train, test = folds != fold, folds == fold
            state = fit_mixture(
                rankings.select(train, drop_users=True),
                features,
                n_types,
                l2=1.0,
                n_restarts=2,
                seed=0,
                config=EMConfig(max_iter=200),
            ).best.state
            scores = state.policies.candidate_scores()
            before = state.log_weights + log_likelihood_of(rankings, scores, train)
            after = before + log_likelihood_of(rankings, scores, test)
            by_user[row] += logsumexp(after, axis=1) - logsumexp(before, axis=1)
    n = 24 * answers
    assert table["held_out"].tolist() == pytest.approx((by_user.sum(axis=1) / n).tolist())
    best = int(table["held_out"].argmax())  # equal to rounding with one answer per user
    gap = by_user[best] - by_user[1 - best]
    error = np.sqrt(24) * np.sqrt(((gap - gap.mean()) ** 2).sum() / 23) / n
    assert table["held_out_se"][1 - best] == pytest.approx(error, abs=1e-9)
    assert table["held_out_se"][best] == pytest.approx(0, abs=1e-9)


def test_bic_counts_free_parameters():
    """Five items have four free utilities a type; K types add K - 1 weights.

    Users are the units: BIC = -2 log L + p log N.
    """
    table = selection(repeated(20, 2), [1, 2, 3]).table
    assert table["n_parameters"].tolist() == [4, 9, 14]
    expected = -2 * table["log_likelihood"] + table["n_parameters"] * np.log(20)
    assert table["bic"].tolist() == pytest.approx(expected.tolist())


def recommended(*by_user, weights=None):
    """Recommend among K = 1, 2, .. with these log predictive densities of four users each."""
    table = pd.DataFrame({"n_types": range(1, len(by_user) + 1), "bic": 0.0})
    table["weights"] = weights or [[1 / k] * k for k in table["n_types"]]
    return _recommend(table, np.array(by_user), n_rankings=8, held_out="within users")


def test_a_clear_gain_earns_a_type():
    """Gaps 0, .5, .5, 0: sum 1; standard deviation sqrt(.25 / 3) = .2887, times sqrt(4) = .577."""
    found = recommended([-1, -1, -1, -1], [-1, -0.5, -0.5, -1])
    assert found.n_types == 2
    assert found.table["held_out"].tolist() == [-4 / 8, -3 / 8]
    assert found.table["held_out_se"].tolist() == pytest.approx([0.57735 / 8, 0], abs=1e-6)
    assert "the best of all K tried" in found.reason


def test_within_one_standard_error_the_fewest_types_win():
    """Gaps of K = 1: .1, -.1, .4, -.2, sum .2 and mean .05.

    Deviations .05, -.15, .35, -.25 have squares that sum to .21; sqrt(.21 / 3) x 2 = .529 >= .2.
    """
    found = recommended([-1, -1, -1, -1], [-0.9, -1.1, -0.6, -1.2])
    assert found.n_types == 1
    assert found.table["held_out_se"][0] == pytest.approx(0.52915 / 8, abs=1e-6)
    assert "one standard error" in found.reason
    assert "with fewer types" in found.reason


def test_the_middle_is_chosen_where_it_is_as_good_as_the_best():
    """K = 3 is best by .02 over K = 2, whose error is .04; K = 1 is 2 behind with no spread."""
    found = recommended([-1.5] * 4, [-1.0] * 4, [-0.97, -1.01, -0.99, -1.01])
    assert found.n_types == 2


def test_an_equal_score_is_no_reason_for_a_type():
    assert recommended([-1.0] * 4, [-1.0] * 4).n_types == 1


@pytest.mark.parametrize(("gain", "chosen"), [(0.0019, 1), (0.0021, 2)])
def test_a_gain_below_a_thousandth_of_a_nat_per_ranking_is_none(gain, chosen):
    """Everybody gains the same, so that the standard error is 0: eight rankings, .008 in all."""
    assert recommended([-1.0] * 4, [-1.0 + gain] * 4).n_types == chosen


@pytest.mark.parametrize(("smallest", "chosen"), [(0.12, 1), (0.13, 2)])
def test_a_number_with_an_empty_type_is_not_recommended(smallest, chosen):
    """Half of one of four users is a share of 0.125."""
    weights = [[1.0], [1 - smallest, smallest]]
    assert recommended([-1.0] * 4, [-0.5] * 4, weights=weights).n_types == chosen


def test_numbers_of_types_out_of_range_are_refused():
    rankings = repeated(5, 1)
    for numbers in ([], [0, 1], [1, 6], [1, 2.5, 3], [True]):
        with pytest.raises(EmdpoError, match="n_types"):
            select(rankings, numbers)


def test_a_single_ranking_cannot_be_held_out():
    with pytest.raises(EmdpoError, match="hold out"):
        select(rankings_of(planted_panel(1, 4, 1, seed=0)[0]), [1])


def test_two_users_with_one_answer_each_can():
    found = select(rankings_of(planted_panel(2, 4, 1, seed=0)[0]), [1, 2], restarts=2)
    assert np.isfinite(found.table["held_out"]).all()


def test_to_dict_is_plain_json():
    told = selection(repeated(12, 1), [1, 2]).to_dict()
    assert set(told) == {"recommended", "reason", "held_out", "table"}
    assert [row["n_types"] for row in told["table"]] == [1, 2]
    assert told["table"][0]["restart_agreement"] is None  # one start only, not NaN
