"""What a type is, as data: its size, its wishes and its telling answers.

This module is also the front of its neighbours: `tastes` (how strongly each type wants each
feature), `composition` (types by group) and `evidence` (why a user is of a type).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import expit

from emdpo.core.composition import Composition, composition
from emdpo.core.evidence import RankingEvidence, UserEvidence, user_evidence
from emdpo.core.features import describe_preferences
from emdpo.core.item_texts import in_full
from emdpo.core.tastes import StyleProfile, style_profile

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.loglinear import LogLinearPolicies
    from emdpo.core.rankings import Rankings

__all__ = [
    "Composition",
    "RankingEvidence",
    "StyleProfile",
    "TellingPair",
    "TypePortrait",
    "UserEvidence",
    "composition",
    "style_profile",
    "telling_pairs",
    "type_portraits",
    "user_evidence",
]

CLEAR = np.log(1.5)
"""Log-odds from which a type prefers an answer clearly: it picks it 60 times in 100."""

FAINT = 0.05
"""Strength below which a wish is not told: it moves a choice from 50 to 51 in 100."""

ENDS = 8
"""Candidates looked at from each end of a prompt's order by contrast."""

PROMPTS_SEARCHED = 2_000
"""Prompts in which telling pairs are sought: those where the types differ most."""


@dataclass(frozen=True)
class TellingPair:
    """Two answers to one prompt that a type orders otherwise than other types do."""

    prompt: str
    preferred: str
    """The answer that the type picks."""
    other: str
    probabilities: tuple[float, ...]
    """(K,) probability that a user of each type picks `preferred` of the two."""
    contrast: float
    """Least difference in log-odds of the pick between the type and any other, nats; with one
    type, its log-odds."""
    n_disagree: int
    """Other types that pick `other`: all, or more than half."""


@dataclass(frozen=True)
class TypePortrait:
    """One preference type: how large it is and what it wants."""

    number: int
    """1-based, as in "Type 1"."""
    weight: float
    """Share of users, in [0, 1]."""
    n_expected: float
    """Expected users: the sum of responsibilities."""
    n_most_likely: int
    """Users whose most likely type this is."""
    wishes: tuple[tuple[str, float], ...]
    """What it prefers and dislikes in words, with strength >= FAINT, strongest first."""
    sets_apart: tuple[tuple[str, float], ...]
    """The same for its difference from the types' average; empty with one type."""
    pairs: tuple[TellingPair, ...]
    """Telling pairs of distinct prompts, best first; may be fewer than asked for, or none."""


def type_portraits(
    rankings: Rankings,
    policies: LogLinearPolicies,
    responsibilities: NDArray[np.float64],
    weights: NDArray[np.float64],
    n_pairs: int = 3,
    scores: NDArray[np.float64] | None = None,
) -> tuple[TypePortrait, ...]:
    """Return what each type is, largest first.

    Parameters
    ----------
    rankings : Rankings
        The N users' rankings fitted.
    policies : LogLinearPolicies
        They tell the wishes.
    responsibilities : (N, K)
    weights : (K,)
    n_pairs : int
        Telling pairs of each type, at most.
    scores : (K, A), optional
        They tell the pairs: those of other policies, of which `policies` are a reading.
    """
    likely = np.bincount(responsibilities.argmax(axis=1), minlength=len(weights))
    scores = policies.candidate_scores() if scores is None else scores
    apart = policies.theta - policies.theta.mean(axis=0)
    features = in_full(policies.features, rankings)
    return tuple(
        TypePortrait(
            number=k + 1,
            weight=float(weights[k]),
            n_expected=float(responsibilities[:, k].sum()),
            n_most_likely=int(likely[k]),
            wishes=_felt(describe_preferences(features, policies.theta[k])),
            sets_apart=_felt(describe_preferences(features, apart[k])),
            pairs=telling_pairs(rankings, scores, k, n_pairs),
        )
        for k in range(len(weights))
    )


def _felt(wishes: list[tuple[str, float]]) -> tuple[tuple[str, float], ...]:
    return tuple(wish for wish in wishes if wish[1] >= FAINT)


def telling_pairs(
    rankings: Rankings, scores: NDArray[np.float64], k: int, n_pairs: int = 3
) -> tuple[TellingPair, ...]:
    """Return the pairs of answers that best tell type k (from 0) from the others.

    Type k prefers the first clearly, more than any other type, and more than half of the others
    prefer the second. Pairs where most others do come first, then the least difference of
    log-odds counts. Only the ends of each prompt's order by contrast are paired, so that long
    lists cost A log A.

    Parameters
    ----------
    scores : (K, A)
        DPO scores of every distinct candidate.
    """
    contrast = (
        scores[k] - np.delete(scores, k, axis=0).mean(axis=0) if len(scores) > 1 else scores[k]
    )
    low, high = _ends_by_prompt(contrast, rankings.candidate_prompt)  # (P, E) each
    first, second = np.broadcast_arrays(high[:, :, None], low[:, None, :])  # (P, E, E)
    first, second = first.reshape(len(low), -1), second.reshape(len(low), -1)  # (P, E * E)
    value = _telling(scores[:, first] - scores[:, second], k)
    best = value.argmax(axis=1)  # (P,) one pair a prompt
    value = value[np.arange(len(value)), best]
    prompts = np.argsort(-value, kind="stable")[:n_pairs]
    pairs = ((int(first[p, best[p]]), int(second[p, best[p]])) for p in prompts if value[p] > 0)
    return tuple(_pair(rankings, scores[:, a] - scores[:, b], a, b, k) for a, b in pairs)


def _telling(log_odds: NDArray[np.float64], k: int) -> NDArray[np.float64]:
    """Return how telling each pair (P, E) is of type k, 0 = not at all, from log-odds (K, P, E)."""
    own, others = log_odds[k], np.delete(log_odds, k, axis=0)
    if not len(others):
        return np.where(own >= CLEAR, own, 0.0)
    gap = (own - others).min(axis=0)
    against = (others < 0).sum(axis=0)
    telling = (own >= CLEAR) & (gap > 0) & (2 * against > len(others))
    # The gap, squashed into (0, 1), only decides between pairs with as many types against.
    return np.where(telling, against + gap / (1 + np.abs(gap)), 0.0)


def _ends_by_prompt(
    contrast: NDArray[np.float64], prompt: NDArray[np.int64]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the candidates (P, E) of lowest and of highest contrast of the prompts that vary most.

    Short lists repeat a candidate.
    """
    order = np.lexsort((contrast, prompt))
    counts = np.bincount(prompt)
    counts = counts[counts > 0]
    start = np.cumsum(counts) - counts
    last = start + counts - 1
    spread = contrast[order[last]] - contrast[order[start]]
    widest = np.sort(np.argsort(-spread, kind="stable")[:PROMPTS_SEARCHED])
    start, last = start[widest, None], last[widest, None]
    step = np.arange(min(ENDS, counts.max()))
    return order[np.minimum(start + step, last)], order[np.maximum(last - step, start)]


def _pair(
    rankings: Rankings, log_odds: NDArray[np.float64], first: int, second: int, k: int
) -> TellingPair:
    others = np.delete(log_odds, k)
    text = rankings.candidates["response"]
    prompt = rankings.candidate_prompt[first]
    return TellingPair(
        prompt=str(rankings.prompts["prompt"].iloc[prompt]),
        preferred=str(text.iloc[first]),
        other=str(text.iloc[second]),
        probabilities=tuple(expit(log_odds).tolist()),
        contrast=float(log_odds[k] - (others.max() if len(others) else 0.0)),
        n_disagree=int((others < 0).sum()),
    )
