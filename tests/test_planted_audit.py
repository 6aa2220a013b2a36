"""The audit on planted truth: a minority left behind, and groups that are alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy.stats import binom

import emdpo
from emdpo.core.findings import findings

FEATURES = ["x_0", "x_1", "x_2"]
MAJORITY, MINORITY = np.array([1.0, 1.0, 0.6]), np.array([1.0, -1.2, 0.2])
"""Both like x_0; x_1 divides them."""


def study(n_users, share, group_shares, seed, answers=8, length=4):
    """Return rankings of users of groups a, b; in group g each is of the minority by its share."""
    rng = np.random.default_rng(seed)
    n_second = round(share * n_users)
    group = np.repeat(list(group_shares), [n_users - n_second, n_second])
    kind = (rng.random(n_users) < np.array([group_shares[g] for g in group])).astype(int)
    shown = rng.normal(size=(30, length, 3))
    prompt = np.array([rng.choice(30, answers, replace=False) for _ in range(n_users)])
    utility = np.einsum("namd,nd->nam", shown[prompt], np.stack([MAJORITY, MINORITY])[kind])
    rank = (-(utility + rng.gumbel(size=utility.shape))).argsort(2).argsort(2) + 1
    table = pd.DataFrame(shown[prompt].reshape(-1, 3), columns=FEATURES).assign(
        user_id=np.repeat([f"u{i}" for i in range(n_users)], answers * length),
        prompt=np.repeat([f"q{p}" for p in prompt.ravel()], length),
        response=[f"a{p}-{m}" for p in prompt.ravel() for m in range(length)],
        rank=rank.ravel(),
    )
    users = pd.DataFrame({"user_id": [f"u{i}" for i in range(n_users)], "group": group})
    return emdpo.load(table, users=users)


@pytest.fixture(scope="module")
def audit():
    """400 users; all of group b, 15%, and nobody else want the opposite of x_1."""
    panel = study(400, 0.15, {"a": 0.0, "b": 1.0}, seed=0)
    return emdpo.audit(emdpo.fit(panel, 2, features="columns", beta=1.0, restarts=4))


def test_pooled_dpo_leaves_a_minority_of_15_percent_behind(audit):
    """The minority loses more than twice what people lose on average."""
    assert audit.prevalence[1] == pytest.approx(0.15, abs=0.03)
    assert audit.worst("share")["pooled"] == audit.regret["share"]["pooled"][1]
    assert audit.worst_to_mean("share")["pooled"] > 2
    assert audit.worst("share")["pooled"] > 0.7


@pytest.mark.parametrize("rule", ["mixture", "consensus"])
def test_min_max_regret_takes_at_least_a_third_off_the_worst_share(audit, rule):
    assert audit.worst("share")[rule] < audit.worst("share")["pooled"] * 2 / 3


def test_the_minority_is_found_and_so_is_what_it_costs_the_majority(audit):
    first, *others = findings(audit)
    assert first.kind == "group"
    assert "people with group b" in first.text
    assert first.p_value < 0.002
    assert "cost" in {finding.kind for finding in others}


def test_where_groups_are_alike_the_audit_stays_silent():
    """40 studies whose two groups have the same types: at 95% silent, 34 or more are.

    scripts/audit_coverage.py does the same with 200 (docs/coverage.md).
    """
    silent = 0
    for seed in range(40):
        panel = study(120, 0.4, {"a": 0.3, "b": 0.3}, seed, answers=5, length=3)
        fit = emdpo.fit(panel, 2, features="columns", beta=1.0, restarts=1)
        told = findings(emdpo.audit(fit, n_bootstrap=200))
        silent += not any(finding.kind in ("group", "cost", "uncertain") for finding in told)
    least = binom.ppf(0.01, 40, 0.95)
    assert silent >= least
