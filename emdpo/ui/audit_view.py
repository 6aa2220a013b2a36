"""An audit in words and as tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from emdpo.core.findings import CAVEAT, findings, rule_label
from emdpo.core.rules import GIVEN, RULE_NOTES
from emdpo.ui.markup import line, listing, text

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.core.group_regret import GroupRegret

KINDS = {
    "Share of its own gain lost": "share",
    "KL regret": "kl",
    "Plain regret (the paper's)": "plain",
    "Plain regret, clipped at 0": "clipped",
    "How often its own answer wins": "preference",
}
"""Kinds of regret on the page, by the name that people read."""


def findings_html(audit: Audit) -> str:
    """Return what the audit found, in sentences."""
    items = (f'<span class="finding">{text(found.text)}</span>' for found in findings(audit))
    body = listing(items, "findings")
    if not audit.groups:
        body += line(
            "No groups to compare: the data have no column such as age or country with enough "
            "users in each group. Add a users file in 1 Data and fit again."
        )
    if audit.cautions:
        told = listing((text(caution) for caution in audit.cautions), "cautions")
        body += f"<h4>Read with care</h4>{told}"
    caveat = f'<p class="caveat">{text(CAVEAT)}</p>'
    return f'<div class="report"><h3>What the audit found</h3>{body}{caveat}</div>'


def figure_text(value: float, kind: str) -> str:
    """Return a regret for people: percent or nats; a dash where it does not exist."""
    if value != value:  # noqa: PLR0124 - nan: there is no share where nothing was gained
        return "-"
    return f"{value:.1%}" if kind in ("share", "preference") else f"{value:.3f}"


def type_rows(audit: Audit, kind: str) -> pd.DataFrame:
    """Return one row per rule: regret of each type, the worst, and the mean over users."""
    worst, mean = audit.worst(kind), audit.mean(kind)
    rows = []
    for rule in audit.rules:
        values = [figure_text(float(value), kind) for value in audit.regret[kind][rule]]
        rows.append(
            [
                rule_label(rule),
                *values,
                figure_text(worst[rule], kind),
                figure_text(mean[rule], kind),
            ]
        )
    types = [f"Type {k + 1} ({share:.0%})" for k, share in enumerate(audit.prevalence)]
    return pd.DataFrame(rows, columns=["rule", *types, "worst type", "mean"])


def group_rows(audit: Audit, attribute: str | None, kind: str) -> pd.DataFrame:
    """Return one row per group and rule: regret, how it compares with the rest, and n."""
    rows = [
        [
            group.value,
            f"{group.n:,}",
            rule_label(rule),
            figure_text(group.regret[kind][rule], kind),
            _ends(group.interval[kind][rule], kind),
            *_beside_the_rest(group, kind, rule),
            *([] if audit.refit is None else [_found_anew(audit, group, kind, rule)]),
        ]
        for group in audit.groups
        if group.attribute == attribute
        for rule in audit.rules
    ]
    columns = ["group", "users", "rule", "regret", f"{audit.config.confidence:.0%} interval"]
    columns += ["more than the rest", "p"]
    columns += [] if audit.refit is None else ["interval, types found anew"]
    return pd.DataFrame(rows, columns=columns)


def _ends(interval: tuple[float, float], kind: str) -> str:
    if interval[0] != interval[0]:  # noqa: PLR0124 - nan
        return "-"
    return " to ".join(figure_text(end, kind) for end in interval)


def _beside_the_rest(group: GroupRegret, kind: str, rule: str) -> tuple[str, str]:
    """Return how much more than all others a group loses, with its interval, and the p-value."""
    if kind not in group.above_rest:
        return "-", "-"
    ends = _ends(group.above_rest_interval[kind][rule], kind)
    p_value = group.p_value[kind][rule]
    above = f"{figure_text(group.above_rest[kind][rule], kind)} ({ends})"
    return above, "-" if p_value != p_value else f"{p_value:.3f}"  # noqa: PLR0124 - nan


def _found_anew(audit: Audit, group: GroupRegret, kind: str, rule: str) -> str:
    refit = None if audit.refit is None else audit.refit.group(group.attribute, group.value)
    return "-" if refit is None else _ends(refit.interval[kind][rule], kind)


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
