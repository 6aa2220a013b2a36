"""Every setting of a fit, checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

import numpy as np

from emdpo.adapters.config import PRESETS, AdapterConfig
from emdpo.core.errors import EmdpoError

MAX_RESTARTS = 10_000
"""More starts than any fit needs are a slip of the hand."""

BETA_RANGE = (1e-6, 1e6)
"""Outside it policies are uniform or certain to the last bit, and regrets only rounding."""

LOGLINEAR, ADAPTERS = "loglinear", "adapters"
POLICY_KINDS = (LOGLINEAR, ADAPTERS)
"""Kinds of type policy that can be fitted: on features, or as LoRA on a language model."""

WRITES_NOTHING = (
    "the run's policies are log-linear and score answers without writing any: "
    f"fit with --policy {ADAPTERS}"
)
"""Why they are refused where answers are to be written."""

EMBEDDED = "embedded"
"""The base model that comes with emdpo."""


def flat_settings(settings: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return settings by dotted name, those of adapters as "adapters.rank".

    >>> flat_settings({"beta": 0.1, "adapters": {"rank": 8}})
    {'beta': 0.1, 'adapters.rank': 8}
    """
    flat = {}
    for name, value in settings.items():
        nested = isinstance(value, Mapping)
        flat |= flat_settings(value, f"{prefix}{name}.") if nested else {prefix + name: value}
    return flat


@dataclass(frozen=True)
class FitConfig:
    """Every setting of a fit. Two fits with equal settings and data give the same bytes."""

    n_types: int
    """K, in 1..N."""
    policy: str = LOGLINEAR
    """Kind of type policy; one of POLICY_KINDS."""
    features: str = "auto"
    """auto, items, text or columns."""
    beta: float = 0.1
    """DPO inverse temperature, in BETA_RANGE; higher stays nearer the reference. Enters only the
    policies, not the fit."""
    l2: float = 1.0
    """Precision of the normal prior on theta in standardised units, >= 0 (docs/choices.md)."""
    restarts: int = 10
    """Starts of EM, >= 1; the best is kept."""
    max_iter: int = 500
    """Iterations of each start, >= 0."""
    seed: int = 0
    """Seed of every random draw, >= 0."""
    base_model: str | None = None
    """Id or folder of the model that adapters sit on; None = EMBEDDED, or none for loglinear."""
    adapters: AdapterConfig | None = None
    """How adapters are shaped and trained, also as JSON gives it; None = the defaults, or none for
    loglinear."""

    def __post_init__(self) -> None:
        if self.policy not in POLICY_KINDS:
            raise EmdpoError(f"policy must be {' or '.join(POLICY_KINDS)}, got {self.policy!r}")
        self._settle_adapters()
        for name, least in (("n_types", 1), ("restarts", 1), ("max_iter", 0), ("seed", 0)):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
                raise EmdpoError(f"{name} must be a whole number of at least {least}, got {value}")
        if self.restarts > MAX_RESTARTS:
            raise EmdpoError(f"restarts must be at most {MAX_RESTARTS:,}, got {self.restarts}")
        low, high = BETA_RANGE
        if not low <= self.beta <= high:
            raise EmdpoError(f"beta must be between {low:g} and {high:g}, got {self.beta}")
        if not (np.isfinite(self.l2) and self.l2 >= 0):
            raise EmdpoError(f"l2 must be a number of at least 0, got {self.l2}")

    def _settle_adapters(self) -> None:
        """Put defaults, and the form that JSON gives, in place of what only adapters have."""
        if self.policy == LOGLINEAR:
            for name in ("base_model", "adapters"):
                if getattr(self, name) is not None:
                    option = f"{name} (--{name.replace('_', '-')})"
                    raise EmdpoError(f"{option} needs policy {ADAPTERS} (--policy {ADAPTERS})")
            return
        base, settings = self.base_model, self.adapters
        if base is not None and not (isinstance(base, str) and base.strip()):
            raise EmdpoError(f"base_model must be an id or a folder, got {base!r}")
        if isinstance(settings, Mapping):
            settings = adapter_config(settings)
        object.__setattr__(self, "base_model", base or EMBEDDED)
        object.__setattr__(self, "adapters", settings or AdapterConfig())

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values; those of adapters only where there are any."""
        return {name: value for name, value in asdict(self).items() if value is not None}


def adapter_config(settings: Mapping[str, Any]) -> AdapterConfig:
    """Return the settings of adapters by name; EmdpoError where there is no such setting.

    `preset`, one of PRESETS, sets several at once; what is named beside it stands.

    >>> adapter_config({"preset": "quick", "rounds": 3}).rounds
    3
    """
    preset = settings.get("preset", "normal")
    if preset not in PRESETS:
        raise EmdpoError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r:.40}")
    settings = {**PRESETS[preset], **settings}
    settings.pop("preset", None)
    known = [each.name for each in fields(AdapterConfig)]
    unknown = [name for name in settings if name not in known]
    if unknown:
        raise EmdpoError(f"adapters have no setting {unknown[0]!r:.40}: {', '.join(known)}")
    try:
        return AdapterConfig(**settings)
    except TypeError as error:
        raise EmdpoError(f"a setting of adapters is of the wrong kind ({error})") from None
