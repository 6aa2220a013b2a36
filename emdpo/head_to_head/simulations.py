"""Rankings of people with planted tastes, on which methods must show what they promise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
import pandas as pd

from emdpo.core.errors import EmdpoError
from emdpo.core.rankings import Rankings, feature_columns, rankings_from_table
from emdpo.core.regret import Floats

if TYPE_CHECKING:
    from numpy.typing import NDArray

COARSE = 1.0
"""Nats: utilities that fall into one interval of this length are tied, where ties are many."""


@dataclass(frozen=True)
class Simulation:
    """A population and what it is asked."""

    n_types: int = 3
    shares: tuple[float, ...] = ()
    """Of the types; equal if empty."""
    n_users: int = 400
    answers: int = 8
    """Rankings of each user."""
    length: int = 4
    """Answers shown in each ranking."""
    n_prompts: int = 60
    n_features: int = 6
    strength: float = 1.2
    """Standard deviation of the entries of theta."""
    tastes: Literal["types", "between", "strengths"] = "types"
    """`between`: every user's theta is a Dirichlet(0.5) mixture of the types'. `strengths`: one
    type, of log-normal strength drawn for every ranking."""
    ties: bool = False
    """Whether utilities that are near are ranked as equal."""
    noisy: float = 0.0
    """Share of users who rank at random."""


class Simulated(NamedTuple):
    """Rankings with the truth behind them."""

    panel: Rankings
    scores: Floats
    """(K, A) of the planted types."""
    shares: Floats
    """(K,) of the types in the population."""
    label: NDArray[np.int64]
    """(N,) type of each user; of `between`, the nearest."""


STRENGTH_SPREAD = 1.0
"""Standard deviation of log strength in `strengths`."""


PRESETS = {
    "three-types": Simulation(),
    "minority": Simulation(n_types=2, shares=(0.9, 0.1)),
    "five-types": Simulation(n_types=5, n_users=600),
    "pairs": Simulation(length=2),
    "triples": Simulation(length=3),
    "lists-of-eight": Simulation(length=8),
    "one-ranking": Simulation(answers=1),
    "two-rankings": Simulation(answers=2),
    "sixteen-rankings": Simulation(answers=16),
    "many-ties": Simulation(ties=True),
    "noisy": Simulation(noisy=0.3),
    "between-types": Simulation(tastes="between"),
    "one-taste": Simulation(n_types=1, tastes="strengths"),
}
"""Populations that the command line and the page offer, by name."""


def simulation_named(name: str) -> Simulation:
    """Return one of `PRESETS`; EmdpoError for a name that is none."""
    if name not in PRESETS:
        raise EmdpoError(f"no simulation {name!r:.60}; known are {', '.join(PRESETS)}")
    return PRESETS[name]


def simulation_text(simulation: Simulation) -> str:
    """Return what a population is, in a line.

    >>> simulation_text(PRESETS["minority"])
    '2 types (90%, 10%), 400 users, 8 rankings of 4 answers each'
    """
    s = simulation
    kinds = {
        "types": f"{s.n_types} types",
        "between": f"tastes between {s.n_types} types",
        "strengths": "one taste, of random strength in every ranking",
    }[s.tastes]
    shares = f" ({', '.join(f'{share:.0%}' for share in s.shares)})" if s.shares else ""
    lists = f"{s.answers} ranking{'s' * (s.answers != 1)} of {s.length} answers each"
    told = f"{kinds}{shares}, {s.n_users:,} users, {lists}"
    told += ", many ties" if s.ties else ""
    return told + (f", {s.noisy:.0%} of users rank at random" if s.noisy else "")


def simulate(simulation: Simulation, seed: int = 0) -> Simulated:
    """Return rankings drawn from a population; types have the group attribute `region` in part.

    A user's region tells the type in 6 of 10 cases and is drawn at random otherwise.

    >>> drawn = simulate(Simulation(n_users=10, answers=2, length=3))
    >>> drawn.panel.n_rankings, drawn.scores.shape[0], len(drawn.label)
    (20, 3, 10)
    """
    s, rng = simulation, np.random.default_rng(seed)
    theta = rng.normal(0, s.strength, (s.n_types, s.n_features))
    features = rng.normal(size=(s.n_prompts, s.length, s.n_features))
    shares = np.array(s.shares or [1 / s.n_types] * s.n_types)
    label = rng.choice(s.n_types, size=s.n_users, p=shares)
    weights = np.eye(s.n_types)[label]
    if s.tastes == "between":
        weights = rng.dirichlet(np.full(s.n_types, 0.5), s.n_users)
        label = weights.argmax(axis=1)
    prompt = np.stack([rng.permutation(s.n_prompts)[: s.answers] for _ in range(s.n_users)])
    utility = np.einsum("namd,nd->nam", features[prompt], weights @ theta)
    if s.tastes == "strengths":
        utility *= np.exp(rng.normal(0, STRENGTH_SPREAD, (s.n_users, s.answers, 1)))
    utility[rng.random(s.n_users) < s.noisy] = 0.0
    utility += rng.gumbel(size=utility.shape)  # the order of u + Gumbel noise is Plackett-Luce
    region = np.where(rng.random(s.n_users) < 0.6, label, rng.integers(s.n_types, size=s.n_users))
    panel = _panel(features, prompt, _ranks(utility, ties=s.ties), region)
    shown = panel.candidates[feature_columns(panel.candidates)].to_numpy(np.float64)
    return Simulated(panel, theta @ shown.T, shares, label.astype(np.int64))


def _ranks(utility: Floats, *, ties: bool) -> NDArray[np.int64]:
    """Return ranks 1.. of utilities (N, J, m) along the last axis."""
    if ties:
        utility = np.floor(utility / COARSE)
    above = utility[..., None, :] > utility[..., :, None]
    return 1 + above.sum(axis=-1)


def _panel(
    features: Floats, prompt: NDArray[np.int64], rank: NDArray[np.int64], region: NDArray
) -> Rankings:
    n_users, answers, length = rank.shape
    users = [f"u{i}" for i in range(n_users)]
    of = np.repeat(prompt.ravel(), length)
    columns: Mapping[str, object] = {
        "user_id": np.repeat(users, answers * length),
        "prompt": [f"question {p}" for p in of],
        "response": [
            f"answer {m} to question {p}"
            for p, m in zip(of, np.tile(np.arange(length), n_users * answers), strict=True)
        ],
        "rank": rank.ravel(),
    }
    shown = features[prompt].reshape(-1, features.shape[2])
    table = pd.DataFrame(columns).assign(
        **{f"x_{d}": shown[:, d] for d in range(features.shape[2])}
    )
    attributes = pd.DataFrame({"region": [f"region {r}" for r in region]}, index=users)
    return rankings_from_table(table, attributes)
