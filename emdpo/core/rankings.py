"""The panel of rankings: who ranked which candidates how, as flat arrays.

Reading files is `readers`; saying what is wrong with them is `checks`.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.plackett_luce import StageLayout, stage_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.tables.problems import Problem

FEATURE_PREFIX = "x_"
"""Columns whose name starts so are numeric candidate features, never groups."""

FITTED_SPLITS = ("", "train")
"""Values of `split` that are fitted; every other value is held out."""


@dataclass(frozen=True, eq=False)
class Rankings:
    """R rankings by N users over C candidate rows, of A distinct candidates to P prompts."""

    offsets: NDArray[np.int64]
    """(R + 1,) the rows of ranking r are offsets[r]:offsets[r + 1]; every ranking has a row."""
    ranks: NDArray[np.int32]
    """(C,) 1 = best, equal numbers = tied, 0 = shown but not ranked (below all ranked ones)."""
    candidate: NDArray[np.int32]
    """(C,) position in `candidates`."""
    user: NDArray[np.int32]
    """(R,) position in `users`."""
    prompt: NDArray[np.int32]
    """(R,) position in `prompts`."""
    weight: NDArray[np.float64]
    """(R,) the factor of the ranking's log-likelihood, >= 0."""
    held_out: NDArray[np.bool_]
    """(R,) true where the file's `split` keeps the ranking out of the fit."""
    ranking_ids: NDArray[np.object_]
    """(R,) the file's ranking_id, or "user_id / prompt_id" where it has none."""
    users: pd.DataFrame
    """N rows indexed by user_id (text); one text column per group attribute, None = not known."""
    prompts: pd.DataFrame
    """P rows: prompt_id, prompt (the text shown), messages (a list of role/content, or None)."""
    candidates: pd.DataFrame
    """A rows: prompt (position in `prompts`), response_id, response, and numeric x_* columns."""
    notes: tuple[Problem, ...] = ()
    """What reading the file warned of; `check` repeats it."""

    @property
    def n_users(self) -> int:
        """N, people with a row in `users`."""
        return len(self.users)

    @property
    def n_rankings(self) -> int:
        """R."""
        return len(self.user)

    @property
    def n_rows(self) -> int:
        """C, candidates shown, summed over rankings."""
        return len(self.ranks)

    @property
    def n_prompts(self) -> int:
        """P, distinct prompts."""
        return len(self.prompts)

    @property
    def n_candidates(self) -> int:
        """A, distinct candidates."""
        return len(self.candidates)

    @cached_property
    def lengths(self) -> NDArray[np.int64]:
        """(R,) candidates shown in each ranking."""
        return np.diff(self.offsets)

    @cached_property
    def ranking_of_row(self) -> NDArray[np.int64]:
        """(C,) the ranking that each candidate row belongs to."""
        return np.repeat(np.arange(self.n_rankings), self.lengths)

    @cached_property
    def candidate_prompt(self) -> NDArray[np.int64]:
        """(A,) the prompt that each distinct candidate answers."""
        return self.candidates["prompt"].to_numpy(np.int64)

    @cached_property
    def stages(self) -> StageLayout:
        """The Plackett-Luce stages of all rankings, laid out once for every likelihood pass."""
        return stage_layout(self.offsets, self.ranks)

    @property
    def attributes(self) -> list[str]:
        """Names of the group attributes, in the file's order."""
        return list(self.users.columns)

    def select(self, keep: NDArray[np.bool_], *, drop_users: bool = False) -> Rankings:
        """Return the rankings where `keep` (R,) is true.

        The tables of prompts and candidates stay whole, so that codes keep their meaning. Users
        stay too, with no rankings left perhaps, unless `drop_users`.
        """
        rows = np.repeat(keep, self.lengths)
        part = replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(self.lengths[keep])]),
            ranks=self.ranks[rows],
            candidate=self.candidate[rows],
            user=self.user[keep],
            prompt=self.prompt[keep],
            weight=self.weight[keep],
            held_out=self.held_out[keep],
            ranking_ids=self.ranking_ids[keep],
        )
        return part._drop_users() if drop_users else part

    def _drop_users(self) -> Rankings:
        present, user = np.unique(self.user, return_inverse=True)
        return replace(self, user=user.astype(np.int32), users=self.users.iloc[present])

    def resample_users(self, drawn: NDArray[np.integer]) -> Rankings:
        """Return the rankings of the users drawn (n,): one drawn twice is two users, alike.

        Users are numbered as drawn; prompts and candidates stay whole. Ids then repeat.
        """
        order = np.argsort(self.user, kind="stable")
        counts = np.bincount(self.user, minlength=self.n_users)
        rankings = order[_runs(np.cumsum(counts) - counts, counts, drawn)]
        rows = _runs(self.offsets[:-1], self.lengths, rankings)
        return replace(
            self,
            offsets=np.concatenate([[0], np.cumsum(self.lengths[rankings])]),
            ranks=self.ranks[rows],
            candidate=self.candidate[rows],
            user=np.repeat(np.arange(len(drawn), dtype=np.int32), counts[drawn]),
            prompt=self.prompt[rankings],
            weight=self.weight[rankings],
            held_out=self.held_out[rankings],
            ranking_ids=self.ranking_ids[rankings],
            users=self.users.iloc[drawn],
        )

    def fitted(self) -> Rankings:
        """Return the rankings to fit: those that `split` does not hold out, and their users."""
        if not self.held_out.any():
            return self
        return self.select(~self.held_out, drop_users=True)


