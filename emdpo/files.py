"""Writing and reading the files of a run folder: whole or not at all, and never a pickle."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import re
import secrets
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pandas as pd

from emdpo.core.errors import RunError
from emdpo.core.json_values import as_json

_TEMPORARY = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")
"""Names that `write_with` gives to files it has not finished."""

LONG_AGO = (1980, 1, 1, 0, 0, 0)
"""Time of every file in a zip: the same contents have the same bytes."""


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file atomically: temporary sibling, flush to disk, rename."""
    write_with(path, lambda temporary: temporary.write_bytes(content))


def write_with(path: Path, write: Callable[[Path], Any]) -> None:
    """Let `write` fill a temporary sibling, then rename it to `path`."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        write(temporary)
        with temporary.open("rb") as stream:
            os.fsync(stream.fileno())
        temporary.replace(path)
    finally:
        temporary.unlink(missing_ok=True)


def write_json(path: Path, value: Mapping[str, Any]) -> None:
    """Write JSON without NaN: what is not a finite number becomes null."""
    write_bytes(path, (as_json(value) + "\n").encode("utf-8", "surrogatepass"))


def write_csv(path: Path, table: pd.DataFrame, separator: str = ",") -> None:
    """Write a CSV at full float precision; blank = not known."""
    texts = table.select_dtypes(exclude="number")
    returns = any("\r" in str(cell) for name in texts for cell in texts[name])
    # Python's writer leaves a lone carriage return unquoted, and readers end the line there.
    quoting = csv.QUOTE_NONNUMERIC if returns else csv.QUOTE_MINIMAL
    text = table.to_csv(index=False, sep=separator, lineterminator="\n", quoting=quoting)
    write_bytes(path, text.encode("utf-8", "surrogatepass"))


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a Parquet file."""
    content = io.BytesIO()  # Arrow cannot open every name that the file system has
    table.to_parquet(content, index=False)
    write_bytes(path, content.getvalue())


def zipped(contents: Mapping[str, bytes]) -> bytes:
    """Return a zip file of named contents, in the order of their names."""
    held = io.BytesIO()
    with zipfile.ZipFile(held, "w", zipfile.ZIP_DEFLATED) as archive:
        for name in sorted(contents):
            entry = zipfile.ZipInfo(name, LONG_AGO)
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.external_attr = 0o644 << 16
            archive.writestr(entry, contents[name])
    return held.getvalue()


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object.

    Raises
    ------
    RunError
        The file is missing or damaged.
    """
    try:
        value = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise RunError(f"{path.parent}: there is no {path.name}") from None
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path}: cannot be read ({type(error).__name__})") from None
    if not isinstance(value, dict):
        raise RunError(f"{path}: is not a JSON object")
    return value


def read_csv(path: Path, text_columns: tuple[str, ...] = ()) -> pd.DataFrame:
    """Return a CSV of a run; `text_columns` are kept exactly, all others are numbers.

    Numbers go through Python's own conversion: that of older pandas can miss the last bit.
    """
    try:
        table = pd.read_csv(path, dtype=object, keep_default_na=False, encoding="utf-8")
        numbers = table.columns.difference([*text_columns])
        table[numbers] = table[numbers].replace("", "nan").astype(float)
    except FileNotFoundError:
        raise RunError(f"{path.parent}: there is no {path.name}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({type(error).__name__})") from None
    return table


def read_parquet(path: Path) -> pd.DataFrame:
    """Return a Parquet table of a run."""
    try:
        return pd.read_parquet(io.BytesIO(path.read_bytes()))
    except FileNotFoundError:
        raise RunError(f"{path.parent}: there is no {path.name}") from None
    except (OSError, ValueError) as error:
        raise RunError(f"{path}: cannot be read ({type(error).__name__})") from None


def exists(path: Path) -> bool:
    """Return whether a file or folder is there; a name that cannot be is not."""
    try:
        return path.exists()
    except OSError:
        return False


def sha256(path: Path) -> str:
    """Return the SHA-256 of a file in hexadecimal digits; RunError where it is missing."""
    if exists(path) and not path.is_file():
        raise RunError(f"{path}: is not a regular file")
    try:
        with path.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()
    except OSError:
        raise RunError(f"{path.parent}: there is no {path.name}") from None


def remove_unfinished(folder: Path) -> None:
    """Remove the temporary files that a killed process has left in a folder."""
    if exists(folder) and folder.is_dir():
        for path in folder.iterdir():
            if _TEMPORARY.fullmatch(path.name):
                path.unlink(missing_ok=True)
