"""Two runs side by side: what `comparing.compare_runs` returns."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import pandas as pd

from emdpo.core.json_values import as_json, plain
from emdpo.core.likelihood_changes import LikelihoodChange
from emdpo.core.resampling import Estimate
from emdpo.run_facts import RunFacts

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy as np
    from numpy.typing import NDArray

    from emdpo.core.comparison import Split


@dataclass(frozen=True, eq=False)
class RunComparison:
    """Run B beside run A, over the users and answers that both know.

    Types are numbered from 1. Every interval is a percentile bootstrap at `confidence`.
    """

    a: RunFacts
    b: RunFacts
    same_data: bool
    """Whether both were fitted to the very same rankings (`data_sha256`)."""
    n_users: int
    """Users of both runs; every number over users is over these."""
    n_candidates: int
    """Answers of both runs, and `n_prompts` their prompts: policies are compared on these."""
    n_prompts: int
    overlap: NDArray[np.float64]
    """(K, L) users in common, sum_i r_ik r'_im of responsibilities."""
    contingency: NDArray[np.int64]
    """(K, L) users by most likely type in A and in B."""
    pairs: tuple[tuple[int, int], ...]
    """Matched types: most users in common in all."""
    splits: tuple[Split, ...]
    """Types of A that fell apart in B, with the users in each part."""
    merges: tuple[Split, ...]
    """Types of B that came from several of A."""
    adjusted_rand: Estimate
    """Of most likely types: 1 = the same users together, near 0 = no more than chance."""
    staying: Estimate
    """Share of users whose most likely types are matched."""
    types: pd.DataFrame
    """A row per matched pair, then per type without one: type_a, type_b, weight_a, weight_b,
    users_a, users_b, users_both, and of the two policies kendall, same_top and in_common
    (`core.policy_agreement`), each with _low and _high, over n_prompts."""
    moved: pd.DataFrame
    """A row per user whose most likely types are not matched, the surest first: user_id, type_a,
    probability_a, type_b, probability_b, chance_moved."""
    regret: pd.DataFrame
    """judged_by (`own`: each run's types judge its own rules; `a`, `b`: those of one judge both),
    kind, rule, statistic (worst over types, mean over users), n, value_a, value_b, difference,
    low, high."""
    regret_by_type: pd.DataFrame
    """type_a, type_b (matched), kind, rule, value_a, value_b, difference; each judges its own."""
    regret_by_group: pd.DataFrame
    """attribute, value, n, judged_by, kind, rule, value_a, value_b, difference, low, high."""
    n_hidden_groups: Mapping[str, int]
    """By attribute: groups too small to show, or from which such a group could be found."""
    log_likelihood: LikelihoodChange | None
    """Of the rankings fitted; None where the data differ."""
    held_out_by: str | None
    """Which rankings that neither run was fitted to are predicted: a way of `emdpo.evidence`, or
    `guard`, those that the adapters of both were kept from; None = none."""
    held_out: pd.DataFrame
    """policy (own: users' types), measure (log_loss in nats, accuracy, tau), n, n_rankings,
    value_a, value_b, difference, low, high: means per ranking (`core.prediction_changes`)."""
    settings: pd.DataFrame
    """What differs: setting, a, b (JSON values, None = not set)."""
    notes: tuple[str, ...]
    """What a reader must know, one sentence each."""
    confidence: float
    n_bootstrap: int
    seed: int

    @property
    def n_moved(self) -> int:
        """Users whose most likely types are not matched."""
        return len(self.moved)

    def to_dict(self) -> dict[str, Any]:
        """Return the comparison as JSON values: tables as lists of rows, null = does not exist."""
        values = {each.name: getattr(self, each.name) for each in fields(self)}
        return plain({name: _as_json(value) for name, value in values.items()})

    def to_json(self) -> str:
        """Return the comparison as JSON text."""
        return as_json(self.to_dict())


def _as_json(value: Any) -> Any:
    if isinstance(value, pd.DataFrame):
        return value.astype(object).where(value.notna(), None).to_dict("records")
    if hasattr(value, "_asdict"):  # a named tuple
        return {name: _as_json(part) for name, part in value._asdict().items()}
    if isinstance(value, RunFacts | LikelihoodChange):
        return {each.name: _as_json(getattr(value, each.name)) for each in fields(value)}
    if isinstance(value, tuple):
        return [_as_json(part) for part in value]
    return value
