"""What types found anew say of an audit, in words and as tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.findings import Finding, findings, people_text, rule_label
from emdpo.core.refit_contrasts import differences, widening, worst_fixed, worst_types

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.core.refits import Ends, RefitAudit

AGREEMENT = (
    (0.9, "found again almost person by person"),
    (0.65, "found again, but part of the people change sides"),
    (0.0, "not the same from draw to draw: what is said of a type is said of this fit alone"),
)
"""Adjusted Rand indices and what is said from there on: Steinley 2004, Psychological Methods 9, doi
10.1037/1082-989X.9.3.386 calls 0.9 excellent and less than 0.65 poor."""

PERCENT_KINDS = ("share", "preference")
"""Kinds of regret that are shares; the others are in nats."""


def refit_note(audit: Audit) -> str:
    """Return what was drawn and fitted, and how many."""
    refit = audit.refit
    if refit is None:
        return ""
    return (
        f"n = {audit.n_users:,} users drawn with replacement, {refit.n_refits:,} times (seed "
        f"{refit.seed}); types, pooled model and rules were found anew in each draw. "
        f"{refit.confidence:.0%} percentile intervals."
    )


def refit_findings(audit: Audit) -> Iterator[str]:
    """Yield what types found anew say, one sentence each with number, interval and n."""
    refit = audit.refit
    if refit is None:
        return
    if audit.n_types > 1:
        yield _agreement(audit, refit)
        yield _others_reached(refit)
        yield _sizes(audit, refit)
    yield from _rules(audit, refit)
    yield from _groups(audit)


def _agreement(audit: Audit, refit: RefitAudit) -> str:
    words = next(words for least, words in AGREEMENT if refit.agreement >= least or least == 0)
    return (
        f"The types are {words}: a draw's agree with those of the fit by an adjusted Rand index of "
        f"{refit.agreement:.2f} on average (n = {refit.n_refits:,} draws of {audit.n_users:,} "
        "users; 1 = the same people together, 0 = no more than chance)."
    )


def _others_reached(refit: RefitAudit) -> str:
    if not refit.n_fresh:
        return (
            f"In none of {refit.n_refits:,} draws were other types likelier than those that the "
            "fit leads to."
        )
    return (
        f"In {refit.n_fresh:,} of {refit.n_refits:,} draws ({refit.n_fresh / refit.n_refits:.0%}) "
        "other types, reached from a start of the draw's own, were likelier than those that the "
        "fit leads to."
    )


def _sizes(audit: Audit, refit: RefitAudit) -> str:
    told = (
        f"Type {k + 1} {share:.0%} ({ends[0]:.0%} to {ends[1]:.0%})"
        for k, (share, ends) in enumerate(zip(audit.prevalence, refit.weights, strict=True))
    )
    return f"Shares of users (n = {audit.n_users:,}): {', '.join(told)}."


def _rules(audit: Audit, refit: RefitAudit) -> Iterator[str]:
    """Compare the rule that leaves the worst-served type least with pooled DPO."""
    worst = {
        rule: value
        for rule, value in audit.worst("share").items()
        if np.isfinite([value, *refit.worst["share"][rule]]).all()
    }
    if "pooled" not in worst:
        return
    best = min(worst, key=lambda rule: worst[rule])
    pooled = _share(worst["pooled"], refit.worst["share"]["pooled"])
    begin = f"Pooled DPO costs its worst-served type {pooled} of its own gain"
    if best == "pooled":
        yield f"{begin}, and no rule less (n = {refit.n_refits:,} draws)."
        return
    apart = refit.worst["share"][best][1] < refit.worst["share"]["pooled"][0]
    yield (
        f"{begin}, {rule_label(best)}, the least of all rules, "
        f"{_share(worst[best], refit.worst['share'][best])} (n = {refit.n_refits:,} draws)"
        + (": less also where types are found anew." if apart else ": these intervals overlap.")
    )


def _groups(audit: Audit) -> Iterator[str]:
    """Say which findings about groups stand, and how much wider intervals have become."""
    found = [each for each in findings(audit) if each.refitted is not None]
    stands = [each for each in found if each.kind == "group"]
    if audit.groups and not found:
        yield (
            "No finding says that a group loses more than everybody else under pooled DPO, so that "
            "there was none to take back."
        )
    if found:
        several = "s" * (len(found) > 1)
        yield (
            f"Of {len(found)} finding{several} that a group loses more than everybody else under "
            f"pooled DPO, {len(stands)} stand{'s' * (len(stands) == 1)} where types are found anew."
        )
    for finding in sorted(found, key=lambda each: each.kind == "group"):
        yield _verdict(audit, finding)
    wider = widening(audit)
    if wider is not None:
        yield (
            "Intervals of the groups' differences from everybody else under pooled DPO are "
            f"{wider[0]:.1f} times as wide as with types held fixed (median of n = {wider[1]:,} "
            "groups)."
        )


def _verdict(audit: Audit, finding: Finding) -> str:
    group = next(each for each in audit.groups if (each.attribute, each.value) == finding.group)
    fixed, anew = (
        " to ".join(f"{100 * (end or 0):.0f}" for end in ends)
        for ends in ((finding.low, finding.high), finding.refitted or ())
    )
    word = "Stands" if finding.kind == "group" else "Does not stand"
    return (
        f"{word}: {people_text(group)}, {100 * (finding.value or 0):.0f} points more ({fixed} with "
        f"types held fixed, {anew} found anew)."
    )


def _share(value: float, ends: Ends) -> str:
    return f"{value:.0%} ({ends[0]:.0%} to {ends[1]:.0%})"


def refit_rule_rows(audit: Audit, kind: str = "share") -> pd.DataFrame:
    """Return a row per rule: what the worst-served type and each other loses, types found anew."""
    refit = audit.refit
    assert refit is not None  # noqa: S101  # asked for
    rules, fixed = audit.rules, worst_fixed(audit, kind, audit.rules)
    worst = zip(rules, worst_types(audit, kind, rules), strict=True)
    columns: dict[str, list[str]] = {
        "rule": [rule_label(rule) for rule in rules],
        "worst type": [
            f"Type {k + 1}: {_text(audit.regret[kind][rule][k], kind)}" for rule, k in worst
        ],
        "types held fixed": [_ends(each, kind) for each in fixed.tolist()],
        "types found anew": [_ends(refit.worst[kind][rule], kind) for rule in rules],
    }
    for k in np.flatnonzero(audit.occupied).tolist():
        columns[f"Type {k + 1}, found anew"] = [
            _ends(refit.regret[kind][rule][k].tolist(), kind) for rule in rules
        ]
    return pd.DataFrame(columns)


def refit_group_rows(
    audit: Audit, attribute: str | None, kind: str = "share", rule: str = "pooled"
) -> pd.DataFrame:
    """Return a row per group: what it loses more than everybody else, and whether that stands."""
    rows = [
        [
            each.value,
            f"{each.n:,}",
            _text(each.above, kind, "+"),
            _ends(each.fixed, kind),
            f"{each.p_value:.3f}" if np.isfinite(each.p_value) else "-",
            _ends(each.anew, kind),
            "outside" if each.stands else "within",
        ]
        for each in differences(audit, attribute, kind, rule)
    ]
    columns = ["group", "users", "more than the rest", "types held fixed", "p"]
    return pd.DataFrame(rows, columns=[*columns, "types found anew", "0 lies"])


def _text(value: float, kind: str, sign: str = "") -> str:
    if not np.isfinite(value):
        return "-"
    return f"{value:{sign}.1%}" if kind in PERCENT_KINDS else f"{value:{sign}.3f}"


def _ends(ends: Ends | list[float], kind: str) -> str:
    return " to ".join(_text(end, kind) for end in ends) if np.isfinite(ends).all() else "-"
