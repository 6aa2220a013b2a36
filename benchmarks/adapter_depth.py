"""Three types of the demo, one round: how deep the adapters reach, against held-out rankings."""

from __future__ import annotations

import logging
import warnings
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.measuring import measure

DEMO = Path(__file__).resolve().parent.parent / "assets" / "demo" / "rankings.csv"
HELD_OUT_SHARE = 0.25

SHAPES: dict[str, dict[str, Any]] = {
    "all 30 layers, rate 1e-3": {"top_layers": None, "learning_rate": 1e-3},
    "top 15, rate 2e-3 (default)": {},
    "top 15, attention only": {"modules": "attention"},
    "top 8": {"top_layers": 8},
    "top 4": {"top_layers": 4},
}


def prepare(shape: dict[str, Any]):
    """Return the demo, its log-linear fit and the settings; the model's file is read once."""
    import emdpo
    from emdpo.adapters.base_model import load_base_model
    from emdpo.adapters.config import AdapterConfig
    from emdpo.core.features import build_features
    from emdpo.core.mixture import fit_mixture
    from emdpo.settings import ADAPTERS, FitConfig

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    load_base_model()
    panel = emdpo.load(DEMO)
    features = build_features(panel, "auto")
    start = fit_mixture(panel, features, 3, l2=1.0, n_restarts=3, seed=0).best.state
    settings = AdapterConfig(rounds=1, held_out_share=HELD_OUT_SHARE, **shape)
    return panel, start, FitConfig(n_types=3, policy=ADAPTERS, adapters=settings)


def train(data: tuple[Any, ...]) -> str:
    """Fit and return the mean held-out log-likelihood under each user's types and pooled DPO."""
    from emdpo.adapters.fitting import fit_adapters

    outcome = fit_adapters(*data)
    assert outcome is not None  # noqa: S101 - nobody could stop it
    last, n = outcome.evidence["rounds"][-1], outcome.evidence["n_guard"]
    return f"held out {last['guard'] / n:.3f}, pooled {last['pooled_guard'] / n:.3f}"


def run() -> list[dict[str, object]]:
    """Return one row per shape; ratios are shares of the first row's time."""
    rows: list[dict[str, object]] = []
    for what, shape in SHAPES.items():
        cost = measure(partial(prepare, shape), train)
        rows.append(
            {
                "case": __doc__.splitlines()[0].rstrip("."),
                "what": what,
                "seconds": cost.seconds,
                "peak_mb": cost.peak_mb,
                "result": cost.result,
                "ratio": cost.seconds / rows[0]["seconds"] if rows else 1.0,
            }
        )
    return rows
