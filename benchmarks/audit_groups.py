"""An audit of 5,000 users in 10 groups, 1,000 resamples: emdpo against a loop over groups."""

from __future__ import annotations

import numpy as np
import pandas as pd

from benchmarks.measuring import measure

N_USERS, N_GROUPS, N_TYPES, N_PROMPTS, N_ANSWERS, N_BOOTSTRAP = 5_000, 10, 3, 100, 5, 1_000
N_FIGURES = 55
"""Of a group: 11 rules, 5 kinds of regret."""


def data():
    """Return scores (K, A), prompts (A,), responsibilities (N, K) and a table of groups."""
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(N_TYPES, N_PROMPTS * N_ANSWERS))
    responsibilities = rng.dirichlet(np.full(N_TYPES, 0.3), N_USERS)
    groups = pd.DataFrame({"g": [f"g{i % N_GROUPS}" for i in range(N_USERS)]}, dtype=object)
    return scores, np.repeat(np.arange(N_PROMPTS), N_ANSWERS), responsibilities, groups


def emdpo_audit(parts) -> str:
    """Audit every rule and kind, with simultaneous intervals and permutation tests."""
    from emdpo.core.audit import AuditConfig, audit_types

    scores, prompt, resp, groups = parts
    config = AuditConfig(n_bootstrap=N_BOOTSTRAP)
    audit = audit_types(scores, scores.mean(0), prompt, resp, resp.mean(0), 0.1, groups, config)
    return f"{len(audit.groups)} groups, {len(audit.rules)} rules, 5 kinds of regret"


def loop(parts) -> str:
    """Resample the users of each group for one rule and one kind of regret, as one would first."""
    scores, _, resp, groups = parts
    lost = resp @ scores.std(axis=1)  # (N,) any regret of each user
    rng = np.random.default_rng(0)
    for name in groups["g"].unique():
        members = lost[(groups["g"] == name).to_numpy()]
        means = [rng.choice(members, len(members)).mean() for _ in range(N_BOOTSTRAP)]
        np.quantile(means, (0.025, 0.975))
    return "intervals only"


def run() -> list[dict[str, object]]:
    """Return the rows of the table."""
    case = f"audit of {N_USERS:,} users, {N_GROUPS} groups, {N_BOOTSTRAP:,} resamples"
    ours, peer = measure(data, emdpo_audit, repeats=3), measure(data, loop, repeats=3)
    sides = (
        ("emdpo, the whole audit", ours, ours.seconds),
        (f"a loop over groups (1 of {N_FIGURES} figures run)", peer, peer.seconds * N_FIGURES),
    )
    return [
        {
            "case": case,
            "what": what,
            "seconds": seconds,
            "peak_mb": side.peak_mb,
            "result": side.result,
            "ratio": seconds / ours.seconds,
        }
        for what, side, seconds in sides
    ]
