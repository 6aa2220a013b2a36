"""Regrets of any blend: those of the definitions, those of the audit, and honest intervals."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from emdpo.core.audit import KINDS, AuditConfig, audit_types
from emdpo.core.blends import GroupMoments, blend_regret, blended, group_moments, yardstick
from emdpo.core.regret import log_normalise, log_policies, regret_table
from emdpo.core.rules import FORMS

BETA = 0.5
EVERYBODY = np.ones(3, bool)
PREVALENCE = np.array([0.6, 0.3, 0.1])
WEIGHTS = np.array([0.2, 0.5, 0.3])
NOBODY = GroupMoments(np.zeros(0, int), np.zeros((0, 3)), np.zeros((0, 3, 3)))


def shuffled_panel(seed=0, n_prompts=7):
    """Scores of three types; the rows of prompts of 2 to 5 candidates are shuffled."""
    rng = np.random.default_rng(seed)
    prompt = rng.permutation(np.repeat(np.arange(n_prompts), rng.integers(2, 6, n_prompts)))
    return rng.normal(size=(3, len(prompt))), prompt


def judged(scores, prompt, form="mixture", weights=WEIGHTS, groups=NOBODY, **settings):
    scale = yardstick(scores, prompt, BETA)
    occupied = settings.pop("occupied", EVERYBODY)
    return blend_regret(scale, form, weights, PREVALENCE, occupied, groups, **settings)


@pytest.mark.parametrize("form", FORMS)
def test_every_kind_is_the_regret_of_the_definition(form):
    """The blend is made afresh in the rows' own order and judged by `regret_table`."""
    scores, prompt = shuffled_panel()
    log_types = log_policies(scores, prompt, BETA)
    policy = WEIGHTS @ np.exp(log_types)
    if form == "consensus":
        policy = np.exp(log_normalise(WEIGHTS @ log_types, prompt))
    expected, found = regret_table(scores, policy[None], prompt, BETA), judged(scores, prompt, form)
    for kind in KINDS:
        values = getattr(expected, kind)[:, 0]
        np.testing.assert_allclose(found.types[kind], values, atol=1e-12)
        assert found.worst[kind] == pytest.approx(values.max())
        assert found.mean[kind] == pytest.approx(PREVALENCE @ values)


def test_one_type_alone_is_its_own_policy_in_either_form():
    scores, prompt = shuffled_panel()
    for form in FORMS:
        found = judged(scores, prompt, form, np.array([0.0, 1.0, 0.0]))
        for kind in KINDS:
            assert found.types[kind][1] == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("rule", ["mixture", "consensus", "prevalence", "type-2"])
def test_types_and_groups_lose_what_the_audit_says(rule):
    """One source of truth: with a rule's own weights the slider shows the audit's figures."""
    scores, prompt = shuffled_panel(1)
    responsibilities = np.random.default_rng(1).dirichlet([3, 2, 1], 250)
    ages = np.repeat(np.array(["old", "young"], object), [100, 150])
    audit = audit_types(
        scores,
        scores.mean(axis=0),
        prompt,
        responsibilities,
        PREVALENCE,
        BETA,
        pd.DataFrame({"age": ages}),
        AuditConfig(n_bootstrap=2000),
    )
    groups = group_moments(responsibilities, [ages == "old", ages == "young"])
    form = "consensus" if rule == "consensus" else "mixture"
    found = judged(scores, prompt, form, audit.weights[rule], groups)
    for kind in KINDS:
        np.testing.assert_allclose(found.types[kind], audit.regret[kind][rule], atol=1e-9)
        for g, group in enumerate(audit.groups[:2]):
            assert found.groups[kind][g] == pytest.approx(group.regret[kind][rule], abs=1e-9)
            low, high = group.interval[kind][rule]  # by bootstrap: a tenth of its width off
            expected = pytest.approx([low, high], abs=0.1 * (high - low) + 1e-9)
            assert found.group_interval[kind][g] == expected


