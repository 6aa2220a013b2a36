"""Two fits' predictions of the same rankings that neither was fitted to, policy by policy."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.errors import EmdpoError
from emdpo.core.prediction import MEASURES
from emdpo.core.user_means import totals_by_user, user_means

if TYPE_CHECKING:
    from emdpo.core.prediction import Predictions

COLUMNS = [
    *("policy", "measure", "n", "n_rankings"),
    *("value_a", "value_b", "difference", "low", "high"),
]


def prediction_changes(
    a: Predictions,
    b: Predictions,
    *,
    n_bootstrap: int,
    confidence: float,
    rng: np.random.Generator,
) -> pd.DataFrame:
    """Return how much better or worse B predicts than A, for every policy of both and measure.

    Parameters
    ----------
    a, b : Predictions
        Of the same rankings in the same order.
    n_bootstrap, confidence, rng
        Of the intervals: percentile bootstrap over users, the same draws for both; fits stay fixed.

    Returns
    -------
    DataFrame
        COLUMNS: means per ranking and their difference, B less A; nan where a policy rules a
        ranking out. n users.

    Raises
    ------
    EmdpoError
        Different rankings.
    """
    for name in ("user", "row_user", "best"):
        if not np.array_equal(getattr(a, name), getattr(b, name)):
            raise EmdpoError(
                "the runs cannot predict the same rankings: one of them has not scored some answers"
            )
    policies = [policy for policy in a.policies if policy in b.policies]
    rows = [
        each.measures[measure][each.policies.index(policy)]
        for policy in policies
        for measure in MEASURES
        for each in (a, b)
    ]
    values = np.where(np.isfinite(rows), rows, np.nan) * a.weight  # (policies * measures * 2, R)
    n_users = int(a.user.max(initial=-1)) + 1
    counts = totals_by_user(a.user, a.weight[None], n_users)[:, 0]
    users = np.flatnonzero(counts)
    totals = totals_by_user(a.user, values, n_users)[users].reshape(len(users), -1, 2)
    told = user_means(
        totals, counts[users], 0, n_bootstrap=n_bootstrap, confidence=confidence, rng=rng
    )
    about = [(policy, measure) for policy in policies for measure in MEASURES]
    table = [
        (*names, len(users), len(a.user), *mean, above[1], *ends[1])
        for names, mean, above, ends in zip(
            about,
            told.mean.tolist(),
            told.above.tolist(),
            told.above_interval.tolist(),
            strict=True,
        )
    ]
    return pd.DataFrame(table, columns=COLUMNS)


def no_predictions() -> pd.DataFrame:
    """Return the changes where nothing was held out: none."""
    return pd.DataFrame(columns=COLUMNS)
