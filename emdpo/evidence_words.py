"""Evidence on held-out rankings in words and as tables for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.findings import rule_label
from emdpo.core.prediction import ACCURACY, LOG_LOSS, OWN, POOLED, REFERENCE, TAU
from emdpo.core.tested import CANDIDATES, RANKING, SPLIT, USER

if TYPE_CHECKING:
    from emdpo.core.calibration import Calibration
    from emdpo.core.tested import Evidence, GroupEvidence

POLICY_LABELS = {OWN: "Users' own types", REFERENCE: "Untuned model"}
"""Names for people of the policies that are no aggregation rule."""

MEASURE_LABELS = {
    LOG_LOSS: "log-loss (nats a ranking)",
    ACCURACY: "top choice right",
    TAU: "Kendall's tau-b",
}

BETTER = {LOG_LOSS: "lower is better", ACCURACY: "higher is better", TAU: "higher is better"}

WAY_NOTES = {
    RANKING: "each user's rankings are left out in turn and predicted from their others",
    USER: (
        "whole users are left out in turn; half of their rankings tell their types, and the others "
        "are predicted"
    ),
    CANDIDATES: (
        "whole users are left out in turn; in each of their rankings the order of half of the "
        "candidates tells their types, and that of the other half is predicted"
    ),
    SPLIT: "the rankings that the file held out (column split) are predicted from the others",
}
"""What is held out, by way."""

NOT_CALIBRATED = 0.02
"""Calibration errors whose interval begins below this are not complained of."""


def policy_label(policy: str) -> str:
    """Return the name of a policy for people.

    >>> policy_label("own"), policy_label("mixture")
    ("Users' own types", 'Min-max mixture')
    """
    return POLICY_LABELS.get(policy) or rule_label(policy)


def evidence_note(evidence: Evidence) -> str:
    """Return what was held out, how many, and what the figures are."""
    config, everybody = evidence.config, evidence.everybody
    anew = "" if config.by == SPLIT else f"; {config.folds} folds, all fitted anew for each"
    told = (
        f"n = {everybody.n_rankings:,} rankings by {everybody.n:,} users that nobody fitted: "
        f"{WAY_NOTES[config.by]}{anew} (seed {config.seed}). {config.confidence:.0%} intervals "
        f"over users ({config.n_bootstrap:,} draws), the fits held fixed."
    )
    if evidence.n_without_order:
        told += f" {evidence.n_without_order:,} rankings without an order are left out."
    if evidence.n_unknown:
        told += (
            f" Of {evidence.n_unknown:,} users no other ranking is known: theirs are predicted by "
            "all types, mixed by size."
        )
    return told


def evidence_findings(evidence: Evidence) -> Iterator[str]:
    """Yield what the evidence says, one sentence each with number, interval and n."""
    everybody = evidence.everybody
    told = f"(n = {everybody.n_rankings:,} rankings by {everybody.n:,} users)"
    own = "Types mixed by their sizes" if evidence.n_unknown == everybody.n else policy_label(OWN)
    yield f"{_compared(everybody, OWN, own)} {told}."
    yield f"{_compared(everybody, REFERENCE, f'The {policy_label(REFERENCE).lower()}')} {told}."
    worse = [
        policy_label(policy)
        for policy, (low, _) in everybody.above_pooled_interval[LOG_LOSS].items()
        if low > 0 and policy not in (OWN, REFERENCE)
    ]
    if worse:
        yield (
            f"Rules that predict worse than pooled DPO: {', '.join(worse)}. A rule protects those "
            "whom it was made to protect; it need not predict what most people choose."
        )
    yield from _calibration_findings(evidence)


def _compared(group: GroupEvidence, policy: str, name: str) -> str:
    """Return how a policy's log-loss compares with that of pooled DPO."""
    begin = f"{name} predict{'' if policy == OWN else 's'}"
    value = group.above_pooled[LOG_LOSS][policy]
    low, high = group.above_pooled_interval[LOG_LOSS][policy]
    figure = f"{value:+.3f} nats a ranking ({low:+.3f} to {high:+.3f})"
    if high < 0:
        return f"{begin} rankings better than pooled DPO: {figure}"
    if low > 0:
        return f"{begin} rankings worse than pooled DPO: {figure}"
    return f"{begin} rankings no better or worse than pooled DPO, as far as can be told: {figure}"


def _calibration_findings(evidence: Evidence) -> Iterator[str]:
    names = {"Users' own types": evidence.top_choice.get(OWN)}
    names["Pooled DPO"] = evidence.top_choice.get(POOLED)
    for name, found in names.items():
        if found is not None:
            yield f"{name}: {_error(found)} for the best of the candidates shown."
    if evidence.posterior is not None:
        yield f"Posteriors of types: {_error(evidence.posterior)}, by what later rankings say."


def _error(found: Calibration) -> str:
    low, high = found.error_interval
    word = "not calibrated, " if low > NOT_CALIBRATED else ""
    return (
        f"{word}probabilities are off by {found.error:.3f} on average ({low:.3f} to {high:.3f}; "
        f"n = {sum(found.n):,})"
    )


def evidence_rows(evidence: Evidence, group: GroupEvidence | None = None) -> pd.DataFrame:
    """Return a row per policy: every measure with its interval and difference from pooled DPO.

    Of one group, or of everybody, then with the calibration error of the probabilities.
    """
    shown = group or evidence.everybody
    columns: dict[str, list[str]] = {"policy": [policy_label(name) for name in evidence.policies]}
    for measure, label in MEASURE_LABELS.items():
        columns[label] = [_with_ends(shown, measure, name) for name in evidence.policies]
        columns[f"{label.split(' (')[0]}, above pooled"] = [
            _above(shown, measure, name) for name in evidence.policies
        ]
    if group is None:
        columns["calibration error"] = [
            _short_error(evidence.top_choice.get(name)) for name in evidence.policies
        ]
    return pd.DataFrame(columns)


def _with_ends(group: GroupEvidence, measure: str, policy: str) -> str:
    return _text(group.mean[measure][policy], group.interval[measure][policy], "")


def _above(group: GroupEvidence, measure: str, policy: str) -> str:
    if policy == POOLED:
        return ""
    ends = group.above_pooled_interval[measure][policy]
    return _text(group.above_pooled[measure][policy], ends, "+")


def _text(value: float, ends: tuple[float, float], sign: str) -> str:
    if not np.isfinite(value):
        return "-"
    low, high = ends
    return f"{value:{sign}.3f} [{low:{sign}.3f}, {high:{sign}.3f}]"


def _short_error(found: Calibration | None) -> str:
    return "-" if found is None else _text(found.error, found.error_interval, "")


def evidence_text(evidence: Evidence) -> str:
    """Return a short table for the terminal: log-loss and its difference, and top choice right."""
    table = evidence_rows(evidence)
    label = MEASURE_LABELS[LOG_LOSS]
    names = ["policy", label, "log-loss, above pooled", MEASURE_LABELS[ACCURACY]]
    lines = [evidence_note(evidence), table[names].to_string(index=False)]
    lines += evidence_findings(evidence)
    return "\n".join(lines)
