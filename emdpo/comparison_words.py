"""Two runs side by side in sentences, for terminal and page alike; tables: `comparison_tables`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from emdpo.core.comparison import SURE
from emdpo.core.prediction import LOG_LOSS, OWN
from emdpo.core.tested import SPLIT
from emdpo.evidence_words import WAY_NOTES
from emdpo.settings import ADAPTERS
from emdpo.shared_evidence import GUARD

if TYPE_CHECKING:
    from emdpo.core.comparison import Split
    from emdpo.core.resampling import Estimate
    from emdpo.run_comparison import RunComparison
    from emdpo.run_facts import RunFacts

JUDGED = (
    "Each run's own types judge its rules, so that their difference mixes other policies with "
    "other judges. Where A's (or B's) types judge both, only the policies differ. The worst is "
    "over types, the mean over users; types and policies are held fixed in every interval."
)
"""How differences of regret are to be read."""


def run_text(facts: RunFacts) -> str:
    """Return what a run is, in one line."""
    weights = ", ".join(f"{weight:.0%}" for weight in facts.weights)
    size = "" if facts.n_parameters is None else f" with {facts.n_parameters:,} parameters"
    return (
        f"{_count(facts.n_types, 'type')} ({weights}), {_policy(facts)}, "
        f"{facts.n_users:,} users, {facts.n_rankings:,} rankings; log-likelihood "
        f"{facts.log_likelihood:,.2f}{size}, {facts.stop_reason}, "
        f"{facts.n_reached_best} of {facts.n_starts} starts at this optimum"
    )


def _policy(facts: RunFacts) -> str:
    if facts.policy == ADAPTERS:
        return f"{ADAPTERS} on a language model"
    return f"log-linear policies on {facts.features}"


def sentences(found: RunComparison) -> list[str]:
    """Return what the comparison found, in sentences; they hold no text of users."""
    told = [_shared(found), _moves(found)]
    told += [_split(split) for split in found.splits] + [_merger(split) for split in found.merges]
    return [*told, *_likelihoods(found)]


def _shared(found: RunComparison) -> str:
    answers = f"{found.n_candidates:,} answers to {_count(found.n_prompts, 'prompt')}"
    if found.same_data:
        return f"Both were fitted to the same rankings: {found.n_users:,} users, {answers}."
    of = f"{found.a.n_users:,} of A and {found.b.n_users:,} of B"
    return (
        f"They were fitted to different rankings; shared are {found.n_users:,} users ({of}) and "
        f"{answers}."
    )


def _moves(found: RunComparison) -> str:
    stay, rand = found.staying, found.adjusted_rand
    n_sure = sum(chance >= SURE for chance in found.moved["chance_moved"])
    level = f"{found.confidence:.0%} interval"
    moves = f"{found.n_moved:,} move, {n_sure:,} of them with a chance of at least {SURE:.0%}"
    return (
        f"{stay.value:.1%} of users stay with their type ({level} {stay.low:.1%} to "
        f"{stay.high:.1%}, n = {stay.n:,}); {moves if found.n_moved else 'nobody moves'}. Adjusted "
        f"Rand index {rand.value:.2f} ({rand.low:.2f} to {rand.high:.2f}): 1 = the same users "
        "together, 0 = no more than chance."
    )


def _split(split: Split) -> str:
    parts = _listed([f"Type {k} ({n:,} users)" for k, n in zip(split.many, split.n, strict=True)])
    return f"Type {split.one} of A falls apart into {parts} of B."


def _merger(split: Split) -> str:
    parts = _listed([f"Type {k} ({n:,} users)" for k, n in zip(split.many, split.n, strict=True)])
    return f"{parts} of A come together in Type {split.one} of B."


def _likelihoods(found: RunComparison) -> Iterator[str]:
    change = found.log_likelihood
    if change is not None:
        yield (
            f"Log-likelihood of the {change.n_rankings:,} rankings fitted: {change.a:,.2f} in A, "
            f"{change.b:,.2f} in B; B less A {_change(change.difference)}, n = "
            f"{change.difference.n:,} users. Both were fitted to these rankings, so that this is "
            "no test."
        )
    for row in records(found.held_out, policy=OWN, measure=LOG_LOSS):
        yield (
            f"Held-out rankings (n = {row['n_rankings']:,} by {row['n']:,} users: {_ways(found)}): "
            f"log-loss {row['value_a']:.4f} nats a ranking in A, {row['value_b']:.4f} in B; B less "
            f"A {signed_text(row['difference'], '.4f')} ({signed_text(row['low'], '.4f')} to "
            f"{signed_text(row['high'], '.4f')}), lower is better."
        )


def _ways(found: RunComparison) -> str:
    """Return what was held out."""
    if found.held_out_by == GUARD:
        return "the adapters of both were kept from them"
    anew = "" if found.held_out_by == SPLIT else ", both runs fitted anew without them"
    return f"{WAY_NOTES[found.held_out_by or '']}{anew}"


def _change(estimate: Estimate) -> str:
    value, low, high = (signed_text(each, ",.2f") for each in estimate[:3])
    return f"{value} ({low} to {high})"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def signed_text(value: float, form: str) -> str:
    """Return a number with its sign, which one that is shown as 0 has not.

    >>> signed_text(0.5, ".2f"), signed_text(-1e-9, ".2f")
    ('+0.50', '0.00')
    """
    text = f"{value:+{form}}"
    return text if any(digit in text for digit in "123456789") else text[1:]


def records(table: pd.DataFrame, **wanted: str) -> list[dict[Any, Any]]:
    """Return the rows that hold these values."""
    rows = table.to_dict("records")
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]
