"""The comparison of methods: its figures by hand, what it leaves out, and how it is told."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd
import pytest

import emdpo
from emdpo.cli import main
from emdpo.core.errors import EmdpoError
from emdpo.core.features import build_features
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.head_to_head.engine import KNOWN, compare
from emdpo.head_to_head.simulations import Simulation, simulate
from emdpo.head_to_head.splits import make_split
from emdpo.head_to_head.telling import assumptions, comparison_text, markdown, wide_table
from emdpo.methods.base import Problem
from emdpo.methods.dpo import DPO
from emdpo.methods.registry import METHODS

FEW = ("reference", "dpo", "cluster_dpo", "group_dpo", "known_types")
PLANTED = Simulation(
    n_types=2, n_users=100, answers=6, length=3, n_prompts=20, n_features=3, strength=2.0
)


@pytest.fixture(scope="module")
def drawn():
    return simulate(PLANTED, 3)


@pytest.fixture(scope="module")
def found(drawn):
    return compare(drawn.panel, FEW, planted=drawn, n_bootstrap=200)


def rows_of(found, **wanted):
    return [
        each
        for each in found.measures
        if all(getattr(each, name) == value for name, value in wanted.items())
    ]


def test_every_method_is_measured_on_every_part(found):
    parts = {(each.users, each.known) for each in found.measures}
    assert parts == {("seen", None), ("new", 0), ("new", 1), ("new", 2)}  # half of six are known
    assert len(found.measures) == len(FEW) * 3 * len(parts)
    assert found.methods == list(FEW) and found.baseline == "dpo"
    assert max(KNOWN) == 8


def test_the_log_loss_of_dpo_by_hand(found, drawn):
    """The same split, the setting chosen, and a plain mean over the test rankings."""
    panel = drawn.panel
    split = make_split(panel, 0.25, np.random.default_rng([0, 0]))
    train = panel.select(split.train, drop_users=True)
    facts = next(each for each in found.facts if each.method == "dpo")
    features = build_features(train, "auto")
    scores = DPO(**facts.setting).fit(Problem(train, features)).scores
    for users, part in (("seen", split.test), ("new", split.new_test)):
        test = panel.select(part)
        loss = -log_likelihoods(test.stages, scores[None, test.candidate])[0]
        row, *_ = rows_of(found, users=users, method="dpo", measure="log_loss")
        assert row.mean == pytest.approx(loss.mean())
        assert (row.n_rankings, row.n_users) == (test.n_rankings, len(np.unique(test.user)))
        assert row.above == 0.0 and row.above_interval == (0.0, 0.0)
    loss_of = {}
    for setting in DPO.grid():
        scores = setting.fit(Problem(train, features)).scores
        test = panel.select(split.validation)
        loss_of[setting.l2] = -log_likelihoods(test.stages, scores[None, test.candidate])[0].mean()
    assert facts.setting["l2"] == min(loss_of, key=loss_of.__getitem__)
    assert facts.validation_loss == pytest.approx(min(loss_of.values()))


def test_no_tuning_loses_log_of_the_orders(found):
    for row in rows_of(found, method="reference", measure="log_loss"):
        assert row.mean == pytest.approx(np.log(6)) and row.interval == pytest.approx(
            (np.log(6), np.log(6))
        )
    facts = found.facts[0]
    assert facts.regret_worst == pytest.approx(1.0) and facts.worst_type == pytest.approx(0.0)


def test_knowing_more_of_a_new_user_helps_where_types_are_planted(found):
    loss = {
        row.known: row.mean
        for row in rows_of(found, users="new", method="known_types", measure="log_loss")
    }
    assert loss[0] > loss[1] > loss[2]
    oracle = found.facts[-1]
    assert oracle.ari is not None and oracle.ari > 0.8
    assert not rows_of(found, known=2, method="reference", measure="log_loss")[0].is_among_best
    assert rows_of(found, known=2, method="known_types", measure="log_loss")[0].is_among_best


def test_differences_are_paired_with_the_baseline(found):
    for known in (None, 0, 1, 2):
        rows = rows_of(found, known=known, measure="accuracy")
        base = next(row for row in rows if row.method == "dpo")
        for row in rows:
            assert row.above == pytest.approx(row.mean - base.mean)
            assert row.above_interval[0] <= row.above + 1e-12
            assert row.above <= row.above_interval[1] + 1e-12


def test_methods_that_do_not_apply_are_left_out_or_refused(drawn):
    nobody = replace(drawn.panel, users=drawn.panel.users.iloc[:, :0])
    with pytest.raises(EmdpoError, match="observed group"):
        compare(nobody, ["group_dpo"])
    with pytest.raises(EmdpoError, match="simulations"):
        compare(nobody, ["known_types"])
    found = compare(nobody, ["dpo", "group_dpo"], leave_out=True, n_bootstrap=5)
    assert found.methods == ["dpo"] and "observed group" in found.left_out["group_dpo"]
    with pytest.raises(EmdpoError, match="observed group"):
        compare(nobody, ["group_dpo"], leave_out=True)
    with pytest.raises(EmdpoError, match="no attribute 'age'"):
        compare(drawn.panel, ["dpo"], group="age")
    with pytest.raises(EmdpoError, match="no method 'ppo'"):
        compare(drawn.panel, ["ppo"])


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"new_share": 1.0}, "new_share"),
        ({"n_bootstrap": 0}, "n_bootstrap"),
        ({"min_group": 0}, "min_group"),
        ({"cut": 1}, "cut must be at least 2"),
        ({"features": "pixels"}, "features must be"),
    ],
)
def test_settings_out_of_range(drawn, settings, message):
    with pytest.raises(EmdpoError, match=message):
        compare(drawn.panel, ["dpo"], **settings)


def test_people_who_ranked_once_can_be_known_by_a_part_of_their_list():
    drawn = simulate(replace(PLANTED, answers=1, length=6, n_prompts=1), 0)
    told = {
        cut: {each.known for each in compare(drawn.panel, ["dpo"], cut=cut).measures}
        for cut in (None, 3, 2)
    }
    assert told == {None: {0}, 3: {None, 0, 1}, 2: {None, 0, 1}}


class Backwards:
    """A method of one's own: the opposite of DPO."""

    name, source, assumes, changed = "backwards", "none", "people prefer the worst", "nothing"

    @classmethod
    def grid(cls):
        return [OwnSetting(DPO(1.0)), OwnSetting(DPO(10.0))]


