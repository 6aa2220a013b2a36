"""Measure how the prior on theta (l2) changes held-out log-likelihood.

Each file is cut into folds as `emdpo select` does. For each l2 the best of K = 1..4 counts, since K
is chosen too; the table says how many thousandths of a nat per candidate shown an l2 loses against
the best l2 of that file (long lists have more to lose). The default loses least on average.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import emdpo
from emdpo.core.features import FeatureSet, build_features
from emdpo.core.rankings import Rankings
from emdpo.core.selection import SelectionConfig, select_types

DATA = Path(__file__).parent.parent.parent / "shared" / "data"
FILES = (
    "carconf",
    "ccai",
    "cems",
    "chatbot_personalization",
    "german_parties",
    "gss_music",
    "issp2000",
    "jester5k",
    "polis",
    "ukpconvarg",
)
GRID = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0)
TYPES = (1, 2, 3, 4)
MAX_USERS = 300
"""Users drawn from a larger file: the prior matters most where there are few."""


def main() -> None:
    """Print one row per file."""
    rows = []
    for name in ("demo", *FILES):
        rankings = drawn(load(name))
        features = build_features(rankings, "auto")
        held_out = {l2: best_over_types(rankings, features, l2) for l2 in GRID}
        best = max(score for score, _ in held_out.values())
        unit = 1e-3 * rankings.n_rows / rankings.n_rankings
        lost = {f"{l2:g}": (best - score) / unit for l2, (score, _) in held_out.items()}
        types = [k for _, k in held_out.values()]
        loss = {name: f"{lost[name]:.1f} ({k})" for name, k in zip(lost, types, strict=True)}
        row = {"file": name, "features": features.kind, **loss}
        rows.append(lost)
        print("| " + " | ".join(row.values()) + " |", flush=True)
    losses = pd.DataFrame(rows)
    for name, summary in (("mean", losses.mean()), ("max", losses.max())):
        print(f"| **{name}** | | " + " | ".join(f"**{value:.1f}**" for value in summary) + " |")


def load(name: str) -> Rankings:
    """Return a file's rankings by name."""
    demo = Path(__file__).parent.parent / "assets" / "demo" / "rankings.csv"
    return emdpo.load(demo if name == "demo" else DATA / f"{name}.parquet")


def drawn(rankings: Rankings) -> Rankings:
    """Return the rankings of at most MAX_USERS users, drawn with a fixed seed."""
    chosen = np.random.default_rng(0).permutation(rankings.n_users)[:MAX_USERS]
    return rankings.select(np.isin(rankings.user, chosen), drop_users=True)


def best_over_types(rankings: Rankings, features: FeatureSet, l2: float) -> tuple[float, int]:
    """Return the best held-out nats per ranking over TYPES, and its K."""
    config = SelectionConfig(l2=l2, restarts=1, fold_restarts=4)
    table = select_types(rankings, features, TYPES, config).table
    best = int(table["held_out"].argmax())
    return float(table["held_out"][best]), int(table["n_types"][best])


if __name__ == "__main__":
    main()
