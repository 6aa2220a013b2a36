"""What a fit of adapters will take, as a value; made by `estimate`, read without torch."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True)
class Estimate:
    """What a fit of adapters will take, from a probe on this machine."""

    seconds_low: float
    """If it converges as soon as it can, at the probe's fastest step."""
    seconds_high: float
    """With every round allowed, at the probe's slowest step."""
    memory_bytes: int
    """Most memory at once: of the GPU where there is one, of the process otherwise."""
    disk_bytes: int
    """While the fit runs; most of it is freed at its end."""
    n_tokens: int
    """Of all prompts and responses, packed."""
    tokens_per_second: float
    """Of training."""
    n_adapters: int
    """Trained in each round."""
    rounds: int
    """Most rounds."""
    device: str
    """cpu, or the GPU's name."""

    def to_dict(self) -> dict[str, Any]:
        """Return the estimate as JSON values."""
        return asdict(self)