def test_a_group_s_interval_is_that_of_its_users_regrets():
    """Each user's own regret is sum_k r_ik R_k; SciPy's t-interval of their mean."""
    scores, prompt = shuffled_panel(2)
    users = np.random.default_rng(2).dirichlet([2, 1, 1], 12)
    groups = group_moments(users, [np.arange(12) < 12, np.arange(12) < 2])
    found = judged(scores, prompt, groups=groups, confidence=0.9)
    assert groups.n.tolist() == [12, 2]
    for kind in KINDS:
        for g, n in enumerate(groups.n):
            each = users[:n] @ found.types[kind]
            expected = stats.t.interval(0.9, n - 1, each.mean(), stats.sem(each))
            np.testing.assert_allclose(found.group_interval[kind][g], expected, atol=1e-12)


def test_a_type_s_interval_is_over_prompts():
    scores, prompt = shuffled_panel(3)
    found = judged(scores, prompt)
    mixed = WEIGHTS @ np.exp(log_policies(scores, prompt, BETA))
    each = []
    for p in range(7):
        here = prompt == p
        codes = np.zeros(here.sum(), int)
        each.append(regret_table(scores[:, here], mixed[None, here], codes, BETA))
    for kind in ("plain", "kl", "preference"):
        values = np.array([getattr(table, kind)[:, 0] for table in each])  # (P, K)
        expected = stats.t.interval(0.95, 6, values.mean(axis=0), stats.sem(values))
        np.testing.assert_allclose(found.type_interval[kind], np.transpose(expected), atol=1e-12)


def test_the_interval_of_a_share_is_that_of_a_ratio_of_means():
    """With many prompts, as wide as percentiles over prompts drawn again (2,000 draws)."""
    scores, prompt = shuffled_panel(4, n_prompts=300)
    found = judged(scores, prompt)
    scale = yardstick(scores, prompt, BETA)
    gain = scale.value_own - scale.value_reference
    mixed = blended(scale, "mixture", WEIGHTS)
    value = np.add.reduceat(mixed * scale.scores, scale.starts, axis=-1)
    counts = np.random.default_rng(0).multinomial(300, np.full(300, 1 / 300), size=2000)
    draws = (counts @ (scale.value_own - value).T) / (counts @ gain.T)  # (B, K)
    expected = np.quantile(draws, (0.025, 0.975), axis=0).T
    width = np.diff(expected)[:, 0]
    assert (np.abs(found.type_interval["share"] - expected) < 0.1 * width[:, None]).all()


def test_one_prompt_has_no_interval_over_prompts():
    scores, _ = shuffled_panel(5)
    found = judged(scores, np.full(scores.shape[1], 3))
    for kind in KINDS:
        assert np.isnan(found.type_interval[kind]).all()
        assert np.isfinite(found.types[kind]).all()


def test_an_indifferent_type_has_no_share():
    scores, prompt = shuffled_panel(6)
    scores[1] = 0.0
    groups = group_moments(np.full((4, 3), 1 / 3), [np.ones(4, bool)])
    found = judged(scores, prompt, groups=groups)
    assert np.isnan(found.types["share"][1]) and np.isnan(found.type_interval["share"][1]).all()
    assert np.isnan(found.worst["share"]) and np.isnan(found.groups["share"]).all()
    assert np.isfinite(found.groups["plain"]).all()


def test_a_type_without_users_counts_nothing():
    scores, prompt = shuffled_panel(7)
    groups = group_moments(np.full((4, 3), 1 / 3), [np.ones(4, bool)])
    held = np.array([True, True, False])
    found = judged(scores, prompt, groups=groups, occupied=held)
    for kind in KINDS:
        values = found.types[kind]
        assert found.worst[kind] == values[:2].max()
        assert found.mean[kind] == pytest.approx(PREVALENCE[:2] @ values[:2])
        assert found.groups[kind][0] == pytest.approx(values[:2].sum() / 3)


@pytest.mark.parametrize("weights", [[0.5, 0.6, 0.0], [1.5, -0.5, 0.0], [np.nan, 0.5, 0.5]])
@pytest.mark.parametrize("form", FORMS)
def test_what_are_no_weights_is_refused(form, weights):
    with pytest.raises(ValueError, match="sum to 1"):
        judged(*shuffled_panel(), form, np.array(weights))


def test_another_form_is_refused():
    with pytest.raises(ValueError, match="form must be one of mixture, consensus, got 'median'"):
        judged(*shuffled_panel(), "median")
