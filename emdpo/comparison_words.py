"""Two runs side by side, in sentences and in tables of text, for terminal and page alike."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import pandas as pd

from emdpo.core.comparison import SURE
from emdpo.core.findings import rule_label
from emdpo.settings import ADAPTERS

if TYPE_CHECKING:
    from emdpo.core.comparison import Split
    from emdpo.core.resampling import Estimate
    from emdpo.run_comparison import RunComparison
    from emdpo.run_facts import RunFacts

JUDGES = {"own": "each run's own", "a": "A's", "b": "B's"}
"""Whose types judge, as a cell of a table."""

JUDGED = (
    "Each run's own types judge its rules, so that their difference mixes other policies with "
    "other judges. Where A's (or B's) types judge both, only the policies differ. The worst is "
    "over types, the mean over users; types and policies are held fixed in every interval."
)
"""How differences of regret are to be read."""

IN_SHARES = ("share", "preference")
"""Kinds of regret that are told in percent."""


def run_text(facts: RunFacts) -> str:
    """Return what a run is, in one line."""
    weights = ", ".join(f"{weight:.0%}" for weight in facts.weights)
    size = "" if facts.n_parameters is None else f" with {facts.n_parameters:,} parameters"
    return (
        f"{_count(facts.n_types, 'type')} ({weights}), {_policy(facts)}, "
        f"{facts.n_users:,} users, {facts.n_rankings:,} rankings; log-likelihood "
        f"{facts.log_likelihood:,.2f}{size}, {facts.stop_reason}, "
        f"{facts.n_reached_best} of {facts.n_starts} starts at this optimum"
    )


def _policy(facts: RunFacts) -> str:
    if facts.policy == ADAPTERS:
        return f"{ADAPTERS} on a language model"
    return f"log-linear policies on {facts.features}"


def sentences(found: RunComparison) -> list[str]:
    """Return what the comparison found, in sentences; they hold no text of users."""
    told = [_shared(found), _moves(found)]
    told += [_split(split) for split in found.splits] + [_merger(split) for split in found.merges]
    return [*told, *_likelihoods(found)]


def _shared(found: RunComparison) -> str:
    answers = f"{found.n_candidates:,} answers to {_count(found.n_prompts, 'prompt')}"
    if found.same_data:
        return f"Both were fitted to the same rankings: {found.n_users:,} users, {answers}."
    of = f"{found.a.n_users:,} of A and {found.b.n_users:,} of B"
    return (
        f"They were fitted to different rankings; shared are {found.n_users:,} users ({of}) and "
        f"{answers}."
    )


def _moves(found: RunComparison) -> str:
    stay, rand = found.staying, found.adjusted_rand
    n_sure = sum(chance >= SURE for chance in found.moved["chance_moved"])
    level = f"{found.confidence:.0%} interval"
    moves = f"{found.n_moved:,} move, {n_sure:,} of them with a chance of at least {SURE:.0%}"
    return (
        f"{stay.value:.1%} of users stay with their type ({level} {stay.low:.1%} to "
        f"{stay.high:.1%}, n = {stay.n:,}); {moves if found.n_moved else 'nobody moves'}. Adjusted "
        f"Rand index {rand.value:.2f} ({rand.low:.2f} to {rand.high:.2f}): 1 = the same users "
        "together, 0 = no more than chance."
    )


def _split(split: Split) -> str:
    parts = _listed([f"Type {k} ({n:,} users)" for k, n in zip(split.many, split.n, strict=True)])
    return f"Type {split.one} of A falls apart into {parts} of B."


def _merger(split: Split) -> str:
    parts = _listed([f"Type {k} ({n:,} users)" for k, n in zip(split.many, split.n, strict=True)])
    return f"{parts} of A come together in Type {split.one} of B."


def _likelihoods(found: RunComparison) -> Iterator[str]:
    change = found.log_likelihood
    if change is not None:
        yield (
            f"Log-likelihood of the {change.n_rankings:,} rankings fitted: {change.a:,.2f} in A, "
            f"{change.b:,.2f} in B; B less A {_change(change.difference)}, n = "
            f"{change.difference.n:,} users. Both were fitted to these rankings, so that this is "
            "no test."
        )


def _change(estimate: Estimate) -> str:
    value, low, high = (_signed(each, ",.2f") for each in estimate[:3])
    return f"{value} ({low} to {high})"


def _listed(parts: Sequence[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]]) if len(parts) > 1 else parts[0]


def _count(n: int, what: str) -> str:
    return f"{n:,} {what}{'s' * (n != 1)}"


def figure(value: float, kind: str, *, signed: bool = False) -> str:
    """Return a regret as text; a dash where it does not exist.

    >>> figure(0.1234, "share"), figure(0.5, "kl", signed=True), figure(float("nan"), "kl")
    ('12.3%', '+0.500', '-')
    """
    if not math.isfinite(value):
        return "-"
    form = ".1%" if kind in IN_SHARES else ".3f"
    return _signed(value, form) if signed else f"{value:{form}}"


def _signed(value: float, form: str) -> str:
    """Return a number with its sign, which one that is shown as 0 has not.

    >>> _signed(0.5, ".2f"), _signed(-1e-9, ".2f")
    ('+0.50', '0.00')
    """
    text = f"{value:+{form}}"
    return text if any(digit in text for digit in "123456789") else text[1:]


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
        for row in _records(found.regret, kind=kind)
    }
    rows = [
        [
            rule_label(rule),
            JUDGES[judge],
            *_two(part[rule, judge, "mean"], kind),
            change_text(part[rule, judge, "mean"], kind),
            *_two(part[rule, judge, "worst"], kind),
        ]
        for rule in dict.fromkeys(rule for rule, _, _ in part)
        if rules is None or rule in rules
        for judge in judges
    ]
    return pd.DataFrame(rows, columns=columns)


def _records(table: pd.DataFrame, **wanted: str) -> list[dict[Any, Any]]:
    """Return the rows that hold these values."""
    rows = table.to_dict("records")
    return [row for row in rows if all(row[name] == value for name, value in wanted.items())]


def _two(row: dict[Any, Any], kind: str) -> list[str]:
    return [figure(row[name], kind) for name in ("value_a", "value_b")]


def change_text(row: dict[Any, Any], kind: str) -> str:
    """Return a difference with its interval, if it has one."""
    ends = [figure(row[name], kind, signed=True) for name in ("low", "high")]
    value = figure(row["difference"], kind, signed=True)
    return value if "-" in ends else f"{value} ({ends[0]} to {ends[1]})"


def type_regret_rows(found: RunComparison, kind: str) -> pd.DataFrame:
    """Return the regret of matched types under their own run's rules, as text."""
    rows = [
        [
            f"Type {row['type_a']} of A, Type {row['type_b']} of B",
            rule_label(row["rule"]),
            *_two(row, kind),
            figure(row["difference"], kind, signed=True),
        ]
        for row in _records(found.regret_by_type, kind=kind)
    ]
    return pd.DataFrame(rows, columns=["types", "rule", "in A", "in B", "B less A"])


def group_rows(found: RunComparison, kind: str, judge: str, rules: Sequence[str]) -> pd.DataFrame:
    """Return the regret of groups of users, the largest difference first, as text."""
    part = _records(found.regret_by_group, kind=kind, judged_by=judge)
    part.sort(key=lambda row: -abs(row["difference"]))
    rows = [
        [
            row["attribute"],
            row["value"],
            f"{row['n']:,}",
            rule_label(row["rule"]),
            *_two(row, kind),
            change_text(row, kind),
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
