"""Cells and columns that are refused with one clear line, and without opening a socket."""

import io
import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import GOOD, JSON_GOOD, changed, jsonl, record, refused

from emdpo.core.checks import check
from emdpo.core.errors import DataError
from emdpo.core.readers import load

pytestmark = pytest.mark.usefixtures("no_network")


def long_csv(extra_name, *values):
    """Return the good CSV with one more column."""
    lines = GOOD.splitlines()
    cells = [extra_name, *values, *([values[-1]] * (5 - len(values)))]
    return "\n".join(f"{line},{cell}" for line, cell in zip(lines, cells, strict=True)) + "\n"


# Name: (text of the file, row, column).
BAD_CSV = {
    "no user_id column": (GOOD.replace("user_id", "who"), None, "user_id"),
    "no prompt column": (GOOD.replace("prompt", "asked"), None, "prompt"),
    "no response column": (GOOD.replace("response", "said"), None, "response"),
    "no order column": (GOOD.replace("rank", "place_of_it"), None, "rank"),
    "header only": (GOOD.splitlines()[0] + "\n", None, None),
    "blank lines only": ("\n\n  \n", None, None),
    "empty user_id": (changed(3, ",Tea?,No.,2"), 3, "user_id"),
    "empty user_id after a quoted newline": (
        'user_id,prompt,response,rank\nann,"Tea?\nReally?",Yes.,1\n,"Tea?\nReally?",No.,2\n',
        4,
        "user_id",
    ),
    "empty user_id after a blank line": (changed(3, "\n,Tea?,No.,2"), 4, "user_id"),
    "rank zero": (changed(2, "ann,Tea?,Yes.,0"), 2, "rank"),
    "rank negative": (changed(4, "ann,Tea?,Coffee!,-1"), 4, "rank"),
    "rank fraction": (changed(4, "ann,Tea?,Coffee!,1.5"), 4, "rank"),
    "rank exponent": (changed(4, "ann,Tea?,Coffee!,1e0"), 4, "rank"),
    "rank word": (changed(6, "bob,Tea?,No.,first"), 6, "rank"),
    "rank NA": (changed(6, "bob,Tea?,No.,NA"), 6, "rank"),
    "rank nan": (changed(6, "bob,Tea?,No.,nan"), 6, "rank"),
    "rank inf": (changed(6, "bob,Tea?,No.,inf"), 6, "rank"),
    "rank underscore": (changed(6, "bob,Tea?,No.,1_0"), 6, "rank"),
    "rank hex": (changed(6, "bob,Tea?,No.,0x1"), 6, "rank"),
    "rank other digits": (changed(6, "bob,Tea?,No.,１"), 6, "rank"),
    "rank huge": (changed(6, "bob,Tea?,No.,99999999999999999999"), 6, "rank"),
    "rank of ten thousand digits": (changed(6, "bob,Tea?,No.," + "9" * 10_000), 6, "rank"),
    "rank true": (changed(6, "bob,Tea?,No.,true"), 6, "rank"),
    "rank formula": (changed(6, "bob,Tea?,No.,=1+0"), 6, "rank"),
    "candidate twice": (changed(4, "ann,Tea?,Yes.,3"), 4, "response"),
    "too few cells": (changed(5, "bob,Tea?,Yes."), 5, None),
    "too many cells": (changed(5, "bob,Tea?,Yes.,2,x"), 5, None),
    "unclosed quote at the end": (changed(6, 'bob,Tea?,"No.,1'), 6, None),
    "unclosed quote in the middle": (changed(3, 'ann,Tea?,"No.,2'), 3, None),
    "unclosed quote closed by a later one": (
        changed(3, 'ann,Tea?,"No.,2').replace("bob,Tea?,No.", 'bob,Tea?,"No."'),
        3,
        None,
    ),
    "text after a quote": (changed(3, 'ann,Tea?,"No".,2'), 3, None),
    "unclosed quote in the header": (changed(1, '"user_id,prompt,response,rank'), 1, None),
    "repeated column": (long_csv("rank", "1"), 1, None),
    "repeated attribute": (long_csv("age,age", "1,1"), 1, None),
    "two columns without a name": (long_csv(",", "1,1"), 1, None),
    "a million columns": ("user_id,prompt,response,rank," + "," * 1_000_000 + "\n1\n", 1, None),
    "many columns": (",".join(f"c{i}" for i in range(6000)) + "\n1\n", 1, None),
    "x word": (long_csv("x_len", "3", "long"), 3, "x_len"),
    "x empty": (long_csv("x_len", "3", "4", ""), 4, "x_len"),
    "x nan": (long_csv("x_len", "nan"), 2, "x_len"),
    "x infinite": (long_csv("x_len", "3", "3", "3", "-inf"), 5, "x_len"),
    "x overflow": (long_csv("x_len", "1e999"), 2, "x_len"),
    "x underscore": (long_csv("x_len", "1_000"), 2, "x_len"),
    "x decimal comma": (long_csv("x_len", '"1,5"'), 2, "x_len"),
    "weight negative": (long_csv("weight", "1", "1", "1", "-0.5"), 5, "weight"),
    "weight infinite": (long_csv("weight", "inf"), 2, "weight"),
    "weight nan": (long_csv("weight", "nan"), 2, "weight"),
    "weight word": (long_csv("weight", "1", "much"), 3, "weight"),
    "two weights in a ranking": (long_csv("weight", "1", "2", "1", "1"), 3, "weight"),
    "two splits in a ranking": (long_csv("split", "train", "test", "train"), 3, "split"),
    "empty ranking_id": (long_csv("ranking_id", "r1", "r1", "", "r2"), 4, "ranking_id"),
    "ranking with two users": (long_csv("ranking_id", "r1"), 5, "user_id"),
    "ranking with two prompts": (
        long_csv("ranking_id", "r1", "r1", "r1", "r2").replace("ann,Tea?,No.", "ann,Tee?,No."),
        3,
        "prompt",
    ),
    "score word": (
        GOOD.replace("rank", "score").replace("bob,Tea?,No.,1", "bob,Tea?,No.,good"),
        6,
        "score",
    ),
    "score infinite": (GOOD.replace("rank", "rating").replace("No.,2", "No.,inf"), 3, "rating"),
    "chosen word": (GOOD.replace("rank", "chosen").replace("Yes.,1", "Yes.,maybe"), 2, "chosen"),
    "chosen two": (GOOD.replace("rank", "chosen"), 3, "chosen"),
}


