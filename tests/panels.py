"""Small panels drawn from planted types, for tests that fit."""

from __future__ import annotations

import numpy as np
import pandas as pd

from emdpo.core.rankings import Rankings
from emdpo.core.readers import load

TASTES = ((2.0, 0.0), (-2.0, 0.0), (0.0, 3.0))
"""theta of the planted types on x_a and x_b."""


def planted_table(n_users=36, answers=3, n_types=3, n_candidates=4, seed=0) -> pd.DataFrame:
    """Return a canonical table of rankings by users of planted types, of six prompts.

    Adding Gumbel noise to scores and sorting draws from Plackett-Luce (Yellott 1977). Users have
    an age that goes with their type; ranking ids, prompt ids and response ids are given.
    """
    rng = np.random.default_rng(seed)
    x = rng.normal(size=(6, n_candidates, 2)).round(3)
    rows = []
    for user in range(n_users):
        for answer in range(answers):
            prompt = (user + answer) % 6
            score = x[prompt] @ TASTES[user % n_types] + rng.gumbel(size=n_candidates)
            for candidate, place in enumerate((-score).argsort().argsort()):
                rows.append(
                    {
                        "user_id": f"u{user:03d}",
                        "ranking_id": f"r{user}-{answer}",
                        "prompt_id": f"p{prompt}",
                        "prompt": f"Question {prompt}?",
                        "response_id": f"p{prompt}-{candidate}",
                        "response": f"Answer {candidate} to {prompt}.",
                        "rank": place + 1,
                        "x_a": x[prompt, candidate, 0],
                        "x_b": x[prompt, candidate, 1],
                        "age": ("young", "old", "older")[user % n_types],
                    }
                )
    return pd.DataFrame(rows)


def planted(**settings) -> Rankings:
    """Return `planted_table` as rankings."""
    return load(planted_table(**settings))
