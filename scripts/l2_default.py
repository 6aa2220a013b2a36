"""Measure how the prior on theta (l2) changes held-out log-likelihood.

Each file is cut into folds as `emdpo select` does; the table says how many nats per ranking each l2
loses against the best l2 of that file and K. The default is the l2 that loses least on average.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

import emdpo
from emdpo.core.features import build_features
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
GRID = (0.0, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0)
TYPES = (2, 3)
MAX_USERS = 300
"""Users drawn from a larger file: the prior matters most where there are few."""


def main() -> None:
    """Print one row per file and K."""
    rows = []
    for name in ("demo", *FILES):
        rankings = drawn(load(name))
        features = build_features(rankings, "auto")
        held_out = {l2: by_types(rankings, features, l2) for l2 in GRID}
        for k in TYPES:
            best = max(scores[k] for scores in held_out.values())
            loss = {f"{l2:g}": best - held_out[l2][k] for l2 in GRID}
            rows.append({"file": name, "features": features.kind, "K": k, **loss})
            print(pd.DataFrame(rows[-1:]).to_string(index=False, header=False), flush=True)
    table = pd.DataFrame(rows)
    print(table.to_string(index=False, float_format="{:.4f}".format))
    print(table[[f"{l2:g}" for l2 in GRID]].agg(["mean", "max"]).to_string())


def load(name: str) -> Rankings:
    """Return a file's rankings by name."""
    demo = Path(__file__).parent.parent / "assets" / "demo" / "rankings.csv"
    return emdpo.load(demo if name == "demo" else DATA / f"{name}.parquet")


def drawn(rankings: Rankings) -> Rankings:
    """Return the rankings of at most MAX_USERS users, drawn with a fixed seed."""
    chosen = np.random.default_rng(0).permutation(rankings.n_users)[:MAX_USERS]
    return rankings.select(np.isin(rankings.user, chosen), drop_users=True)


def by_types(rankings: Rankings, features, l2: float) -> dict[int, float]:
    """Return held-out nats per ranking for each K."""
    config = SelectionConfig(l2=l2, restarts=1, fold_restarts=3)
    table = select_types(rankings, features, TYPES, config).table
    return dict(zip(table["n_types"], table["held_out"], strict=True))


if __name__ == "__main__":
    main()
