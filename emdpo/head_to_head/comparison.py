"""What a head-to-head found: who was compared on what, every measure with its interval."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import pandas as pd

from emdpo.core.json_values import plain

LOWER_IS_BETTER = frozenset({"log_loss"})

SEEN, NEW = "seen", "new"


@dataclass(frozen=True)
class Measured:
    """One measure of one method on one part of the test rankings."""

    users: str
    """seen, or new."""
    known: int | None
    """Rankings known of each new user at most; None for seen users: all they were fitted with."""
    measure: str
    """log_loss (nats a ranking), accuracy (of the top choice), tau (Kendall's tau-b)."""
    method: str
    mean: float
    """Per ranking."""
    interval: tuple[float, float]
    """Percentile bootstrap over users."""
    above: float
    """The mean less that of the baseline."""
    above_interval: tuple[float, float]
    """Of the paired difference, over the same draws of users."""
    is_among_best: bool
    """Whether it is better than the best method that knows no truth, or the interval of the paired
    difference from that one covers zero."""
    rank: tuple[int, int] | None
    """Best and worst place that the intervals of the paired differences leave, each pair at the
    same confidence; None for the method that knows the truth."""
    n_users: int
    n_rankings: int


@dataclass(frozen=True)
class MethodFacts:
    """One method, how it was set, and what it costs."""

    method: str
    setting: Mapping[str, Any]
    """Chosen on validation rankings."""
    n_settings: int
    """Tried."""
    validation_loss: float
    """Nats a ranking of the setting chosen."""
    seconds: float
    """Of fitting the setting chosen."""
    seconds_in_all: float
    """Of fitting every setting and scoring the validation rankings."""
    n_parameters: int
    worst_group: tuple[str, float, int] | None
    """Group of new users, of whom as much as possible is known, in which the log-loss falls least
    below that of no tuning; by how many nats; users. None where no group is large enough."""
    worst_type: float | None
    """The same of the planted types; None but in simulations."""
    regret_worst: float | None
    """Largest regret share of a planted type under the method's one policy for everybody."""
    regret_mean: float | None
    """Mean by the types' shares."""
    regret_nats: float | None
    """Largest plain regret of a planted type under the same policy, nats, raw."""
    ari: float | None
    """Adjusted Rand index of the types told to seen users with those planted; None where the
    method has no types."""


@dataclass(frozen=True)
class Comparison:
    """All methods on one panel."""

    measures: tuple[Measured, ...]
    facts: tuple[MethodFacts, ...]
    left_out: Mapping[str, str]
    """Methods that could not be fitted, with the reason."""
    baseline: str
    """The method that differences are taken from."""
    features: str
    n_users: int
    n_new_users: int
    n_rankings: Mapping[str, int]
    """train, validation, test, known (of new users), new_test."""
    seed: int
    n_bootstrap: int
    confidence: float
    adapters: Mapping[str, Any] | None = None
    """Base model and settings of adapters; None where no method has any."""

    @property
    def methods(self) -> list[str]:
        """Names in the order compared."""
        return [each.method for each in self.facts]

    def table(self, measure: str = "log_loss") -> pd.DataFrame:
        """Return the rows of one measure, a row for each method and part."""
        rows = [asdict(each) for each in self.measures if each.measure == measure]
        return pd.DataFrame(rows)

    def fact_table(self) -> pd.DataFrame:
        """Return a row for each method: setting, costs, worst group and type, regret, ARI."""
        return pd.DataFrame([asdict(each) for each in self.facts])

    def parts(self) -> list[tuple[str, int | None]]:
        """Return users and rankings known of every part, in order."""
        return list(dict.fromkeys((each.users, each.known) for each in self.measures))

    def of(self, measure: str, users: str, known: int | None) -> list[Measured]:
        """Return one measure of every method on one part, the best mean first."""
        wanted = (measure, users, known)
        rows = [each for each in self.measures if (each.measure, each.users, each.known) == wanted]
        sign = 1.0 if measure in LOWER_IS_BETTER else -1.0
        return sorted(rows, key=lambda each: sign * each.mean)

    def to_dict(self) -> dict[str, Any]:
        """Return JSON values; null for what is not known."""
        return plain(asdict(self))

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Comparison:
        """Return the comparison that `to_dict` was asked of."""
        pairs = ("interval", "above_interval", "rank", "worst_group")

        def thawed(row: Mapping[str, Any]) -> dict[str, Any]:
            held = [name for name in pairs if row.get(name) is not None]
            return {**row, **{name: tuple(row[name]) for name in held}}

        measures = tuple(Measured(**thawed(row)) for row in values["measures"])
        facts = tuple(MethodFacts(**thawed(row)) for row in values["facts"])
        return cls(**{**values, "measures": measures, "facts": facts})
