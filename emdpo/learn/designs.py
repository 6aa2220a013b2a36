"""Ways of asking people, and the exact probability of every answer that they can give.

Answers differ in one thing, say how much they joke. A person with taste t chooses among answers
with x jokes each by exp(t x) / sum exp(t x): Plackett-Luce with a score linear in one feature.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from itertools import combinations_with_replacement
from typing import TYPE_CHECKING

import numpy as np
from scipy.special import gammaln, logsumexp

from emdpo.core.plackett_luce import StageLayout, log_likelihoods, stage_layout

if TYPE_CHECKING:
    from numpy.typing import NDArray

DIFFERENCES = (0.5, 1.0, 2.0, 3.0)
"""How far apart in jokes the outer answers of a question are; each is asked equally often."""


@dataclass(frozen=True)
class Population:
    """K types that share one feature: their tastes and shares."""

    tastes: tuple[float, ...]
    """(K,) what one more joke adds to the score, nats; below 0 = jokes are disliked."""
    weights: tuple[float, ...]
    """(K,) shares of people, > 0, summing to 1."""

    @property
    def n_types(self) -> int:
        """K."""
        return len(self.tastes)


INDIFFERENT = Population((0.0,), (1.0,))
"""Everybody finds all answers equally good."""


def levels(n_types: int) -> NDArray[np.float64]:
    """Return (K,) evenly spaced tastes from -1 to 1, K >= 2.

    >>> levels(3).tolist()
    [-1.0, 0.0, 1.0]
    """
    return np.linspace(-1.0, 1.0, n_types)


def love_and_hate(theta: float, n_types: int = 2) -> Population:
    """Return equal shares of K types with tastes evenly spaced from -theta to theta.

    With two types half love jokes and half hate them, equally strongly.

    >>> love_and_hate(1.5)
    Population(tastes=(-1.5, 1.5), weights=(0.5, 0.5))
    """
    tastes = theta * levels(n_types)
    return Population(tuple(tastes.tolist()), (1.0 / n_types,) * n_types)


@dataclass(frozen=True)
class Design:
    """What each person is asked, and which of the answers are known to be one person's."""

    key: str
    """pair, three or linked."""
    questions: tuple[tuple[float, ...], ...]
    """(Q, m) jokes in each of the m answers to choose the best from; asked equally often."""
    n_linked: int
    """Answers known to come from one person, >= 1."""
    n_panels: int
    """Such bundles that a person gives, >= 1; nobody knows that they are the same person's."""

    @cached_property
    def features(self) -> NDArray[np.float64]:
        """(Q * m * m,) jokes of every row of `layout`."""
        asked = np.array(self.questions)
        return np.repeat(asked, asked.shape[1], axis=0).ravel()

    @cached_property
    def layout(self) -> StageLayout:
        """All S = Q m answers to single questions: of question q, answer c is place q m + c."""
        n_questions, width = np.array(self.questions).shape
        ranks = np.tile(np.eye(width, dtype=np.int32), (n_questions, 1)).ravel()
        return stage_layout(np.arange(n_questions * width + 1) * width, ranks)

    @cached_property
    def panels(self) -> NDArray[np.int64]:
        """(U, S) how often each answer occurs in every bundle of `n_linked` answers."""
        n_answers = len(self.features) // len(self.questions[0])
        drawn = combinations_with_replacement(range(n_answers), self.n_linked)
        return np.array([np.bincount(panel, minlength=n_answers) for panel in drawn])

    @cached_property
    def log_orders(self) -> NDArray[np.float64]:
        """(U,) log of the chance of a bundle's questions, times the orders that they can have."""
        by_order = gammaln(self.n_linked + 1) - gammaln(self.panels + 1).sum(axis=1)
        return by_order - self.n_linked * np.log(len(self.questions))


def designs(n_answers: int) -> tuple[Design, Design, Design]:
    """Return the three ways of asking for `n_answers` answers per person, >= 1.

    Single pairs without names; the same pairs with a third answer half-way between, without
    names; and pairs with names, so that a person's answers are known to belong together.
    """
    pairs = tuple((0.0, d) for d in DIFFERENCES)
    threes = tuple((0.0, d / 2, d) for d in DIFFERENCES)
    return (
        Design("pair", pairs, 1, n_answers),
        Design("three", threes, 1, n_answers),
        Design("linked", pairs, n_answers, 1),
    )


def log_choices(design: Design, tastes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return log P(answer | its question) of every answer for every taste, (K, S)."""
    return log_likelihoods(design.layout, tastes[:, None] * design.features)


def log_panels_by_type(design: Design, tastes: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the log probability of every bundle for people of every taste, (K, U)."""
    return log_choices(design, tastes) @ design.panels.T + design.log_orders


def log_panels(design: Design, population: Population) -> NDArray[np.float64]:
    """Return the log probability of every bundle, (U,), of a person drawn from a population."""
    by_type = log_panels_by_type(design, np.array(population.tastes))
    return np.asarray(logsumexp(by_type + np.log(population.weights)[:, None], axis=0))


def divergence(design: Design, truth: Population, other: Population) -> float:
    """Return how far a person's answers tell two populations apart: KL(truth || other), nats.

    0 = their answers have the same distribution, so that no number of people tells them apart.
    """
    log_true = log_panels(design, truth)
    gap = float(np.exp(log_true) @ (log_true - log_panels(design, other)))
    return design.n_panels * max(gap, 0.0)


def counts_of_jokes(design: Design, population: Population) -> NDArray[np.float64]:
    """Return the probability of each sum of places chosen in a bundle, (n_linked (m - 1) + 1,).

    In a pair place 1 is the answer with more jokes, so that this is how often it is chosen; of
    three, 0 is the one with the fewest, 1 the one half-way and 2 the one with the most.
    """
    width = len(design.questions[0])
    place = np.tile(np.arange(width), len(design.questions))
    chances = np.exp(log_panels(design, population))
    return np.bincount(design.panels @ place, chances).astype(np.float64)
