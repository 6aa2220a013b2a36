"""The pieces of the page: headings, paragraphs, tables. Every text that goes in is escaped here.

Characters that steer a terminal or turn the direction of text are written out, and very long texts
are cut; the CSVs have them whole.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from html import escape

import numpy as np
import pandas as pd

from emdpo.cards import cut
from emdpo.core.json_values import visible

SHOWN_ROWS = 100
"""Rows of a table on the page; the CSVs have all."""

CELL_LENGTH, TEXT_LENGTH = 300, 5_000
"""Characters shown of a table's cell or a sentence, and of an answer."""


def safe(text: object, limit: int = TEXT_LENGTH) -> str:
    """Return text as HTML that shows it literally, cut after `limit` characters.

    >>> safe("<b>" + "x" * 9, limit=4)
    '&lt;b&gt;x… (12 characters)'
    """
    return escape(cut(visible(str(text)), limit))


def heading(text: str, level: int = 2, anchor: str = "") -> str:
    """Return a heading; `anchor` is its id, for links."""
    place = f' id="{anchor}"' if anchor else ""
    return f"<h{level}{place}>{safe(text)}</h{level}>"


def paragraph(text: str, style: str = "") -> str:
    """Return a paragraph, of a class if given."""
    return f'<p class="{style}">{safe(text)}</p>' if style else f"<p>{safe(text)}</p>"


def listing(items: Iterable[str]) -> str:
    """Return texts as a list with bullets."""
    return "<ul>" + "".join(f"<li>{safe(item)}</li>" for item in items) + "</ul>"


def definitions(terms: Mapping[str, str]) -> str:
    """Return terms, each with what it means."""
    parts = (f"<dt>{safe(term)}</dt><dd>{safe(words)}</dd>" for term, words in terms.items())
    return f"<dl>{''.join(parts)}</dl>"


def quotation(text: str) -> str:
    """Return an answer as a block; its first strong letter says which way it runs."""
    return f'<blockquote dir="auto">{safe(text)}</blockquote>'


def details(title: str, table: pd.DataFrame, note: str = "") -> str:
    """Return a table that opens on a click or key, under its title."""
    before = paragraph(note, "soft") if note else ""
    body = f"{before}{table_html(table, title)}"
    return f"<details><summary>{safe(title, CELL_LENGTH)}</summary>{body}</details>"


def table_html(table: pd.DataFrame, title: str) -> str:
    """Return a table, at most SHOWN_ROWS rows, that can be scrolled by keys where it is wide.

    `title` names it for those who hear the page; the first column names the rows.
    """
    numeric = [_is_numeric(table.iloc[:, place]) for place in range(table.shape[1])]
    names = zip(table.columns, numeric, strict=True)
    head = "".join(_cell('th scope="col"', name, number) for name, number in names)
    rows = "".join(
        f"<tr>{_row(row, numeric)}</tr>"
        for row in table.head(SHOWN_ROWS).itertuples(index=False, name=None)
    )
    rest = len(table) - SHOWN_ROWS
    more = paragraph(f"{rest:,} more rows are in the CSV.", "soft") if rest > 0 else ""
    return (
        f'<div class="scroll" role="region" tabindex="0" aria-label="{safe(title, CELL_LENGTH)}">'
        f"<table><thead><tr>{head}</tr></thead><tbody>{rows}</tbody></table></div>{more}"
    )


_FIGURE = re.compile(r"[-+]?[0-9][0-9.,]*(e[-+]?[0-9]+)?%?( \(.*\))?|not defined|")


def _is_numeric(column: pd.Series) -> bool:
    """Return whether a column holds figures, as numbers or as text."""
    if pd.api.types.is_numeric_dtype(column.dtype):
        return True
    return len(column) > 0 and all(_FIGURE.fullmatch(str(cell)) for cell in column)


def _row(row: Iterable[object], numeric: Iterable[bool]) -> str:
    first, *rest = zip(row, numeric, strict=True)
    tag = "td" if first[1] else 'th scope="row"'
    return _cell(tag, *first) + "".join(_cell("td", *each) for each in rest)


def _cell(tag: str, value: object, numeric: bool) -> str:
    style = ' class="number"' if numeric else ' dir="auto"'
    return f"<{tag}{style}>{safe(_value_text(value), CELL_LENGTH)}</{tag.split()[0]}>"


def _value_text(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.3f}" if np.isfinite(value) else "not defined"
    if isinstance(value, int | np.integer):
        return f"{value:,}"
    return str(value)
