"""The files of an audit: audit.json and the tables that people open in a spreadsheet.

audit/audit.json   everything         audit/types.csv          regret by type and rule
audit/groups.csv   regret by group    audit/regret_matrix.csv  each type with each type's model
audit/policies.csv every answer's scores and probabilities     audit/sampled.csv  drawn answers
audit/evidence.csv how rankings that nobody fitted are predicted
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo import files
from emdpo.core.audit import KINDS, Audit
from emdpo.core.errors import RunError
from emdpo.policy_files import candidate_ids, type_columns
from emdpo.spreadsheets import spreadsheet_csv

if TYPE_CHECKING:
    from emdpo.core.sampled_regret import SampledRegret
    from emdpo.core.tested import Evidence
    from emdpo.fitting import Fit

TABLES = (
    "types.csv",
    "groups.csv",
    "regret_matrix.csv",
    "policies.csv",
    "sampled.csv",
    "evidence.csv",
)
"""What `audit_tables` can return."""


def save_audit(
    result: Audit, run: str | Path, page: str | None = None, *, fit: Fit | None = None
) -> Path:
    """Write audit/audit.json, its CSVs and, if given, report.html into a run folder.

    Returns the audit's folder. `page` is what `report.audit_page` returns; with the fit audited,
    policies.csv is written too.

    Raises
    ------
    RunError
        The folder cannot be written to.
    """
    folder = Path(run) / "audit"
    tables = audit_tables(result, fit)
    try:
        for name in TABLES:
            if name in tables:
                content = spreadsheet_csv(tables[name])
                files.write_bytes(folder / name, content.encode("utf-8", "replace"))
            else:
                (folder / name).unlink(missing_ok=True)
        if page is not None:
            files.write_bytes(folder / "report.html", page.encode("utf-8", "replace"))
        files.write_json(folder / "audit.json", result.to_dict())
    except OSError as error:
        raise RunError(f"{folder}: cannot be written to ({error.strerror})") from None
    return folder


def audit_tables(result: Audit, fit: Fit | None = None) -> dict[str, pd.DataFrame]:
    """Return the tables of an audit by the names of their files; policies.csv needs the fit."""
    tables = {
        "types.csv": type_table(result),
        "groups.csv": group_table(result),
        "regret_matrix.csv": matrix_table(result),
    }
    if fit is not None and result.policies is not None:
        tables["policies.csv"] = policy_table(result, fit)
    if result.sampled is not None:
        tables["sampled.csv"] = sampled_table(result.sampled)
    if result.evidence is not None:
        tables["evidence.csv"] = evidence_table(result.evidence)
    return tables


def policy_table(result: Audit, fit: Fit) -> pd.DataFrame:
    """Return one row per candidate: the DPO scores and every rule's probability of it.

    Columns: prompt_id, response_id; score_type_1 .. score_type_K and score_pooled, nats; and
    p_RULE, summing to one over the candidates of a prompt.
    """
    scores = [*fit.policies.candidate_scores(), *fit.pooled.candidate_scores()]
    names = [f"score_{name}" for name in (*type_columns(fit.n_types), "pooled")]
    columns = dict(zip(names, scores, strict=True))
    columns |= {f"p_{rule}": each for rule, each in (result.policies or {}).items()}
    return pd.concat([candidate_ids(fit.rankings), pd.DataFrame(columns)], axis=1)


def sampled_table(sampled: SampledRegret) -> pd.DataFrame:
    """Return one row per rule, type and kind of regret, with its Monte-Carlo standard error."""
    rows = (
        (rule, f"type_{k + 1}", kind, float(value), float(sampled.standard_error[kind][rule][k]))
        for kind, table in sampled.regret.items()
        for rule, values in table.items()
        for k, value in enumerate(values)
    )
    return pd.DataFrame(rows, columns=["rule", "type", "kind", "regret", "standard_error"])


def evidence_table(evidence: Evidence) -> pd.DataFrame:
    """Return one row per group, measure and policy, first of everybody (no attribute).

    The figure with its interval, and how far it is above that of pooled DPO; n users and rankings.
    """
    rows = (
        (
            *(group.attribute, group.value, group.n, group.n_rankings, measure, policy, value),
            *group.interval[measure][policy],
            group.above_pooled[measure][policy],
            *group.above_pooled_interval[measure][policy],
        )
        for group in (evidence.everybody, *evidence.groups)
        for measure, table in group.mean.items()
        for policy, value in table.items()
    )
    columns = ["attribute", "value", "n", "n_rankings", "measure", "policy", "mean", "low", "high"]
    above = ["above_pooled", "above_pooled_low", "above_pooled_high"]
    return pd.DataFrame(rows, columns=[*columns, *above])


def type_table(result: Audit) -> pd.DataFrame:
    """Return one row per rule, type and kind of regret.

    With its interval over n_prompts prompts and, where types were found anew, over those draws;
    n_users is how many users the type is expected to have.
    """
    sizes = result.prevalence * result.n_users
    nowhere = np.full((result.n_types, 2), np.nan)
    rows = []
    for kind in KINDS:
        for rule, values in result.regret[kind].items():
            ends = nowhere if result.regret_interval is None else result.regret_interval[kind][rule]
            again = nowhere if result.refit is None else result.refit.regret[kind][rule]
            for k in range(result.n_types):
                about = (rule, f"type_{k + 1}", result.prevalence[k], sizes[k], result.n_prompts)
                rows.append((*about, kind, float(values[k]), *ends[k], *again[k]))
    columns = ["rule", "type", "weight", "n_users", "n_prompts", "kind", "regret", "low", "high"]
    columns += REFITTED
    return _without_blank(pd.DataFrame(rows, columns=columns))


def group_table(result: Audit) -> pd.DataFrame:
    """Return one row per group, rule and kind of regret, with its intervals and n.

    `low` and `high` are of the figure alone, `simultaneous_*` hold for all groups of the attribute;
    `above_rest` is what the group loses more than all other users, `p_value` of its test; refitted
    ends stand where types were found anew.
    """
    columns = ["attribute", "value", "n", "kind", "rule", "regret", "low", "high"]
    columns += ["simultaneous_low", "simultaneous_high"]
    columns += ["above_rest", "above_rest_low", "above_rest_high", "p_value"]
    columns += [*REFITTED, "refitted_above_rest_low", "refitted_above_rest_high"]
    return _without_blank(pd.DataFrame(_group_rows(result), columns=columns))


REFITTED = ("refitted_low", "refitted_high")
"""Columns of the ends of an interval with types found anew."""


def _without_blank(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table without the columns of refitted ends where nothing was refitted."""
    refitted = [name for name in table.columns if name.startswith("refitted")]
    blank = table[refitted].isna().to_numpy().all(axis=0)
    return table.drop(columns=np.array(refitted)[blank])


