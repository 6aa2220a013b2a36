"""CSV and TSV text as a table of strings.

Arrow reads fast but forgives broken quotes; so the quotes are checked first, and whatever is
not regular goes to Python's strict reader, which is slower and says where the text breaks.
"""

from __future__ import annotations

import csv
import io
from functools import partial
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv as arrow_csv

from emdpo.core.errors import DataError
from emdpo.core.rankings import FEATURE_PREFIX
from emdpo.core.tables.arrow import frame_of
from emdpo.core.tables.problems import show
from emdpo.core.tables.source import (
    MAX_CELL_CHARS,
    MAX_CELLS,
    MAX_COLUMNS,
    MAX_ROWS,
    RawTable,
    check_size,
    display_name,
    numbered_from,
    read_text,
)

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

_DELIMITERS = (",", ";", "\t")
_QUOTE = ord('"')
_BLOCK = 1 << 24
_HEADER_BYTES = 1_000_000
_RECORDS_AT_ONCE = 50_000
_DICTIONARY = pa.dictionary(pa.int32(), pa.string())


def read_delimited(path: Path, known: Iterable[str]) -> RawTable:
    """Return the table of a CSV or TSV file.

    Parameters
    ----------
    path
        A file that `local_file` accepted.
    known
        Column names that speak for a delimiter which separates them.
    """
    file, data = display_name(str(path)), read_text(path)
    delimiter, header = _header(data, file, frozenset(known))
    names = [name.strip() for name in header]
    _check_names(names, file)
    table = None
    if _quotes_are_regular(data, delimiter):
        table = _read_fast(data, delimiter, header)
    if table is None:
        table = _read_strict(data, delimiter, names, file)
    n_rows, columns = table.num_rows, table.columns
    check_size(n_rows, len(names), file)
    n_lines = data.count(b"\n") + (not data.endswith(b"\n"))
    del data, table  # a large file, and it is not needed twice
    one_a_line = n_lines == n_rows + 1
    rows = numbered_from(2) if one_a_line else partial(_start_lines, path, delimiter)
    return RawTable(frame_of(columns, names), file, rows)


def _header(data: bytes, file: str, known: frozenset[str]) -> tuple[str, list[str]]:
    """Return the delimiter that finds most known columns, then most columns, and the header."""
    text = data[:_HEADER_BYTES].decode(errors="ignore")
    found = []
    for delimiter in _DELIMITERS:
        reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
        try:
            names = next(row for row in reader if row)
        except (csv.Error, StopIteration):
            continue
        hits = len(known.intersection(name.strip() for name in names))
        found.append((hits, len(names), delimiter, names))
    if not found:
        raise DataError("a quote in the header is never closed", file=file, row=1)
    _, width, delimiter, names = max(found, key=lambda option: option[:2])
    if width > MAX_COLUMNS or (len(data) > len(text.encode()) and "\n" not in text):
        raise DataError(f"the header has over {MAX_COLUMNS:,} columns or 1 MB", file=file, row=1)
    return delimiter, names


def _check_names(names: list[str], file: str) -> None:
    seen: set[str] = set()
    for name in names:
        if name in seen:
            what = f"column name {show(name)}" if name else "empty column name"
            raise DataError(f"{what} appears twice in the header", file=file, row=1)
        seen.add(name)


def _quotes_are_regular(data: bytes, delimiter: str) -> bool:
    """Whether each quote opens or closes a whole cell, so that all readers agree on the text."""
    text = np.frombuffer(data, np.uint8)
    edge = np.zeros(256, bool)
    edge[[_QUOTE, ord(delimiter), ord("\n"), ord("\r")]] = True
    inside = 0
    for start in range(0, len(text), _BLOCK):
        quotes = np.flatnonzero(text[start : start + _BLOCK] == _QUOTE) + start
        opening, closing = quotes[inside::2], quotes[1 - inside :: 2]
        before = text[opening[opening > 0] - 1]
        after = text[closing[closing < len(text) - 1] + 1]
        if not (edge[before].all() and edge[after].all()):
            return False
        inside = (inside + len(quotes)) % 2
    return inside == 0


