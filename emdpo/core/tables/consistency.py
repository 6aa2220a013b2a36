"""Rules between rows: one user and prompt per ranking, no candidate twice, one text per id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.rankings import feature_columns
from emdpo.core.tables.problems import Fault, show

if TYPE_CHECKING:
    from numpy.typing import NDArray

from emdpo.core.tables.cells import faults_at


@dataclass(frozen=True)
class Keys:
    """Codes 0, 1, ... of what each row is about."""

    user: NDArray[np.int64]
    prompt: NDArray[np.int64]
    response: NDArray[np.int64]
    """The response within its prompt."""
    ranking: NDArray[np.int64]


def keys_of(table: pd.DataFrame) -> Keys:
    """Return the codes of a table whose ids are categorical and not missing."""
    user = _codes(table["user_id"])
    prompt = _codes(table["prompt_id"] if "prompt_id" in table else table["prompt"])
    response = _codes(table["response_id"] if "response_id" in table else table["response"])
    has_ids = "ranking_id" in table
    ranking = _codes(table["ranking_id"]) if has_ids else pair_codes(user, prompt)
    return Keys(user, prompt, pair_codes(prompt, response), ranking)


def _codes(column: pd.Series) -> NDArray[np.int64]:
    return np.asarray(column.cat.codes, np.int64)


def pair_codes(first: NDArray[np.int64], second: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return codes of the distinct pairs."""
    combined = first * (int(second.max(initial=0)) + 1) + second
    return pd.factorize(combined)[0].astype(np.int64)


def first_rows(group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the first row of each group 0, 1, ...

    >>> first_rows(np.array([0, 1, 1, 0, 2])).tolist()
    [0, 1, 4]
    """
    first = np.zeros(int(group.max(initial=-1)) + 1, np.int64)
    first[group[::-1]] = np.arange(len(group))[::-1]  # the last assignment stands
    return first


def differing(values: NDArray, group: NDArray[np.int64]) -> NDArray[np.int64]:
    """Return the rows whose value is not that of their group's first row."""
    return np.flatnonzero(values != values[first_rows(group)[group]])


def contradictions(table: pd.DataFrame, keys: Keys) -> list[Fault]:
    """Return what makes rankings impossible to read."""
    first = first_rows(keys.ranking)[keys.ranking]
    found: list[Fault] = []
    single = {"user_id": ("users", keys.user), "prompt": ("prompts", keys.prompt)}
    for column, (what, codes) in single.items():
        texts = table[column]
        found += faults_at(
            differing(codes, keys.ranking),
            "prompt_id" if column == "prompt" and "prompt_id" in table else column,
            lambda row, texts=texts, what=what: (
                f"a ranking with two {what}: {show(texts[first[row]])} and {show(texts[row])}"
            ),
        )
    if not found:
        found += _repeated_candidates(table, keys)
    for column in ("split", "weight"):
        if column in table:
            found += _varying(table, column, keys.ranking)
    return found


def _repeated_candidates(table: pd.DataFrame, keys: Keys) -> list[Fault]:
    column = "response_id" if "response_id" in table else "response"
    again = pd.Series(pair_codes(keys.ranking, keys.response)).duplicated()
    hint = "" if "ranking_id" in table else " (one user, one prompt; ranking_id tells two apart)"

    def describe(row: int) -> str:
        return f"candidate {show(table[column][row])} is twice in a ranking{hint}"

    return faults_at(np.flatnonzero(again), column, describe)


def _varying(table: pd.DataFrame, column: str, ranking: NDArray[np.int64]) -> list[Fault]:
    values = table[column]
    codes = _codes(values) if column == "split" else values.to_numpy()
    first = first_rows(ranking)

    def describe(row: int) -> str:
        one = values[first[ranking[row]]]
        return f"two values within a ranking: {show(one)} and {show(values[row])}"

    return faults_at(differing(codes, ranking), column, describe)


def doubtful(table: pd.DataFrame, keys: Keys) -> list[Fault]:
    """Return what can be read but is probably not meant."""
    found: list[Fault] = []
    if "prompt_id" in table:
        found += _one_text("prompt", keys.prompt, table)
    if "response_id" in table:
        found += _one_text("response", keys.response, table)
    for name in feature_columns(table):
        rows = differing(table[name].to_numpy(), keys.response)
        if len(rows):
            message = "differs for one response; each variant is a candidate of its own"
            found.append(Fault(message, name, int(rows[0])))
    empty = np.flatnonzero(table["response"].to_numpy(object) == "")
    if len(empty):
        found.append(Fault(f"{len(empty):,} empty responses", "response", int(empty[0])))
    return found


def _one_text(column: str, ids: NDArray[np.int64], table: pd.DataFrame) -> list[Fault]:
    rows = differing(_codes(table[column]), ids)
    if not len(rows):
        return []
    name = show(table[f"{column}_id"][rows[0]])
    message = f"{column}_id {name} has two texts; the first one is kept"
    return [Fault(message, column, int(rows[0]))]