def _group_rows(result: Audit) -> Iterable[tuple[Any, ...]]:
    nowhere = (np.nan, np.nan)
    for group in result.groups:
        refit = None if result.refit is None else result.refit.group(group.attribute, group.value)
        for kind in KINDS:
            for rule in result.rules:
                about = (group.attribute, group.value, group.n, kind, rule)
                own = (group.regret[kind][rule], *group.interval[kind][rule])
                band = _at(group.simultaneous, kind, rule, nowhere)
                above = _at(group.above_rest, kind, rule, np.nan)
                ends = _at(group.above_rest_interval, kind, rule, nowhere)
                p_value = _at(group.p_value, kind, rule, np.nan)
                again, above_again = nowhere, nowhere
                if refit is not None:
                    again = refit.interval[kind][rule]
                    above_again = refit.above_rest_interval[kind][rule]
                yield (*about, *own, *band, above, *ends, p_value, *again, *above_again)


def _at(table: Mapping[str, Mapping[str, Any]], kind: str, rule: str, missing: Any) -> Any:
    return table[kind][rule] if kind in table else missing


def matrix_table(result: Audit) -> pd.DataFrame:
    """Return the regret matrix: a row per type, a column per type policy that serves it.

    The ends of the intervals follow, where there are any.
    """
    parts = {"served_by_type_{}": result.regret_matrix}
    if result.regret_matrix_interval is not None:
        parts["low_type_{}"] = result.regret_matrix_interval[..., 0]
        parts["high_type_{}"] = result.regret_matrix_interval[..., 1]
    columns = {
        name.format(j + 1): values[:, j]
        for name, values in parts.items()
        for j in range(result.n_types)
    }
    return pd.DataFrame({"type": type_columns(result.n_types), **columns})
