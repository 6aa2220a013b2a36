"""Which types the people of each group belong to, and how closely group and type go together."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.audit import AuditConfig
from emdpo.core.groups import groups_of
from emdpo.core.resampling import interval_of, resampled_means
from emdpo.core.suppression import hidden_groups

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, eq=False)
class Composition:
    """Which types the people of each group belong to."""

    attribute: str
    values: tuple[str, ...]
    """(G,) groups shown."""
    n: tuple[int, ...]
    """(G,) users of each group."""
    shares: NDArray[np.float64]
    """(G, K) mean responsibility; rows sum to one."""
    low: NDArray[np.float64]
    """(G, K) lower ends of the shares' intervals: bootstrap over the group's users."""
    high: NDArray[np.float64]
    """(G, K) upper ends."""
    cramers_v: float | None
    """Bias-corrected association of group and type, 0..1; None with one group or one type."""
    interval: tuple[float, float] | None
    """Bootstrap over users."""
    confidence: float = 0.95
    """Of the intervals."""
    suppressed: tuple[tuple[str, int], ...] = ()
    """Groups that must not be shown (`suppression`), with their users."""


def composition(
    responsibilities: NDArray[np.float64],
    values: Sequence[str | None],
    attribute: str = "group",
    config: AuditConfig | None = None,
    shown: Collection[str] | None = None,
) -> Composition:
    """Return the mean responsibility of each group of users, and how group and type go together.

    Parameters
    ----------
    responsibilities : (N, K)
    values : N texts
        Each user's attribute value; None = not known.
    attribute : str
        Its name.
    config : AuditConfig, optional
        Least group shown, resamples, confidence, seed.
    shown : labels, optional
        The groups that an audit shows, where it hides more than this attribute alone asks for.

    Notes
    -----
    Cramer's V with Bergsma's correction (2013, doi 10.1016/j.jkss.2012.10.002) of the table of
    summed responsibilities, over the groups shown whose value is known. Resampling adds its noise
    once more, so resampled tables are corrected twice; the interval is then centred.
    """
    config = config or AuditConfig()
    code, names, known = groups_of(values)
    counts = np.bincount(code, minlength=len(names))
    hidden = hidden_groups(counts, config.min_group)
    if shown is not None:
        hidden |= ~np.isin(names, list(shown))
    at = np.flatnonzero(~hidden)
    totals = _group_totals(responsibilities, code, len(names))
    members = [responsibilities[code == g] for g in at]
    low, high = _share_intervals(members, responsibilities.shape[1], config)
    counted = np.isin(code, at[known[at]])
    v, interval = _association(responsibilities[counted], code[counted], config)
    return Composition(
        attribute=attribute,
        values=tuple(names[g] for g in at),
        n=tuple(int(counts[g]) for g in at),
        shares=totals[at] / counts[at, None],
        low=low,
        high=high,
        cramers_v=v,
        interval=interval,
        confidence=config.confidence,
        suppressed=tuple((names[g], int(counts[g])) for g in np.flatnonzero(hidden)),
    )


def _share_intervals(
    groups: Sequence[NDArray[np.float64]], n_types: int, config: AuditConfig
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the ends of the intervals of each group's mean responsibilities, (G, K) each."""
    rng = np.random.default_rng((config.seed, 1))
    low, high = np.empty((2, len(groups), n_types))
    for g, members in enumerate(groups):
        drawn = resampled_means(members, config.n_bootstrap, rng)
        low[g], high[g] = interval_of(drawn, config.confidence)
    return low, high


def _group_totals(
    responsibilities: NDArray[np.float64], code: NDArray[np.intp], n_groups: int
) -> NDArray[np.float64]:
    """Return the sums of responsibilities (G, K) by group."""
    totals = np.empty((n_groups, responsibilities.shape[1]))
    for k, column in enumerate(responsibilities.T):
        totals[:, k] = np.bincount(code, column, minlength=n_groups)
    return totals


def _association(
    responsibilities: NDArray[np.float64], code: NDArray[np.intp], config: AuditConfig
) -> tuple[float | None, tuple[float, float] | None]:
    """Return Cramer's V of group and type and its interval over users."""
    n, n_types = responsibilities.shape
    present, code = np.unique(code, return_inverse=True)
    if n_types < 2 or len(present) < 2:
        return None, None
    rng = np.random.default_rng(config.seed)
    draws = []
    for _ in range(config.n_bootstrap):
        drawn = rng.integers(n, size=n)
        table = _group_totals(responsibilities[drawn], code[drawn], len(present))
        draws.append(cramers_v(table, corrections=2))
    tail = (1 - config.confidence) / 2
    low, high = np.quantile(draws, [tail, 1 - tail])
    v = cramers_v(_group_totals(responsibilities, code, len(present)))
    return v, (float(low), float(high))


def cramers_v(table: NDArray[np.float64], corrections: int = 1) -> float:
    """Return Cramer's V, 0..1, of counts (G, K), less `corrections` times its bias.

    >>> float(round(cramers_v(np.array([[50.0, 0.0], [0.0, 50.0]]), corrections=0), 3))
    1.0
    """
    table = table[table.sum(axis=1) > 0][:, table.sum(axis=0) > 0]
    n, (n_rows, n_columns) = table.sum(), table.shape
    if min(n_rows, n_columns) < 2 or n <= 1:
        return 0.0
    expected = np.outer(table.sum(axis=1), table.sum(axis=0)) / n
    phi2 = (np.square(table - expected) / expected).sum() / n
    bias = corrections * (n_rows - 1) * (n_columns - 1) / (n - 1)
    shrink = 1 if corrections else 0
    rows = n_rows - shrink * (n_rows - 1) ** 2 / (n - 1)
    columns = n_columns - shrink * (n_columns - 1) ** 2 / (n - 1)
    most = min(rows, columns) - 1
    return float(min(np.sqrt(max(phi2 - bias, 0.0) / most), 1.0)) if most > 0 else 0.0
