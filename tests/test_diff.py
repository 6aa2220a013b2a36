"""`emdpo diff` and its words: exit codes, one line for bad input, figures as people read them."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest
from panels import planted_table

import emdpo
from emdpo.cli import main
from emdpo.comparison_tables import (
    change_text,
    figure,
    group_rows,
    moved_rows,
    regret_rows,
    type_regret_rows,
    type_rows,
)
from emdpo.comparison_words import sentences


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Return the folders of two runs, of two and three types, and of one of other people."""
    home = tmp_path_factory.mktemp("runs")
    table = planted_table(n_users=45, answers=4)
    others = table.assign(user_id="v" + table["user_id"])
    made = []
    for name, data, k in (("two", table, 2), ("three", table, 3), ("others", others, 2)):
        fit = emdpo.fit(emdpo.load(data), k, restarts=2, features="columns")
        made.append(str(fit.save(home / name)))
    return made


@pytest.fixture(scope="module")
def told(runs):
    return emdpo.compare_runs(*runs[:2], n_bootstrap=50)


@pytest.fixture
def diff(capsys):
    """Return a function that runs the command: exit code, stdout, stderr."""

    def run(*arguments):
        try:
            code = main(["diff", *map(str, arguments)])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


def test_diff_in_words(diff, runs):
    code, out, err = diff(*runs[:2], "--bootstrap", 50)
    assert (code, err) == (0, "")
    for words in ("falls apart into", "n_types", "Adjusted Rand index", "regret share", "chance"):
        assert words in out
    assert runs[0] in out and "nan" not in out.lower() and "None" not in out


def test_diff_as_json_is_printed_or_written(diff, runs, told, tmp_path):
    code, out, err = diff(*runs[:2], "--bootstrap", 50, "--json")
    assert (code, err) == (0, "")
    printed = json.loads(out, parse_constant=pytest.fail)
    assert printed == told.to_dict()
    target = tmp_path / "diff.json"
    code, out, _ = diff(*runs[:2], "--bootstrap", 50, "--json", target)
    assert code == 0 and "Adjusted Rand index" in out
    assert json.loads(target.read_text("utf-8")) == printed


def test_diff_by_chosen_groups_and_sizes(diff, runs):
    settings = ("--bootstrap", 20, "--json")
    code, out, _ = diff(*runs[:2], "--groups", "age", "--min-group", 15, *settings)
    assert code == 0
    assert {row["attribute"] for row in json.loads(out)["regret_by_group"]} == {"age"}
    code, out, _ = diff(*runs[:2], "--min-group", 16, *settings)
    assert json.loads(out)["regret_by_group"] == []
    assert json.loads(out)["n_hidden_groups"] == {"age": 3}


def test_diff_on_held_out_rankings(diff, runs):
    settings = ("--bootstrap", 20, "--evidence", "ranking", "--folds", 2)
    code, out, err = diff(*runs[:2], *settings)
    assert (code, err) == (0, "")
    assert "each user's rankings are left out in turn" in out and "Users' own types" in out
    assert out.split("held-out rankings:")[1].count("Min-max consensus") >= 1


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda runs: (runs[0], runs[2]), "no user in common"),
        (lambda runs: (runs[0], "/nowhere/at/all"), "no such run folder"),
        (lambda runs: ("/nowhere/at/all", runs[0]), "no such run folder"),
        (lambda runs: (runs[0],), "RUN_B"),
        (lambda runs: (), "RUN_A"),
        (lambda runs: (*runs, "more"), "unrecognized"),
        (lambda runs: (*runs[:2], "--groups", "shoe size"), "'shoe size'"),
        (lambda runs: (*runs[:2], "--bootstrap", "0"), "n_bootstrap"),
        (lambda runs: (*runs[:2], "--min-group", "x"), "--min-group"),
        (lambda runs: (*runs[:2], "--seed", "-1"), "seed"),
        (lambda runs: (*runs[:2], "--folds", "3"), "go with --evidence"),
        (lambda runs: (*runs[:2], "--evidence", "magic"), "--evidence"),
        (lambda runs: (*runs[:2], "--evidence", "split"), "give the file too"),
        (lambda runs: (*runs[:2], "--evidence", "user", "--folds", "1"), "folds"),
        (lambda runs: (*runs[:2], "--json", "/nowhere/x.json"), "/nowhere/x.json"),
    ],
)
def test_bad_input_is_one_line(diff, runs, change, words):
    code, out, err = diff(*change(runs))
    assert code == 2 and out == ""
    assert err.startswith("error: ") and err.count("\n") == 1 and words in err


def test_an_unfinished_or_damaged_folder_is_one_line(diff, runs, tmp_path):
    (tmp_path / "empty").mkdir()
    damaged = tmp_path / "damaged"
    damaged.mkdir()
    (damaged / "fit.json").write_text("{")
    for folder in ("empty", "damaged"):
        code, _, err = diff(runs[0], tmp_path / folder)
        assert code == 2 and err.count("\n") == 1 and folder in err


def test_figures_are_shown_in_the_unit_of_their_kind():
    assert figure(0.1234, "share") == figure(0.1234, "preference") == "12.3%"
    assert figure(0.1234, "kl") == "0.123" and figure(-0.5, "plain", signed=True) == "-0.500"
    assert figure(math.nan, "share") == "-"
    assert figure(-1e-9, "share", signed=True) == "0.0%"


def test_a_difference_without_interval_is_told_alone():
    row = {"difference": 0.25, "low": math.nan, "high": math.nan}
    assert change_text(row, ".1%") == "+25.0%"
    assert change_text({**row, "low": -0.1, "high": 0.3}, ".1%") == "+25.0% (-10.0% to +30.0%)"


def test_tables_of_words_hold_the_figures(told):
    rows = type_rows(told)
    assert len(rows) == 3 and rows["type in A"].tolist()[-1] == "-"
    assert rows["in both"].tolist()[-1] == "-"
    table = regret_rows(told, "kl", ["own", "b"], ["pooled"])
    assert table["judged by types"].tolist() == ["each run's own", "B's"]
    worst = told.regret.query(
        "judged_by == 'b' and kind == 'kl' and rule == 'pooled' and statistic == 'worst'"
    )
    assert table["worst A"].tolist()[1] == f"{worst['value_a'].item():.3f}"
    assert len(regret_rows(told, "share", ["a"])) == told.regret["rule"].nunique()
    assert len(type_regret_rows(told, "share")) == 2 * told.regret["rule"].nunique()
    groups = group_rows(told, "share", "own", ["consensus"])
    part = told.regret_by_group.query(
        "kind == 'share' and judged_by == 'own' and rule == 'consensus'"
    )
    first = part.loc[part["difference"].abs().idxmax()]
    assert len(groups) == len(part) and groups["group"].tolist()[0] == first["value"]
    assert moved_rows(told)["user"].tolist() == told.moved["user_id"].tolist()


def test_sentences_hold_the_counts(told):
    words = " ".join(sentences(told))
    split = told.splits[0]
    assert f"Type {split.one} of A falls apart" in words and f"({split.n[0]:,} users)" in words
    assert f"{told.n_moved} move" in words and "45 users" in words
    assert f"{told.log_likelihood.a:,.2f} in A" in words
    assert np.isfinite(told.log_likelihood.difference.value)
