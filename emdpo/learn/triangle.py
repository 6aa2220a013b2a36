"""Three types on a triangle: one policy for all is a point, and each type has a regret there.

A point holds three weights that sum to one. Read as a mixture, type k's policy answers with chance
a_k; read as a consensus, the types' policies are multiplied with exponents a_k.

Letters: K = 3 types, A answers, n points.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from emdpo.core.aggregation import kl_consensus, min_max_regret_mixture
from emdpo.core.regret import RegretTable, log_normalise, log_policies, plain_regret, regret_table
from emdpo.core.rules import CONSENSUS, FORMS, MIXTURE
from emdpo.core.welfare import gains, maximin_mixture, nash_mixture

if TYPE_CHECKING:
    from emdpo.core.regret import Codes, Floats

KINDS = ("plain", "kl", "share")
"""Kinds of regret that the triangle shows."""

CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [0.5, np.sqrt(0.75)]])
"""(3, 2) where the types lie in the plane: sides of length one."""


@dataclass(frozen=True, eq=False)
class ThreeTypes:
    """Three types that judge the same answers to one question."""

    scores: Floats
    """(3, A) DPO scores, nats; a constant added to a row changes nothing."""
    shares: Floats
    """(3,) shares of people, > 0, summing to one."""
    answers: tuple[str, ...]
    """(A,) what the answers are called."""
    beta: float = 1.0
    """DPO inverse temperature, > 0."""

    def __post_init__(self) -> None:
        shares = np.asarray(self.shares, np.float64)
        if np.shape(self.scores) != (3, len(self.answers)) or shares.shape != (3,):
            raise ValueError(
                f"three types need (3, {len(self.answers)}) scores and (3,) shares, "
                f"got {np.shape(self.scores)} and {shares.shape}"
            )
        if not (shares > 0).all() or abs(shares.sum() - 1.0) > 1e-9:
            raise ValueError(f"shares must be > 0 and sum to 1, got {shares}")

    @property
    def prompt(self) -> Codes:
        """(A,) all answers belong to one question."""
        return np.zeros(len(self.answers), np.int64)

    @cached_property
    def log_types(self) -> Floats:
        """(3, A) log probabilities of the types' own policies."""
        return log_policies(self.scores, self.prompt, self.beta)

    @cached_property
    def regret_matrix(self) -> Floats:
        """(3, 3) plain regret of type k (row) under the policy of type j (column), nats."""
        return plain_regret(self.scores, self.log_types, np.exp(self.log_types), self.prompt)

    def sized(self, sizes: Sequence[float]) -> ThreeTypes:
        """Return the same types in other sizes, > 0, in any unit."""
        return ThreeTypes(self.scores, simplex(sizes), self.answers, self.beta)


EXAMPLE = ThreeTypes(
    scores=np.array(
        [[-3.0, 2.0, 0.0, -3.0, 1.0], [3.0, 2.0, -2.0, -2.0, 3.0], [0.0, -1.0, 3.0, -3.0, 0.0]]
    ),
    shares=np.array([0.5, 0.3, 0.2]),
    answers=("a story", "three tips", "a long explanation", "a joke", "a kind word"),
)
"""Answers to "How do I sleep better?": chosen so that every rule lands on another point."""


class Mark(NamedTuple):
    """Where a rule lands on the triangle."""

    form: str
    """mixture or consensus: how its weights make a policy."""
    weights: Floats
    """(3,) a point of the simplex."""


def simplex(amounts: Sequence[float] | Floats) -> Floats:
    """Return amounts >= 0 as weights that sum to one; equal weights where all are 0.

    >>> simplex([1, 1, 2]).tolist(), simplex([0, 0]).tolist()
    ([0.25, 0.25, 0.5], [0.5, 0.5])
    """
    held = np.asarray(amounts, np.float64)
    return held / held.sum() if held.sum() > 0 else np.full(len(held), 1.0 / len(held))


def policies(types: ThreeTypes, form: str, weights: Floats) -> Floats:
    """Return the policies (n, A) at points (n, 3) of the triangle.

    Raises
    ------
    ValueError
        The form is neither mixture nor consensus.
    """
    if form not in FORMS:
        raise ValueError(f"form must be one of {', '.join(FORMS)}, got {form!r}")
    if form == MIXTURE:
        return weights @ np.exp(types.log_types)
    return np.exp(log_normalise(weights @ types.log_types, types.prompt))


def regrets(types: ThreeTypes, form: str, weights: Floats) -> RegretTable:
    """Return every kind of regret of the types at points (n, 3), (3, n) each.

    >>> own = regrets(EXAMPLE, "mixture", np.eye(3))
    >>> np.diag(own.plain).tolist(), np.diag(own.kl).round(9).tolist()
    ([0.0, 0.0, 0.0], [0.0, 0.0, 0.0])
    """
    judged = policies(types, form, np.atleast_2d(weights))
    return regret_table(types.scores, judged, types.prompt, types.beta)


def marks(types: ThreeTypes) -> dict[str, Mark]:
    """Return where each rule lands, by the names of `emdpo.core.rules`.

    `nash` is missing where no mixture makes every type better off than the untuned model.
    """
    own = np.exp(types.log_types)
    gain = gains(types.scores, own, types.prompt)
    nash = nash_mixture(gain, types.shares).weights
    best = min_max_regret_mixture(types.regret_matrix, types.shares)
    compromise = kl_consensus(types.log_types, types.prompt, types.beta)
    points = {
        "uniform": Mark(MIXTURE, np.full(3, 1.0 / 3.0)),
        "prevalence": Mark(MIXTURE, types.shares),
        "maximin": Mark(MIXTURE, maximin_mixture(gain, types.shares).weights),
        "mixture": Mark(MIXTURE, best.weights),
        "consensus": Mark(CONSENSUS, compromise.weights),
    }
    return points if nash is None else points | {"nash": Mark(MIXTURE, nash)}


def to_plane(weights: Floats) -> Floats:
    """Return points (..., 3) of the simplex as points (..., 2) of the plane.

    >>> to_plane(np.array([0.5, 0.5, 0.0])).tolist()
    [0.5, 0.0]
    """
    return np.asarray(weights) @ CORNERS


class WorstMap(NamedTuple):
    """The worst regret all over the triangle."""

    x: Floats
    """(w,) places in the plane."""
    y: Floats
    """(h,) places in the plane."""
    worst: Floats
    """(h, w) worst regret of a type, in the kind's unit; nan outside the triangle."""


def worst_map(types: ThreeTypes, form: str, kind: str, width: int = 121) -> WorstMap:
    """Return the worst regret on a grid of `width` places over the triangle and its box."""
    x = np.linspace(0.0, 1.0, width)
    y = np.linspace(0.0, CORNERS[2, 1], round(width * CORNERS[2, 1]))
    third = np.broadcast_to((y / CORNERS[2, 1])[:, None], (len(y), width))
    second = x - 0.5 * third
    weights = np.stack([1.0 - second - third, second, third], axis=-1)  # (h, w, 3)
    inside = (weights >= -1e-9).all(axis=-1)
    worst = np.full(inside.shape, np.nan)
    held = np.maximum(weights[inside], 0.0)
    held /= held.sum(axis=1, keepdims=True)
    worst[inside] = getattr(regrets(types, form, held), kind).max(axis=0)
    return WorstMap(x, y, worst)
