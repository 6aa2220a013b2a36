"""An audit in words and as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from emdpo.core.findings import CAVEAT, findings, rule_label
from emdpo.core.rules import GIVEN, RULE_NOTES
from emdpo.ui.markup import line, listing, text

if TYPE_CHECKING:
    from emdpo.core.audit import Audit


def findings_html(audit: Audit) -> str:
    """Return what the audit found, in sentences."""
    items = (f'<span class="finding">{text(found.text)}</span>' for found in findings(audit))
    body = listing(items, "findings")
    if not audit.groups:
        body += line(
            "No groups to compare: the data have no column such as age or country with enough "
            "users in each group. Add a users file in 1 Data and fit again."
        )
    caveat = f'<p class="caveat">{text(CAVEAT)}</p>'
    return f'<div class="report"><h3>What the audit found</h3>{body}{caveat}</div>'


def _figure(value: float, kind: str) -> str:
    if value != value:  # noqa: PLR0124 - nan: there is no share where nothing was gained
        return "-"
    return f"{value:.1%}" if kind in ("share", "preference") else f"{value:.3f}"


def type_rows(audit: Audit, kind: str) -> pd.DataFrame:
    """Return one row per rule: regret of each type, the worst, and the mean over users."""
    worst, mean = audit.worst(kind), audit.mean(kind)
    rows = []
    for rule in audit.rules:
        values = [_figure(float(value), kind) for value in audit.regret[kind][rule]]
        rows.append(
            [rule_label(rule), *values, _figure(worst[rule], kind), _figure(mean[rule], kind)]
        )
    types = [f"Type {k + 1} ({share:.0%})" for k, share in enumerate(audit.prevalence)]
    return pd.DataFrame(rows, columns=["rule", *types, "worst type", "mean"])


def group_rows(audit: Audit, attribute: str | None, kind: str) -> pd.DataFrame:
    """Return one row per group and rule: regret, interval and number of users."""
    rows = [
        [
            group.value,
            f"{group.n:,}",
            rule_label(rule),
            _figure(group.regret[kind][rule], kind),
            " to ".join(_figure(end, kind) for end in group.interval[kind][rule]),
        ]
        for group in audit.groups
        if group.attribute == attribute
        for rule in audit.rules
    ]
    level = f"{audit.config.confidence:.0%} interval"
    return pd.DataFrame(rows, columns=["group", "users", "rule", "regret", level])


def matrix_rows(audit: Audit) -> pd.DataFrame:
    """Return plain regret in nats: a row per type served, a column per model that serves."""
    names = [f"Type {k + 1}" for k in range(audit.n_types)]
    rows = [
        [name, *(f"{value:.3f}" for value in row)]
        for name, row in zip(names, audit.regret_matrix, strict=True)
    ]
    return pd.DataFrame(rows, columns=["served", *(f"{name}'s model" for name in names)])


def rule_notes_html() -> str:
    """Return what each rule does, whom it protects and whom it can hurt."""
    rows = (
        f"<dt>{text(rule_label(rule))}</dt><dd>{text(note)}</dd>"
        for rule, note in RULE_NOTES.items()
        if rule != GIVEN
    )
    return f'<dl class="notes">{"".join(rows)}</dl>'
