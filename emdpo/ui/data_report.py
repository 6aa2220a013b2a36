"""The check report as HTML: what is wrong, what is doubtful, what the rankings can tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emdpo.ui.markup import facts, fold, line, listing, text

if TYPE_CHECKING:
    from emdpo.core.checks import Problem, Summary
    from emdpo.core.identifiability import IdentifiabilityStatement
    from emdpo.ui.datasets import DataSet

SHOWN = 30
"""Errors and warnings written out; the rest are counted."""


def report_html(data: DataSet) -> str:
    """Return the report of a data set."""
    report = data.report
    parts = [f"<h3>{text(data.name)}</h3>"]
    if report.errors:
        parts.append(line("These data cannot be used yet:", "error"))
        parts.append(_problems(report.errors, "errors"))
        if data.layout is None or data.layout.form is None:
            parts.append(line("Other column names? Say which is which under Columns."))
    if report.summary is not None:
        parts.append(_summary(report.summary))
    if report.warnings:
        title = f"{len(report.warnings)} warning{'s' * (len(report.warnings) != 1)}"
        parts.append(line(f"{title}: usable, but look at", "warning"))
        parts.append(_problems(report.warnings, "warnings"))
    if report.identifiability is not None:
        parts.append(_identifiability(report.identifiability))
    return f'<div class="report">{"".join(parts)}</div>'


def _problems(problems: Sequence[Problem], kind: str) -> str:
    items = [text(problem) for problem in problems[:SHOWN]]
    if len(problems) > SHOWN:
        items.append(f"and {len(problems) - SHOWN:,} more")
    return listing(items, kind)


def _summary(summary: Summary) -> str:
    shape = facts(
        [
            ("users", f"{summary.n_users:,}"),
            ("rankings", f"{summary.n_rankings:,}"),
            ("answers", f"{summary.n_candidates:,}"),
            ("prompts", f"{summary.n_prompts:,}"),
            ("answers a ranking", summary.list_length),
            ("rankings a user", summary.answers_per_user),
            ("with ties", f"{summary.tied_share:.0%}"),
            ("partial", f"{summary.partial_share:.0%}"),
            ("pairs", f"{summary.pairs_share:.0%}"),
            ("held out", f"{summary.held_out:,}"),
        ]
    )
    groups = listing(text(group) for group in summary.groups)
    return shape + (fold(f"Groups ({len(summary.groups)})", groups) if summary.groups else "")


def _identifiability(statement: IdentifiabilityStatement) -> str:
    question = "<b>Can these rankings tell types apart?</b>"
    verdict = f'<p class="verdict">{question} {text(statement.verdict)}</p>'
    return verdict + fold("Which theorems say so, and what they assume", theorems_html(statement))


def theorems_html(statement: IdentifiabilityStatement) -> str:
    """Return what each theorem says of a panel, with its premises where it applies."""
    theorems = []
    for theorem in statement.theorems:
        premises = f"Premises: {'; '.join(theorem.premises)}." if theorem.applies else ""
        theorems.append(
            f"<b>{text(theorem.name)}</b> ({text(theorem.source)}): {text(theorem.conclusion)}"
            f'<span class="premises">{text(premises)}</span>'
        )
    return listing(theorems)
