"""Columns of cells read as texts, ranks, flags and numbers: each distinct cell is read once.

A cell that cannot be read becomes a stand-in and a `Fault`, so that reading can go on and list
what else is wrong.
"""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass, field
from decimal import Decimal
from typing import TYPE_CHECKING, cast

import numpy as np
import pandas as pd
import pyarrow as pa

from emdpo.core.tables.problems import LISTED_PER_FAULT, Fault, show
from emdpo.core.tables.source import MAX_CELL_CHARS

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

_WHOLE = re.compile(r"\s*([0-9]+)(\.0+)?\s*", re.ASCII)
_DECIMAL = re.compile(r"\s*[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?\s*", re.ASCII)
_FLAGS = {"true": 1, "1": 1, "1.0": 1, "false": 0, "0": 0, "0.0": 0, "": 0}
_MAX_RANK = 2**31 - 1
_NUMBERS = ("floating", "integer", "mixed-integer-float")


@dataclass(frozen=True)
class Texts:
    """A column as text: each row's code into the distinct texts."""

    codes: NDArray[np.int64]
    """(rows,) position in `values`; -1 where the cell is null or is not text."""
    values: NDArray[np.object_]
    """Distinct texts, in order of appearance."""
    strange: dict[int, str] = field(default_factory=dict)
    """What is wrong with the rows whose cell is not acceptable text."""

    def array(self) -> NDArray[np.object_]:
        """Return (rows,) texts, None where there is none."""
        return _with_none(self.values)[self.codes]

    def series(self) -> pd.Series:
        """Return the texts as a categorical column, which is small and quick to group."""
        categories = pd.Index(self.values, dtype=object)
        return pd.Series(pd.Categorical.from_codes(self.codes, categories=categories))  # type: ignore[arg-type]

    def faults(self, column: str) -> list[Fault]:
        """Return what is wrong with the strange rows."""
        rows = np.fromiter(self.strange, np.int64, len(self.strange))
        return faults_at(rows, column, lambda row: self.strange[row])


def column(frame: pd.DataFrame, name: str) -> pd.Series:
    """Return one column; no name is ever repeated here, so that it is never several."""
    return cast("pd.Series", frame[name])


def text_of(value: object) -> str | None:
    """Return the text of a cell: text unchanged, numbers and dates written out, null as None.

    Whole floats lose their ".0": a column of whole numbers with gaps is often stored as floats.

    >>> [text_of(v) for v in ("007", 7, 7.0, 7.5, True, None, float("nan"))]
    ['007', '7', '7', '7.5', 'true', None, None]
    """
    if isinstance(value, str):
        return value
    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if isinstance(value, float | np.floating):
        number = float(value)
        if np.isnan(number):
            return None
        return str(int(number)) if number.is_integer() else repr(number)
    if isinstance(value, int | np.integer | Decimal | datetime.date | datetime.time):
        return str(value)
    raise TypeError(f"expected text, got {_KINDS.get(type(value), type(value).__name__)}")


_KINDS = {list: "a list", np.ndarray: "a list", dict: "an object", bytes: "bytes"}


def texts(column: pd.Series) -> Texts:
    """Return a column's cells as text; "7" and 7 are the same text."""
    codes, distinct = _distinct(column)
    values = pd.Series(distinct, dtype=object).to_numpy()
    strange: dict[int, str] = {}
    if pd.api.types.infer_dtype(values, skipna=False) != "string":
        values, without_text = _written(values)
        strange = _by_row(codes, without_text)
        merged, distinct = pd.factorize(values)  # null becomes -1
        codes, values = np.append(merged, -1)[codes].astype(np.int64), np.asarray(distinct)
    strange |= _by_row(codes, _improper(values))
    return Texts(codes, values, strange)


def _written(values: NDArray[np.object_]) -> tuple[NDArray[np.object_], dict[int, str]]:
    """Return cells as text, and what is wrong with those that have none."""
    written = np.full(len(values), None, object)
    wrong: dict[int, str] = {}
    for position, value in enumerate(values):
        try:
            written[position] = text_of(value)
        except TypeError as error:
            wrong[position] = str(error)
    return written, wrong


def _improper(values: NDArray[np.object_]) -> dict[int, str]:
    """Return what is wrong with texts that no UTF-8 text file could hold."""
    wrong: dict[int, str] = {}
    for position, text in enumerate(values):
        if "\0" in text:
            wrong[position] = "holds a NUL character"
        elif len(text) > MAX_CELL_CHARS:
            wrong[position] = f"longer than {MAX_CELL_CHARS:,} characters"
        elif not text.isascii() and _has_lone_surrogate(text):
            wrong[position] = "holds half of a surrogate pair, which is not text"
    return wrong


