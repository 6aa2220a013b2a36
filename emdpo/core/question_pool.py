"""The questions that can be put to a person, and which of them to put next."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.adaptive import (
    EXACT_UP_TO,
    expected_entropy_fall,
    log_order_probabilities,
    most_informative,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.adaptive import Floats, Places

MOST_PROMPTS = 1_000
"""Prompts that questions are made of: those in which types differ most."""

MOST_QUESTIONS = 4_000
"""Questions of a pool, about: each is weighed anew after every answer."""

NO_NEWS = 1e-9
"""An expected fall of entropy (nats) that is rounding."""

FIRST_AMONG = 5
"""A start at random is drawn from so many of the most informative questions."""


@dataclass(frozen=True)
class Question:
    """Candidates of one prompt that a person is to order."""

    prompt: int
    """Position in `Rankings.prompts`."""
    candidates: tuple[int, ...]
    """Positions in `Rankings.candidates`, rising."""


@dataclass(frozen=True, eq=False)
class QuestionsOfLength:
    """Q questions of m candidates each."""

    prompt: NDArray[np.int64]
    """(Q,)"""
    candidates: Places
    """(Q, m)"""
    log_orders: Floats
    """(K, Q, m!) log P_k of every order."""


@dataclass(frozen=True, eq=False)
class QuestionPool:
    """Questions by number of candidates."""

    parts: tuple[QuestionsOfLength, ...]

    def __len__(self) -> int:
        return sum(len(part.prompt) for part in self.parts)

    def __getitem__(self, place: int) -> Question:
        for part in self.parts:
            if 0 <= place < len(part.prompt):
                candidates = tuple(part.candidates[place].tolist())
                return Question(int(part.prompt[place]), candidates)
            place -= len(part.prompt)
        raise IndexError("no such question")

    def __iter__(self) -> Iterator[Question]:
        return (self[place] for place in range(len(self)))

    def falls(self, log_posterior: Floats) -> Floats:
        """Return by how much each question is expected to lower the entropy, (Q,), nats."""
        return _joined(
            [expected_entropy_fall(part.log_orders, log_posterior) for part in self.parts]
        )

    def are_new(self, asked: Sequence[Question]) -> NDArray[np.bool_]:
        """Return which questions (Q,) show no two candidates together that were together before.

        The likelihood would count a second look at the same two as a fresh answer, which it is not.
        """
        return _joined([_new(part, asked) for part in self.parts]).astype(bool)

    def best(
        self,
        log_posterior: Floats,
        asked: Sequence[Question] = (),
        rng: np.random.Generator | None = None,
    ) -> Question | None:
        """Return the new question that is expected to tell most; None where none tells anything.

        With `rng` it is drawn from the FIRST_AMONG best, so that not everybody begins alike
        (the "randomesque" start of adaptive tests, Kingsbury and Zara 1989).
        """
        falls = np.where(self.are_new(asked), self.falls(log_posterior), 0.0)
        best = np.argsort(-falls, kind="stable")[:FIRST_AMONG]
        best = best[falls[best] > NO_NEWS]
        if not len(best):
            return None
        return self[int(best[0] if rng is None else rng.choice(best))]


def _joined(parts: list[NDArray]) -> NDArray:
    return np.concatenate(parts) if parts else np.zeros(0)


def _new(part: QuestionsOfLength, asked: Sequence[Question]) -> NDArray[np.bool_]:
    new = np.ones(len(part.prompt), np.bool_)
    for question in asked:
        new &= np.isin(part.candidates, question.candidates).sum(axis=1) < 2
    return new


def question_pool(
    scores: Floats,
    candidate_prompt: NDArray[np.integer],
    log_weights: Floats,
    size: int,
    usable: NDArray[np.bool_] | None = None,
) -> QuestionPool:
    """Return questions of at most `size` candidates each.

    A prompt with few candidates is one question. Of one with more, sets of `size` are questions:
    all sets of its most informative candidates, of as many as MOST_QUESTIONS allows.

    Parameters
    ----------
    scores : (K, A)
        DPO scores of every distinct candidate.
    candidate_prompt : (A,)
    log_weights : (K,)
        Shares of the types.
    size : int
        In 2..EXACT_UP_TO.
    usable : (A,), optional
        Candidates that may be shown.
    """
    if not 2 <= size <= EXACT_UP_TO:
        raise ValueError(f"size must be in [2, {EXACT_UP_TO}], got {size}")
    lists = _lists(scores, candidate_prompt, log_weights, usable)
    n_kept = _candidates_kept(size, MOST_QUESTIONS // max(len(lists), 1))
    sets: dict[int, list[tuple[int, ...]]] = {}
    for members in lists:
        chosen = members[_narrowed(scores[:, members], log_weights, size, n_kept)]
        length = min(size, len(chosen))
        sets.setdefault(length, []).extend(combinations(np.sort(chosen).tolist(), length))
    parts = (np.array(sets[length], np.intp) for length in sorted(sets))
    return QuestionPool(
        tuple(
            QuestionsOfLength(
                np.asarray(candidate_prompt[part[:, 0]], np.int64),
                part,
                log_order_probabilities(scores[:, part]),
            )
            for part in parts
        )
    )


def _lists(
    scores: Floats,
    candidate_prompt: NDArray[np.integer],
    log_weights: Floats,
    usable: NDArray[np.bool_] | None,
) -> list[Places]:
    """Return the candidates of each prompt that has two, of the prompts where types differ most."""
    places = np.arange(len(candidate_prompt)) if usable is None else np.flatnonzero(usable)
    places = places[np.argsort(candidate_prompt[places], kind="stable")]
    cuts = np.flatnonzero(np.diff(candidate_prompt[places])) + 1
    lists = [members for members in np.split(places, cuts) if len(members) > 1]
    if len(lists) <= MOST_PROMPTS:
        return lists
    spread = np.array([_spread(scores[:, members], log_weights) for members in lists])
    return [lists[i] for i in np.sort(np.argsort(-spread, kind="stable")[:MOST_PROMPTS])]


def _spread(scores: Floats, log_weights: Floats) -> float:
    """Return how unlike types value a list's candidates (K, n), whatever constant each adds."""
    weights = np.exp(log_weights)
    about = scores - scores.mean(axis=1, keepdims=True)
    return float((weights @ (about - weights @ about) ** 2).max())


def _candidates_kept(size: int, quota: int) -> int:
    """Return of how many candidates a prompt's questions are made: at most `quota` sets."""
    n = size
    while comb(n + 1, size) <= quota:
        n += 1
    return n


def _narrowed(scores: Floats, log_weights: Floats, size: int, n_kept: int) -> Places:
    """Return the places of the candidates to make questions of, most informative sets first."""
    left = np.arange(scores.shape[1])
    chosen: list[int] = []
    while len(left) and len(chosen) < n_kept:
        if len(left) <= n_kept - len(chosen):
            return np.concatenate([np.array(chosen, np.intp), left])
        found = left[most_informative(scores[:, left], log_weights, size)]
        chosen.extend(found.tolist())
        left = np.setdiff1d(left, found)
    return np.array(chosen[:n_kept], np.intp)
