"""Foreign files are told from their beginning, and the other commands say what to do with them."""

from __future__ import annotations

import pandas as pd
import pytest
import stand_ins as data

from emdpo.cli import main
from emdpo.formats.recognition import columns_of, foreign


@pytest.mark.parametrize("ending", [".csv", ".tsv", ".jsonl", ".parquet"])
def test_columns_are_read_from_the_beginning(tmp_path, ending):
    table = pd.DataFrame(data.TRL)
    path = tmp_path / f"pairs{ending}"
    match ending:
        case ".parquet":
            table.to_parquet(path)
        case ".jsonl":
            data.write_jsonl(path, data.TRL)
        case _:
            table.to_csv(path, index=False, sep="\t" if ending == ".tsv" else ";")
    assert columns_of(path) == ["prompt", "chosen", "rejected", "user_id"]
    assert foreign(path) == ("trl", "TRL preference pairs")


def test_what_is_no_foreign_file(tmp_path):
    assert foreign(tmp_path / "absent.csv") is None
    (tmp_path / "damaged.parquet").write_bytes(b"PAR1 no")
    assert foreign(tmp_path / "damaged.parquet") is None
    (tmp_path / "list.jsonl").write_text("[1, 2]\n")
    assert foreign(tmp_path / "list.jsonl") is None
    (tmp_path / "latin.csv").write_bytes("chosen,rejected,prompt,caf\xe9\n".encode("latin-1"))
    assert foreign(tmp_path / "latin.csv") is None
    (tmp_path / "empty.csv").write_text("")
    assert foreign(tmp_path / "empty.csv") is None


def test_our_own_tables_stay_our_own(tmp_path):
    """Even with the columns of another format beside ours."""
    row = {"user_id": "ann", "response": "x", "rank": 1, **data.TRL[0]}
    assert foreign(data.write_jsonl(tmp_path / "ours.jsonl", [row])) is None


@pytest.mark.parametrize("command", [("check",), ("fit", "--types", "2", "--out", "run")])
def test_other_commands_say_what_to_do(tmp_path, capsys, monkeypatch, command):
    monkeypatch.chdir(tmp_path)
    data.write_jsonl(tmp_path / "utterances.jsonl", data.PRISM_UTTERANCES)
    name, *options = command
    assert main([name, "utterances.jsonl", *options]) == 2
    assert capsys.readouterr().err == (
        "error: utterances.jsonl: this is PRISM, utterances: emdpo import utterances.jsonl "
        "--format prism --out rankings.jsonl\n"
    )
