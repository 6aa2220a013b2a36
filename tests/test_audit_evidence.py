"""Evidence in an audit: from the command line, in its files, and kept when audited anew."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from panels import planted, planted_table

import emdpo
from emdpo.audit_files import evidence_table, save_audit
from emdpo.auditing import with_kept_evidence
from emdpo.cli import main
from emdpo.demo import demo_file

QUICK = ("--bootstrap", "30", "--folds", "2")


@pytest.fixture(scope="module")
def fit():
    return emdpo.fit(planted(n_users=36, answers=3), 2, features="columns", restarts=1)


@pytest.fixture(scope="module")
def evidence(fit):
    return emdpo.evidence(fit, folds=2, n_bootstrap=30)


@pytest.fixture
def run(fit, tmp_path):
    return fit.save(tmp_path / "run")


@pytest.fixture
def command(capsys):
    """Return a function that runs a command: exit code, stdout, stderr."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return run


@pytest.fixture
def refused(command):
    """Return a function that runs a command, expects one error line, and returns it."""

    def run(*arguments):
        code, out, err = command(*arguments)
        assert (code, out) == (2, ""), (code, out)
        assert err.startswith("error: ") and err.count("\n") == 1
        return err

    return run


def kept(run):
    return json.loads((run / "audit" / "audit.json").read_text("utf-8"), parse_constant=pytest.fail)


def test_the_command_writes_json_and_csv_and_says_what_it_found(command, run):
    code, out, err = command("audit", run, "--evidence", "user", *QUICK)
    assert (code, err) == (0, "")
    assert "users that nobody fitted: whole users are left out" in out
    assert "Users' own types predict rankings better than pooled DPO" in out
    told = kept(run)["evidence"]
    assert told["config"]["by"] == "user"
    assert told["everybody"]["n"] == 36
    table = pd.read_csv(run / "audit" / "evidence.csv")
    row = table.query("attribute.isna() and measure == 'accuracy' and policy == 'own'").iloc[0]
    assert np.isclose(row["mean"], told["everybody"]["mean"]["accuracy"]["own"])
    assert [row["low"], row["high"]] == told["everybody"]["interval"]["accuracy"]["own"]
    assert set(table["attribute"].dropna()) == {"age"}


def test_by_ranking_is_what_is_meant_without_a_word(command, run):
    assert command("audit", run, "--evidence", *QUICK)[0] == 0
    assert kept(run)["evidence"]["config"] == {
        "by": "ranking", "folds": 2, "min_group": 10, "n_bootstrap": 30, "confidence": 0.95,
        "seed": 0,
    }  # fmt: skip


def test_an_audit_without_evidence_has_no_such_key_and_file(command, run):
    assert command("audit", run, "--bootstrap", 5)[0] == 0
    assert "evidence" not in kept(run)
    assert not (run / "audit" / "evidence.csv").exists()


def test_a_later_audit_keeps_it_and_a_new_fit_does_not(command, run, fit):
    command("audit", run, "--evidence", *QUICK)
    before = kept(run)["evidence"]
    command("audit", run, "--bootstrap", 5)
    assert kept(run)["evidence"] == before
    assert (run / "audit" / "evidence.csv").exists()
    fit.save(run)
    assert not (run / "audit" / "evidence.csv").exists()
    command("audit", run, "--bootstrap", 5)
    assert "evidence" not in kept(run)


def test_evidence_of_another_fit_or_of_smaller_groups_is_not_kept(fit, evidence, run):
    audit = emdpo.audit(fit, n_bootstrap=5)
    save_audit(replace(audit, evidence=evidence), run)
    found = with_kept_evidence(audit, fit, run).evidence
    assert found is not None and found.to_dict() == evidence.to_dict()
    other = replace(fit, weights=fit.weights[::-1])
    assert with_kept_evidence(audit, other, run).evidence is None
    strict = emdpo.audit(fit, n_bootstrap=5, min_group=11)
    assert with_kept_evidence(strict, fit, run).evidence is None


@pytest.mark.parametrize("damage", ["{", '{"evidence": 3}', '{"evidence": {"policies": []}}', "[]"])
def test_damaged_evidence_is_as_good_as_none(fit, run, damage):
    (run / "audit").mkdir()
    (run / "audit" / "audit.json").write_text(damage)
    audit = emdpo.audit(fit, n_bootstrap=5)
    assert with_kept_evidence(audit, fit, run).evidence is None


def test_hostile_groups_do_not_run_in_a_spreadsheet(fit, run):
    users = fit.rankings.users.assign(age="=cmd|' /C calc'!A0")
    hostile = replace(fit, rankings=replace(fit.rankings, users=users))
    found = emdpo.evidence(hostile, folds=2, n_bootstrap=5)
    assert evidence_table(found)["value"].dropna().iloc[0].startswith("=cmd")
    save_audit(replace(emdpo.audit(fit, n_bootstrap=5), evidence=found), run)
    assert "\"'=cmd|" in (run / "audit" / "evidence.csv").read_text("utf-8")


def test_what_the_file_held_out_needs_the_file(command, refused, tmp_path):
    """The split column keeps the third answer of each user from the fit."""
    path, run = tmp_path / "rankings.csv", tmp_path / "run"
    table = planted_table(n_users=24, answers=3)
    late = table["ranking_id"].str.endswith("-2")
    table.assign(split=np.where(late, "test", "train")).to_csv(path, index=False)
    fit = ("fit", path, "--types", 2, "--restarts", 1, "--features", "columns", "--out", run)
    assert command(*fit)[0] == 0
    assert "give the file too (--rankings FILE)" in refused("audit", run, "--evidence", "split")
    split = ("audit", run, "--evidence", "split", "--bootstrap", 5, "--rankings")
    assert "not those that were fitted" in refused(*split, _file_with_split(tmp_path))
    assert "holds out no ranking" in refused(*split, demo_file("classroom.csv"))
    assert "nowhere.csv" in refused(*split, tmp_path / "nowhere.csv")
    assert not (run / "audit").exists()
    assert command(*split, path)[0] == 0
    assert kept(run)["evidence"]["everybody"]["n_rankings"] == 24


def _file_with_split(folder):
    path = folder / "other.csv"
    table = planted_table(n_users=24, answers=2, seed=1)
    late = table["ranking_id"].str.endswith("-1")
    table.assign(split=np.where(late, "test", "")).to_csv(path, index=False)
    return path


@pytest.mark.parametrize(
    ("options", "word"),
    [(("--evidence", "week"), "invalid choice"), (("--evidence", "user", "--folds", "1"), "folds"),
     (("--evidence", "user", "--folds", "37"), "36 users"), (("--evidence", "--folds", "x"), "int"),
     (("--evidence", "--groups", "shoe"), "shoe"), (("--folds", "3"), "--evidence"),
     (("--rankings", "x.csv"), "--evidence")],
)  # fmt: skip
def test_options_that_cannot_be_are_refused_in_one_line(refused, run, options, word):
    assert word in refused("audit", run, *options)
    assert not (run / "audit").exists()