def _has_lone_surrogate(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _by_row(codes: NDArray[np.int64], reasons: dict[int, str]) -> dict[int, str]:
    if not reasons:
        return {}
    rows = np.flatnonzero(np.isin(codes, list(reasons)))
    return {int(row): reasons[int(codes[row])] for row in rows}


def _with_none(values: NDArray[np.object_]) -> NDArray[np.object_]:
    """Return the values and None at the end, where code -1 finds it."""
    return np.array([*values, None], object)


def _distinct(column: pd.Series) -> tuple[NDArray[np.int64], Sequence[object]]:
    """Return each row's code (-1 = null) and the cells that the codes stand for."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        return np.asarray(column.cat.codes, np.int64), column.cat.categories.tolist()
    mixed = column.dtype == object and pd.api.types.infer_dtype(column, skipna=True) != "string"
    if mixed:  # 1, 1.0 and True are equal and lists have no hash: each cell on its own
        return np.arange(len(column)), column.tolist()
    codes, distinct = pd.factorize(column)
    return codes.astype(np.int64), distinct.tolist()


def faults_at(
    rows: NDArray[np.int64], column: str | None, describe: Callable[[int], str]
) -> list[Fault]:
    """Return a fault for each of the first rows, and one that counts the others."""
    listed = rows[:LISTED_PER_FAULT]
    found = [Fault(describe(int(row)), column, int(row)) for row in listed]
    if len(rows) > len(listed):
        found.append(Fault(f"{len(rows) - len(listed):,} more rows like the last one", column))
    return found


def ranks(column: pd.Series) -> tuple[NDArray[np.int64], list[Fault]]:
    """Return (rows,) ranks >= 1, with 0 for blank (shown but not ranked)."""
    cells = texts(column)
    values = np.array([_rank(text) for text in cells.values], np.int64)
    found = np.append(values, 0)[cells.codes]
    bad = np.union1d(np.flatnonzero(found < 0), list(cells.strange)).astype(np.int64)

    def describe(row: int) -> str:
        return f"rank must be a whole number >= 1 or blank, got {show(column.iloc[row])}"

    return np.maximum(found, 0), faults_at(bad, str(column.name), describe)


def _rank(text: str) -> int:
    """Return the rank that a text says; 0 for blank, -1 for anything but a whole number >= 1."""
    if not text.strip():
        return 0
    match = _WHOLE.fullmatch(text)
    if not match or len(match[1]) > 4000:
        return -1
    rank = int(match[1])
    return rank if 1 <= rank <= _MAX_RANK else -1


def flags(column: pd.Series) -> tuple[NDArray[np.int64], list[Fault]]:
    """Return (rows,) 1 where the candidate was chosen, else 0; blank is not chosen."""
    cells = texts(column)
    values = [_FLAGS.get(text.strip().lower(), -1) for text in cells.values]
    found = np.append(np.array(values, np.int64), 0)[cells.codes]
    bad = np.union1d(np.flatnonzero(found < 0), list(cells.strange)).astype(np.int64)

    def describe(row: int) -> str:
        return f"expected true, false, 1 or 0, got {show(column.iloc[row])}"

    return np.maximum(found, 0), faults_at(bad, str(column.name), describe)


def numbers(
    column: pd.Series, *, blank: bool = False, least: float = -np.inf, most: float = np.inf
) -> tuple[NDArray[np.float64], list[Fault]]:
    """Return finite numbers (rows,) in range; NaN for blank cells where `blank` allows them."""
    values, is_blank = _decimals(column)
    good = np.isfinite(values) & (values >= least) & (values <= most)
    if blank:
        good |= is_blank
    values = np.where(good, values, 0.0)
    values[is_blank & blank] = np.nan
    wanted = "a finite number" + (f" >= {least:g}" if np.isfinite(least) else "")
    wanted += f" and <= {most:g}" if np.isfinite(most) else ""

    def describe(row: int) -> str:
        return f"expected {wanted}, got {_cell(column.iloc[row])}"

    return values, faults_at(np.flatnonzero(~good), str(column.name), describe)


def _cell(value: object) -> str:
    try:
        text = text_of(value)
    except TypeError:
        return show(value)
    return show(text) if text else "an empty cell"


def _decimals(column: pd.Series) -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Return numbers (NaN where a cell is none) and where cells are blank."""
    kind = pd.api.types.infer_dtype(column, skipna=True)
    if kind in _NUMBERS:
        try:
            values = column.astype(np.float64).to_numpy()
        except (OverflowError, TypeError, ValueError):
            values = None  # integers beyond any float, or missing values of another kind
        if values is not None:
            return values, np.isnan(values)
    cells = texts(column)
    blank = np.array([not text.strip() for text in cells.values] + [True], bool)
    found = np.append(_parsed(cells.values), np.nan)
    is_blank = blank[cells.codes]
    is_blank[list(cells.strange)] = False
    return found[cells.codes], is_blank


def _parsed(values: NDArray[np.object_]) -> NDArray[np.float64]:
    try:
        return pa.array(values, pa.string()).cast(pa.float64()).to_numpy(zero_copy_only=False)
    except pa.ArrowException:
        matches = [_DECIMAL.fullmatch(text) for text in values]
        return np.array([float(m[0]) if m else np.nan for m in matches], np.float64)
