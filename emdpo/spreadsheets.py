"""CSV that people open in a spreadsheet: no cell of it runs.

A spreadsheet takes text that begins with a formula's sign for a formula, which can fetch an address
or start a program (OWASP, *CSV injection*). Such text gets an apostrophe in front, also after a
semicolon, tab or line end inside a cell: where the comma is the decimal sign, spreadsheets part
cells there. `restored` takes it off again, exactly. Numbers stay numbers.

Files that emdpo itself reads back (`files.write_csv`) hold every id as it is instead.
"""

from __future__ import annotations

import csv
import re

import pandas as pd

_SIGNS = "=+\\-@\0\t\r\n＝＋－＠|%"
_BEGINS = r"(?:\A|(?<=[;\t\r\n]))"
_DANGER = re.compile(rf"{_BEGINS}(?='*[\s\"]*[{_SIGNS}])")
_MARKED = re.compile(rf"{_BEGINS}'(?='*[\s\"]*[{_SIGNS}])")
_NUMBER = re.compile(r"[+-]?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")


def neutral(text: str) -> str:
    """Return text that no spreadsheet runs; harmless text and numbers as they are.

    >>> [neutral(text) for text in ("=1+1", "-5", "'tis", "'=1", "a;@x")]
    ["'=1+1", '-5', "'tis", "''=1", "a;'@x"]
    """
    return text if _NUMBER.fullmatch(text) else _DANGER.sub("'", text)


def restored(text: str) -> str:
    """Return the text that `neutral` was given.

    >>> restored("'=1+1"), restored("'tis")
    ('=1+1', "'tis")
    """
    return _MARKED.sub("", text)


def spreadsheet_table(table: pd.DataFrame) -> pd.DataFrame:
    """Return the table with texts and column names that no spreadsheet runs."""
    texts = [place for place, kind in enumerate(table.dtypes) if not _is_number(kind)]
    columns = [table.iloc[:, place] for place in range(table.shape[1])]
    for place in texts:
        columns[place] = columns[place].map(_cell)
    safe = pd.concat(columns, axis=1) if columns else table.copy()
    return safe.set_axis([neutral(str(name)) for name in table.columns], axis=1)


def spreadsheet_csv(table: pd.DataFrame) -> str:
    """Return the table as CSV at full float precision: texts in quotes, blank = does not exist."""
    safe = spreadsheet_table(table)
    return safe.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_NONNUMERIC)


def _is_number(kind: object) -> bool:
    return pd.api.types.is_numeric_dtype(kind)


def _cell(value: object) -> object:
    return neutral(value) if isinstance(value, str) else value
