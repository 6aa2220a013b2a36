"""Canonical tables on disk: rankings as one row per answer shown, and their files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo import files
from emdpo.core.errors import EmdpoError
from emdpo.core.rankings import feature_columns
from emdpo.core.tables.forms import ROLES
from emdpo.core.tables.source import ENDINGS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings

HELD_OUT = "test"
"""What the column `split` says of rankings that are not fitted."""


def canonical_table(rankings: Rankings) -> pd.DataFrame:
    """Return rankings as a canonical table (DESIGN section 5): they are read back from it.

    One row per candidate shown; rank is None where it was not ranked. `split` and `weight` only
    where they say anything; attributes whose name means something else get the prefix user_.
    """
    rows = rankings.ranking_of_row
    candidates = rankings.candidates.iloc[rankings.candidate].reset_index(drop=True)
    prompts = rankings.prompts.iloc[rankings.prompt[rows]].reset_index(drop=True)
    users = rankings.users.iloc[rankings.user[rows]].reset_index()
    table = {
        "user_id": users["user_id"],
        "ranking_id": pd.Series(_ranking_ids(rankings)[rows], dtype=object),
        "prompt_id": prompts["prompt_id"],
        "prompt": prompts["messages"].where(prompts["messages"].notna(), prompts["prompt"]),
        "response_id": candidates["response_id"],
        "response": candidates["response"],
        "rank": pd.Series([int(rank) or None for rank in rankings.ranks], dtype=object),
    }
    if rankings.held_out.any():
        table["split"] = pd.Series(rankings.held_out[rows]).map({True: HELD_OUT, False: "train"})
    if (rankings.weight != 1).any():
        table["weight"] = pd.Series(rankings.weight[rows])
    table |= {name: candidates[name] for name in feature_columns(candidates)}
    taken = {*table, *ROLES}
    for name in rankings.attributes:
        own = f"user_{name}" if name in taken or name.startswith("x_") else name
        table[own] = users[name]
    return pd.DataFrame(table)


def _ranking_ids(rankings: Rankings) -> NDArray[np.object_]:
    """Return (R,) ids that tell rankings apart: those made of user and prompt may not."""
    ids = rankings.ranking_ids
    if len(set(ids)) == len(ids):
        return ids
    return np.array([f"r{number + 1}" for number in range(len(ids))], object)


def table_ending(path: Path) -> str:
    """Return the ending of a table's file; EmdpoError where no table is written so."""
    ending = path.suffix.lower()
    if ending not in ENDINGS:
        raise EmdpoError(f"{path.name}: the name must end in one of {', '.join(ENDINGS)}")
    return ending


def write_table(table: pd.DataFrame, path: Path) -> Path:
    """Write a table in the format of the path's ending, whole or not at all; return the path.

    Raises
    ------
    EmdpoError
        An ending that is not .jsonl, .parquet, .csv or .tsv, or conversations in a CSV.
    """
    ending = table_ending(path)
    if ending == ".jsonl":
        files.write_with(path, lambda temporary: _write_lines(temporary, records_of(table)))
    elif ending == ".parquet":
        files.write_parquet(path, _for_parquet(table))
    elif _has_messages(table):
        raise EmdpoError(f"{path.name}: prompts are conversations, which a CSV cannot hold: .jsonl")
    else:
        separator = "\t" if ending == ".tsv" else ","
        files.write_csv(path, table.astype(object).where(table.notna(), None), separator)
    return path


def records_of(table: pd.DataFrame) -> Iterator[dict[str, Any]]:
    """Yield the rows as JSON objects; what is not known is left out, but for rank: null."""
    names = list(table.columns)
    for values in table.astype(object).itertuples(index=False, name=None):
        pairs = zip(names, values, strict=True)
        yield {n: v for n, v in pairs if n == "rank" or isinstance(v, list) or not pd.isna(v)}


def write_lines(path: Path, records: Iterator[dict[str, Any]]) -> Path:
    """Write records as JSONL, whole or not at all; return the path."""
    files.write_with(path, lambda temporary: _write_lines(temporary, records))
    return path


def _write_lines(path: Path, records: Iterator[dict[str, Any]]) -> None:
    with path.open("wb") as stream:
        for record in records:
            line = json.dumps(record, ensure_ascii=False) + "\n"
            stream.write(line.encode("utf-8", "surrogatepass"))


def _has_messages(table: pd.DataFrame) -> bool:
    return any(isinstance(prompt, list) for prompt in table["prompt"])


def _for_parquet(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table that Arrow takes: a column has one type, so all prompts are conversations."""
    table = table.assign(rank=table["rank"].astype("Int64"))
    if not _has_messages(table):
        return table
    prompts = [
        prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
        for prompt in table["prompt"]
    ]
    return table.assign(prompt=pd.Series(prompts, index=table.index, dtype=object))
