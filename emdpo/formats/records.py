"""The rows of somebody else's table, read strictly: what is not as expected says where it is."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from emdpo.core.errors import DataError
from emdpo.core.tables.problems import show


@dataclass(frozen=True)
class Records:
    """A table before anything is known about its meaning."""

    name: str | None
    """The file or the data set on the hub; None for a table in memory."""
    columns: tuple[str, ...]
    """In the source's order."""
    cells: Callable[[], Iterator[Mapping[str, Any]]]
    """Yields each row's cells by column name, anew at every call."""
    row_of: Callable[[int], int]
    """From a record's position to the row that a person finds it at (see `Problem.row`)."""

    def __iter__(self) -> Iterator[Record]:
        """Yield the records in order."""
        for position, values in enumerate(self.cells()):
            yield Record(values, position, self)


@dataclass(frozen=True)
class Record:
    """An object of a source: a row, or something nested in one of its cells."""

    values: Mapping[str, Any]
    """Its cells by name."""
    position: int
    """Of the row it stands in, from 0."""
    source: Records
    """The table."""
    path: str = ""
    """What leads from the row to it, as in "metadata.assessments."."""

    def error(self, name: str, message: str) -> DataError:
        """Return the exception that names file, row and column."""
        row = self.source.row_of(self.position)
        return DataError(message, file=self.source.name, row=row, column=self.path + name)

    def value(self, name: str) -> Any:
        """Return a cell, None where it is missing, blank or not a number."""
        value = self.values.get(name)
        if value is None or (isinstance(value, float) and math.isnan(value)):
            return None
        return value.tolist() if isinstance(value, np.ndarray | np.generic) else value

    def optional_text(self, name: str) -> str | None:
        """Return a text or whole number as text, None where the cell is missing."""
        value = self.value(name)
        if value is None or isinstance(value, str):
            return value
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if isinstance(value, int) and not isinstance(value, bool):
            return str(value)
        raise self.error(name, f"expected text, got {show(value)}")

    def text(self, name: str) -> str:
        """Return a text that must be there."""
        found = self.optional_text(name)
        if found is None:
            raise self.error(name, "expected text, found nothing")
        return found

    def identity(self, name: str) -> str:
        """Return a text that must be there and not be empty."""
        found = self.text(name)
        if not found:
            raise self.error(name, "an empty id")
        return found

    def optional_number(self, name: str) -> float | None:
        """Return a finite number, None where the cell is missing or blank."""
        value = self.value(name)
        if value is None or value == "":
            return None
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if isinstance(value, bool) or not math.isfinite(number):
            raise self.error(name, f"expected a number, got {show(value)}")
        return number

    def number(self, name: str) -> float:
        """Return a finite number that must be there."""
        found = self.optional_number(name)
        if found is None:
            raise self.error(name, "expected a number, found nothing")
        return found

    def flag(self, name: str) -> bool:
        """Return a truth value; missing is false."""
        value = self.value(name)
        if isinstance(value, bool):
            return value
        known = {"": False, "0": False, "false": False, "1": True, "true": True}
        text = "" if value is None else str(value).strip().lower()
        if text not in known:
            raise self.error(name, f"expected true or false, got {show(value)}")
        return known[text]

    def child(self, name: str) -> Record:
        """Return the object in a cell."""
        value = self._nested(name)
        if not isinstance(value, Mapping):
            raise self.error(name, f"expected an object, got {show(value)}")
        return self._inside(name, value)

    def children(self, name: str) -> list[Record]:
        """Return the objects in a cell's list, none where it is missing.

        An object of equally long lists is read as that list of objects: Arrow stores it so.
        """
        value = self._nested(name)
        if isinstance(value, Mapping):
            value = _turned(value)
        if value is None:
            return []
        if not (isinstance(value, Sequence) and all(isinstance(each, Mapping) for each in value)):
            raise self.error(name, f"expected a list of objects, got {show(value)}")
        return [self._inside(name, each) for each in value]

    def items(self, name: str) -> list[Any]:
        """Return the values in a cell's list, none where it is missing."""
        value = self._nested(name)
        if value is None:
            return []
        if not isinstance(value, list | tuple):
            raise self.error(name, f"expected a list, got {show(value)}")
        return [each.tolist() if isinstance(each, np.ndarray) else each for each in value]

    def _inside(self, name: str, values: Mapping[str, Any]) -> Record:
        return Record(values, self.position, self.source, f"{self.path}{name}.")

    def _nested(self, name: str) -> Any:
        """Return a cell's list or object; in a CSV it is JSON text."""
        value = self.value(name)
        if not isinstance(value, str):
            return value
        try:
            return json.loads(value) if value else None
        except (ValueError, RecursionError):
            message = f"expected a list or object (in CSV as JSON), got {show(value)}"
            raise self.error(name, message) from None


def _turned(lists: Mapping[str, Any]) -> Any:
    """Return an object of equally long lists as a list of objects, anything else as it is."""
    columns = {k: v.tolist() if isinstance(v, np.ndarray) else v for k, v in lists.items()}
    if not columns or not all(isinstance(column, list) for column in columns.values()):
        return lists
    if len({len(column) for column in columns.values()}) > 1:
        return lists
    return [
        dict(zip(columns, values, strict=True)) for values in zip(*columns.values(), strict=True)
    ]
