"""Which files are opened at all, and the limits that keep a bad one from doing harm."""

from __future__ import annotations

import codecs
import os
import re
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from emdpo.core.errors import DataError
from emdpo.core.tables.problems import show

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    import pandas as pd

ENDINGS = (".csv", ".tsv", ".jsonl", ".parquet")
"""File endings that are read, in any case."""

MAX_FILE_BYTES = 500_000_000
MAX_ROWS = 3_000_000
MAX_COLUMNS = 5_000
MAX_CELLS = 30_000_000
MAX_CELL_CHARS = 4_000_000
MAX_ITEMS = 8_000_000
"""Items of lists and objects inside cells, in all."""

_ADDRESS = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]+:/")  # two letters: "C:/" is a drive
_COMPRESSED = {
    b"\x1f\x8b": "gzip",
    b"PK\x03\x04": "zip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"\x04\x22\x4d\x18": "lz4",
    b"7z\xbc\xaf\x27\x1c": "7z",
    b"\x1f\x9d": "compress",
    b"\x5d\x00\x00": "lzma",
    b"\xff\x06\x00\x00sNaPpY": "snappy",
}
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE, codecs.BOM_UTF32_BE)
_CHUNK = 1 << 24


@dataclass(frozen=True)
class RawTable:
    """A table as the file gives it, before anything is known about its columns."""

    frame: pd.DataFrame
    """One row per record, columns in the file's order, cells as the format gives them."""
    file: str | None
    """Name of the file without its folder; None for a table in memory."""
    rows: Callable[[Iterable[int]], dict[int, int]]
    """From positions of records to the rows that a person finds them at (see Problem.row)."""


def numbered_from(first: int) -> Callable[[Iterable[int]], dict[int, int]]:
    """Return the row numbering of a table whose record 0 is at row `first`."""
    return lambda records: {record: record + first for record in records}


def display_name(path: str) -> str:
    """Return the name of a file on one short line."""
    return show(Path(path).name or path, 80)[1:-1]


def local_file(path: str | os.PathLike[str]) -> Path:
    """Return the path of a regular local file with an accepted ending.

    Raises
    ------
    DataError
        For addresses (no request is made), folders, devices, pipes, broken links, other endings,
        empty files and files over `MAX_FILE_BYTES`.
    """
    text = os.fspath(path)
    if _ADDRESS.match(text):
        raise DataError(f"{show(text)} is an address; download the file and give its path")
    name = display_name(text)
    size = _regular_size(text, name)
    if not text.lower().endswith(ENDINGS):
        raise DataError(f"the name must end in one of {', '.join(ENDINGS)}", file=name)
    if size == 0:
        raise DataError("the file is empty", file=name)
    if size > MAX_FILE_BYTES:
        limit = MAX_FILE_BYTES // 1_000_000
        raise DataError(f"{size // 1_000_000} MB are more than the {limit} MB allowed", file=name)
    return Path(text)


def _regular_size(text: str, name: str) -> int:
    try:
        status = Path(text).stat()
    except FileNotFoundError:
        broken = Path(text).is_symlink()
        raise DataError("a broken link" if broken else "no such file", file=name) from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the path
        raise DataError(f"cannot be opened ({_reason(error)})", file=name) from None
    if not stat.S_ISREG(status.st_mode):
        raise DataError("not a regular file", file=name)
    return status.st_size


def _reason(error: Exception) -> str:
    return show(getattr(error, "strerror", None) or error, 100)[1:-1]


def read_bytes(path: Path) -> bytes:
    """Return the bytes of a file that `local_file` accepted, unless they are compressed."""
    name = display_name(str(path))
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"cannot be read ({_reason(error)})", file=name) from None
    for magic, kind in _COMPRESSED.items():
        if data.startswith(magic):
            raise DataError(f"compressed ({kind}); unpack it first", file=name)
    return data


def read_text(path: Path) -> bytes:
    """Return the bytes of a text file without the byte order mark, checked to be UTF-8."""
    name, data = display_name(str(path)), read_bytes(path)
    if data.startswith(b"PAR1"):
        raise DataError("holds Parquet data; rename it to end in .parquet", file=name)
    if data.startswith(_UTF16):
        raise DataError("UTF-16 or UTF-32 text; save it as UTF-8", file=name)
    if (nul := data.find(b"\0")) >= 0:
        message = "holds a NUL character (UTF-16 text or a binary file?); save it as UTF-8"
        raise DataError(message, file=name, row=data.count(b"\n", 0, nul) + 1)
    _check_utf8(data, name)
    data = data.removeprefix(codecs.BOM_UTF8)
    if not data.strip():
        raise DataError("the file is empty", file=name)
    return data


def _check_utf8(data: bytes, name: str) -> None:
    """Raise at the first byte that is not UTF-8; in pieces, so that memory stays small."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    pending = 0  # bytes of a character cut at the end of the piece before
    for start in range(0, len(data), _CHUNK):
        piece = data[start : start + _CHUNK]
        try:
            decoder.decode(piece, final=start + _CHUNK >= len(data))
        except UnicodeDecodeError as error:
            at = start - pending + error.start
            row = data.count(b"\n", 0, at) + 1
            message = f"byte {data[at]:#04x} is not UTF-8 (Latin-1 text?); save it as UTF-8"
            raise DataError(message, file=name, row=row) from None
        pending = len(decoder.getstate()[0])


def check_items(n_items: int, name: str | None) -> None:
    """Raise where cells hold more items of lists and objects than are read."""
    if n_items > MAX_ITEMS:
        raise DataError(f"over {MAX_ITEMS:,} items in lists and objects", file=name)


def check_size(n_rows: int, n_columns: int, name: str | None) -> None:
    """Raise where a table is larger than is read."""
    if n_columns > MAX_COLUMNS:
        raise DataError(f"{n_columns:,} columns; at most {MAX_COLUMNS:,} are read", file=name)
    if n_rows > MAX_ROWS:
        raise DataError(f"{n_rows:,} rows; at most {MAX_ROWS:,} are read", file=name)
    if n_rows * n_columns > MAX_CELLS:
        message = f"{n_rows:,} rows of {n_columns:,} columns; at most {MAX_CELLS:,} cells are read"
        raise DataError(message, file=name)
