"""Who answers, how answers are drawn, and answers as they grow; free of torch.

Drawing them is `generation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

import numpy as np

from emdpo.adapters.saved import type_name
from emdpo.core.errors import EmdpoError

BASE = "__base__"
"""PEFT's name for a row that no adapter touches: the reference policy."""

MOST_TOKENS = 2048
HOTTEST = 2.0
LARGEST_SEED = 2**63 - 1

Message = dict[str, str]
"""role (system, user or assistant) and content."""


class Blend(StrEnum):
    """How a policy is made of several voices, each an adapter or the base model."""

    MIXTURE = "mixture"
    """sum_j a_j pi_j over whole answers."""
    CONSENSUS = "consensus"
    """prod_j pi_j^a_j, token by token."""


@dataclass(frozen=True)
class Speaker:
    """A policy that answers: one voice, or several blended."""

    name: str
    """base, type-1 .. type-K, mixture, consensus, given, distilled."""
    voices: tuple[str, ...]
    """Names of adapters, or BASE."""
    weights: tuple[float, ...]
    """Of the voices, >= 0, summing to one."""
    blend: Blend = Blend.MIXTURE
    """Makes no difference to one voice."""
    title: str = ""
    """What people call it beside its name; user text."""

    def __post_init__(self) -> None:
        weights = np.array(self.weights)
        whole = weights.shape == (len(self.voices),) and bool(self.voices)
        if not (whole and np.all(weights >= 0) and abs(weights.sum() - 1) < 1e-6):
            raise EmdpoError(
                f"{self.name} needs a weight >= 0 for each of {len(self.voices)} voices, summing "
                f"to one, got {self.weights}"
            )

    def heard(self) -> list[int]:
        """Return the positions of the voices that have any weight."""
        return [j for j, weight in enumerate(self.weights) if weight > 0]


def base_speaker() -> Speaker:
    """Return the untuned model."""
    return Speaker("base", (BASE,), (1.0,))


def type_speaker(k: int) -> Speaker:
    """Return the policy of type k, counted from 0."""
    return Speaker(type_name(k), (type_name(k),), (1.0,))


def blend_speaker(
    blend: Blend, weights: tuple[float, ...], name: str = "", title: str = ""
) -> Speaker:
    """Return an aggregate over all types, K weights; by default it is named as its blend."""
    voices = tuple(type_name(k) for k in range(len(weights)))
    return Speaker(name or blend.value, voices, weights, blend, title)


@dataclass(frozen=True)
class Sampling:
    """How answers are drawn."""

    max_tokens: int = 120
    """Longest answer, in tokens, in 1..MOST_TOKENS."""
    temperature: float = 0.7
    """Of every voice, in [0, HOTTEST]: 1 = the policy itself, 0 = the likeliest token always."""
    seed: int = 0
    """Of every answer's own stream: the same seed gives the same answers, whoever else is asked."""

    def __post_init__(self) -> None:
        for name, most in (("max_tokens", MOST_TOKENS), ("seed", LARGEST_SEED)):
            value, least = getattr(self, name), int(name == "max_tokens")
            whole = isinstance(value, int) and not isinstance(value, bool)
            if not (whole and least <= value <= most):
                raise EmdpoError(f"{name} must be a whole number in [{least}, {most}], got {value}")
        if not 0 <= self.temperature <= HOTTEST:  # also refuses NaN
            raise EmdpoError(f"temperature must be in [0, {HOTTEST:g}], got {self.temperature}")


class Ending(StrEnum):
    """Why an answer is over."""

    SAID = "said"
    """The policy ended its turn."""
    LIMIT = "limit"
    """`max_tokens` were drawn."""
    STOPPED = "stopped"
    """Somebody asked to stop."""


@dataclass(frozen=True)
class Partial:
    """An answer as far as it has come."""

    text: str
    """Whole characters only."""
    n_tokens: int
    """Drawn so far, the end of the turn included."""
    posterior: tuple[float, ...] | None
    """Of a mixture: probability of each voice given the answer so far; None for all others."""
    ending: Ending | None
    """None while it grows."""
