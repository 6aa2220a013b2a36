"""Two runs side by side in tables of text, for terminal and page alike."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo.comparison_words import records, signed_text
from emdpo.core.findings import rule_label
from emdpo.core.prediction import LOG_LOSS
from emdpo.evidence_words import MEASURE_LABELS, policy_label

if TYPE_CHECKING:
    from emdpo.run_comparison import RunComparison

JUDGES = {"own": "each run's own", "a": "A's", "b": "B's"}
"""Whose types judge, as a cell of a table."""

IN_SHARES = ("share", "preference")
"""Kinds of regret that are told in percent."""


def figure(value: float, kind: str, *, signed: bool = False) -> str:
    """Return a regret as text; a dash where it does not exist.

    >>> figure(0.1234, "share"), figure(0.5, "kl", signed=True), figure(float("nan"), "kl")
    ('12.3%', '+0.500', '-')
    """
    return _or_dash(value, _form(kind), signed=signed)


def _form(kind: str) -> str:
    return ".1%" if kind in IN_SHARES else ".3f"


def type_rows(found: RunComparison) -> pd.DataFrame:
    """Return the matched types and those without a partner, as text."""
    rows = [
        [
            _type_cell(row["type_a"], row["weight_a"]),
            _type_cell(row["type_b"], row["weight_b"]),
            *(_whole(row[name]) for name in ("users_a", "users_b", "users_both")),
            *(_range(row, name) for name in ("kendall", "same_top", "in_common")),
            _whole(row["n_prompts"]),
        ]
        for row in found.types.to_dict("records")
    ]
    names = ["type in A", "type in B", "users in A", "users in B", "in both"]
    names += ["rank correlation", "same best answer", "probability shared", "prompts"]
    return pd.DataFrame(rows, columns=names)


def _type_cell(number: Any, weight: float) -> str:
    return "-" if pd.isna(number) else f"Type {number} ({weight:.0%})"


def _whole(value: Any) -> str:
    return "-" if pd.isna(value) else f"{value:,}"


def _range(row: dict[Any, Any], name: str) -> str:
    """Return a measure with its interval over prompts, which one prompt does not have."""
    value, low, high = row[name], row[f"{name}_low"], row[f"{name}_high"]
    if not math.isfinite(value):
        return "-"
    ends = f" ({low:.2f} to {high:.2f})" if math.isfinite(low) else ""
    return f"{value:.2f}{ends}"


def regret_rows(
    found: RunComparison, kind: str, judges: Sequence[str], rules: Sequence[str] | None = None
) -> pd.DataFrame:
    """Return worst and mean regret of both runs by rule and judge, as text."""
    level = f"mean: B less A ({found.confidence:.0%})"
    columns = ["rule", "judged by types", "mean A", "mean B", level, "worst A", "worst B"]
    part = {
        (row["rule"], row["judged_by"], row["statistic"]): row
        for row in records(found.regret, kind=kind)
    }
    rows = [
        [
            rule_label(rule),
            JUDGES[judge],
            *_two(part[rule, judge, "mean"], kind),
            change_text(part[rule, judge, "mean"], _form(kind)),
            *_two(part[rule, judge, "worst"], kind),
        ]
        for rule in dict.fromkeys(rule for rule, _, _ in part)
        if rules is None or rule in rules
        for judge in judges
    ]
    return pd.DataFrame(rows, columns=columns)


def _two(row: dict[Any, Any], kind: str) -> list[str]:
    return [figure(row[name], kind) for name in ("value_a", "value_b")]


def change_text(row: dict[Any, Any], form: str) -> str:
    """Return a difference with its interval, if it has one."""
    ends = [_or_dash(row[name], form, signed=True) for name in ("low", "high")]
    value = _or_dash(row["difference"], form, signed=True)
    return value if "-" in ends else f"{value} ({ends[0]} to {ends[1]})"


def held_out_rows(found: RunComparison) -> pd.DataFrame:
    """Return the log-loss of every policy of both runs on what was held out, as text."""
    form = ".4f"
    rows = [
        [
            policy_label(row["policy"]),
            *(_or_dash(row[name], form) for name in ("value_a", "value_b")),
            change_text(row, form),
        ]
        for row in records(found.held_out, measure=LOG_LOSS)
    ]
    columns = [MEASURE_LABELS[LOG_LOSS], "A", "B", f"B less A ({found.confidence:.0%})"]
    return pd.DataFrame(rows, columns=columns)


def _or_dash(value: float, form: str, *, signed: bool = False) -> str:
    if not math.isfinite(value):
        return "-"
    return signed_text(value, form) if signed else f"{value:{form}}"


def type_regret_rows(found: RunComparison, kind: str) -> pd.DataFrame:
    """Return the regret of matched types under their own run's rules, as text."""
    rows = [
        [
            f"Type {row['type_a']} of A, Type {row['type_b']} of B",
            rule_label(row["rule"]),
            *_two(row, kind),
            figure(row["difference"], kind, signed=True),
        ]
        for row in records(found.regret_by_type, kind=kind)
    ]
    return pd.DataFrame(rows, columns=["types", "rule", "in A", "in B", "B less A"])


def group_rows(found: RunComparison, kind: str, judge: str, rules: Sequence[str]) -> pd.DataFrame:
    """Return the regret of groups of users, the largest difference first, as text."""
    part = records(found.regret_by_group, kind=kind, judged_by=judge)
    part.sort(key=lambda row: -abs(np.nan_to_num(row["difference"])))
    rows = [
        [
            row["attribute"],
            row["value"],
            f"{row['n']:,}",
            rule_label(row["rule"]),
            *_two(row, kind),
            change_text(row, _form(kind)),
        ]
        for row in part
        if row["rule"] in rules
    ]
    level = f"B less A ({found.confidence:.0%})"
    return pd.DataFrame(rows, columns=["attribute", "group", "users", "rule", "A", "B", level])


def moved_rows(found: RunComparison) -> pd.DataFrame:
    """Return the users who moved, the surest first, as text."""
    moved = found.moved
    columns = {
        "user": moved["user_id"],
        "in A": _sure_types(moved, "a"),
        "in B": _sure_types(moved, "b"),
        "chance of a move": [f"{chance:.0%}" for chance in moved["chance_moved"]],
    }
    return pd.DataFrame(columns)


def _sure_types(moved: pd.DataFrame, side: str) -> list[str]:
    pairs = zip(moved[f"type_{side}"], moved[f"probability_{side}"], strict=True)
    return [f"Type {number} ({probability:.0%})" for number, probability in pairs]


def setting_rows(found: RunComparison) -> pd.DataFrame:
    """Return the settings that differ, as text; a dash = not set."""
    table = found.settings.map(lambda value: "-" if value is None else str(value))
    return table.set_axis(["setting", "A", "B"], axis=1)
