"""Regret estimated from answers that the policies wrote, with Monte-Carlo standard errors.

Over all answers that can be written, and not only those listed, V_k(pi) = E_x E_{y~pi} s_k(y, x)
and the KL regret beta E_x E_{y~pi} log(pi / pi_k) are means under pi itself, so that answers drawn
from pi estimate them without bias. Answers are cut at `max_tokens`: the regrets are those of the
policies' first so many tokens, and more would not lower a KL regret.

Letters: K types, V voices that draw, P prompts, S answers of each voice to each prompt.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import logsumexp

from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.json_values import plain
from emdpo.core.regret import Floats, check_beta

KINDS = ("plain", "kl")

ByRule = Mapping[str, Floats]


@dataclass(frozen=True)
class SamplingPlan:
    """How answers are drawn."""

    n_samples: int = 4
    """Answers of each policy to each prompt, >= 2: one alone has no standard error."""
    max_prompts: int = 50
    """Of more prompts so many are drawn at random, >= 1."""
    max_tokens: int = 64
    """Answers are cut there, >= 1."""
    seed: int = 0
    """Of prompts and answers, >= 0."""

    def __post_init__(self) -> None:
        for name, least in (("n_samples", 2), ("max_prompts", 1), ("max_tokens", 1), ("seed", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not (whole and value >= least):
                raise EmdpoError(f"{name} must be a whole number of at least {least}, got {value}")


@dataclass(frozen=True, eq=False)
class SampledRegret:
    """What each type loses under each rule, by answers drawn from the policies."""

    n_prompts: int
    """Prompts that were answered."""
    n_prompts_in_all: int
    """Of the rankings: where this is more, those answered were drawn at random."""
    n_samples: int
    """Answers of each policy to each prompt, at least 2."""
    max_tokens: int
    """Answers are cut there."""
    seed: int
    regret: Mapping[str, ByRule]
    """By kind (plain, kl) and rule: (K,), nats, raw: a KL regret near 0 may come out below it."""
    standard_error: Mapping[str, ByRule]
    """The same for the standard errors."""
    adapters: Mapping[str, str]
    """SHA-256 of what can change without the fit: of `distilled`, where it was asked."""

    @property
    def rules(self) -> tuple[str, ...]:
        """The policies, in the order of the audit."""
        return tuple(self.regret["kl"])

    def without(self, rule: str) -> SampledRegret:
        """Return the same without one rule."""

        def fewer(table: Mapping[str, ByRule]) -> dict[str, ByRule]:
            return {
                kind: {name: values for name, values in by_rule.items() if name != rule}
                for kind, by_rule in table.items()
            }

        return replace(self, regret=fewer(self.regret), standard_error=fewer(self.standard_error))

    def to_dict(self) -> dict[str, Any]:
        """Return the key `sampled` of audit.json as JSON values; null for what does not exist."""
        return plain({**vars(self), "rules": self.rules})

    @classmethod
    def from_dict(cls, told: Mapping[str, Any]) -> SampledRegret:
        """Return what `to_dict` gave; RunError where it is damaged."""

        def table(name: str, kind: str) -> dict[str, Floats]:
            held = told[name][kind]
            return {rule: np.array(held[rule], dtype=np.float64) for rule in told["rules"]}

        try:
            return cls(
                n_prompts=int(told["n_prompts"]),
                n_prompts_in_all=int(told["n_prompts_in_all"]),
                n_samples=int(told["n_samples"]),
                max_tokens=int(told["max_tokens"]),
                seed=int(told["seed"]),
                regret={kind: table("regret", kind) for kind in KINDS},
                standard_error={kind: table("standard_error", kind) for kind in KINDS},
                adapters=dict(told["adapters"]),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"the sampled regrets are damaged ({error!r:.80})") from None


@dataclass(frozen=True, eq=False)
class Draws:
    """Answers as the log probabilities that policies give them."""

    voices: tuple[str, ...]
    """V policies that drew; type-1 .. type-K among them."""
    log_own: Floats
    """(V, P, S) under the voice that drew the answer."""
    log_types: Floats
    """(K, V, P, S) under each type."""
    log_reference: Floats
    """(V, P, S) under the base model."""


def mean_and_error(values: Floats, shares: Floats, n_prompts_in_all: int) -> tuple[float, float]:
    """Return E_x sum_v c_v E_{y~v} f(y, x), estimated from draws, and its standard error.

    Parameters
    ----------
    values : (V, P, S) float
        f of each answer, S >= 2.
    shares : (V,) float
        c, of any sign: a mixture's weights, or those of a difference of policies.
    n_prompts_in_all : int
        Prompts from which the P were drawn without replacement, >= P.

    Notes
    -----
    Two-stage sampling with draws from infinitely many at the second stage (Cochran 1977, Sampling
    Techniques, chapter 10): (1 - P / all) s^2 / P between prompts + (P / all) mean(u) / P within,
    u being the variance of one prompt's estimate. With one prompt of many there is none: nan. Each
    voice is a stratum: a mixture needs no answers of its own.

    Examples
    --------
    >>> mean_and_error(np.array([[[1.0, 3.0]]]), np.array([1.0]), 1)
    (2.0, 1.0)
    """
    n_prompts, n_samples = values.shape[1:]
    by_prompt = shares @ values.mean(axis=2)  # (P,)
    within = shares**2 @ values.var(axis=2, ddof=1) / n_samples  # (P,)
    answered = n_prompts / n_prompts_in_all
    variance = answered * within.mean() / n_prompts
    if answered < 1:
        between = by_prompt.var(ddof=1) if n_prompts > 1 else np.nan
        variance += (1 - answered) * between / n_prompts
    return float(by_prompt.mean()), float(np.sqrt(variance))


def regret_of_draws(
    draws: Draws, rules: Mapping[str, Floats | None], beta: float, n_prompts_in_all: int
) -> tuple[dict[str, dict[str, Floats]], dict[str, dict[str, Floats]]]:
    """Return regrets and standard errors, each by kind and rule, (K,) in nats.

    Parameters
    ----------
    draws : Draws
    rules : dict of str to (K,) float or None
        Weights of the types in a mixture, which is judged by the types' own answers; None = the
        voice of that name.
    beta : float
        DPO inverse temperature, > 0.
    n_prompts_in_all : int
        As `mean_and_error`.
    """
    check_beta(beta)
    n_types = len(draws.log_types)
    own = np.stack([_on_voices(draws.voices, row) for row in np.eye(n_types)])  # (K, V)
    scores = beta * (draws.log_types - draws.log_reference)  # (K, V, P, S)
    found: dict[str, dict[str, list[tuple[float, float]]]] = {kind: {} for kind in KINDS}
    for rule, weights in rules.items():
        log_policy, shares = _policy(draws, rule, weights)
        lost = beta * (log_policy - draws.log_types)  # (K, V, P, S)
        found["plain"][rule] = [
            mean_and_error(scores[k], own[k] - shares, n_prompts_in_all) for k in range(n_types)
        ]
        found["kl"][rule] = [
            mean_and_error(lost[k], shares, n_prompts_in_all) for k in range(n_types)
        ]
    mean, error = (
        {
            kind: {rule: np.array([pair[part] for pair in pairs]) for rule, pairs in table.items()}
            for kind, table in found.items()
        }
        for part in (0, 1)
    )
    return mean, error


def _policy(draws: Draws, rule: str, weights: Floats | None) -> tuple[Floats, Floats]:
    """Return log pi of every answer, (V, P, S), and which voices stand for pi, (V,)."""
    if weights is None:
        chosen = np.array([voice == rule for voice in draws.voices], dtype=np.float64)
        return draws.log_own, chosen
    mixed = logsumexp(draws.log_types, axis=0, b=np.asarray(weights)[:, None, None, None])
    return np.asarray(mixed), _on_voices(draws.voices, weights)


def _on_voices(voices: Sequence[str], weights: Floats) -> Floats:
    """Return weights of the types at the places of their voices, (V,)."""
    held = {f"type-{k + 1}": weight for k, weight in enumerate(weights)}
    return np.array([held.get(voice, 0.0) for voice in voices])
