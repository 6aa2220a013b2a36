"""Comparisons of one kind of population, people drawn anew in each: means with intervals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from scipy import stats

from emdpo.core.errors import EmdpoError
from emdpo.head_to_head.comparison import LOWER_IS_BETTER, Comparison
from emdpo.methods.known_types import KnownTypes

if TYPE_CHECKING:
    from emdpo.core.regret import Floats

FEWEST = 2
"""Comparisons that have a spread."""

FACTS = ("seconds_in_all", "worst_type", "regret_worst", "regret_mean", "regret_nats", "ari")


def replicated(
    comparisons: Sequence[Comparison], measure: str = "log_loss", confidence: float = 0.95
) -> pd.DataFrame:
    """Return a row for each method and part of the users, over independent comparisons.

    Parameters
    ----------
    comparisons : sequence of Comparison
        With the same baseline, of populations drawn independently. Methods that any of them left
        out are left out.
    measure : str
        log_loss, accuracy or tau.
    confidence : float
        Of the intervals.

    Returns
    -------
    DataFrame
        users, known, method, mean, above (the mean less that of the baseline), above_low,
        above_high, is_among_best: the ends are of Student's t interval of the paired differences,
        so they cover the draw of types, prompts, people and split; is_among_best as of `Measured`.

    Raises
    ------
    EmdpoError
        Fewer than two comparisons, or of different baselines.
    """
    if len(comparisons) < FEWEST:
        raise EmdpoError(f"at least {FEWEST} comparisons are needed, got {len(comparisons)}")
    baselines = {each.baseline for each in comparisons}
    if len(baselines) > 1:
        raise EmdpoError(f"comparisons have different baselines: {', '.join(sorted(baselines))}")
    tables = [each.table(measure).assign(place=i) for i, each in enumerate(comparisons)]
    long = pd.concat(tables).fillna({"known": -1})
    sign = 1.0 if measure in LOWER_IS_BETTER else -1.0
    parts = [
        _part(part, baselines.copy().pop(), sign, confidence)
        for _, part in long.groupby(["users", "known"], sort=False)
    ]
    return pd.concat(parts, ignore_index=True).replace({"known": {-1: None}})


def mean_facts(comparisons: Sequence[Comparison]) -> pd.DataFrame:
    """Return the mean over comparisons of seconds, worst type, regrets and ARI, by method."""
    tables = [each.fact_table() for each in comparisons]
    long = pd.concat(tables).astype(dict.fromkeys(FACTS, float))
    means = long.groupby("method", sort=False)[list(FACTS)].mean()
    return pd.DataFrame(means).reset_index()


def _part(part: pd.DataFrame, baseline: str, sign: float, confidence: float) -> pd.DataFrame:
    wide = part.pivot(index="method", columns="place", values="mean").dropna()
    wide = wide.loc[[name for name in part["method"].unique() if name in wide.index]]
    means = wide.to_numpy()
    fair = (wide.index != KnownTypes.name) | (len(wide) == 1)
    best = int(np.where(fair, sign * means.mean(axis=1), np.inf).argmin())
    above = means - means[wide.index.get_loc(baseline)]
    low, high = _interval(above, confidence)
    from_best = _interval(sign * (means - means[best]), confidence)[0]
    return pd.DataFrame(
        {
            "users": part["users"].iloc[0],
            "known": part["known"].iloc[0],
            "method": wide.index,
            "mean": means.mean(axis=1),
            "above": above.mean(axis=1),
            "above_low": low,
            "above_high": high,
            "is_among_best": from_best <= 0.0,
        }
    )


def _interval(values: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Return the ends of Student's t interval of the mean of each row of `values` (J, S)."""
    n = values.shape[1]
    half = stats.t.ppf(0.5 + confidence / 2, n - 1) * values.std(axis=1, ddof=1) / np.sqrt(n)
    return values.mean(axis=1) - half, values.mean(axis=1) + half
