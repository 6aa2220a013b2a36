"""`emdpo import` and `emdpo export`: what they say, what they write, and how they refuse."""

from __future__ import annotations

import json

import pytest
import stand_ins as data
from panels import planted_table

import emdpo
from emdpo.cli import main


@pytest.fixture
def command(capsys):
    """Return a function that runs a command in this process: exit code, stdout, stderr."""

    def run(*arguments):
        try:
            code = main([str(argument) for argument in arguments])
        except SystemExit as end:
            code = end.code
        said = capsys.readouterr()
        return code, said.out, said.err

    return run


@pytest.fixture
def refused(command):
    """Return a function that expects exit 2 with one line on stderr, and returns it."""

    def run(*arguments):
        code, out, err = command(*arguments)
        assert (code, out) == (2, ""), (out, err)
        assert err.startswith("error: ") and err.count("\n") == 1 and "Traceback" not in err
        return err

    return run


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """Return a run folder of two types."""
    found = emdpo.fit(emdpo.load(planted_table(n_users=24, seed=3)), 2, restarts=1)
    return found.save(tmp_path_factory.mktemp("run") / "two")


def test_import_then_check_and_fit(command, tmp_path):
    """What comes out is read as any other file."""
    source = data.write_jsonl(tmp_path / "community.jsonl", data.COMMUNITY * 2)
    out = tmp_path / "rankings.parquet"
    code, said, _ = command("import", source, "--out", out)
    assert code == 0
    assert said.startswith(f"Community Alignment -> {out}\nleft out: 2 turns without a choice\n")
    assert "2 users, 6 rankings of 8 candidates to 2 prompts" in said
    assert command("check", out)[0] == 0
    arguments = ("--types", "1", "--out", tmp_path / "run", "--features", "text", "--force")
    assert command("fit", out, *arguments, "--restarts", "1")[0] == 0


def test_import_as_json(command, tmp_path):
    survey = data.write_jsonl(tmp_path / "survey.jsonl", data.PRISM_SURVEY)
    source = data.write_jsonl(tmp_path / "utterances.jsonl", data.PRISM_UTTERANCES)
    out = tmp_path / "out.jsonl"
    code, said, _ = command("import", source, "--users", survey, "--out", out, "--json")
    told = json.loads(said)
    assert code == 0 and (told["format"], told["n_rankings"], told["path"]) == (
        "prism",
        2,
        str(out),
    )
    assert told["left_out"] == {"one answer only": 1}
    assert told["check"]["summary"]["n_users"] == 1
    first = json.loads(out.read_text("utf-8").splitlines()[0])
    assert first["gender"] == "Female" and first["rank"] == 1


def test_import_says_what_unknown_rankers_mean(command, tmp_path):
    source = data.write_jsonl(tmp_path / "nectar.jsonl", data.NECTAR)
    _, said, _ = command("import", source, "--out", tmp_path / "out.jsonl")
    assert "note: the source does not say who ranked" in said
    assert "note: a language model ranked here" in said


def test_imports_that_are_refused_write_nothing(refused, tmp_path):
    oasst = data.write_jsonl(tmp_path / "oasst.jsonl", data.OASST)
    out = tmp_path / "out.jsonl"
    assert "user_id names who wrote" in refused("import", oasst, "--out", out, "--user", "user_id")
    wrong = [{**row, "score": "high"} for row in data.PRISM_UTTERANCES]
    prism = data.write_jsonl(tmp_path / "prism.jsonl", wrong)
    assert refused("import", prism, "--out", out) == (
        "error: prism.jsonl, row 1, column 'score': expected a number, got 'high'\n"
    )
    assert "is no format" in refused("import", prism, "--out", out, "--format", "x")
    assert "must end in one of" in refused("import", prism, "--out", tmp_path / "out.txt")
    absent = tmp_path / "absent"
    assert "existing folder" in refused("import", oasst, "--out", absent / "out.jsonl")
    assert "is an address" in refused("import", "https://example.org/x.jsonl", "--out", out)
    assert "--out" in refused("import", prism)
    assert not out.exists() and not absent.exists()


def test_an_import_that_fails_leaves_the_old_file(refused, tmp_path):
    out = tmp_path / "out.jsonl"
    out.write_text("old")
    refused("import", data.write_jsonl(tmp_path / "x.jsonl", [{"a": 1}]), "--out", out)
    assert out.read_text() == "old"


def test_export_of_a_run(command, run, tmp_path):
    pairs = tmp_path / "pairs.jsonl"
    code, said, _ = command("export", run, "--format", "trl", "--types", "2", "--out", pairs)
    assert code == 0 and said.startswith("trl: ") and "note: a ranking's pairs" in said
    assert {json.loads(line)["type"] for line in pairs.read_text().splitlines()} == {"type-2"}
    page = tmp_path / "two.json"
    code, said, _ = command("export", run, "--format", "llm-comparator", "--out", page, "--json")
    assert code == 0 and json.loads(said) == {
        "path": str(page),
        "format": "llm-comparator",
        "counts": {"prompts": 6},
        "notes": [],
    }
    assert json.loads(page.read_text())["models"] == [{"name": "Type 1"}, {"name": "Type 2"}]


def test_export_of_a_file(command, tmp_path):
    out = tmp_path / "classroom.tsv"
    arguments = ("--format", "canonical", "--out", out)
    code, said, _ = command("export", "assets/demo/classroom.csv", *arguments)
    assert code == 0 and said == f"canonical: 216 rows -> {out}\n"
    assert emdpo.load(out).n_rankings == 72


def test_exports_that_are_refused(refused, run, tmp_path):
    out = tmp_path / "out.jsonl"
    assert "is no format" in refused("export", run, "--format", "x", "--out", out)
    assert "must end in" in refused("export", run, "--format", "preflib", "--out", out)
    assert "no such file" in refused("export", tmp_path / "no.csv", "--format", "trl", "--out", out)
    assert "not finished" in refused("export", tmp_path, "--format", "trl", "--out", out)
    told = refused("export", run, "--format", "trl", "--types", "3", "--out", out)
    assert "types from 1 to 2" in told
    assert "--format" in refused("export", run, "--out", out)
    assert list(tmp_path.iterdir()) == []
