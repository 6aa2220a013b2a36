"""Rankings from files and tables: any accepted form in, one panel out, or one clear error."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pandas as pd

from emdpo.core.errors import DataError
from emdpo.core.rankings import Rankings, rankings_from_table
from emdpo.core.tables.attributes import attributes_of, joined, users_table
from emdpo.core.tables.canonical import canonical
from emdpo.core.tables.cells import column
from emdpo.core.tables.delimited import read_delimited
from emdpo.core.tables.forms import ROLES, Form, Layout, detect_columns, detect_form
from emdpo.core.tables.jsonl import read_jsonl
from emdpo.core.tables.parquet import read_parquet
from emdpo.core.tables.problems import Fault, Problem, listing, show
from emdpo.core.tables.source import (
    RawTable,
    check_size,
    local_file,
    numbered_from,
)

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "Form",
    "Layout",
    "RawTable",
    "Reading",
    "detect_columns",
    "detect_form",
    "load",
    "read_rankings",
    "read_table",
]

Source = str | os.PathLike[str] | pd.DataFrame


@dataclass(frozen=True)
class Reading:
    """The outcome of reading: a panel, or the reasons why there is none."""

    rankings: Rankings | None
    """None where there are errors."""
    errors: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def load(
    path: Source,
    *,
    users: Source | None = None,
    columns: Mapping[str, str | None] | None = None,
) -> Rankings:
    """Return the rankings of a file (CSV, TSV, JSONL or Parquet) or of a table in memory.

    Parameters
    ----------
    path
        The rankings: one row per candidate shown, or one row per ranking (DESIGN section 5).
    users
        A second file or table with user_id and one column per group attribute. Where both files
        know an attribute of a user, this one wins.
    columns
        Which column of the file has which role, e.g. ``{"user_id": "annotator"}``; None says
        that no column has the role.

    Raises
    ------
    DataError
        On the first thing that is wrong, with file, row and column; `check` lists all of them.

    Examples
    --------
    >>> import pandas as pd
    >>> rankings = load(pd.DataFrame({
    ...     "user_id": ["ann", "ann", "ann"],
    ...     "prompt": ["Tea?"] * 3,
    ...     "response": ["Yes.", "No.", "Coffee!"],
    ...     "rank": [2, None, 1],
    ... }))
    >>> rankings.n_users, rankings.ranks.tolist()
    (1, [2, 0, 1])
    """
    reading = read_rankings(path, users=users, columns=columns)
    if reading.rankings is None:
        raise reading.errors[0].error()
    return reading.rankings


def read_rankings(
    source: Source,
    *,
    users: Source | None = None,
    columns: Mapping[str, str | None] | None = None,
) -> Reading:
    """Return what `load` would, with every error and warning instead of an exception."""
    try:
        raw = read_table(source)
        raw_users = None if users is None else read_table(users)
        return _read(raw, raw_users, columns)
    except DataError as error:
        return Reading(None, (Problem.of(error),), ())


def read_table(source: Source) -> RawTable:
    """Return the cells of a file or of a table in memory, as they are.

    Raises
    ------
    DataError
        Where the file is not a regular local one in an accepted format, or is damaged.
    """
    if isinstance(source, pd.DataFrame):
        return _from_memory(source)
    path = local_file(source)
    match path.suffix.lower():
        case ".parquet":
            raw = read_parquet(path)
        case ".jsonl":
            raw = read_jsonl(path)
        case _:
            raw = read_delimited(path, ROLES)
    if raw.frame.empty:
        raise DataError("the table has no rows", file=raw.file)
    return raw


def _from_memory(frame: pd.DataFrame) -> RawTable:
    names = [str(name) for name in frame.columns]
    for name in names:
        if names.count(name) > 1:
            raise DataError(f"column name {show(name)} appears twice")
    if frame.empty:
        raise DataError("the table has no rows")
    check_size(len(frame), len(names), None)
    return RawTable(frame.set_axis(names, axis=1).reset_index(drop=True), None, numbered_from(1))


def _read(
    raw: RawTable, raw_users: RawTable | None, columns: Mapping[str, str | None] | None
) -> Reading:
    try:
        layout = detect_columns(raw.frame.columns, columns)
    except DataError as error:
        raise DataError(Problem.of(error).message, file=raw.file, column=error.column) from None
    if layout.missing:
        return Reading(None, tuple(_absent(raw, layout)), ())
    found = canonical(raw, layout)
    errors, warnings = located(found.errors, raw), located(found.warnings, raw)
    users, user_errors = (None, []) if raw_users is None else users_table(raw_users)
    if raw_users is not None:
        errors += located(user_errors, raw_users)
    if errors:
        return Reading(None, tuple(errors), tuple(warnings))
    own, no_groups = attributes_of(column(found.table, "user_id"), found.others)
    no_groups = [_of_record(fault, found.records) for fault in no_groups]
    warnings += located(no_groups, raw)
    if users is not None and raw_users is not None:
        own, doubts = joined(own, users, raw_users.file)
        warnings += located(doubts, raw_users)
    rankings = rankings_from_table(found.table, own)
    return Reading(replace(rankings, notes=tuple(warnings)), (), tuple(warnings))


def _absent(raw: RawTable, layout: Layout) -> Iterable[Problem]:
    """Yield what the table lacks, and the column that may be meant."""
    for role in layout.missing:
        guess = layout.suggestions.get(role)
        hint = f"; is it {show(guess)}? Rename it (in Python: columns=)" if guess else ""
        order = " (or score, rating, chosen)" if role == "rank" else ""
        there = listing(raw.frame.columns, 6)
        message = f"the table has no such column{order}, only {there}{hint}"
        yield Problem(message, raw.file, None, role)


def _of_record(fault: Fault, records: NDArray[np.int64]) -> Fault:
    record = fault.record
    return fault if record is None else replace(fault, record=int(records[record]))


def located(faults: Iterable[Fault], raw: RawTable) -> list[Problem]:
    """Return faults as problems: with the file's name and rows, the earliest row first."""
    faults = list(faults)
    rows = raw.rows({fault.record for fault in faults if fault.record is not None})
    found = [
        Problem(
            fault.message,
            raw.file,
            None if fault.record is None else rows[fault.record],
            _short(fault.column),
        )
        for fault in faults
    ]
    return sorted(found, key=lambda problem: (problem.row is None, problem.row or 0))


def _short(name: str | None, limit: int = 80) -> str | None:
    """Return a column's name, cut where it would fill the screen."""
    return name if name is None or len(name) <= limit else name[:limit] + "..."
