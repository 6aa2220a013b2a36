"""The canonical table from a raw one: typed columns, and every rule of the format checked."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.rankings import feature_columns
from emdpo.core.tables.cells import column, faults_at, flags, numbers, ranks, texts
from emdpo.core.tables.consistency import (
    codes_of,
    contradictions,
    differing,
    doubtful,
    keys_of,
    pair_codes,
)
from emdpo.core.tables.forms import Form
from emdpo.core.tables.problems import Fault
from emdpo.core.tables.prompts import prompts
from emdpo.core.tables.wide import wide_to_long

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.tables.forms import Layout
    from emdpo.core.tables.source import RawTable

_OPTIONAL_IDS = ("ranking_id", "prompt_id", "response_id")

MAX_WEIGHT = 1e9
"""A larger weight of one ranking would drown every other in rounding."""


@dataclass(frozen=True)
class Canonical:
    """A canonical table (see `rankings_from_table`) and what is wrong with it."""

    table: pd.DataFrame
    """One row per candidate shown; usable only where there are no `errors`."""
    others: pd.DataFrame
    """The same rows' further columns: possible group attributes."""
    records: NDArray[np.int64]
    """The record of the raw table that each row came from."""
    errors: list[Fault] = field(default_factory=list)
    """In terms of records and of the file's column names, as the warnings are."""
    warnings: list[Fault] = field(default_factory=list)


def canonical(raw: RawTable, layout: Layout) -> Canonical:
    """Return the canonical table of a raw one whose layout misses nothing."""
    if layout.form is None:
        raise ValueError("the layout tells no order")
    long, records, faults = _as_long(raw, layout)
    cells = _by_role(long, layout)
    table, errors = _text_columns(cells)
    order, order_errors = _order(cells, layout.form)
    errors_of_numbers = order_errors + _add_numbers(table, cells)
    warnings: list[Fault] = []
    if len(table) and not errors:
        _tell_rows_apart(table, records, layout.form)
        keys = keys_of(table)
        is_scored = layout.form is Form.SCORES
        table["rank"] = ranks_of_scores(order, keys.ranking) if is_scored else order
        errors += contradictions(table, keys)
        warnings = doubtful(table, keys)
    errors += errors_of_numbers
    return Canonical(
        table=table,
        others=long.filter(items=list(layout.others)),
        records=records,
        errors=faults + [_in_file(fault, records, layout) for fault in errors],
        warnings=[_in_file(fault, records, layout) for fault in warnings],
    )


def _as_long(raw: RawTable, layout: Layout) -> tuple[pd.DataFrame, NDArray[np.int64], list[Fault]]:
    if layout.form is not None and layout.form.is_wide:
        return wide_to_long(raw, layout)
    return raw.frame, np.arange(len(raw.frame)), []


def _by_role(long: pd.DataFrame, layout: Layout) -> pd.DataFrame:
    """Return the columns that have a role, named by it, and the features."""
    roles = dict(layout.roles)
    if layout.form is not None and layout.form.is_wide:
        roles |= {"response": "response", "rank": "rank"}
    names = {name: role for role, name in roles.items() if name in long}
    cells = long.filter(items=[*names, *layout.features]).rename(columns=names)
    return cells.reset_index(drop=True)


def _in_file(fault: Fault, records: NDArray[np.int64], layout: Layout) -> Fault:
    """Return a fault of a canonical row and column in terms of the file's."""
    record = None if fault.record is None else int(records[fault.record])
    name = fault.column
    if name == "response" and name not in layout.roles:
        name = layout.roles.get("responses")
    elif name is not None:
        name = layout.roles.get(name, name)
    return replace(fault, record=record, column=name)


