"""JSONL text (one object a line) as a table of Python values."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.errors import DataError
from emdpo.core.tables.problems import show
from emdpo.core.tables.source import MAX_CELL_CHARS, RawTable, check_size, display_name, read_text

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
    n_lines = data.count(b"\n") + 1
    check_size(n_lines, 1, file)
    for number, line in enumerate(io.BytesIO(data), 1):
        if not line.strip():
            continue
        try:
            record = _parse(line)
        except ValueError as error:
            raise DataError(str(error), file=file, row=number) from None
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


def _lookup(starts: np.ndarray, records: Iterable[int]) -> dict[int, int]:
    return {record: int(starts[record]) for record in records}


def _parse(line: bytes) -> dict:
    """Return the object of one line; the message of the ValueError is for people."""
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
    if line.count(b"[") + line.count(b"{") > MAX_DEPTH and _depth(record) > MAX_DEPTH:
        raise ValueError(f"nested more than {MAX_DEPTH} deep")
    return record


def _unique(pairs: list[tuple[str, object]]) -> dict[str, object]:
    record = dict(pairs)
    if len(record) < len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise ValueError(f"key {show(twice)} appears twice in one object")
    return record


_decoder = json.JSONDecoder(object_pairs_hook=_unique)


def _depth(value: object) -> int:
    """Return how deep lists and objects are nested, without recursion."""
    depth, level = 0, [value]
    while level:
        depth += 1
        inner = [list(v.values()) if isinstance(v, dict) else v for v in level]
        level = [v for part in inner if isinstance(part, list) for v in part]
        level = [v for v in level if isinstance(v, dict | list)]
    return depth
