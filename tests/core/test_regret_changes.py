"""Regrets of two fits, against the audit of each and against brute force."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emdpo.core.audit import KINDS, AuditConfig, audit_types
from emdpo.core.groups import groupings
from emdpo.core.regret import regret_table
from emdpo.core.regret_changes import BY_GROUP, JudgedFit, no_changes, regret_changes
from emdpo.core.rules import rule_policies

PROMPT = np.array([0, 0, 0, 1, 1, 2, 2, 2])
BETA = 0.5


def judged(n_types, seed, n=40, empty=False):
    rng = np.random.default_rng(seed)
    resp = rng.dirichlet(np.full(n_types, 0.4), size=n)
    scores = rng.normal(size=(n_types, len(PROMPT)))
    pooled = scores.mean(axis=0)
    if empty:
        resp = np.hstack([resp, np.zeros((n, 1))])
        scores = np.vstack([scores, np.zeros(len(PROMPT))])
    return JudgedFit(scores, pooled, resp, resp.mean(axis=0), n, BETA)


@pytest.fixture(scope="module")
def attributes():
    values = ["young"] * 25 + ["old"] * 11 + [None] * 4
    return pd.DataFrame({"age": values}, dtype=object)


def changes(a, b, pairs=((0, 0), (1, 1)), attributes=None, n_bootstrap=100):
    groups = [] if attributes is None else groupings(attributes, 10, crossed=False)
    return regret_changes(
        a,
        b,
        PROMPT,
        pairs,
        groups,
        n_bootstrap=n_bootstrap,
        confidence=0.95,
        rng=np.random.default_rng(0),
    )


def value(table, column, **about):
    for name, wanted in about.items():
        table = table[table[name] == wanted]
    assert len(table) == 1
    return table[column].item()


def test_each_run_judging_itself_gives_its_own_audit(attributes):
    """The audit's worst, mean and group regrets are those of the two columns."""
    a, b = judged(2, 0), judged(3, 1)
    told = changes(a, b, attributes=attributes)
    for fit, column in ((a, "value_a"), (b, "value_b")):
        audit = audit_types(
            fit.scores,
            fit.pooled,
            PROMPT,
            fit.responsibilities,
            fit.prevalence,
            BETA,
            attributes,
            AuditConfig(n_bootstrap=10),
        )
        for kind in KINDS:
            for rule in told.rules:
                about = {"judged_by": "own", "kind": kind, "rule": rule}
                worst = value(told.overall, column, statistic="worst", **about)
                assert worst == pytest.approx(audit.worst(kind)[rule])
                mean = value(told.overall, column, statistic="mean", **about)
                assert mean == pytest.approx(audit.mean(kind)[rule])
                for group in audit.groups:
                    shown = value(told.by_group, column, value=group.value, **about)
                    assert shown == pytest.approx(group.regret[kind][rule])


def test_one_run_judging_both_by_brute_force():
    """A's types judge B's rules: regret of each type under each policy, averaged over users."""
    a, b = judged(2, 0), judged(3, 1)
    told = changes(a, b)
    rules, _ = rule_policies(b.scores, b.pooled, b.prevalence, PROMPT, BETA)
    for rule in told.rules:
        table = regret_table(a.scores, rules[rule].policy[None], PROMPT, BETA)
        for kind in KINDS:
            by_type = getattr(table, kind)[:, 0]
            mean = np.mean([user @ by_type for user in a.responsibilities])
            about = {"judged_by": "a", "kind": kind, "rule": rule}
            assert value(told.overall, "value_b", statistic="mean", **about) == pytest.approx(mean)
            worst = value(told.overall, "value_b", statistic="worst", **about)
            assert worst == pytest.approx(by_type.max())


def test_equal_fits_differ_in_nothing(attributes):
    a = judged(3, 2)
    told = changes(a, a, ((0, 0), (1, 1), (2, 2)), attributes)
    for table in (told.overall, told.by_type, told.by_group):
        assert len(table) and (table["difference"] == 0).all()
    means = told.overall[told.overall["statistic"] == "mean"]
    assert (means[["low", "high"]] == 0).all(axis=None)


def test_renumbered_types_change_nothing():
    """Optimised rules agree as far as their programmes are solved."""
    a, order = judged(3, 2), [2, 0, 1]
    b = JudgedFit(
        a.scores[order],
        a.pooled,
        a.responsibilities[:, order],
        a.prevalence[order],
        a.n_users,
        BETA,
    )
    told = changes(a, b, ((0, 1), (1, 2), (2, 0)))
    assert told.overall["difference"].abs().max() < 1e-4
    assert told.by_type["difference"].abs().max() < 1e-4


def test_matched_types_judge_their_own_rules():
    a, b = judged(2, 0), judged(3, 1)
    told = changes(a, b, ((0, 2), (1, 0)))
    rules, _ = rule_policies(b.scores, b.pooled, b.prevalence, PROMPT, BETA)
    table = regret_table(b.scores, rules["uniform"].policy[None], PROMPT, BETA)
    shown = value(told.by_type, "value_b", type_a=1, type_b=3, kind="kl", rule="uniform")
    assert shown == pytest.approx(table.kl[2, 0])


def test_intervals_of_differences_are_paired():
    """Both fits draw the same users: the interval is that of each user's difference of regret."""
    a, b = judged(2, 0, n=300), judged(3, 1, n=300)
    told = changes(a, b, n_bootstrap=4000)
    tables = []
    for fit in (a, b):
        rules, _ = rule_policies(fit.scores, fit.pooled, fit.prevalence, PROMPT, BETA)
        table = regret_table(fit.scores, rules["consensus"].policy[None], PROMPT, BETA)
        tables.append(fit.responsibilities @ table.kl[:, 0])
    by_user = tables[1] - tables[0]
    half = 1.96 * by_user.std() / np.sqrt(300)
    about = {"judged_by": "own", "kind": "kl", "rule": "consensus", "statistic": "mean"}
    ends = [value(told.overall, name, **about) for name in ("low", "high")]
    assert ends == pytest.approx([by_user.mean() - half, by_user.mean() + half], rel=0.05)
    assert np.isnan(value(told.overall, "low", **about | {"statistic": "worst"}))


def test_types_without_users_neither_lose_nor_make_rules():
    full, empty = judged(2, 3), judged(2, 3, empty=True)
    told = changes(full, empty)
    own = told.overall[told.overall["judged_by"] == "own"]
    assert np.isfinite(own["difference"]).all()
    assert own["difference"].abs().max() < 1e-9


def test_small_groups_are_not_shown(attributes):
    """Four users have no age: too few; so the next smallest group, of eleven, is hidden, too."""
    told = changes(judged(2, 0), judged(3, 1), attributes=attributes)
    assert set(told.by_group["value"]) == {"young"} and set(told.by_group["n"]) == {25}


def test_without_shared_answers_there_are_no_changes():
    assert no_changes().by_group.columns.tolist() == BY_GROUP and not len(no_changes().overall)
