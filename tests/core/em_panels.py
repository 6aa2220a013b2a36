"""Small random panels and starts for the tests of EM."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emdpo.core.em import EMConfig, em_step, run_em
from emdpo.core.features import build_features
from emdpo.core.loglinear import untrained
from emdpo.core.rankings import rankings_from_table


def random_panel(seed, n_users=8, most_rankings=3, most_candidates=6):
    """Lengths, ties, unranked candidates, weights and two columns, all at random."""
    rng = np.random.default_rng(seed)
    rows = [(0, 0, item, rank) for item, rank in ((0, 1), (1, 2))]  # so that something varies
    n_rankings = 1
    for user in range(n_users):
        for _ in range(rng.integers(1, most_rankings + 1)):
            items = rng.permutation(7)[: rng.integers(1, most_candidates + 1)]
            rows += [(user, n_rankings, item, rng.integers(0, 5)) for item in items]
            n_rankings += 1
    table = pd.DataFrame(rows, columns=["user_id", "ranking_id", "response", "rank"])
    table = table.assign(
        prompt="p",
        x_a=rng.normal(size=len(table)),
        x_b=rng.integers(0, 4, size=len(table)).astype(float),
        weight=rng.choice([0.0, 0.5, 1.0, 3.0], size=n_rankings)[table["ranking_id"]],
    )
    return rankings_from_table(table.astype({"user_id": str, "response": str}))


def random_responsibilities(n_users, n_types, seed=0):
    return np.random.default_rng(seed).dirichlet(np.full(n_types, 0.4), size=n_users)


def started(rankings, n_types, *, kind="items", l2=0.0, seed=0, n_steps=0):
    """Return the state after the first M-step and `n_steps` EM steps."""
    policies = untrained(build_features(rankings, kind), n_types, l2)
    responsibilities = random_responsibilities(rankings.n_users, n_types, seed)
    state = run_em(policies, rankings, responsibilities, EMConfig(max_iter=0)).state
    for _ in range(n_steps):
        state = em_step(state, rankings)
    return state