@dataclass(frozen=True)
class OwnSetting(Backwards):
    as_dpo: DPO

    def fit(self, problem):
        fitted = self.as_dpo.fit(problem)
        return replace(fitted, scores=-fitted.scores)


def test_a_method_of_one_s_own_is_compared(drawn):
    own = compare(drawn.panel, ["reference", "dpo", Backwards])
    assert own.methods == ["reference", "dpo", "backwards"]
    rows = rows_of(own, users="new", known=0, measure="log_loss")
    dpo, backwards = (next(r for r in rows if r.method == name) for name in own.methods[1:])
    assert backwards.mean > np.log(6) > dpo.mean


def test_too_few_users():
    few = simulate(Simulation(n_users=8, answers=3), 0).panel
    with pytest.raises(EmdpoError, match="too few users to compare methods: 2 new ones"):
        compare(few, ["dpo"])


def test_the_same_seed_gives_the_same_figures(found, drawn):
    again = compare(drawn.panel, FEW, planted=drawn, n_bootstrap=200)
    assert again.measures == found.measures
    other = compare(drawn.panel, FEW, planted=drawn, n_bootstrap=200, seed=1)
    assert other.measures != found.measures


def test_tables_and_text(found):
    text = comparison_text(found)
    assert "new, 2 known" in text and "known_types" in text and "missing: VPL" in text
    table = wide_table(found, "log_loss", intervals=True)
    assert table.loc["reference", "new, 0 known"].startswith("1.792 [1.792, 1.792]")
    lines = markdown(pd.DataFrame({"a": ["x|y"], "b": [None]})).splitlines()
    assert lines == ["| a | b |", "| --- | --- |", "| x\\|y | - |"]
    assert list(assumptions()["method"]) == list(METHODS)
    as_json = json.dumps(found.to_dict(), allow_nan=False)
    assert json.loads(as_json)["facts"][0]["method"] == "reference"
    assert set(found.table("tau")["method"]) == set(FEW) == set(found.fact_table()["method"])


def test_the_command(capsys):
    file = "assets/demo/classroom.csv"
    few = ["--methods", "reference,dpo", "--bootstrap", "50"]
    assert main(["compare", file, *few]) == 0
    shown = capsys.readouterr().out
    assert "log-loss, nats a ranking" in shown and "dpo" in shown
    assert main(["compare", file, *few, "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    same = emdpo.compare(emdpo.load(file), ["reference", "dpo"], n_bootstrap=50)
    assert told["measures"] == json.loads(json.dumps(same.to_dict()))["measures"]
    assert main(["compare", file, "--methods", "ppo"]) == 2
    assert capsys.readouterr().err.startswith("error: no method 'ppo'")
    assert main(["compare", "none.csv"]) == 2
    assert capsys.readouterr().err == "error: none.csv: no such file\n"