def _text_columns(cells: pd.DataFrame) -> tuple[pd.DataFrame, list[Fault]]:
    """Return user, prompt, response, ids and split as categorical text, and what is wrong."""
    read = prompts(column(cells, "prompt"))
    users, faults = _ids(column(cells, "user_id"))
    responses, response_faults = _responses(column(cells, "response"))
    columns = {"user_id": users, "prompt": read.shown.series(), "response": responses}
    faults = faults + read.faults + response_faults
    if read.messages is not None:
        columns["messages"] = pd.Series(read.messages, dtype=object)
    for name in _OPTIONAL_IDS:
        if name in cells and not _all_blank(column(cells, name)):
            columns[name], id_faults = _ids(column(cells, name))
            faults += id_faults
    if "prompt_id" not in columns and read.messages is not None:
        columns["prompt_id"] = read.identity.series()
    if "split" in cells:
        split = texts(column(cells, "split"))
        columns["split"] = split.series().cat.add_categories([""] * ("" not in split.values))
        columns["split"] = columns["split"].fillna("")
        faults += split.faults("split")
    return pd.DataFrame(columns), faults


def _all_blank(cells: pd.Series) -> bool:
    """Whether a template left an optional column empty: then it is as good as absent."""
    read = texts(cells)
    return not read.strange and not any(read.values)


def _ids(cells: pd.Series) -> tuple[pd.Series, list[Fault]]:
    """Return ids as text, kept exactly; null and empty ones are faults."""
    name, read = str(cells.name), texts(cells)
    is_empty = np.append(read.values == "", True)[read.codes]
    is_empty[list(read.strange)] = False
    faults = faults_at(np.flatnonzero(is_empty), name, lambda _: f"an empty {name}")
    return read.series(), read.faults(name) + faults


def _responses(cells: pd.Series) -> tuple[pd.Series, list[Fault]]:
    read = texts(cells)
    null = read.codes < 0
    null[list(read.strange)] = False
    faults = faults_at(np.flatnonzero(null), "response", lambda _: "the response is missing")
    return read.series(), read.faults("response") + faults


def _add_numbers(table: pd.DataFrame, cells: pd.DataFrame) -> list[Fault]:
    """Add weight and features to the table, and return what is wrong with them."""
    faults: list[Fault] = []
    if "weight" in cells and not _all_blank(column(cells, "weight")):
        table["weight"], faults = numbers(column(cells, "weight"), least=0.0, most=MAX_WEIGHT)
    found = {}
    for name in feature_columns(cells):
        found[name], wrong = numbers(column(cells, name))
        faults += wrong
    table[list(found)] = pd.DataFrame(found)  # at once: one by one fragments a wide table
    return faults


def _tell_rows_apart(table: pd.DataFrame, records: NDArray[np.int64], form: Form) -> None:
    """Add a ranking_id where a wide table has several rows for one user and prompt.

    In a wide table each row is a ranking, so they must not run together.
    """
    if not form.is_wide or "ranking_id" in table:
        return
    prompt = codes_of(table, "prompt_id" if "prompt_id" in table else "prompt")
    if len(differing(records, pair_codes(codes_of(table, "user_id"), prompt))):
        names = [f"row {record + 1}" for record in range(int(records.max()) + 1)]
        table["ranking_id"] = pd.Categorical.from_codes(records, categories=pd.Index(names))  # type: ignore[arg-type]


def _order(cells: pd.DataFrame, form: Form) -> tuple[NDArray, list[Fault]]:
    """Return (rows,) ranks, 0 = not ranked, or where there are none scores, NaN = not ranked."""
    if form.is_wide:
        return cells["rank"].to_numpy(np.int64), []
    if form is Form.RANKS:
        return ranks(column(cells, "rank"))
    if form is Form.CHOICE:
        return flags(column(cells, "chosen"))
    return numbers(column(cells, "score" if "score" in cells else "rating"), blank=True)


def ranks_of_scores(scores: NDArray[np.float64], ranking: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return dense ranks within each ranking, the highest score first; NaN is not ranked: 0.

    >>> ranks_of_scores(np.array([2.0, 5.0, 2.0, np.nan, 1.0]), np.array([0, 0, 0, 0, 1])).tolist()
    [2, 1, 2, 0, 1]
    """
    order = np.lexsort((-scores, ranking))
    sorted_ranking, sorted_scores = ranking[order], scores[order]
    starts = np.diff(sorted_ranking, prepend=-1) != 0
    level = np.cumsum(starts | (np.diff(sorted_scores, prepend=np.nan) != 0))
    base = level[starts][np.cumsum(starts) - 1]
    found = np.empty(len(scores), np.int64)
    found[order] = level - base + 1
    return np.where(np.isnan(scores), 0, found)
