"""What two fits have in common: users, answers and attributes, as positions in each."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emdpo.core.errors import EmdpoError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings
    from emdpo.fitting import Fit


class Shared(NamedTuple):
    """What both fits know, as positions in each."""

    users: tuple[NDArray[np.intp], NDArray[np.intp]]
    """(N,) of A and of B."""
    candidates: tuple[NDArray[np.intp], NDArray[np.intp]]
    """(A,) of A and of B."""
    prompt: NDArray[np.int64]
    """(A,) prompt codes, each of 0..P-1 used."""
    same_data: bool

    @property
    def n_prompts(self) -> int:
        """P."""
        return int(self.prompt.max(initial=-1)) + 1


def shared_parts(a: Fit, b: Fit) -> Shared:
    """Return the users and answers that both fits know.

    Raises
    ------
    EmdpoError
        No user in common.
    """
    if a.data_sha256 == b.data_sha256:
        users, candidates = np.arange(a.rankings.n_users), np.arange(a.rankings.n_candidates)
        prompt = np.unique(a.rankings.candidate_prompt, return_inverse=True)[1]
        return Shared((users, users), (candidates, candidates), prompt, same_data=True)
    places = b.rankings.users.index.get_indexer(a.rankings.users.index)
    known = places >= 0
    if not known.any():
        raise EmdpoError(
            f"the runs have no user in common ({a.rankings.n_users:,} and "
            f"{b.rankings.n_users:,} users): only fits of the same people can be compared"
        )
    users = np.flatnonzero(known), places[known]
    return Shared(users, *_shared_candidates(a.rankings, b.rankings), same_data=False)


def _shared_candidates(
    a: Rankings, b: Rankings
) -> tuple[tuple[NDArray[np.intp], NDArray[np.intp]], NDArray[np.int64]]:
    """Return the answers of both files by prompt_id and response_id, and their prompts.

    Ids that stand for several answers (with other `x_*`) are left out, and so are prompts of which
    only one answer is shared: there is nothing to choose.
    """
    known = {key: place for key, place in answer_keys(b)}
    pairs = [(place, known[key]) for key, place in answer_keys(a) if key in known]
    both = np.array(pairs, np.intp).reshape(-1, 2)
    prompt = a.candidate_prompt[both[:, 0]]
    n_shared = np.bincount(prompt, minlength=a.n_prompts)
    both = both[n_shared[prompt] > 1]
    codes = np.unique(a.candidate_prompt[both[:, 0]], return_inverse=True)[1]
    return (both[:, 0], both[:, 1]), codes


def answer_keys(rankings: Rankings) -> Iterable[tuple[tuple[str, str], int]]:
    """Yield prompt_id and response_id of each answer that has them for itself, and its place."""
    prompt_ids = rankings.prompts["prompt_id"].to_numpy(object)[rankings.candidate_prompt]
    keys = list(zip(prompt_ids, rankings.candidates["response_id"], strict=True))
    n_times = Counter(keys)
    return ((key, place) for place, key in enumerate(keys) if n_times[key] == 1)


def shared_attributes(
    fits: tuple[Fit, Fit], shared: Shared, groups: Sequence[str] | None
) -> pd.DataFrame:
    """Return the attributes of the shared users on which the runs agree, or those of `groups`.

    Raises
    ------
    EmdpoError
        An attribute of `groups` that is not one of them.
    """
    a, b = (fit.rankings.users.iloc[users] for fit, users in zip(fits, shared.users, strict=True))
    agreed = [name for name in a.columns if name in b.columns and a[name].equals(b[name])]
    chosen = agreed if groups is None else list(dict.fromkeys(groups))
    missing = [name for name in chosen if name not in agreed]
    if missing:
        there = ", ".join(map(str, agreed)) if agreed else "none"
        raise EmdpoError(
            f"no group attribute {missing[0]!r} that both runs know alike (there is: {there})"
        )
    return a[chosen]
