"""How far the audit can be trusted: types found anew, and rankings that nobody fitted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from emdpo import plots
from emdpo.core.findings import rule_label
from emdpo.evidence_words import evidence_findings, evidence_note, evidence_rows
from emdpo.report.figures import with_interval
from emdpo.report.markup import details, heading, listing, paragraph, table_html
from emdpo.report.sections import Part

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.core.refits import RefitAudit


MOST, MOST_TABLES = 6, 40
"""Attributes with a figure and groups with a table; evidence.csv has all."""


def refit_section(audit: Audit) -> Iterator[Part]:
    """Yield intervals that count how well the types were found, where that was asked for."""
    again = audit.refit
    if again is None:
        return
    yield heading("With the types found anew", anchor="refit")
    yield paragraph(
        f"Users were drawn again {again.n_refits:,} times (n = {audit.n_users:,}, seed "
        f"{again.seed}), and types, pooled model and rules were fitted anew to each draw, so that "
        f"these {again.confidence:.0%} intervals also count how well the types were found. The "
        "types of a draw agree with those of the fit by an adjusted Rand index of "
        f"{again.agreement:.2f} on average."
    )
    yield table_html(_refitted(audit, again), "Regret share with the types found anew")
    weights = [
        [f"Type {k + 1}", with_interval(float(share), float(ends[0]), float(ends[1]), "share")]
        for k, (share, ends) in enumerate(zip(audit.prevalence, again.weights, strict=True))
    ]
    yield details(
        "Table: weights of the types, with the types found anew",
        pd.DataFrame(weights, columns=["type", "weight"]),
    )


def _refitted(audit: Audit, again: RefitAudit) -> pd.DataFrame:
    worst = audit.worst("share")
    rows = []
    for rule in audit.rules:
        told = zip(audit.regret["share"][rule], again.regret["share"][rule], strict=True)
        row = (with_interval(float(v), float(e[0]), float(e[1]), "share") for v, e in told)
        top = with_interval(worst[rule], *again.worst["share"][rule], "share")
        rows.append([rule_label(rule), top, *row])
    types = [f"Type {k + 1}" for k in range(audit.n_types)]
    return pd.DataFrame(rows, columns=["rule", "worst type", *types])


def evidence_section(audit: Audit) -> Iterator[Part]:
    """Yield how rankings that nobody fitted are predicted, where that was asked for."""
    evidence = audit.evidence
    if evidence is None:
        return
    yield heading("On rankings that nobody fitted", anchor="evidence")
    yield paragraph(evidence_note(evidence))
    yield listing(evidence_findings(evidence))
    yield plots.prediction_figure(evidence)
    yield details("Table: how well each policy predicts", evidence_rows(evidence))
    yield plots.reliability_figure(evidence)
    if evidence.posterior is not None:
        yield plots.posterior_reliability_figure(evidence)
    for attribute in list(dict.fromkeys(group.attribute for group in evidence.groups))[:MOST]:
        yield plots.prediction_figure(evidence, attribute)
    for group in evidence.groups[:MOST_TABLES]:
        yield details(
            f"Table: how well each policy predicts, {group.attribute} {group.value}",
            evidence_rows(evidence, group),
            f"n = {group.n_rankings:,} rankings by {group.n:,} users.",
        )
