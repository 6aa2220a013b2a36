"""Intervals over populations against SciPy's paired t-test."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import ttest_rel

from emdpo.core.errors import EmdpoError
from emdpo.head_to_head.engine import compare
from emdpo.head_to_head.replications import mean_facts, replicated
from emdpo.head_to_head.simulations import Simulation, simulate

SMALL = Simulation(
    n_types=2, n_users=60, answers=4, length=3, n_prompts=20, n_features=3, strength=2.0
)
FEW = ("reference", "dpo", "cluster_dpo", "known_types")


@pytest.fixture(scope="module")
def found():
    drawn = [simulate(SMALL, seed) for seed in range(4)]
    return [compare(each.panel, FEW, planted=each, n_bootstrap=1) for each in drawn]


@pytest.mark.parametrize("measure", ["log_loss", "tau"])
def test_means_and_intervals_are_those_of_the_paired_t_test(found, measure):
    table = replicated(found, measure).set_index(["users", "known", "method"])
    values = {
        name: [
            next(
                row.mean
                for row in each.measures
                if (row.users, row.known, row.measure, row.method) == ("new", 2, measure, name)
            )
            for each in found
        ]
        for name in FEW
    }
    for name in FEW:
        row = table.loc[("new", 2, name)]
        assert row["mean"] == pytest.approx(np.mean(values[name]))
        assert row.above == pytest.approx(np.mean(values[name]) - np.mean(values["dpo"]))
        if name != "dpo":
            interval = ttest_rel(values[name], values["dpo"]).confidence_interval(0.95)
            assert (row.above_low, row.above_high) == pytest.approx(tuple(interval))
    assert not table.loc[("new", 2, "reference")].is_among_best
    assert table.loc[("new", 2, "known_types")].is_among_best


def test_seen_users_have_no_number_known_and_facts_are_means(found):
    table = replicated(found)
    assert table[table.users == "seen"].known.isna().all()
    assert list(table[table.users == "new"].known.unique()) == [0, 1, 2]
    facts = mean_facts(found).set_index("method")
    each = [next(f for f in one.facts if f.method == "known_types") for one in found]
    assert facts.ari["known_types"] == pytest.approx(np.mean([f.ari for f in each]))
    assert np.isnan(facts.ari["dpo"])


def test_what_cannot_be_pooled(found):
    with pytest.raises(EmdpoError, match="at least 2 comparisons are needed, got 1"):
        replicated(found[:1])
    other = compare(simulate(SMALL, 9).panel, ["reference"], n_bootstrap=1)
    with pytest.raises(EmdpoError, match="different baselines: dpo, reference"):
        replicated([*found, other])
