"""Wide tables, one row per ranking, made long: one row per candidate shown."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.tables.cells import text_of
from emdpo.core.tables.forms import Form
from emdpo.core.tables.problems import LISTED_PER_FAULT, Fault, show
from emdpo.core.tables.source import check_size

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.tables.forms import Layout
    from emdpo.core.tables.source import RawTable

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"

Candidates = Sequence[str | None]
"""The texts of one ranking's candidates; None where a column is blank: not shown."""


def wide_to_long(
    raw: RawTable, layout: Layout
) -> tuple[pd.DataFrame, NDArray[np.int64], list[Fault]]:
    """Return the long table, the record that each of its rows came from, and what is wrong.

    The long table has `response` (text) and `rank` (0 = not ranked) in place of the columns that
    told them; the other columns are repeated. Records with a fault are left out.
    """
    order_column = layout.roles["chosen" if layout.form is Form.WIDE_CHOICE else "ranking"]
    dropped = {order_column, layout.roles.get("responses"), *layout.responses}
    rows, faults = _rows(raw, layout, order_column)
    check_size(len(rows), 1, raw.file)
    records = np.array([record for record, _, _ in rows], np.int64)
    kept = [name for name in raw.frame.columns if name not in dropped]
    long = raw.frame[kept].iloc[records].reset_index(drop=True)
    long["response"] = pd.Series([text for _, text, _ in rows], dtype=object)
    long["rank"] = np.array([rank for _, _, rank in rows], np.int64)
    return long, records, faults


def _rows(
    raw: RawTable, layout: Layout, order_column: str
) -> tuple[list[tuple[int, str, int]], list[Fault]]:
    """Return (record, response, rank) per candidate shown, and the first faults."""
    read_order = _choice if layout.form is Form.WIDE_CHOICE else _order
    shown_column = layout.roles.get("responses")
    shown, read_shown = _shown(raw.frame, layout)
    orders = raw.frame[order_column].astype(object).tolist()
    rows: list[tuple[int, str, int]] = []
    faults: list[Fault] = []
    for record, (cells, order) in enumerate(zip(shown, orders, strict=True)):
        column = shown_column
        try:
            candidates = read_shown(cells)
            column = order_column
            ranks = read_order(order, candidates)
        except ValueError as error:
            faults.append(Fault(str(error), column, record))
            if len(faults) >= LISTED_PER_FAULT:
                break
            continue
        found = zip(candidates, ranks, strict=True)
        rows += [(record, text, rank) for text, rank in found if text is not None]
    return rows, faults


def _shown(
    frame: pd.DataFrame, layout: Layout
) -> tuple[Iterator | list, Callable[[object], Candidates]]:
    """Return what each record holds of its candidates, and how to read it."""
    if not layout.responses:
        return frame[layout.roles["responses"]].astype(object).tolist(), _listed
    columns = [frame[name].astype(object).tolist() for name in layout.responses]
    return zip(*columns, strict=True), _lettered


def _listed(cell: object) -> Candidates:
    """Return the candidates of a `responses` cell: a list, or a JSON list as text."""
    items = _as_list(cell)
    if items is None:
        raise ValueError(f"expected a list of responses, got {show(cell)}")
    if not items:
        raise ValueError("the list of responses is empty")
    return [_response(item, position) for position, item in enumerate(items)]


def _response(item: object, position: int) -> str:
    try:
        text = text_of(item)
    except TypeError as error:
        raise ValueError(f"response {position}: {error}") from None
    if text is None:
        raise ValueError(f"response {position} is null")
    return text


def _lettered(cells: object) -> Candidates:
    """Return the candidates of response_a, response_b, ...; a blank one was not shown."""
    candidates = [_text(cell) or None for cell in cells]  # type: ignore[attr-defined]
    if not any(candidates):
        raise ValueError("no response is given")
    return candidates


def _text(cell: object) -> str | None:
    try:
        return text_of(cell)
    except TypeError as error:
        raise ValueError(str(error)) from None


def _as_list(cell: object) -> list | None:
    """Return a list cell, or the list that a text holds as JSON, or None."""
    if isinstance(cell, str) and cell.lstrip().startswith("["):
        try:
            cell = json.loads(cell)
        except (ValueError, RecursionError):
            return None
    return list(cell) if isinstance(cell, list | tuple | np.ndarray) else None


def _is_blank(cell: object) -> bool:
    if isinstance(cell, str):
        return not cell.strip()
    return not isinstance(cell, list | tuple | np.ndarray) and pd.isna(cell) is True


def _order(cell: object, candidates: Candidates) -> list[int]:
    """Return ranks from "B>A=C" or a list of 0-based positions, best first; 0 = not listed."""
    if _is_blank(cell):
        return [0] * len(candidates)
    items = _as_list(cell)
    if items is not None:
        groups = [_as_list(item) or [item] for item in items]
        positions = [[_index(item, candidates) for item in group] for group in groups]
    elif isinstance(cell, str):
        groups = [group.split("=") for group in cell.split(">")]
        positions = [[_letter(item, candidates) for item in group] for group in groups]
    else:
        raise ValueError(f'expected an order such as "B>A=C" or a list, got {show(cell)}')
    return _ranks(positions, candidates)


def _ranks(positions: list[list[int]], candidates: Candidates) -> list[int]:
    ranks = [0] * len(candidates)
    for rank, group in enumerate(positions, 1):
        for position in group:
            if ranks[position]:
                raise ValueError(f"candidate {position} is listed twice")
            ranks[position] = rank
    return ranks


def _letter(item: str, candidates: Candidates) -> int:
    """Return the position that a letter stands for."""
    letter = item.strip().upper()
    position = _LETTERS.find(letter) if len(letter) == 1 else -1
    if position < 0:
        raise ValueError(f"expected a letter between > and =, got {show(item)}")
    return _present(position, candidates, show(letter))


def _index(item: object, candidates: Candidates) -> int:
    """Return a 0-based position."""
    is_number = isinstance(item, int | float | np.integer | np.floating)
    if isinstance(item, bool) or not is_number or item != item // 1:  # type: ignore[operator]
        raise ValueError(f"expected a position counted from 0, got {show(item)}")
    return _present(int(item), candidates, str(item))  # type: ignore[arg-type]


def _present(position: int, candidates: Candidates, name: str) -> int:
    if not 0 <= position < len(candidates):
        raise ValueError(f"{name} is none of the {len(candidates)} candidates")
    if candidates[position] is None:
        raise ValueError(f"{name} stands for a candidate that was not shown")
    return position


def _choice(cell: object, candidates: Candidates) -> list[int]:
    """Return rank 1 for the chosen candidate: a 0-based position, its text or its letter."""
    if _is_blank(cell):
        return [0] * len(candidates)
    text = _text(cell)
    if text is not None and text.strip().isdecimal():
        position = _index(int(text), candidates)
    elif text in candidates:
        position = candidates.index(text)
    else:
        position = _letter(str(text).lower().removeprefix("response_"), candidates)
    return _ranks([[position]], candidates)