@pytest.mark.parametrize("name", BAD_CSV)
def test_bad_csv_is_refused(name, tmp_path):
    text, row, column = BAD_CSV[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode())
    refused(path, row, column)


def wide(responses, ranking, order="ranking"):
    frame = pd.DataFrame(
        {"user_id": ["ann"], "prompt": ["Tea?"], "responses": [responses], order: [ranking]}
    )
    return frame.to_csv(index=False)


LIST = json.dumps(["Yes.", "No.", "Coffee!"])
BAD_WIDE = {
    "responses no JSON": (wide("Yes.|No.", "A>B"), "responses"),
    "responses cut JSON": (wide('["Yes.", "No."', "A>B"), "responses"),
    "responses an object": (wide('{"a": "Yes."}', "A>B"), "responses"),
    "responses empty": (wide("[]", ""), "responses"),
    "response null": (wide('["Yes.", null]', "A>B"), "responses"),
    "response a list": (wide('["Yes.", ["No."]]', "A>B"), "responses"),
    "response nested deep": (wide("[" * 5000 + "]" * 5000, "A>B"), "responses"),
    "response twice": (wide('["Yes.", "Yes."]', "A>B"), "responses"),
    "letter beyond the list": (wide(LIST, "A>D"), "ranking"),
    "letter twice": (wide(LIST, "A>B=A"), "ranking"),
    "no letter": (wide(LIST, "A>>B"), "ranking"),
    "digits": (wide(LIST, "1>2"), "ranking"),
    "index beyond the list": (wide(LIST, "[0, 3]"), "ranking"),
    "index negative": (wide(LIST, "[0, -1]"), "ranking"),
    "index twice": (wide(LIST, "[0, [1, 0]]"), "ranking"),
    "index fraction": (wide(LIST, "[0.5]"), "ranking"),
    "index true": (wide(LIST, "[true]"), "ranking"),
    "choice beyond the list": (wide(LIST, "3", "chosen"), "chosen"),
    "choice unknown": (wide(LIST, "Water", "chosen"), "chosen"),
}


