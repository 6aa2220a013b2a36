"""What is wrong with a file, as values: a message, and the file, row and column it is about."""

from __future__ import annotations

from dataclasses import dataclass

from emdpo.core.errors import DataError


@dataclass(frozen=True)
class Problem:
    """One complaint about the data; `str` of it is one line."""

    message: str
    """What was expected and what came; one line."""
    file: str | None = None
    """Name of the file without its folder; None for a table in memory."""
    row: int | None = None
    """Line of the file where the record starts (CSV, TSV, JSONL: the first line is 1, a CSV header
    counts); number of the record (Parquet and tables in memory: the first is 1)."""
    column: str | None = None
    """Name of the column as the file gives it."""

    def error(self) -> DataError:
        """Return the exception that stops on this problem."""
        return DataError(self.message, file=self.file, row=self.row, column=self.column)

    @staticmethod
    def of(error: DataError) -> Problem:
        """Return the problem that an exception reports."""
        where = str(DataError("", file=error.file, row=error.row, column=error.column))
        message = str(error).removeprefix(where)
        return Problem(message, error.file, error.row, error.column)

    def __str__(self) -> str:
        return str(self.error())


@dataclass(frozen=True)
class Fault:
    """A problem found inside a table, before its record is looked up in the file."""

    message: str
    column: str | None = None
    record: int | None = None
    """Position of the record in the table, from 0."""


LISTED_PER_FAULT = 10
"""Bad cells of one kind that are listed one by one; the rest are counted."""


def show(value: object, limit: int = 60) -> str:
    r"""Return `value` quoted on one line and cut to about `limit` characters.

    >>> show("two\nlines")
    "'two\\nlines'"
    >>> show("x" * 100, limit=5)
    "'xxxxx...'"
    """
    text = value if isinstance(value, str) else str(value)
    return repr(text if len(text) <= limit else text[:limit] + "...")


def listing(names: object, limit: int = 8) -> str:
    """Return names as one short line.

    >>> listing(["a", "b", "c"], limit=2)
    'a, b and 1 more'
    """
    shown = [show(name, 30)[1:-1] for name in list(names)[:limit]]  # type: ignore[call-overload]
    more = len(list(names)) - len(shown)  # type: ignore[call-overload]
    return ", ".join(shown) + (f" and {more} more" if more else "")
