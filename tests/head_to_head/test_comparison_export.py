"""The zip of a comparison: what is in it, the same from the command line, and how to redo it."""

from __future__ import annotations

import hashlib
import io
import json
import shlex
import zipfile

import pandas as pd
import pytest
from comparisons import renamed_comparison, small_comparison

from emdpo.cli import build_parser, main
from emdpo.head_to_head.export import compare_command, report, write_comparison
from emdpo.methods.registry import METHODS

NAMES = {
    *("README.md", "REPRODUCE.txt", "comparison.json", "measures.csv", "facts.csv"),
    *("assumptions.csv", "figures/differences.csv", "figures/cost.csv"),
}


def opened(path):
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name).decode() for name in archive.namelist()}


def test_everything_is_in_the_zip(tmp_path):
    found = small_comparison()
    data = tmp_path / "rankings.csv"
    data.write_text("x")
    command = compare_command("rankings.csv", methods=found.methods, seed=0)
    held = opened(write_comparison(found, tmp_path / "c.zip", command, {"rankings.csv": data}))
    assert set(held) == NAMES
    assert json.loads(held["comparison.json"]) == json.loads(json.dumps(found.to_dict()))
    measures = pd.read_csv(io.StringIO(held["measures.csv"]))
    assert len(measures) == len(found.measures)
    assert measures["mean"].tolist() == pytest.approx([each.mean for each in found.measures])
    assert pd.read_csv(io.StringIO(held["facts.csv"]))["method"].tolist() == found.methods
    told = pd.read_csv(io.StringIO(held["assumptions.csv"]))["method"].tolist()
    assert told == [*METHODS, "vpl"]
    differences = pd.read_csv(io.StringIO(held["figures/differences.csv"]))
    assert differences.query("method == 'dpo'")["difference"].eq(0).all()
    cost = pd.read_csv(io.StringIO(held["figures/cost.csv"]))
    assert set(cost["seconds"]) == {each.seconds_in_all for each in found.facts}
    assert f"REPRODUCE: {command}" in held["REPRODUCE.txt"]
    assert hashlib.sha256(b"x").hexdigest() in held["REPRODUCE.txt"]
    assert "numpy " in held["REPRODUCE.txt"] and "seed 0" in held["REPRODUCE.txt"]


def test_the_report_has_findings_tables_and_what_is_missing():
    told = report(small_comparison(), "emdpo compare x.csv")
    assert "- For new users of whom up to 2 rankings are known" in told
    assert "| known_types |" in told and "rank -" in told and "rank 3" in told
    assert "missing: VPL" in told and told.endswith("    emdpo compare x.csv\n")


def test_adapters_that_were_compared_say_what_they_assume(tmp_path):
    held = opened(write_comparison(renamed_comparison(), tmp_path / "c.zip", "emdpo compare x"))
    told = pd.read_csv(io.StringIO(held["assumptions.csv"]))["method"].tolist()
    assert told == [*METHODS, "adapter_dpo", "vpl"]
    assert "| adapter_dpo | everybody has the same utilities |" in held["README.md"]


def test_the_command_says_every_setting_and_is_understood():
    settings = {"methods": ["dpo", "pal"], "features": "text", "group": "age group"}
    settings |= {"new_share": 0.3, "n_bootstrap": 50, "seed": 7}
    command = compare_command("my file.csv", "my users.csv", **settings)
    _, *words = shlex.split(command)
    options = build_parser().parse_args(words)
    assert (options.file, options.users, options.simulation) == (
        "my file.csv",
        "my users.csv",
        None,
    )
    held = {name: getattr(options, name) for name in ("methods", "features", "group", "new_share")}
    assert {**held, "n_bootstrap": options.bootstrap, "seed": options.seed} == settings


def test_the_command_line_compares_a_simulation_and_writes_the_zip(tmp_path, capsys):
    path = tmp_path / "out.zip"
    few = ["--methods", "reference,known_types", "--bootstrap", "20", "--seed", "2"]
    assert main(["compare", "--simulation", "two-rankings", *few, "--out", str(path)]) == 0
    assert "known_types" in capsys.readouterr().out
    held = opened(path)
    assert set(held) == NAMES
    first = held["REPRODUCE.txt"].splitlines()[0]
    assert first == (
        "REPRODUCE: emdpo compare --simulation two-rankings --methods reference,known_types "
        "--features auto --new-share 0.25 --bootstrap 20 --seed 2"
    )


def test_a_comparison_needs_one_source(capsys):
    for words in (["compare"], ["compare", "x.csv", "--simulation", "pairs"]):
        with pytest.raises(SystemExit) as end:
            main(words)
        assert end.value.code == 2
    assert main(["compare", "--simulation", "pairs", "--out", "none/x.zip", "--methods",
                 "reference", "--bootstrap", "5"]) == 2  # fmt: skip
    assert "none/x.zip: not a regular file" in capsys.readouterr().err
