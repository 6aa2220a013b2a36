"""Policies that emdpo did not train: read, checked, judged like any rule, by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from panels import planted

import emdpo
from emdpo.cli import main
from emdpo.core.errors import DataError, EmdpoError
from emdpo.outside import outside_policies, read_policies


@pytest.fixture(scope="module")
def fit():
    return emdpo.fit(planted(), 2, restarts=2)


def table_of(fit, **columns):
    prompts = fit.rankings.prompts["prompt_id"].to_numpy(object)
    ids = {"prompt_id": prompts[fit.rankings.candidate_prompt]}
    ids["response_id"] = fit.rankings.candidates["response_id"].to_numpy(object)
    return pd.DataFrame({**ids, **columns})


def uniform(fit):
    prompt = fit.rankings.candidate_prompt
    return 1 / np.bincount(prompt)[prompt]


def test_the_untuned_model_given_from_outside_has_a_share_of_one(fit):
    """The reference is uniform over a prompt's candidates: 100% of the gain is lost by all."""
    audit = emdpo.audit(fit, policies={"untuned": uniform(fit)}, n_bootstrap=20)
    assert audit.rules[-1] == "untuned"
    assert audit.regret["share"]["untuned"] == pytest.approx(np.ones(2))
    assert audit.to_dict()["outside"] == ["untuned"]


def test_a_types_own_policy_given_from_outside_is_judged_as_the_type(fit):
    own = emdpo.audit(fit, n_bootstrap=20)
    audit = emdpo.audit(fit, policies={"copy": own.policies["type-2"]}, n_bootstrap=20)
    for kind in audit.regret:
        assert audit.regret[kind]["copy"] == pytest.approx(own.regret[kind]["type-2"], abs=1e-12)
    for group in audit.groups:
        assert group.regret["kl"]["copy"] == pytest.approx(group.regret["kl"]["type-2"])


def test_a_table_in_any_order_is_the_same(fit):
    policy = np.random.default_rng(0).dirichlet(np.ones(4), fit.rankings.n_prompts).ravel()
    table = table_of(fit, mine=policy, other=uniform(fit)).sample(frac=1, random_state=1)
    found = outside_policies(fit.rankings, table)
    assert list(found) == ["mine", "other"]
    np.testing.assert_allclose(found["mine"], policy)


def refused(fit, policies):
    with pytest.raises(EmdpoError) as error:
        outside_policies(fit.rankings, policies)
    return str(error.value)


def test_what_is_no_policy_is_refused(fit):
    good = uniform(fit)
    assert "sums to 0.5 over prompt_id" in refused(fit, {"mine": good / 2})
    assert "a value that is no probability" in refused(fit, {"mine": good - 1})
    assert "a value that is no probability" in refused(fit, {"mine": np.full_like(good, np.nan)})
    assert "one a candidate, got shape (3,)" in refused(fit, {"mine": [0.5, 0.3, 0.2]})
    assert "values that are no numbers" in refused(fit, {"mine": ["a"] * len(good)})


@pytest.mark.parametrize("name", ["pooled", "lottery", "type-1", " ", "given"])
def test_names_of_rules_are_taken(fit, name):
    assert "that is an aggregation rule" in refused(fit, {name: uniform(fit)})


def test_tables_that_do_not_fit_are_refused(fit):
    table = table_of(fit, mine=uniform(fit))
    assert "no row for response_id" in refused(fit, table.iloc[1:])
    assert "twice" in refused(fit, pd.concat([table, table.iloc[:1]]))
    stranger = table.iloc[:1].assign(response_id="never seen")
    assert "which nobody ranked" in refused(fit, pd.concat([table, stranger]))
    assert "has no prompt_id" in refused(fit, table.drop(columns="prompt_id"))
    assert "no column of probabilities" in refused(fit, table.drop(columns="mine"))


def test_a_file_on_the_command_line(fit, tmp_path, capsys):
    run = fit.save(tmp_path / "run")
    path = tmp_path / "policies.csv"
    table_of(fit, mine=uniform(fit)).to_csv(path, index=False)
    assert main(["audit", str(run), "--policies", str(path), "--bootstrap", "20"]) == 0
    assert "\nmine " in capsys.readouterr().out
    table_of(fit, mine=["x", *uniform(fit)[1:]]).to_csv(path, index=False)
    assert main(["audit", str(run), "--policies", str(path)]) == 2
    assert capsys.readouterr().err.startswith("error: policies.csv, row 2, column 'mine': expected")


def test_cells_that_are_no_probabilities_are_named(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("prompt_id,response_id,mine\np,a,0.5\np,b,1.5\n")
    with pytest.raises(DataError, match="p.csv, row 3, column 'mine'"):
        read_policies(path)