@pytest.mark.parametrize("name", BAD_WIDE)
def test_bad_wide_csv_is_refused(name, tmp_path):
    text, column = BAD_WIDE[name]
    path = tmp_path / "bad.csv"
    path.write_bytes(text.encode())
    refused(path, 2, column)


DEEP = '{"user_id": "u", "prompt": "p", "response": "r", "rank": 1, "a": '
BAD_JSONL = {
    "not JSON": (jsonl("user_id,prompt"), 3, None),
    "cut": (jsonl('{"user_id": "bob", '), 3, None),
    "an array": (jsonl('["bob"]'), 3, None),
    "a whole array of objects": (json.dumps(JSON_GOOD), 1, None),
    "a number": (jsonl("7"), 3, None),
    "repeated key": (jsonl('{"user_id": "bob", "user_id": "eve"}'), 3, None),
    "deep": (DEEP + "[" * 100 + "]" * 100 + "}\n", 1, None),
    "very deep": (DEEP + "[" * 200_000 + "]" * 200_000 + "}\n", 1, None),
    "null user_id": (jsonl(record(user_id=None)), 3, "user_id"),
    "missing user_id": (jsonl('{"prompt": "Tea?", "response": "Yes.", "rank": 1}'), 3, "user_id"),
    "user_id a list": (jsonl(record(user_id=["bob"])), 3, "user_id"),
    "null response": (jsonl(record(response=None)), 3, "response"),
    "missing response": (jsonl('{"prompt": "Tea?", "user_id": "bob", "rank": 1}'), 3, "response"),
    "response an object": (jsonl(record(response={"a": 1})), 3, "response"),
    "null prompt": (jsonl(record(prompt=None)), 3, "prompt"),
    "prompt an object": (jsonl(record(prompt={"role": "user"})), 3, "prompt"),
    "messages without role": (jsonl(record(prompt=[{"content": "Tea?"}])), 3, "prompt"),
    "messages empty": (jsonl(record(prompt=[])), 3, "prompt"),
    "messages of texts": (jsonl(record(prompt=["Tea?"])), 3, "prompt"),
    "message content a list": (
        jsonl(record(prompt=[{"role": "user", "content": ["Tea?"]}])),
        3,
        "prompt",
    ),
    "escaped NUL": (jsonl(record(response="a\0b")), 3, "response"),
    "half a surrogate pair": (jsonl(record(response="\ud800")), 3, "response"),
    "rank true": (jsonl(record(rank=True)), 3, "rank"),
    "rank fraction": (jsonl(record(rank=1.5)), 3, "rank"),
    "rank infinite": (jsonl(record(rank=float("inf"))), 3, "rank"),
    "rank a list": (jsonl(record(rank=[1])), 3, "rank"),
    "rank beyond any float": (jsonl(record(rank=10**400)), 3, "rank"),
    "integer of 5000 digits": (jsonl('{"rank": ' + "9" * 5000 + "}"), 3, None),
    "x null": (
        jsonl(*[json.dumps(r | {"x_a": v}) for r, v in zip(JSON_GOOD, (1, 2, None), strict=True)]),
        3,
        "x_a",
    ),
    "x NaN": (
        jsonl(
            *[json.dumps(r | {"x_a": v}) for r, v in zip(JSON_GOOD, (1, np.nan, 2), strict=True)]
        ),
        2,
        "x_a",
    ),
    "x true": (
        jsonl(*[json.dumps(r | {"x_a": v}) for r, v in zip(JSON_GOOD, (1, True, 2), strict=True)]),
        2,
        "x_a",
    ),
    "x a huge integer": (
        jsonl(
            *[json.dumps(r | {"x_a": v}) for r, v in zip(JSON_GOOD, (1, 10**400, 2), strict=True)]
        ),
        2,
        "x_a",
    ),
}


@pytest.mark.parametrize("name", BAD_JSONL)
def test_bad_jsonl_is_refused(name, tmp_path):
    text, row, column = BAD_JSONL[name]
    path = tmp_path / "bad.jsonl"
    path.write_bytes(text.encode())
    refused(path, row, column)


