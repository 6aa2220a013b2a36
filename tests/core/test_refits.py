"""Types found anew: matched, wider than what holds them fixed, the same from the same seed."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from panels import planted_table

import emdpo
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.groups import groupings
from emdpo.core.refits import RefitAudit, group_means
from emdpo.refitting import with_kept_refits, with_refits


@pytest.fixture(scope="module")
def fit():
    table = planted_table(n_users=60, answers=4)
    names = table["user_id"].unique()
    users = pd.DataFrame({"user_id": names, "half": ["a", "b"] * (len(names) // 2)})
    return emdpo.fit(emdpo.load(table, users=users), 3, restarts=3)


@pytest.fixture(scope="module")
def audit(fit):
    return emdpo.audit(fit, n_bootstrap=200)


@pytest.fixture(scope="module")
def refitted(fit, audit):
    return with_refits(audit, fit, 30, n_workers=1)


def test_types_keep_their_numbers(fit, refitted):
    """Planted types of different sizes: each weight lies within the interval of its own number."""
    low, high = refitted.refit.weights.T
    assert ((low <= fit.weights) & (fit.weights <= high)).all()
    assert refitted.refit.agreement > 0.9


def test_intervals_count_what_holding_types_fixed_leaves_out(refitted):
    """Under the consensus all types lose alike: whom one draws matters little, the types do."""
    for group in refitted.groups:
        again = refitted.refit.group(group.attribute, group.value)
        low, high = group.interval["kl"]["consensus"]
        wide_low, wide_high = again.interval["kl"]["consensus"]
        assert wide_high - wide_low > 2 * (high - low)
        assert wide_low < group.regret["kl"]["consensus"] < wide_high


def test_every_rule_kind_and_group_has_an_interval(audit, refitted):
    refit = refitted.refit
    for kind, by_rule in audit.regret.items():
        assert set(refit.regret[kind]) == set(refit.worst[kind]) == set(by_rule)
        for ends in refit.regret[kind].values():
            assert ends.shape == (3, 2)
            assert (ends[:, 0] <= ends[:, 1]).all()
    names = {(group.attribute, group.value) for group in refit.groups}
    assert names == {(group.attribute, group.value) for group in audit.groups}


def test_attributes_keep_the_order_asked_for(fit):
    table = fit.rankings.users.assign(third=["x", "y", "z"] * 20)
    wider = replace(fit, rankings=replace(fit.rankings, users=table))
    audit = emdpo.audit(wider, ["third", "half"], n_bootstrap=20)
    refit = with_refits(audit, wider, 2, n_workers=1).refit
    assert {each.attribute for each in refit.groups} == {"third", "half", "third \u00d7 half"}


def test_the_same_seed_gives_the_same_with_any_number_of_workers(fit, audit):
    one, two = (with_refits(audit, fit, 4, n_workers=n) for n in (1, 2))
    assert one.refit.to_dict() == two.refit.to_dict()
    other = with_refits(replace(audit, config=replace(audit.config, seed=1)), fit, 4, n_workers=1)
    assert other.refit.to_dict() != one.refit.to_dict()


def test_means_of_groups_and_of_those_outside_by_hand():
    grouping = groupings(pd.DataFrame({"g": ["a", "a", "b"]}, dtype=object), 1)
    drawn = np.array([0, 2, 2, 1])
    resp = np.array([[1.0, 0.0], [0.2, 0.8], [0.4, 0.6], [0.5, 0.5]])
    means, rest = group_means(grouping, drawn, resp)
    np.testing.assert_allclose(means, [[0.75, 0.25], [0.3, 0.7]])
    np.testing.assert_allclose(rest, means[::-1])
    means, _ = group_means(grouping, drawn[:1], resp[:1])
    np.testing.assert_allclose(means, [[1.0, 0.0], [1.0, 0.0]])  # nobody of b: all stand in


def test_it_stops_and_tells_how_far_it_is(fit, audit):
    told = []
    stopped = with_refits(
        audit,
        fit,
        5,
        n_workers=1,
        should_stop=lambda: len(told) == 2,
        on_progress=lambda *n: told.append(n),
    )
    assert stopped is None
    assert told == [(1, 5), (2, 5)]


@pytest.mark.parametrize("n", [1, 10_001])
def test_too_few_or_too_many_are_refused(fit, audit, n):
    with pytest.raises(EmdpoError, match="refits must be from 2 to 10,000"):
        with_refits(audit, fit, n)


def test_json_brings_everything_back(refitted):
    told = json.loads(json.dumps(refitted.refit.to_dict(), allow_nan=False))
    assert RefitAudit.from_dict(told).to_dict() == refitted.refit.to_dict()
    with pytest.raises(RunError, match="damaged"):
        RefitAudit.from_dict({**told, "groups": [{}]})


def test_they_are_kept_for_the_same_fit_and_settings_only(fit, refitted, tmp_path):
    from emdpo.audit_files import save_audit

    save_audit(refitted, tmp_path, fit=fit)
    kept = with_kept_refits(emdpo.audit(fit, n_bootstrap=20), fit, tmp_path)
    assert kept.refit.to_dict() == refitted.refit.to_dict()
    other = emdpo.audit(fit, n_bootstrap=20, confidence=0.9)
    assert with_kept_refits(other, fit, tmp_path).refit is None
    another = replace(fit, data_sha256="0" * 64)
    assert with_kept_refits(emdpo.audit(fit, n_bootstrap=20), another, tmp_path).refit is None


def test_weights_of_one_s_own_cost_only_the_intervals_of_their_own_rule(fit, refitted, tmp_path):
    """Kept, written and read again, then with the weights that they were made for."""
    from emdpo.audit_files import save_audit

    save_audit(refitted, tmp_path, fit=fit)
    weighted = emdpo.audit(fit, n_bootstrap=20, weights=(0.2, 0.3, 0.5))
    for _ in range(2):
        kept = with_kept_refits(weighted, fit, tmp_path)
        again, before = kept.refit, refitted.refit
        assert tuple(again.worst["share"]) == weighted.rules
        assert again.worst["share"]["pooled"] == before.worst["share"]["pooled"]
        assert np.isnan(again.worst["share"]["given"]).all()
        assert np.isnan(again.regret["kl"]["given"]).all()
        for group, old in zip(again.groups, before.groups, strict=True):
            assert group.interval["kl"]["pooled"] == old.interval["kl"]["pooled"]
            assert np.isnan(group.above_rest_interval["share"]["given"]).all()
        save_audit(kept, tmp_path, fit=fit)
    whole = with_refits(weighted, fit, 2, n_workers=1)
    save_audit(whole, tmp_path, fit=fit)
    again = with_kept_refits(weighted, fit, tmp_path).refit
    assert np.isfinite(again.worst["share"]["given"]).all()
    other = emdpo.audit(fit, n_bootstrap=20, weights=(0.5, 0.3, 0.2))
    assert np.isnan(with_kept_refits(other, fit, tmp_path).refit.worst["share"]["given"]).all()
    plain = emdpo.audit(fit, n_bootstrap=20)
    assert "given" not in with_kept_refits(plain, fit, tmp_path).refit.worst["share"]
