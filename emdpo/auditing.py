"""Audit a fit by group, and keep the audit in its run folder."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from emdpo import files
from emdpo.core.audit import KINDS, Audit, AuditConfig, audit_types
from emdpo.core.errors import EmdpoError, RunError

if TYPE_CHECKING:
    from emdpo.fitting import Fit


def audit(fit: Fit, groups: Sequence[str] | None = None, **settings: Any) -> Audit:
    """Return how much regret each type and each observed group suffers under each rule.

    Parameters
    ----------
    fit : Fit
    groups : sequence of str, optional
        Attributes to audit by; all by default.
    **settings
        Fields of `AuditConfig`: min_group, n_bootstrap, confidence, seed.

    Raises
    ------
    EmdpoError
        An attribute that the data lack, or a setting out of range.

    Examples
    --------
    >>> import emdpo
    >>> found = emdpo.fit(emdpo.load("assets/demo/rankings.csv"), n_types=3, restarts=2)
    >>> report = emdpo.audit(found, groups=["age_band"])
    >>> report.worst("share")["consensus"] < report.worst("share")["pooled"]
    True
    """
    known = fit.rankings.attributes
    chosen = known if groups is None else list(dict.fromkeys(groups))
    missing = [name for name in chosen if name not in known]
    if missing:
        there = ", ".join(known) if known else "none"
        raise EmdpoError(f"no group attribute {missing[0]!r} in the data (there is: {there})")
    return audit_types(
        scores=fit.policies.candidate_scores(),
        pooled_scores=fit.pooled.candidate_scores()[0],
        prompt=fit.rankings.candidate_prompt,
        responsibilities=fit.responsibilities,
        prevalence=fit.weights,
        beta=fit.config.beta,
        attributes=fit.rankings.users.loc[:, chosen],
        config=AuditConfig(**settings),
    )


def save_audit(result: Audit, run: str | Path, page: str | None = None) -> Path:
    """Write audit/audit.json, its CSVs and, if given, report.html into a run folder.

    Returns the audit's folder. `page` is what `report.audit_page` returns.

    Raises
    ------
    RunError
        The folder cannot be written to.
    """
    folder = Path(run) / "audit"
    try:
        files.write_csv(folder / "types.csv", type_table(result))
        files.write_csv(folder / "groups.csv", group_table(result))
        files.write_csv(folder / "regret_matrix.csv", matrix_table(result))
        if page is not None:
            files.write_bytes(folder / "report.html", page.encode("utf-8", "replace"))
        files.write_json(folder / "audit.json", result.to_dict())
    except OSError as error:
        raise RunError(f"{folder}: cannot be written to ({error.strerror})") from None
    return folder


def type_table(result: Audit) -> pd.DataFrame:
    """Return one row per rule, type and kind of regret."""
    rows = (
        (rule, f"type_{k + 1}", result.prevalence[k], kind, float(values[k]))
        for kind in KINDS
        for rule, values in result.regret[kind].items()
        for k in range(result.n_types)
    )
    return pd.DataFrame(rows, columns=["rule", "type", "weight", "kind", "regret"])


def group_table(result: Audit) -> pd.DataFrame:
    """Return one row per group, rule and kind of regret, with interval and n."""
    columns = ["attribute", "value", "n", "kind", "rule", "regret", "low", "high"]
    return pd.DataFrame(_group_rows(result), columns=columns)


def _group_rows(result: Audit) -> Iterable[tuple[Any, ...]]:
    for group in result.groups:
        for kind in KINDS:
            for rule in result.rules:
                interval = group.interval[kind][rule]
                about = (group.attribute, group.value, group.n, kind, rule)
                yield (*about, group.regret[kind][rule], *interval)


def matrix_table(result: Audit) -> pd.DataFrame:
    """Return the regret matrix: a row per type, a column per type policy that serves it."""
    names = [f"served_by_type_{j + 1}" for j in range(result.n_types)]
    table = pd.DataFrame(result.regret_matrix, columns=names)
    table.insert(0, "type", [f"type_{k + 1}" for k in range(result.n_types)])
    return table
