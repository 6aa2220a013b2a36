"""Preference pairs as TRL reads them, for every type or for everybody."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings


def pairs(
    rankings: Rankings, responsibilities: NDArray[np.float64] | None, *, soft: bool
) -> Iterator[dict[str, Any]]:
    """Yield every pair of answers that a ranking orders.

    Parameters
    ----------
    rankings
        R rankings by N users.
    responsibilities
        (N, K) posterior probabilities of the types; None: no `type` is told.
    soft
        A pair once for every type, with `weight` the user's responsibility; otherwise only for the
        user's likeliest type. The ranking's own weight multiplies it.

    Notes
    -----
    A ranking of m answers has up to m (m - 1) / 2 pairs, which are not independent: their product
    is not its likelihood (emdpo fits the ranking itself).
    """
    conversations = bool(rankings.prompts["messages"].notna().any())
    texts = rankings.candidates["response"].tolist()
    answers = [_answer(texts[candidate], conversations) for candidate in rankings.candidate]
    prompts = [_prompt(row, conversations) for row in rankings.prompts.itertuples()]
    users = rankings.users.index.to_numpy(object)
    weighted = responsibilities is not None or bool((rankings.weight != 1).any())
    for ranking in range(rankings.n_rankings):
        user, rows = int(rankings.user[ranking]), _rows(rankings, ranking)
        about = _types(user, responsibilities, soft)
        for best, worst in ordered(rankings.ranks[rows]):
            pair = {
                "prompt": prompts[rankings.prompt[ranking]],
                "chosen": answers[rows.start + best],
                "rejected": answers[rows.start + worst],
                "user_id": users[user],
            }
            if rankings.held_out.any():
                pair["split"] = "test" if rankings.held_out[ranking] else "train"
            for named, share in about:
                weight = {"weight": share * float(rankings.weight[ranking])} if weighted else {}
                yield pair | named | weight


def _rows(rankings: Rankings, ranking: int) -> slice:
    return slice(int(rankings.offsets[ranking]), int(rankings.offsets[ranking + 1]))


def ordered(ranks: NDArray[np.integer]) -> Iterator[tuple[int, int]]:
    """Yield the positions of a better and a worse candidate; rank 0 is below all others.

    >>> list(ordered(np.array([2, 1, 0, 2])))
    [(0, 2), (1, 0), (1, 2), (1, 3), (3, 2)]
    """
    place = np.where(ranks > 0, ranks.astype(float), np.inf)
    best, worst = (place[:, None] < place[None, :]).nonzero()
    yield from zip(best.tolist(), worst.tolist(), strict=True)


def _types(
    user: int, responsibilities: NDArray[np.float64] | None, soft: bool
) -> list[tuple[dict[str, str], float]]:
    """Return the types that a user's pairs are written for, and each one's responsibility."""
    if responsibilities is None:
        return [({}, 1.0)]
    shares = responsibilities[user]
    chosen = range(len(shares)) if soft else [int(shares.argmax())]
    return [({"type": f"type-{k + 1}"}, float(shares[k])) for k in chosen]


def _prompt(row: Any, conversations: bool) -> str | list[dict[str, str]]:
    if not conversations:
        return row.prompt
    return row.messages or [{"role": "user", "content": row.prompt}]


def _answer(text: str, conversations: bool) -> str | list[dict[str, str]]:
    return [{"role": "assistant", "content": text}] if conversations else text
