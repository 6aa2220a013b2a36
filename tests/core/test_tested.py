"""Evidence by group: means by hand, paired differences, small groups hidden, JSON and back."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from panels import TASTES, planted

from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.prediction import ACCURACY, LOG_LOSS, MEASURES, OWN, POOLED, Model, predict
from emdpo.core.tested import Evidence, EvidenceConfig, evidence_of

CONFIG = EvidenceConfig(n_bootstrap=200)


@pytest.fixture(scope="module")
def predictions():
    panel = planted(n_users=60, answers=4)
    scores = np.array(TASTES) @ panel.candidates[["x_a", "x_b"]].to_numpy(float).T
    model = Model(scores, scores.mean(axis=0), np.full(3, -np.log(3)), 60, 0.1)
    test = panel.prompt < 2
    return predict(model, panel.select(~test), panel.select(test))


def people(**columns):
    return pd.DataFrame(columns, index=[f"u{i}" for i in range(60)])


@pytest.fixture(scope="module")
def evidence(predictions):
    kind = [("young", "old", "older")[i % 3] for i in range(60)]
    return evidence_of(predictions, people(age=kind), CONFIG, "abc")


def test_means_and_differences_are_those_by_hand(predictions, evidence):
    old = np.isin(predictions.user, np.arange(1, 60, 3))
    for group, rows in ((evidence.everybody, slice(None)), (evidence.groups[0], old)):
        for measure in MEASURES:
            values = predictions.measures[measure][:, rows].mean(axis=1)
            pooled = values[predictions.policies.index(POOLED)]
            for policy, value in zip(predictions.policies, values, strict=True):
                if np.isfinite(value):
                    assert np.isclose(group.mean[measure][policy], value)
                    assert np.isclose(group.above_pooled[measure][policy], value - pooled)
    assert evidence.groups[0].value == "old"
    assert evidence.groups[0].n == len(np.unique(predictions.user[old]))
    assert evidence.groups[0].n_rankings == old.sum()


def test_weights_count(predictions):
    heavy = replace(predictions, weight=np.where(predictions.user == 0, 1000.0, 1.0))
    found = evidence_of(heavy, people(), CONFIG, "")
    own = predictions.measures[LOG_LOSS][predictions.policies.index(OWN)]
    assert np.isclose(
        found.everybody.mean[LOG_LOSS][OWN], own[predictions.user == 0].mean(), atol=0.05
    )
    assert found.everybody.n_rankings == len(predictions.user)


def test_intervals_hold_their_figures_and_differences_are_paired(evidence):
    for measure in MEASURES:
        for policy in (OWN, POOLED, "mixture"):
            low, high = evidence.everybody.interval[measure][policy]
            assert low < evidence.everybody.mean[measure][policy] < high
    assert evidence.everybody.above_pooled_interval[ACCURACY][POOLED] == (0, 0)
    low, high = evidence.everybody.above_pooled_interval[LOG_LOSS]["uniform"]
    alone = [np.diff(evidence.everybody.interval[LOG_LOSS][p])[0] for p in ("uniform", POOLED)]
    assert high - low < max(alone)


def test_what_a_policy_rules_out_has_no_log_loss_in_any_group(evidence):
    for group in (evidence.everybody, *evidence.groups):
        assert np.isnan(group.mean[LOG_LOSS]["lottery"])
        assert np.isfinite(group.mean[ACCURACY]["lottery"])
    assert "lottery" not in evidence.top_choice
    assert {OWN, POOLED, "mixture"} <= evidence.top_choice.keys()


def test_small_groups_are_hidden_with_what_would_give_them_away(predictions):
    few = ["few" if i < 3 else "some" if i < 20 else "many" for i in range(60)]
    found = evidence_of(predictions, people(crowd=few), CONFIG, "")
    assert [group.value for group in found.groups] == ["many"]
    assert {group.value for group in found.suppressed} == {"few", "some"}
    one = evidence_of(
        predictions, people(crowd=few), EvidenceConfig(min_group=1, n_bootstrap=5), ""
    )
    assert [group.value for group in one.groups] == ["few", "many", "some"]


def test_the_count_is_of_users_with_test_rankings(predictions):
    """Users 0..29 have none left: the group of the first thirty vanishes from the evidence."""
    late = predictions.user >= 30
    part = replace(
        predictions,
        user=predictions.user[late],
        weight=predictions.weight[late],
        measures={name: values[:, late] for name, values in predictions.measures.items()},
    )
    half = ["first" if i < 30 else "second" for i in range(60)]
    found = evidence_of(part, people(half=half), CONFIG, "")
    assert found.suppressed == ()
    assert [(g.value, g.n) for g in found.groups] == [("second", found.everybody.n)]


def test_the_same_seed_gives_the_same_evidence(predictions, evidence):
    kind = [("young", "old", "older")[i % 3] for i in range(60)]
    again = evidence_of(predictions, people(age=kind), CONFIG, "abc")
    assert again.to_dict() == evidence.to_dict()
    other = evidence_of(predictions, people(age=kind), replace(CONFIG, seed=1), "abc")
    assert other.everybody.interval != evidence.everybody.interval


def test_json_has_null_for_what_does_not_exist_and_comes_back(evidence):
    text = json.dumps(evidence.to_dict(), allow_nan=False)
    told = json.loads(text)
    assert told["everybody"]["mean"]["log_loss"]["lottery"] is None
    assert Evidence.from_dict(told).to_dict() == evidence.to_dict()


@pytest.mark.parametrize("key", ["everybody", "groups", "posterior", "config", "fit_sha256"])
def test_damaged_evidence_is_refused(evidence, key):
    told = json.loads(json.dumps(evidence.to_dict()))
    for damage in ({"nonsense": 1}, [1], "x"):
        if key == "fit_sha256":
            del told[key]
        else:
            told[key] = damage
        with pytest.raises(RunError, match="damaged"):
            Evidence.from_dict(told)
        told[key] = damage


def test_nothing_to_test_is_said(predictions):
    nothing = replace(predictions, user=predictions.user[:0])
    with pytest.raises(EmdpoError, match="no ranking is left to test"):
        evidence_of(nothing, people(), CONFIG, "")


@pytest.mark.parametrize(
    "settings",
    [{"by": "week"}, {"folds": 1}, {"folds": 2.5}, {"folds": True}, {"min_group": 0},
     {"n_bootstrap": 0}, {"confidence": 1}, {"seed": -1}],
)  # fmt: skip
def test_settings_that_cannot_be(settings):
    with pytest.raises(EmdpoError):
        EvidenceConfig(**settings)
