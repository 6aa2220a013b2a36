"""Rules between rows: one user and prompt per ranking, no candidate twice, one text per id."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.rankings import feature_columns
from emdpo.core.tables.cells import column, faults_at
from emdpo.core.tables.problems import Fault, show

if TYPE_CHECKING:
    from numpy.typing import NDArray


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
    user = codes_of(table, "user_id")
    prompt = codes_of(table, "prompt_id" if "prompt_id" in table else "prompt")
    response = codes_of(table, "response_id" if "response_id" in table else "response")
    has_ids = "ranking_id" in table
    ranking = codes_of(table, "ranking_id") if has_ids else pair_codes(user, prompt)
    return Keys(user, prompt, pair_codes(prompt, response), ranking)


def codes_of(table: pd.DataFrame, name: str) -> NDArray[np.int64]:
    """Return the codes of a categorical column."""
    return np.asarray(column(table, name).cat.codes, np.int64)


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
    prompt = "prompt_id" if "prompt_id" in table else "prompt"
    found = _varying(table, "user_id", keys.user, keys.ranking, "a ranking with two users")
    found += _varying(table, prompt, keys.prompt, keys.ranking, "a ranking with two prompts")
    if not found:
        found = _repeated_candidates(table, keys)
    if "split" in table:
        codes = codes_of(table, "split")
        found += _varying(table, "split", codes, keys.ranking, "a ranking in two splits")
    if "weight" in table:
        weights = table["weight"].to_numpy()
        found += _varying(table, "weight", weights, keys.ranking, "a ranking with two weights")
    return found


def _varying(
    table: pd.DataFrame, name: str, values: NDArray, ranking: NDArray[np.int64], message: str
) -> list[Fault]:
    """Return faults where a column that belongs to the ranking differs between its rows."""
    cells, first = column(table, name), first_rows(ranking)

    def describe(row: int) -> str:
        return f"{message}: {show(cells[first[ranking[row]]])} and {show(cells[row])}"

    return faults_at(differing(values, ranking), name, describe)


def _repeated_candidates(table: pd.DataFrame, keys: Keys) -> list[Fault]:
    name = "response_id" if "response_id" in table else "response"
    cells = column(table, name)
    again = pd.Series(pair_codes(keys.ranking, keys.response)).duplicated()
    hint = "" if "ranking_id" in table else " (one user, one prompt; ranking_id tells two apart)"

    def describe(row: int) -> str:
        return f"candidate {show(cells[row])} is twice in a ranking{hint}"

    return faults_at(np.flatnonzero(again), name, describe)


def doubtful(table: pd.DataFrame, keys: Keys) -> list[Fault]:
    """Return what can be read but is probably not meant."""
    found: list[Fault] = []
    if "prompt_id" in table:
        found += _one_text(table, "prompt", keys.prompt)
    if "response_id" in table:
        found += _one_text(table, "response", keys.response)
    for name in feature_columns(table):
        rows = differing(table[name].to_numpy(), keys.response)
        if len(rows):
            message = "differs for one response; each variant is a candidate of its own"
            found.append(Fault(message, name, int(rows[0])))
    empty = np.flatnonzero(table["response"].to_numpy(object) == "")
    if len(empty):
        found.append(Fault(f"{len(empty):,} empty responses", "response", int(empty[0])))
    return found


def _one_text(table: pd.DataFrame, name: str, ids: NDArray[np.int64]) -> list[Fault]:
    rows = differing(codes_of(table, name), ids)
    if not len(rows):
        return []
    shared = show(column(table, f"{name}_id")[rows[0]])
    return [Fault(f"{name}_id {shared} has two texts; the first is kept", name, int(rows[0]))]
