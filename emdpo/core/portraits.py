"""What a type is, as data: its size, its tastes, its telling answers, its people."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True)
class TellingPair:
    """Two answers to one prompt that a type orders otherwise than the other types do."""

    prompt: str
    preferred: str
    """The answer that the type picks."""
    other: str
    probabilities: tuple[float, ...]
    """(K,) probability that each type picks `preferred` over `other`."""
    contrast: float
    """Least difference of the pair's log-odds, own type minus another type, nats."""
    all_disagree: bool
    """Every other type picks `other`; false = most of them, or they merely care less."""


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
    """What it prefers and dislikes in words, with strength > 0, strongest first."""
    sets_apart: tuple[tuple[str, float], ...]
    """The same for its difference from the average type; empty with one type."""
    pairs: tuple[TellingPair, ...]
    """Telling pairs of answers to distinct prompts, most discriminating first."""


@dataclass(frozen=True, eq=False)
class StyleProfile:
    """How strongly each type wants each feature, with uncertainty."""

    labels: tuple[str, ...]
    """(D,) features, as shown to people."""
    strength: NDArray[np.float64]
    """(K, D) in nats per within-ranking standard deviation of the feature."""
    low: NDArray[np.float64]
    """(K, D) lower end of the interval; nan where `note` says why."""
    high: NDArray[np.float64]
    """(K, D) upper end of the interval."""
    n: NDArray[np.float64]
    """(K,) expected users of each type."""
    confidence: float = 0.95
    note: str | None = None
    """Why there are no intervals."""


@dataclass(frozen=True, eq=False)
class Composition:
    """Which types the people of each group belong to."""

    attribute: str
    values: tuple[str, ...]
    """(G,) groups shown."""
    n: tuple[int, ...]
    """(G,) users of each group."""
    shares: NDArray[np.float64]
    """(G, K) mean responsibility; rows sum to one."""
    cramers_v: float | None
    """Bias-corrected association of group and type, 0..1; None with one group or one type."""
    interval: tuple[float, float] | None
    """Bootstrap over users."""
    suppressed: tuple[tuple[str, int], ...] = ()
    """Groups too small to show, with their users."""


@dataclass(frozen=True)
class RankingEvidence:
    """What one ranking says about its user's type."""

    ranking_id: str
    prompt: str
    order: tuple[str, ...]
    """Answers, best first; those shown but not ranked last."""
    log_likelihoods: tuple[float, ...]
    """(K,) log P_k of the ranking, nats."""
    influence: float
    """Log-likelihood under the user's most likely type minus under the runner-up, nats."""


@dataclass(frozen=True)
class UserEvidence:
    """One user's posterior over types, and why."""

    user_id: str
    posterior: tuple[float, ...]
    """(K,) responsibilities."""
    most_likely: int
    """1-based number of the most likely type."""
    runner_up: int | None
    """1-based number of the second most likely type; None with one type."""
    rankings: tuple[RankingEvidence, ...]
    """Sorted by the size of `influence`, largest first."""
