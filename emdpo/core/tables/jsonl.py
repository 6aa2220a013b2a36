"""JSONL text (one object a line) as a table of Python values."""

from __future__ import annotations

import io
import json
import math
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.errors import DataError
from emdpo.core.tables.problems import show
from emdpo.core.tables.source import (
    MAX_CELL_CHARS,
    RawTable,
    check_items,
    check_size,
    display_name,
    read_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

MAX_DEPTH = 16
_LINE_BYTES = 4 * MAX_CELL_CHARS


def read_jsonl(path: Path) -> RawTable:
    """Return the table of a JSONL file that `local_file` accepted.

    A key that a line lacks is null there. Blank lines are skipped.
    """
    file, data = display_name(str(path)), read_text(path)
    columns: dict[str, list] = {}
    lines: list[int] = []
    memo: dict[str, str] = {}  # one copy of each text, however often a file repeats it
    n_lines, n_items = data.count(b"\n") + 1, 0
    check_size(n_lines, 1, file)
    for number, line in enumerate(io.BytesIO(data), 1):
        if not line.strip():
            continue
        try:
            record, found = _parse(line)
        except ValueError as error:
            raise DataError(str(error), file=file, row=number) from None
        if _is_nan(record.get("rank")):
            told = "NaN is not JSON; a rank that is not known is null"
            raise DataError(told, file=file, row=number, column="rank")
        n_items += found
        check_items(n_items, file)
        for name in [name for name in record if name not in columns]:
            check_size(n_lines, len(columns) + 1, file)
            columns[name] = [None] * len(lines)
        for name, values in columns.items():
            value = record.get(name)
            values.append(memo.setdefault(value, value) if type(value) is str else value)
        lines.append(number)
    frame = pd.DataFrame({name: pd.Series(v, dtype=object) for name, v in columns.items()})
    starts = np.asarray(lines, np.int64)
    return RawTable(frame, file, lambda records: _lookup(starts, records))


def _is_nan(value: object) -> bool:
    """Return whether a value is NaN, which Python writes where a computed rank went wrong."""
    return isinstance(value, float) and math.isnan(value)


def _lookup(starts: np.ndarray, records: Iterable[int]) -> dict[int, int]:
    return {record: int(starts[record]) for record in records}


def _parse(line: bytes) -> tuple[dict, int]:
    """Return the object of one line and how many items its values hold.

    The message of the ValueError is for people.
    """
    if len(line) > _LINE_BYTES:
        raise ValueError(f"the line is longer than {_LINE_BYTES:,} bytes")
    try:
        record = _decoder.decode(line.decode())
    except json.JSONDecodeError as error:
        raise ValueError(f"not JSON: {error.msg} at character {error.pos + 1}") from None
    except RecursionError:
        raise ValueError(f"nested more than {MAX_DEPTH} deep") from None
    if not isinstance(record, dict):
        raise ValueError(f"a line must hold one JSON object, got {show(line.decode().strip())}")
    depth, n_items = _nested(record)
    if depth > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return record, n_items


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {show(twice)} appears twice in one object")
    return record


_decoder = json.JSONDecoder(object_pairs_hook=_unique)


def _nested(record: dict) -> tuple[int, int]:
    """Return how deep lists and objects lie inside the values, and how many items they hold."""
    depth = n_items = 0
    level = [value for value in record.values() if isinstance(value, list | dict)]
    while level:
        items = [x for part in level for x in (part.values() if isinstance(part, dict) else part)]
        level = [x for x in items if isinstance(x, list | dict)]
        depth, n_items = depth + 1, n_items + len(items)
    return depth, n_items
