"""Where the embedded demo data lie."""

from __future__ import annotations

import sys
from pathlib import Path

from emdpo.core.errors import EmdpoError

DEMO_TYPES = 3
"""Types planted in the simulated rankings."""


def demo_file(name: str = "rankings.csv") -> Path:
    """Return the path of a demo file: rankings.csv, truth.csv or classroom.csv.

    Raises
    ------
    EmdpoError
        The package was installed without the demo data.
    """
    clone, installed = Path(__file__).parent.parent / "assets", Path(sys.prefix) / "share" / "emdpo"
    for assets in (clone, installed):
        path = assets / "demo" / name
        if path.exists():
            return path
    raise EmdpoError(f"the demo file {name} is not installed; run from a clone of the project")


DEMO_RUN = Path(__file__).parent.parent / "checkpoints" / "demo"
"""A finished run with adapters on the embedded base model, shipped with a clone."""


def demo_run() -> Path | None:
    """Return the folder of the shipped run whose types answer, None where there is none."""
    return DEMO_RUN if (DEMO_RUN / "fit.json").is_file() else None
