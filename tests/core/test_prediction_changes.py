"""Predictions of two fits on the same rankings, against brute force."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from panels import planted

import emdpo
from emdpo.core.errors import EmdpoError
from emdpo.core.prediction import MEASURES
from emdpo.core.prediction_changes import COLUMNS, no_predictions, prediction_changes
from emdpo.core.tested import EvidenceConfig
from emdpo.predicting import predictions_of

DRAW = {"n_bootstrap": 3000, "confidence": 0.95}


@pytest.fixture(scope="module")
def both():
    panel = planted(n_users=60)
    fits = [emdpo.fit(panel, k, restarts=1, features="columns") for k in (1, 3)]
    return [predictions_of(fit, EvidenceConfig(folds=3)) for fit in fits]


def changes(a, b):
    return prediction_changes(a, b, **DRAW, rng=np.random.default_rng(0))


def test_means_are_those_of_every_policy_and_measure(both):
    told = changes(*both)
    assert len(told) == len(both[0].policies) * len(MEASURES)
    for row in told.to_dict("records"):
        for each, name in zip(both, ("value_a", "value_b"), strict=True):
            values = each.measures[row["measure"]][each.policies.index(row["policy"])]
            expected = values.mean() if np.isfinite(values).all() else np.nan
            assert row[name] == pytest.approx(expected, nan_ok=True)
        assert row["difference"] == pytest.approx(row["value_b"] - row["value_a"], nan_ok=True)
    assert set(told["n"]) == {60} and set(told["n_rankings"]) == {180}


def test_intervals_are_over_users_and_paired(both):
    """Three rankings a user: the interval is that of the mean of users' mean differences."""
    own = changes(*both).query("policy == 'own' and measure == 'log_loss'").iloc[0]
    loss = [each.measures["log_loss"][each.policies.index("own")] for each in both]
    by_user = np.bincount(both[0].user, loss[1] - loss[0]) / 3
    half = 1.96 * by_user.std() / np.sqrt(60)
    assert (own["low"], own["high"]) == pytest.approx(
        (by_user.mean() - half, by_user.mean() + half), abs=0.1 * half
    )
    assert own["high"] < 0  # three types predict what one cannot


def test_weights_of_rankings_count(both):
    weight = np.where(np.arange(180) % 2, 3.0, 0.5)
    heavy = [replace(each, weight=weight) for each in both]
    own = changes(*heavy).query("policy == 'pooled' and measure == 'tau'").iloc[0]
    values = both[0].measures["tau"][both[0].policies.index("pooled")]
    assert own["value_a"] == pytest.approx(np.average(values, weights=weight))


def test_a_policy_that_rules_answers_out_has_no_log_loss(both):
    lottery = changes(*both).query("policy == 'lottery'").set_index("measure")
    assert np.isnan(lottery.loc["log_loss", ["value_a", "difference", "low"]].astype(float)).all()
    assert np.isfinite(lottery.loc["accuracy", ["value_a", "difference"]].astype(float)).all()


def test_equal_fits_predict_alike(both):
    same = changes(both[1], both[1]).dropna()
    assert len(same) and (same[["difference", "low", "high"]] == 0).all(axis=None)


def test_other_rankings_are_refused(both):
    fewer = replace(both[1], best=both[1].best[::-1])
    with pytest.raises(EmdpoError, match="cannot predict the same rankings"):
        changes(both[0], fewer)


def test_where_nothing_was_held_out_there_is_nothing():
    assert no_predictions().columns.tolist() == COLUMNS and len(no_predictions()) == 0
