"""Policies that emdpo did not train: their probabilities over the candidates, to be audited."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo.core.errors import EmdpoError
from emdpo.core.findings import RULE_LABELS
from emdpo.core.readers import located, read_table
from emdpo.core.tables.cells import column, numbers

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from emdpo.core.rankings import Rankings

KEYS = ("prompt_id", "response_id")
"""Columns that say which candidate a row of a table is about."""

SUM_TOLERANCE = 1e-4
"""A prompt's probabilities may sum to one within this: what was rounded is scaled."""


def read_policies(path: str | PathLike[str]) -> pd.DataFrame:
    """Return a file's table of policies: prompt_id, response_id and a column for each policy.

    Raises
    ------
    DataError
        Where it is no readable table, or has a cell that is no probability; with row and column.
    """
    raw = read_table(path)
    table = raw.frame.copy()
    for name in [name for name in table.columns if name not in KEYS]:
        values, faults = numbers(column(table, name), least=0.0, most=1.0 + SUM_TOLERANCE)
        if faults:
            raise located(faults, raw)[0].error()
        table[name] = values
    return table


def outside_policies(
    rankings: Rankings, policies: Mapping[str, ArrayLike] | pd.DataFrame
) -> dict[str, NDArray[np.float64]]:
    """Return the probabilities of policies over the A candidates of a fit, by name.

    Parameters
    ----------
    rankings : Rankings
        Those fitted.
    policies
        By name (A,) probabilities in the order of `rankings.candidates`; or a table with prompt_id,
        response_id and one column of probabilities for each policy, in which every candidate of
        every prompt has one row.

    Raises
    ------
    EmdpoError
        A candidate is missing, unknown or there twice; a value is no probability; a prompt's do not
        sum to one; a name is that of an aggregation rule.

    Examples
    --------
    >>> import emdpo
    >>> rankings = emdpo.load("assets/demo/classroom.csv")
    >>> table = rankings.candidates.merge(rankings.prompts, left_on="prompt", right_index=True)
    >>> table["mine"] = 1 / table.groupby("prompt_id")["response_id"].transform("size")
    >>> mine = outside_policies(rankings, table[["prompt_id", "response_id", "mine"]])["mine"]
    >>> float(mine.sum())
    3.0
    """
    if isinstance(policies, pd.DataFrame):
        policies = _columns(rankings, policies)
    prompt = rankings.candidate_prompt
    return {
        name: _probabilities(name, values, prompt, rankings) for name, values in policies.items()
    }


def _columns(rankings: Rankings, table: pd.DataFrame) -> dict[str, NDArray]:
    """Return the columns of a table in the order of the candidates."""
    missing = [name for name in KEYS if name not in table]
    names = [name for name in table.columns if name not in KEYS]
    if missing or not names:
        lacking = missing[0] if missing else "column of probabilities beside prompt_id, response_id"
        raise EmdpoError(f"the table of policies has no {lacking}")
    ids = rankings.prompts["prompt_id"].to_numpy(object)[rankings.candidate_prompt]
    wanted = pd.MultiIndex.from_arrays(
        [ids.astype(str), rankings.candidates["response_id"].astype(str)], names=KEYS
    )
    given = pd.MultiIndex.from_arrays([table[name].astype(str) for name in KEYS], names=KEYS)
    if given.has_duplicates:
        raise EmdpoError(f"the table of policies has {_named(given[given.duplicated()][0])} twice")
    place = given.get_indexer(wanted)
    if (place < 0).any():
        lacking = wanted[np.flatnonzero(place < 0)[0]]
        raise EmdpoError(f"the table of policies has no row for {_named(lacking)}")
    strangers = np.setdiff1d(np.arange(len(given)), place)
    if len(strangers):
        known = f"{_named(given[strangers[0]])}, which nobody ranked"
        raise EmdpoError(f"the table of policies has {known}")
    return {str(name): table[name].to_numpy()[place] for name in names}


def _named(candidate: Any) -> str:
    return f"response_id {candidate[1]!r:.60} of prompt_id {candidate[0]!r:.60}"


def _probabilities(
    name: str, values: ArrayLike, prompt: NDArray[np.int64], rankings: Rankings
) -> NDArray[np.float64]:
    if name in RULE_LABELS or name == "lottery" or name.startswith("type-") or not name.strip():
        raise EmdpoError(f"a policy cannot be named {name!r:.40}: that is an aggregation rule")
    try:
        policy = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        raise EmdpoError(f"policy {name!r:.40} has values that are no numbers") from None
    if policy.shape != prompt.shape:
        raise EmdpoError(
            f"policy {name!r:.40} must have {len(prompt):,} probabilities, one a candidate, got "
            f"shape {policy.shape}"
        )
    if not (np.isfinite(policy).all() and (policy >= 0).all()):
        raise EmdpoError(f"policy {name!r:.40} has a value that is no probability")
    totals = np.bincount(prompt, policy)
    off = np.abs(totals - 1) > SUM_TOLERANCE
    if off.any():
        worst = int(np.argmax(np.abs(totals - 1)))
        prompt_id = rankings.prompts["prompt_id"].iloc[worst]
        raise EmdpoError(
            f"policy {name!r:.40} sums to {totals[worst]:.4g} over prompt_id {prompt_id!r:.60}, "
            "not to 1"
        )
    return policy / totals[prompt]
