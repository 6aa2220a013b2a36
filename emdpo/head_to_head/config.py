"""How methods are compared."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emdpo.core.errors import EmdpoError

if TYPE_CHECKING:
    from emdpo.adapters.config import AdapterConfig

FEWEST_TO_CUT = 2
"""Answers of a list that has an order."""


@dataclass(frozen=True)
class ComparisonConfig:
    """How methods are compared."""

    features: str = "auto"
    """As of `emdpo.fit`."""
    group: str | None = None
    """Attribute that group_dpo protects; by default the first with two values or more."""
    cut: int | None = None
    """Cut each ranking at random into disjoint ones of so many answers, so that something can be
    known of people who ranked once (`emdpo.core.folds.cut_lists`)."""
    new_share: float = 0.25
    """Share of users that no method is fitted to."""
    min_group: int = 10
    """Fewest new users of a group that is shown."""
    beta: float = 0.1
    """DPO inverse temperature, of adapters and of the policies that serve everybody."""
    base_model: str | None = None
    """As of `emdpo.fit`, for methods that fit adapters."""
    adapters: AdapterConfig | None = None
    """The same, also as JSON gives it."""
    n_bootstrap: int = 1000
    confidence: float = 0.95
    seed: int = 0

    def __post_init__(self) -> None:
        """Raise EmdpoError for a setting out of range."""
        if not 0.0 < self.new_share < 1.0:
            raise EmdpoError(f"new_share must be between 0 and 1, got {self.new_share}")
        if self.cut is not None and self.cut < FEWEST_TO_CUT:
            raise EmdpoError(f"cut must be at least {FEWEST_TO_CUT}, got {self.cut}")
        if self.n_bootstrap < 1:
            raise EmdpoError(f"n_bootstrap must be at least 1, got {self.n_bootstrap}")
        if self.min_group < 1:
            raise EmdpoError(f"min_group must be at least 1, got {self.min_group}")
