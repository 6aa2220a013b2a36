"""Where foreign tables come from: a local file, or a data set of the hub through `datasets`."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import pandas as pd

from emdpo.core.errors import DataError, EmdpoError
from emdpo.core.readers import read_table
from emdpo.core.tables.problems import show
from emdpo.core.tables.source import MAX_ROWS, RawTable
from emdpo.formats.records import Records

_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")

_CHUNK = 1000


def is_hub_id(source: object) -> bool:
    """Return whether a text names a data set of the hub: "owner/name", and no file of this name.

    >>> is_hub_id("openbmb/UltraFeedback"), is_hub_id("data/pairs.jsonl"), is_hub_id("a/b/c")
    (True, False, False)
    """
    if not isinstance(source, str) or not _HUB_ID.fullmatch(source):
        return False
    known = (".csv", ".tsv", ".jsonl", ".json", ".parquet", ".gz", ".soc", ".soi", ".toc", ".toi")
    return not source.lower().endswith(known) and not Path(source).is_file()


def from_file(path: str | os.PathLike[str]) -> Records:
    """Return the records of a CSV, TSV, JSONL or Parquet file, read as strictly as rankings are."""
    return from_table(read_table(path))


def from_table(raw: RawTable) -> Records:
    """Return the records of a table that was read."""
    columns = tuple(map(str, raw.frame.columns))
    return Records(
        name=raw.file,
        columns=columns,
        cells=lambda: _cells(raw.frame, columns),
        row_of=lambda position: raw.rows([position])[position],
    )


def _cells(frame: pd.DataFrame, columns: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield the rows, in pieces: a list of all cells would hold a large table twice."""
    for start in range(0, len(frame), _CHUNK):
        piece = frame.iloc[start : start + _CHUNK]
        lists = [piece.iloc[:, place].astype(object).tolist() for place in range(len(columns))]
        for values in zip(*lists, strict=True):
            yield dict(zip(columns, values, strict=True))


def first(records: Records, limit: int | None) -> Records:
    """Return the first `limit` records; all where it is None."""
    if limit is None:
        return records
    return replace(records, cells=lambda: islice(records.cells(), limit))


def from_hub(name: str, config: str | None, split: str, limit: int | None) -> Records:
    """Return the records of a data set of the hub, loaded by `datasets`, which runs no code of it.

    Raises
    ------
    EmdpoError
        Without `datasets`, without network, and where there is no such data set, configuration or
        split.
    """
    rows = _hub_rows(name, config, split)
    held = list(islice(rows(), MAX_ROWS if limit is None else limit))
    if not held:
        raise DataError("the data set has no rows", file=name)
    columns = tuple(dict.fromkeys(key for row in held for key in row))
    return Records(name, columns, lambda: iter(held), lambda position: position + 1)


def _hub_rows(
    name: str, config: str | None, split: str
) -> Callable[[], Iterator[Mapping[str, Any]]]:
    """Return a function that streams the rows: a few of a large data set come at once."""
    try:
        from datasets import load_dataset
    except ImportError:
        needed = "pip install 'emdpo[adapters]', or download the file and give its path"
        raise EmdpoError(
            f"{name}: loading from the hub needs the package datasets: {needed}"
        ) from None

    def rows() -> Iterator[Mapping[str, Any]]:
        try:
            yield from load_dataset(name, config, split=split, streaming=True)
        except Exception as error:  # noqa: BLE001 - many kinds, of several packages
            reason = show(" ".join(str(error).split()) or type(error).__name__, 200)[1:-1]
            which = f" ({config})" if config else ""
            raise EmdpoError(f"{name}{which}, split {split}: not loaded: {reason}") from None

    return rows