def _runs(
    starts: NDArray[np.integer], lengths: NDArray[np.integer], chosen: NDArray[np.integer]
) -> NDArray[np.int64]:
    """Return starts[c] .. starts[c] + lengths[c] - 1 for every c chosen, one after another."""
    n = lengths[chosen]
    within = np.arange(n.sum()) - np.repeat(np.cumsum(n) - n, n)
    return np.repeat(starts[chosen], n).astype(np.int64) + within


def rankings_from_table(table: pd.DataFrame, attributes: pd.DataFrame | None = None) -> Rankings:
    """Return the panel of a canonical table (DESIGN section 5) that has been checked before.

    Parameters
    ----------
    table
        One row per candidate shown: text columns user_id, prompt, response; whole `rank` with 0
        for "not ranked"; optional ranking_id, prompt_id, response_id (text), split (text),
        weight, x_* (float) and messages (list or None). Rows of a ranking need not be adjacent.
    attributes
        Group attributes indexed by user_id; users without a row get None throughout.
    """
    user, user_ids = pd.factorize(table["user_id"])
    prompt_key = table["prompt_id"] if "prompt_id" in table else table["prompt"]
    prompt, prompt_ids = pd.factorize(prompt_key)
    candidate, first_of_candidate = _candidate_codes(table, prompt)
    ranking, ranking_ids = _ranking_codes(table, user, prompt)

    order = np.argsort(ranking, kind="stable")
    lengths = np.bincount(ranking, minlength=len(ranking_ids))
    offsets = np.concatenate([[0], np.cumsum(lengths)])
    first = order[offsets[:-1]]  # (R,) one row of each ranking
    return Rankings(
        offsets=offsets.astype(np.int64),
        ranks=table["rank"].to_numpy(np.int32)[order],
        candidate=candidate[order].astype(np.int32),
        user=user[first].astype(np.int32),
        prompt=prompt[first].astype(np.int32),
        weight=_column(table, "weight", 1.0)[first].astype(np.float64),
        held_out=~np.isin(_column(table, "split", "")[first].astype(str), FITTED_SPLITS),
        ranking_ids=ranking_ids,
        users=_user_table(user_ids, attributes),
        prompts=_prompt_table(table, prompt, prompt_ids),
        candidates=_candidate_table(table, prompt, first_of_candidate),
    )


def _column(table: pd.DataFrame, name: str, default: object) -> NDArray:
    if name in table:
        return table[name].to_numpy()
    return np.full(len(table), default)


def _codes(*columns: NDArray) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return codes 0.. of the distinct rows of several code columns, and a first row of each."""
    combined = np.zeros(len(columns[0]), np.int64)
    for column in columns:
        codes, uniques = pd.factorize(column)
        combined, _ = pd.factorize(combined * max(len(uniques), 1) + codes)
    _, first = np.unique(combined, return_index=True)
    return combined, first


def _candidate_codes(
    table: pd.DataFrame, prompt: NDArray
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return codes of the candidates; where a response's x_* differ, each variant is one."""
    response_key = table["response_id"] if "response_id" in table else table["response"]
    response, _ = pd.factorize(response_key)
    features = [table[name].to_numpy() for name in feature_columns(table)]
    return _codes(prompt, response, *features)


def _ranking_codes(
    table: pd.DataFrame, user: NDArray, prompt: NDArray
) -> tuple[NDArray[np.int64], NDArray[np.object_]]:
    if "ranking_id" in table:
        codes, ids = pd.factorize(table["ranking_id"])
        return codes, np.asarray(ids, object)
    codes, first = _codes(user, prompt)
    prompt_key = "prompt_id" if "prompt_id" in table else "prompt"
    rows = table.iloc[first]
    ids = rows["user_id"].astype(str) + " / " + rows[prompt_key].astype(str)
    return codes, ids.to_numpy(object)


def feature_columns(table: pd.DataFrame) -> list[str]:
    """Return the names of the numeric feature columns."""
    return [name for name in table.columns if str(name).startswith(FEATURE_PREFIX)]


def _user_table(user_ids: pd.Index | NDArray, attributes: pd.DataFrame | None) -> pd.DataFrame:
    index = pd.Index(np.asarray(user_ids, object), name="user_id", dtype=object)
    if attributes is None:
        return pd.DataFrame(index=index)
    users = attributes.reindex(index).astype(object)
    users.index = index
    return users.where(users.notna(), None)


def _prompt_table(
    table: pd.DataFrame, prompt: NDArray, prompt_ids: pd.Index | NDArray
) -> pd.DataFrame:
    _, first = np.unique(prompt, return_index=True)
    messages = _column(table, "messages", None)[first]
    texts = table["prompt"].to_numpy(object)[first]
    ids = np.asarray(prompt_ids, object)
    columns = {"prompt_id": ids, "prompt": texts, "messages": messages.astype(object)}
    return pd.DataFrame(columns, dtype=object)


def _candidate_table(
    table: pd.DataFrame, prompt: NDArray, first: NDArray[np.int64]
) -> pd.DataFrame:
    response_key = "response_id" if "response_id" in table else "response"
    candidates = pd.DataFrame(
        {
            "prompt": prompt[first].astype(np.int64),
            "response_id": table[response_key].to_numpy(object)[first],
            "response": table["response"].to_numpy(object)[first],
        }
    )
    for name in feature_columns(table):
        candidates[name] = table[name].to_numpy(np.float64)[first]
    return candidates