PARQUET_BAD = {
    "null user_id": ({"user_id": ["ann", None]}, 2, "user_id"),
    "null response": ({"response": ["Yes.", None]}, 2, "response"),
    "null prompt": ({"prompt": [None, "Tea?"]}, 1, "prompt"),
    "rank fraction": ({"rank": [1.0, 1.5]}, 2, "rank"),
    "rank zero": ({"rank": [0, 1]}, 1, "rank"),
    "rank true": ({"rank": [True, False]}, 1, "rank"),
    "rank infinite": ({"rank": [1.0, np.inf]}, 2, "rank"),
    "response bytes": ({"response": [b"Yes.", b"No."]}, 1, "response"),
    "NUL in text": ({"response": ["Yes.", "N\0o"]}, 2, "response"),
    "x null": ({"x_a": [1.0, None]}, 2, "x_a"),
    "x infinite": ({"x_a": [np.inf, 1.0]}, 1, "x_a"),
    "x text": ({"x_a": ["1", "one"]}, 2, "x_a"),
    "messages with null content": (
        {"prompt": [[{"role": "user", "content": None}]] * 2},
        1,
        "prompt",
    ),
    "weight null": ({"weight": [1.0, None]}, 2, "weight"),
}


@pytest.mark.parametrize("name", PARQUET_BAD)
def test_bad_parquet_is_refused(name, tmp_path):
    changes, row, column = PARQUET_BAD[name]
    good = {"user_id": ["ann", "ann"], "prompt": ["Tea?"] * 2, "response": ["Yes.", "No."]}
    path = tmp_path / "bad.parquet"
    pq.write_table(pa.table(good | {"rank": [1, 2]} | changes), path)
    refused(path, row, column)


@pytest.mark.parametrize(
    ("text", "row", "column"),
    [
        ("name,age\nann,30\n", None, "user_id"),
        ("user_id,age\nann,30\nann,31\n", 3, "user_id"),
        ("user_id,age\nann,30\n,31\n", 3, "user_id"),
        ("user_id,age\nann,30,1\n", 2, None),
        ("user_id,age,age\nann,30,1\n", 1, None),
        ("user_id,age\n", None, None),
    ],
)
def test_bad_users_files_are_refused_by_name(text, row, column, tmp_path):
    good, users = tmp_path / "good.csv", tmp_path / "people.csv"
    good.write_text(GOOD)
    users.write_text(text)
    assert refused(good, row, column, users=users).file == "people.csv"


def test_check_lists_every_error_earliest_first(tmp_path):
    path = tmp_path / "bad.csv"
    path.write_text(
        "user_id,prompt,response,rank,x_len\n"
        "ann,Tea?,Yes.,1,long\nann,Tea?,No.,0,2\nann,Tea?,No.,last,3\nbob,Tea?,No.,1,inf\n"
    )
    report = check(path)
    assert [(problem.row, problem.column) for problem in report.errors] == [
        (2, "x_len"),
        (3, "rank"),
        (4, "response"),
        (4, "rank"),
        (5, "x_len"),
    ]
    path.write_text(path.read_text().replace("bob", ""))
    rows = [(problem.row, problem.column) for problem in check(path).errors]
    assert rows == [(2, "x_len"), (3, "rank"), (4, "rank"), (5, "user_id"), (5, "x_len")]


def test_many_errors_of_a_kind_are_counted(tmp_path):
    path = tmp_path / "bad.csv"
    rows = [f"u{i},Tea?,Yes.,bad" for i in range(30)]
    path.write_text("\n".join(["user_id,prompt,response,rank", *rows]))
    errors = check(path).errors
    assert [problem.row for problem in errors[:-1]] == list(range(2, 12))
    assert "20 more" in errors[-1].message


@pytest.mark.parametrize(
    ("columns", "column"),
    [({"who": "user_id"}, None), ({"user_id": "who"}, "who")],
)
def test_a_mapping_to_nowhere_is_refused(columns, column, tmp_path):
    path = tmp_path / "good.csv"
    path.write_text(GOOD)
    refused(path, None, column, columns=columns)


def test_tables_in_memory_go_through_the_same_checks():
    good = pd.read_csv(io.StringIO(GOOD))
    with pytest.raises(DataError, match=r"row 2, column 'rank'"):
        load(good.assign(rank=[1, 0, 1, 1, 2]))
    with pytest.raises(DataError, match="appears twice"):
        load(pd.concat([good, good], axis=1))
    with pytest.raises(DataError, match="no rows"):
        load(good.iloc[:0])
    with pytest.raises(DataError, match="user_id"):
        load(good.drop(columns="user_id"))
