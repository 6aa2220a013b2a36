"""Calibration: closed forms, honest probabilities pass, boastful ones are caught."""

from __future__ import annotations

import numpy as np
import pytest

from emdpo.core.calibration import N_BINS, Calibration, calibration
from emdpo.core.em import e_step


def found(predicted, observed, user=None, weight=None, seed=0):
    user = np.arange(len(predicted)) if user is None else np.asarray(user)
    return calibration(
        np.asarray(predicted, float),
        np.asarray(observed, float),
        user,
        weight,
        n_bootstrap=400,
        confidence=0.95,
        rng=np.random.default_rng(seed),
    )


def test_bins_and_error_by_hand():
    """0.2 observed in 1 of 4 and 0.9 in 2 of 4: error (0.05 + 0.4) / 2."""
    told = found([0.2] * 4 + [0.9] * 4, [1, 0, 0, 0, 1, 1, 0, 0])
    assert told.predicted == pytest.approx((0.2, 0.9))
    assert told.observed == (0.25, 0.5)
    assert told.n == told.n_users == (4, 4)
    assert told.error == pytest.approx(0.225)


def test_weights_count_and_n_is_of_probabilities():
    told = found([0.5, 0.5], [1, 0], weight=np.array([3.0, 1.0]))
    assert told.observed == (0.75,)
    assert told.error == pytest.approx(0.25)
    assert told.n == (2,)


def test_bins_hold_as_many_probabilities_each():
    rng = np.random.default_rng(0)
    told = found(rng.random(1000), rng.random(1000))
    assert len(told.n) == N_BINS
    assert set(told.n) == {100}
    assert list(told.predicted) == sorted(told.predicted)


def test_equal_probabilities_share_a_bin():
    third = np.full(300, 1 / 3)
    third[::2] += 1e-13  # rounding
    assert found(third, np.zeros(300)).n == (300,)


def test_a_user_s_probabilities_are_drawn_together():
    """Forty copies of ten answers tell no more than ten: the interval is not narrower."""
    observed = np.tile([1.0, 0, 1, 0, 1, 1, 0, 1, 0, 1], 40)
    by_user = found(np.full(400, 0.6), observed, np.tile(np.arange(10), 40))
    alone = found(np.full(400, 0.6), observed)
    assert by_user.n_users == (10,)
    width = [high - low for each in (by_user, alone) for low, high in each.interval]
    assert width[0] > 4 * width[1]


def test_honest_probabilities_are_calibrated_and_boastful_ones_are_not():
    """Of 60 studies with honest probabilities few have an error above 0 (6% of 500 did)."""
    accused = missed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        chance = rng.random(400)
        observed = (rng.random(400) < chance) * 1.0
        accused += found(chance, observed, seed=seed).error_interval[0] > 0
        boast = chance**3 / (chance**3 + (1 - chance) ** 3)
        missed += found(boast, observed, seed=seed).error_interval[0] == 0
    assert accused <= 6
    assert missed == 0


def planted_posteriors(scale, n_users=2000, seed=0):
    """Return posteriors of two types before and after two more answers, and the types.

    A user of type 1 says yes with odds 2, of type 2 with odds 1/2. The posterior takes the odds to
    the power `scale`: at 1 it is right, above it believes too much.
    """
    rng = np.random.default_rng(seed)
    kind = rng.integers(2, size=n_users)
    yes = rng.random((n_users, 4)) < np.where(kind == 0, 2 / 3, 1 / 3)[:, None]
    log_lik = np.where(yes[..., None], np.log([2 / 3, 1 / 3]), np.log([1 / 3, 2 / 3]))
    log_weights = np.log([0.5, 0.5])
    before = np.exp(e_step(scale * log_lik[:, :2].sum(axis=1), log_weights)[0])
    after = np.exp(e_step(scale * log_lik.sum(axis=1), log_weights)[0])
    return before, after, kind


@pytest.mark.parametrize(("scale", "calibrated"), [(1, True), (3, False)])
def test_later_posteriors_tell_whether_posteriors_are_honest(scale, calibrated):
    """The posterior is a martingale if the model is right; so the planted types need not be known.

    They agree: what later answers say of calibration is what the types themselves say.
    """
    before, after, kind = planted_posteriors(scale)
    users = np.repeat(np.arange(len(before)), 2)
    by_later = found(before.ravel(), after.ravel(), users)
    by_truth = found(before.ravel(), np.eye(2)[kind].ravel(), users)
    for told in (by_later, by_truth):
        within = [
            low - 1e-9 <= predicted <= high + 1e-9  # the middle one is 1/2 for everybody
            for predicted, (low, high) in zip(told.predicted, told.interval, strict=True)
        ]
        if calibrated:
            assert all(within)
            assert told.error_interval[0] == 0
        else:
            assert not any(within[:1] + within[-1:])
            assert told.error_interval[0] > 0.02


def test_json_and_back():
    told = found([0.2, 0.4, 0.9], [1, 0, 1])
    assert Calibration.from_dict(vars(told)) == told
