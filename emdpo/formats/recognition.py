"""Which foreign format a file is in, told from its first lines."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from emdpo.core.errors import DataError
from emdpo.core.readers import detect_columns
from emdpo.formats.importers.preflib import ENDINGS as PREFLIB_ENDINGS
from emdpo.formats.registry import PREFLIB, detected

_HEAD = 5_000_000
"""Characters that are looked at: a record may hold a conversation or a hundred assessments."""

_DELIMITERS = ",;\t"


def foreign(path: Path) -> tuple[str, str] | None:
    """Return name and title of the format of a file that emdpo does not read as it is.

    None for emdpo's own tables, for what no format tells, and for what cannot be opened: reading
    the file then says why.
    """
    if path.suffix.lower() in PREFLIB_ENDINGS:
        return PREFLIB[0], "PrefLib"
    columns = columns_of(path)
    known = detected(columns)
    if known is None:
        return None
    try:
        return (known.name, known.title) if detect_columns(columns).missing else None
    except DataError:
        return None


def columns_of(path: Path) -> list[str]:
    """Return a file's column names from its beginning, none where they cannot be told."""
    try:
        match path.suffix.lower():
            case ".parquet":
                return list(pq.read_schema(path).names)
            case ".jsonl":
                return _keys(_first_line(path))
            case ".csv" | ".tsv":
                return _header(_first_line(path))
    except (OSError, ValueError, RecursionError, csv.Error, pa.ArrowException):
        pass
    return []


def _first_line(path: Path) -> str:
    with path.open(encoding="utf-8-sig") as stream:
        lines = iter(lambda: stream.readline(_HEAD), "")
        return next((line for line in lines if line.strip()), "")


def _keys(line: str) -> list[str]:
    record = json.loads(line)
    return list(record) if isinstance(record, dict) else []


def _header(line: str) -> list[str]:
    """Return the names by the delimiter that parts most of them."""
    rows = [next(csv.reader([line], delimiter=delimiter)) for delimiter in _DELIMITERS]
    return [name.strip() for name in max(rows, key=len)]
