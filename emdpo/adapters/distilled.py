"""The consensus as one adapter: how it is trained, and as files; free of torch.

    policy/consensus/   adapter_config.json  adapter_model.safetensors  README.md  distil.json

Training it is `distil`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emdpo import files
from emdpo.adapters.saved import CONFIG, TENSORS, Adapter, load_adapter, save_adapter
from emdpo.cards import distilled_card
from emdpo.core.errors import EmdpoError, RunError

if TYPE_CHECKING:
    from emdpo.fitting import Fit

DISTILLED = "distilled"
"""Name of the policy among those that speak and are compared."""

FOLDER, REPORT = "consensus", "distil.json"
"""Below `policy`, and the report in it."""


@dataclass(frozen=True)
class DistilConfig:
    """How the consensus is distilled; learning rate and sizes are those of the fit."""

    epochs: int = 10
    """Most passes over the prompts, >= 0."""
    held_out_share: float = 0.1
    """Share of prompts that are not trained on: their loss chooses the epoch, in [0, 0.5]."""
    sampled: int = 0
    """Answers drawn from the token-wise consensus for each prompt and learnt beside those listed,
    >= 0."""
    max_tokens: int = 64
    """Sampled answers are cut there, >= 1."""
    seed: int = 0
    """Of held-out prompts, batches and draws, >= 0."""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 0), ("sampled", 0), ("max_tokens", 1), ("seed", 0)):
            value = getattr(self, name)
            whole = isinstance(value, int | np.integer) and not isinstance(value, bool)
            if not (whole and value >= least):
                raise EmdpoError(f"{name} must be a whole number of at least {least}, got {value}")
        if not 0 <= self.held_out_share <= 0.5:
            raise EmdpoError(f"held_out_share must be in [0, 0.5], got {self.held_out_share}")

    def to_dict(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return asdict(self)


@dataclass(frozen=True, eq=False)
class Distilled:
    """One adapter for everybody, and how near it comes to the consensus."""

    adapter: Adapter
    report: Mapping[str, Any]
    """distil.json, without the digests of files."""


def save_distilled(found: Distilled, fit: Fit, run: Path) -> Path:
    """Write the adapter's folder into the run of its fit and return it; the report comes last.

    Raises
    ------
    RunError
        The folder cannot be written to.
    """
    folder = run / "policy" / FOLDER
    try:
        (folder / REPORT).unlink(missing_ok=True)
        save_adapter(found.adapter, folder, distilled_card(fit, found.report))
        digests = {name: files.sha256(folder / name) for name in (CONFIG, TENSORS)}
        whole = {**found.report, "fit_sha256": files.sha256(run / "fit.json"), "files": digests}
        files.write_json(folder / REPORT, whole)
    except OSError as error:
        raise RunError(f"{folder}: cannot be written to ({error.strerror})") from None
    return folder


def distilled_folder(run: Path) -> Path | None:
    """Return the folder of a run's distilled adapter, whole and of this fit; None without one.

    Raises
    ------
    RunError
        It is damaged, or was made from another fit.
    """
    folder = run / "policy" / FOLDER
    if not files.exists(folder / REPORT):
        return None
    report = files.read_json(folder / REPORT)
    digests = report.get("files")
    if not isinstance(digests, dict):
        raise RunError(f"{folder / REPORT}: is damaged")
    if report.get("fit_sha256") != files.sha256(run / "fit.json"):
        raise RunError(f"{folder}: was made from another fit; run emdpo distil again")
    for name in (CONFIG, TENSORS):
        if files.sha256(folder / name) != digests.get(name):
            raise RunError(f"{run}: policy/{FOLDER}/{name} is damaged or was changed")
    return folder


def load_distilled(run: Path) -> Adapter | None:
    """Return a run's distilled adapter, None without one; raises as `distilled_folder`."""
    folder = distilled_folder(run)
    return None if folder is None else load_adapter(folder)
