"""A run that can be asked what other weights would do: it agrees with its audit."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from panels import planted_table

import emdpo
from emdpo.core.audit import KINDS
from emdpo.what_if import what_if


@pytest.fixture(scope="module")
def fit():
    """Two groups of age beside each other and, crossed with them, a small region."""
    table = planted_table(n_users=48)
    number = table["user_id"].str[1:].astype(int)
    table["region"] = np.where(number < 4, "tiny", "large")
    return emdpo.fit(emdpo.load(table), 3, restarts=2)


@pytest.fixture(scope="module")
def audit(fit):
    return emdpo.audit(fit, n_bootstrap=1000, weights=(0.2, 0.3, 0.5), weights_form="consensus")


def test_every_rule_that_is_a_blend_loses_what_the_audit_says(fit, audit):
    what = what_if(fit, audit)
    starts = what.starts()
    assert set(audit.rules) - set(starts) <= {"pooled", "lottery", "nash"}
    assert starts["consensus"][0] == starts["given"][0] == "consensus"
    assert starts["mixture"][0] == starts["type-1"][0] == "mixture"
    for rule, (form, weights) in starts.items():
        found = what.regret(form, weights)
        for kind in KINDS:
            np.testing.assert_allclose(found.types[kind], audit.regret[kind][rule], atol=1e-9)
            assert found.worst[kind] == pytest.approx(audit.worst(kind)[rule], abs=1e-9)
            assert found.mean[kind] == pytest.approx(audit.mean(kind)[rule], abs=1e-9)
            expected = [group.regret[kind][rule] for group in audit.groups]
            np.testing.assert_allclose(found.groups[kind], expected, atol=1e-9)


def test_groups_are_those_of_the_audit_and_hidden_ones_stay_hidden(fit, audit):
    what = what_if(fit, audit)
    shown = {(group.attribute, group.value) for group in audit.groups}
    assert audit.suppressed and ("region", "tiny") not in shown
    assert what.moments.n.tolist() == [group.n for group in audit.groups]
    assert min(what.moments.n) >= audit.config.min_group
    np.testing.assert_allclose(what.moments.mean, [group.type_shares for group in audit.groups])


def test_every_kind_has_its_curve_and_the_audit_s_rules_lie_on_or_above_it(fit, audit):
    what = what_if(fit, audit)
    for kind, form in (("share", "mixture"), ("plain", "mixture"), ("kl", "consensus")):
        curve = what.curve(kind)
        assert curve.form == form and curve is what.curve(kind)
        found = what.regret(form, curve.at(1.0))
        assert found.worst[kind] == pytest.approx(curve.worst[-1], rel=1e-6)
        found = what.regret(form, curve.at(0.0))
        assert found.mean[kind] == pytest.approx(curve.mean[0], rel=1e-6)
        below = curve.duality_gap + 1e-6
        for rule in audit.rules:
            if form == "consensus" or rule in ("uniform", "prevalence", "maximin", "mixture"):
                bound = max(audit.worst(kind)[rule], curve.worst[-1])
                assert audit.mean(kind)[rule] >= curve.least_mean(bound) - 30 * below, rule
    assert what.curve("clipped") is None


def test_a_type_without_users_gets_no_weight_and_its_rule_is_no_start(fit, audit):
    """Types of 30, 18 and 0 users: the third is in no curve, and no slider can start from it."""
    from dataclasses import replace

    shares = np.array([30, 18, 0]) / 48
    resp = np.zeros((48, 3))
    resp[np.arange(48), np.repeat([0, 1], [30, 18])] = 1.0
    emptied = replace(fit, weights=shares, responsibilities=resp)
    what = what_if(emptied, emdpo.audit(emptied, n_bootstrap=5))
    assert "type-3" not in what.starts() and "type-2" in what.starts()
    for kind in ("share", "kl"):
        assert (what.curve(kind).weights[:, 2] == 0).all()
    assert what.curve("kl").mean[0] == pytest.approx(
        what.regret("consensus", shares).mean["kl"], rel=1e-6
    )


def test_a_run_without_groups_can_be_asked_too():
    table = planted_table(n_users=12).drop(columns="age")
    fit = emdpo.fit(emdpo.load(pd.DataFrame(table)), 2, restarts=1)
    found = what_if(fit, emdpo.audit(fit, n_bootstrap=5)).regret("mixture", np.array([0.5, 0.5]))
    assert found.groups["kl"].shape == (0,) and np.isfinite(found.types["kl"]).all()
