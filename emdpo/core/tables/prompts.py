"""Prompts as text, or as lists of {role, content} messages."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.tables.cells import Texts, faults_at, texts
from emdpo.core.tables.problems import show

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.tables.problems import Fault


@dataclass(frozen=True)
class Prompts:
    """A prompt column read."""

    shown: Texts
    """The text to show: "role: content" lines where the prompt is messages."""
    identity: Texts
    """What tells prompts apart where there is no prompt_id: the text, or the messages as JSON."""
    messages: NDArray[np.object_] | None
    """(rows,) lists of {role, content}, None where the prompt is a text; None if all are."""
    faults: list[Fault]


def prompts(column: pd.Series) -> Prompts:
    """Return the prompts of a column."""
    name = str(column.name)
    is_list = np.zeros(len(column), bool)
    if column.dtype == object:
        cells = column.tolist()
        is_list = np.fromiter((isinstance(c, list | np.ndarray) for c in cells), bool, len(cells))
    if not is_list.any():
        read = texts(column)
        return Prompts(read, read, None, _missing(read, name))
    return _with_messages(column, np.flatnonzero(is_list))


def _missing(read: Texts, name: str) -> list[Fault]:
    null = np.flatnonzero(read.codes < 0)
    null = null[~np.isin(null, list(read.strange))]
    return read.faults(name) + faults_at(null, name, lambda _: "the prompt is missing")


def _with_messages(column: pd.Series, rows: NDArray[np.int64]) -> Prompts:
    shown = column.to_numpy(object, copy=True)
    identity = shown.copy()
    messages = np.full(len(shown), None, object)
    memo: dict[str, list[dict[str, str]]] = {}  # one list for each distinct prompt
    wrong: dict[int, str] = {}
    for row in rows.tolist():
        try:
            read = _messages(shown[row])
        except ValueError as error:
            wrong[row] = str(error)
            shown[row] = identity[row] = ""
            continue
        key = json.dumps(read, ensure_ascii=False, separators=(",", ":"))
        messages[row] = memo.setdefault(key, read)
        identity[row] = key
        shown[row] = "\n".join(f"{part['role']}: {part['content']}" for part in read)
    name = str(column.name)
    bad = np.fromiter(wrong, np.int64, len(wrong))
    read_shown = texts(pd.Series(shown, name=name, dtype=object))
    faults = faults_at(bad, name, lambda row: wrong[row]) + _missing(read_shown, name)
    return Prompts(read_shown, texts(pd.Series(identity, dtype=object)), messages, faults)


def _messages(cell: object) -> list[dict[str, str]]:
    """Return a conversation with the keys role and content, in this order, and no others."""
    parts = list(cell)  # type: ignore[call-overload]
    if not parts:
        raise ValueError("the list of messages is empty")
    read = []
    for part in parts:
        pair = (part.get("role"), part.get("content")) if isinstance(part, dict) else (None, None)
        if not all(isinstance(value, str) for value in pair):
            raise ValueError(f"expected messages of a text role and content, got {show(part)}")
        read.append({"role": pair[0], "content": pair[1]})
    return read