def _read_fast(data: bytes, delimiter: str, header: list[str]) -> pa.Table | None:
    """Return the table as Arrow reads it, or None where it refuses."""
    try:
        with arrow_csv.open_csv(
            pa.BufferReader(data),
            read_options=arrow_csv.ReadOptions(block_size=_BLOCK),
            parse_options=arrow_csv.ParseOptions(delimiter=delimiter, newlines_in_values=True),
            convert_options=arrow_csv.ConvertOptions(
                column_types={name: _arrow_type(name) for name in header},
                strings_can_be_null=False,
            ),
        ) as reader:
            batches, n_rows = [], 0
            for batch in reader:
                batches.append(batch)
                n_rows += len(batch)
                if n_rows > MAX_ROWS or n_rows * len(header) > MAX_CELLS:
                    break  # the caller refuses the size
            return pa.Table.from_batches(batches, reader.schema)
    except pa.ArrowException:
        return None


def _arrow_type(name: str) -> pa.DataType:
    """Return text once for each distinct cell, but plainly where most cells are distinct."""
    return pa.string() if name.strip().startswith(FEATURE_PREFIX) else _DICTIONARY


def _records(data: bytes, delimiter: str) -> Iterator[tuple[int, list[str]]]:
    """Yield the line where each record starts, and its cells; the header is the first record."""
    # The limit is the module's own and only ever raised; without it cells end at 128 KiB.
    csv.field_size_limit(max(csv.field_size_limit(), MAX_CELL_CHARS))
    text = io.TextIOWrapper(io.BytesIO(data), encoding="utf-8", newline="")
    reader = csv.reader(text, delimiter=delimiter, strict=True)
    line = 1
    while True:
        try:
            record = next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            raise DataError(_csv_reason(str(error)), row=line) from None
        if record:
            yield line, record
        line = reader.line_num + 1


def _csv_reason(message: str) -> str:
    if "unexpected end" in message:
        return "a quote is opened here and never closed"
    if "field limit" in message:
        return f"a cell is longer than {MAX_CELL_CHARS:,} characters (a quote never closed?)"
    if "expected after" in message:
        return "text follows a closing quote; double the quotes inside a quoted cell"
    return show(message, 100)[1:-1]


def _read_strict(data: bytes, delimiter: str, names: list[str], file: str) -> pa.Table:
    records = _records(data, delimiter)
    pieces: list[pa.Table] = []
    pending: list[list[str]] = []
    try:
        next(records)
        for n_rows, (line, record) in enumerate(records, 1):
            if len(record) != len(names):
                message = f"{len(record)} cells where the header has {len(names)}"
                raise DataError(message, row=line)
            check_size(n_rows, len(names), None)
            pending.append(record)
            if len(pending) == _RECORDS_AT_ONCE:
                pieces.append(_piece(pending, names))
                pending = []
    except DataError as error:
        message = str(DataError("", row=error.row))
        raise DataError(str(error).removeprefix(message), file=file, row=error.row) from None
    pieces.append(_piece(pending, names))
    return pa.concat_tables(pieces)


def _piece(records: list[list[str]], names: list[str]) -> pa.Table:
    columns = list(zip(*records, strict=True)) or [()] * len(names)
    arrays = [pa.array(column, pa.string()).dictionary_encode() for column in columns]
    return pa.table(arrays, names=names)


def _start_lines(path: Path, delimiter: str, records: Iterable[int]) -> dict[int, int]:
    """Return the lines where records start, found by reading the file again."""
    wanted = frozenset(records)
    last = max(wanted, default=-1)
    found = {}
    for record, (line, _) in enumerate(_records(read_text(path), delimiter), -1):
        if record in wanted:
            found[record] = line
        if record >= last:
            break
    return found
