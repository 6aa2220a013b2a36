"""An audit in plain sentences, each with its number, interval and n.

A group is said to lose more than everybody else only where a permutation test says so, adjusted for
all groups of its attribute and for the number of attributes (Bonferroni), and the interval of the
difference lies above 0. Where types were found anew (`refits`), the difference must stand up to
that too. So of data in which no group differs, an audit says nothing of groups in at least as many
cases as its confidence promises. Where nothing is supported it says that this proves no equality.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

from emdpo.core.groups import TIMES

if TYPE_CHECKING:
    from emdpo.core.audit import Audit, GroupRegret

FindingKind = Literal["group", "uncertain", "cost", "type", "no_difference", "suppressed"]

RULE_LABELS = {
    "pooled": "Pooled DPO",
    "uniform": "Uniform mixture",
    "prevalence": "Prevalence mixture",
    "maximin": "Maximin value",
    "nash": "Nash welfare",
    "mixture": "Min-max mixture",
    "consensus": "Min-max consensus",
    "lottery": "Maximal lottery",
    "given": "Given weights",
    "distilled": "Distilled consensus",
    "base": "Untuned model",
}
"""Names for people; `type-3` is "Type 3 for all"."""

MAX_COSTS = 2
"""Groups that are named as paying for the remedy, the most costly first."""

CAVEAT = (
    "Types are patterns in these rankings, not kinds of people, and say nothing about people who "
    "are not in the data. Regret is judged by the fitted models themselves. Intervals count who "
    "happened to be asked and, where it says so, how well the types were found."
)
"""What every reader of findings should know."""


@dataclass(frozen=True)
class Finding:
    """One sentence or two, and the number behind them. The text holds user text: escape it."""

    text: str
    value: float | None
    """The number stated; a share (1 = 100%) or nats. None for suppressed groups."""
    low: float | None
    """Lower end of its interval."""
    high: float | None
    n: int
    """Users (or prompts, for kind `type`) behind it."""
    kind: FindingKind
    p_value: float | None = None
    """Of a difference between a group and everybody else, adjusted for all groups looked at."""
    refitted: tuple[float, float] | None = None
    """Interval of that difference with types found anew; None where that was not asked."""
    group: tuple[str, str] | None = None
    """Attribute and value of a group that loses more than everybody else; user text."""


@dataclass(frozen=True)
class WorstGroup:
    """The group with the largest regret under a rule."""

    attribute: str
    value: str
    n: int
    regret: float
    low: float
    high: float


def rule_label(rule: str) -> str:
    """Return a rule's name for people.

    >>> rule_label("consensus"), rule_label("type-2")
    ('Min-max consensus', 'Type 2 for all')
    """
    if rule.startswith("type-"):
        return f"Type {rule[5:]} for all"
    return RULE_LABELS.get(rule, rule)


def worst_group(
    audit: Audit, rule: str, kind: str = "share", attribute: str | None = None
) -> WorstGroup | None:
    """Return the known group with the largest regret under a rule, or None without groups.

    Of groups by one attribute, unless `attribute` names a pair.
    """
    asked = set(audit.attributes) if attribute is None else {attribute}
    groups = [
        group
        for group in audit.groups
        if group.known and group.attribute in asked and np.isfinite(group.regret[kind][rule])
    ]
    if not groups:
        return None
    worst = max(groups, key=lambda group: group.regret[kind][rule])
    low, high = worst.interval[kind][rule]
    return WorstGroup(worst.attribute, worst.value, worst.n, worst.regret[kind][rule], low, high)


def findings(audit: Audit, rule: str = "pooled", remedy: str = "consensus") -> tuple[Finding, ...]:
    """Return who is badly served, largest loss first, what types want, and what a remedy costs.

    Then follow the differences that the audit does not support, and what is hidden.

    Parameters
    ----------
    audit : Audit
    rule : str
        The rule judged.
    remedy : str
        The rule it is compared with.
    """
    single, crossed = _attributes(audit)
    harmed: list[Finding] = []
    costs: list[Finding] = []
    unsupported: list[Finding] = []
    for attribute in (*single, *crossed):
        groups = _comparable(audit, attribute, rule, remedy)
        if len(groups) < 2:
            continue
        worst = _most_harmed(audit, groups, rule, _level(audit, attribute))
        if worst is None:
            unsupported += [_no_difference(audit, groups, rule)] * (attribute in single)
        elif attribute in single or _is_more_than_its_parts(audit, worst, rule):
            harmed.append(_harmed(audit, worst, rule, remedy))
            costs += _cost(audit, groups, rule, remedy)
    harmed.sort(key=lambda finding: (finding.kind == "uncertain", -(finding.value or 0.0)))
    costs.sort(key=lambda finding: -(finding.value or 0.0))
    told = (*harmed, *_between_types(audit), *costs[:MAX_COSTS])
    return (*told, *unsupported, *_suppressed(audit))


def _attributes(audit: Audit) -> tuple[list[str], list[str]]:
    """Return the attributes of which groups are compared, and the pairs of them."""
    tested = dict.fromkeys(
        group.attribute
        for group in audit.groups
        if group.p_value and not set(group.attribute.split(TIMES)) & set(audit.config.computed)
    )
    pairs = [name for name in tested if TIMES in name and set(name.split(TIMES)) <= set(tested)]
    return [name for name in tested if name not in pairs], pairs


def _level(audit: Audit, attribute: str) -> float:
    """Return the p-value below which a group of this attribute is said to differ.

    What may go wrong by chance is shared by attributes and pairs, and by each alike within.
    """
    families = [family for family in _attributes(audit) if family]
    own = next(family for family in families if attribute in family)
    return (1 - audit.config.confidence) / len(families) / len(own)


def _most_harmed(
    audit: Audit, groups: Sequence[GroupRegret], rule: str, level: float
) -> GroupRegret | None:
    """Return the group that loses most more than everybody else, or None where none surely does."""
    surely = [
        group
        for group in groups
        if group.p_value
        and group.p_value["share"][rule] <= level
        and group.above_rest_interval["share"][rule][0] > 0
    ]
    return max(surely, key=lambda group: group.above_rest["share"][rule], default=None)


def _is_more_than_its_parts(audit: Audit, group: GroupRegret, rule: str) -> bool:
    """Whether a group by two attributes loses more beyond the rest than by either of them."""
    parts = set(zip(group.attribute.split(TIMES), group.value.split(TIMES), strict=False))
    above = group.above_rest["share"][rule]
    return all(
        other.above_rest["share"][rule] < above
        for other in audit.groups
        if other.above_rest and (other.attribute, other.value) in parts
    )


def _comparable(audit: Audit, attribute: str, *rules: str) -> list[GroupRegret]:
    """Return the known groups of an attribute by falling regret under the first rule."""
    groups = [
        group
        for group in audit.groups
        if group.attribute == attribute
        and group.known
        and all(rule in group.regret["share"] for rule in rules)
        and all(np.isfinite(group.regret["share"][rule]) for rule in rules)
    ]
    return sorted(groups, key=lambda group: -group.regret["share"][rules[0]])


def _apart(above: tuple[float, float], below: tuple[float, float]) -> bool:
    return above[0] > below[1]


def _harmed(audit: Audit, group: GroupRegret, rule: str, remedy: str) -> Finding:
    """Say by how much a group loses more than everybody else, and what the remedy makes of it."""
    above, ends = group.above_rest["share"][rule], group.above_rest_interval["share"][rule]
    p_value = group.p_value["share"][rule]
    text = (
        f"Under {_lower(rule)}, {people_text(group)} {_lose(audit, group, rule)}. That is "
        f"{_points(audit, above, ends)} more than everybody else ({_chance(p_value)})"
    )
    refitted = _found_anew(audit, group, rule)
    stands = refitted is None or refitted[0] > 0
    if refitted is not None:
        told = f"{100 * refitted[0]:.0f} to {100 * refitted[1]:.0f} points"
        text += (
            f", also where types are found anew ({told})"
            if stands
            else f", but where types are found anew it may be nothing ({told})"
        )
    text += f".{_remedied(audit, group, rule, remedy)}"
    kind = "group" if stands else "uncertain"
    name = (group.attribute, group.value)
    return Finding(text, above, *ends, group.n, kind, p_value, refitted, name)


def _found_anew(audit: Audit, group: GroupRegret, rule: str) -> tuple[float, float] | None:
    """Return the interval of a group's difference with types found anew, where there is one."""
    again = None if audit.refit is None else audit.refit.group(group.attribute, group.value)
    ends = None if again is None else again.above_rest_interval["share"][rule]
    return None if ends is None or np.isnan(ends[0]) else ends


def _points(audit: Audit, value: float, ends: tuple[float, float]) -> str:
    digits = 0 if round(ends[1] - ends[0], 3) >= 0.02 else 1
    low, high = (f"{100 * end:.{digits}f}" for end in ends)
    return f"{100 * value:.{digits}f} points ({_confidence(audit)} interval {low} to {high})"


def _chance(p_value: float) -> str:
    return f"p = {p_value:.3f}" if p_value >= 0.001 else "p < 0.001"


def _remedied(audit: Audit, group: GroupRegret, rule: str, remedy: str) -> str:
    before, after = group.interval["share"][rule], group.interval["share"][remedy]
    figure = _share(audit, group, remedy)
    if _apart(before, after):
        return f" {rule_label(remedy)} brings that loss to {figure}."
    if _apart(after, before):
        return f" {rule_label(remedy)} raises that loss to {figure}."
    return f" {rule_label(remedy)} makes no difference that the intervals support: {figure}."


def _cost(audit: Audit, groups: Sequence[GroupRegret], rule: str, remedy: str) -> Iterator[Finding]:
    """Say who pays for the remedy: the group that it takes furthest up."""

    def rise(group: GroupRegret) -> float:
        return group.regret["share"][remedy] - group.regret["share"][rule]

    group = max(groups, key=rise)
    before, after = group.interval["share"][rule], group.interval["share"][remedy]
    if not _apart(after, before):
        return
    text = (
        f"{rule_label(remedy)} has a price: under it {people_text(group)} "
        f"{_lose(audit, group, remedy)}, against {_share(audit, group, rule)} under {_lower(rule)}."
    )
    yield Finding(text, group.regret["share"][remedy], *after, group.n, "cost")


def _no_difference(audit: Audit, groups: Sequence[GroupRegret], rule: str) -> Finding:
    """Say that no groups differ; the interval of the widest gap is the widest its ends allow."""
    first, last = groups[0], groups[-1]
    text = (
        f"Under {_lower(rule)}, no group by {_shown(first.attribute)} surely loses more than "
        f"everybody else: from {_share(audit, last, rule)} for {people_text(last)} to "
        f"{_share(audit, first, rule)} for {people_text(first)}. This does not show that they are "
        "equal."
    )
    gap = first.regret["share"][rule] - last.regret["share"][rule]
    low = first.interval["share"][rule][0] - last.interval["share"][rule][1]
    high = first.interval["share"][rule][1] - last.interval["share"][rule][0]
    n = sum(group.n for group in groups)
    return Finding(text, gap, low, high, n, "no_difference")


def _between_types(audit: Audit) -> Iterator[Finding]:
    """Say how much a type can lose when served by another's model, if the interval is above 0."""
    if audit.n_types < 2 or audit.regret_matrix_interval is None:
        return
    large = audit.prevalence * audit.n_users >= audit.config.min_group
    compared = np.outer(large, large) & ~np.eye(audit.n_types, dtype=bool)
    lost = np.where(compared, audit.regret_matrix, -np.inf)
    k, j = np.unravel_index(int(lost.argmax()), lost.shape)
    low, high = audit.regret_matrix_interval[k, j]
    if not (compared.any() and low > 0):
        return
    share = audit.regret["share"].get(f"type-{j + 1}", np.full(audit.n_types, np.nan))[k]
    beside = f", {share:.0%} of its own model's gain" if np.isfinite(share) else ""
    beside += ": it is worse off than with the untuned model" if share > 1 else ""
    text = (
        f"Types want different things: served by Type {j + 1}'s model, Type {k + 1} "
        f"({audit.prevalence[k]:.0%} of users) loses {lost[k, j]:.2f} nats "
        f"({_confidence(audit)} interval over {audit.n_prompts} prompts {low:.2f} to "
        f"{high:.2f}){beside}."
    )
    yield Finding(text, float(lost[k, j]), float(low), float(high), audit.n_prompts, "type")


def _suppressed(audit: Audit) -> Iterator[Finding]:
    """Say how many groups are hidden by attribute; not which, nor how many people they are."""
    for attribute in dict.fromkeys(group.attribute for group in audit.suppressed):
        n_hidden = sum(group.attribute == attribute for group in audit.suppressed)
        text = (
            f"Nothing is said about {n_hidden} group{'s' * (n_hidden > 1)} by {_shown(attribute)}: "
            f"each has fewer than {audit.config.min_group} users, or would give away one that has."
        )
        yield Finding(text, None, None, None, audit.n_users, "suppressed")


def _share(audit: Audit, group: GroupRegret, rule: str) -> str:
    """Return a regret share with its interval in words."""
    low, high = group.interval["share"][rule]
    value = group.regret["share"][rule]
    digits = 0 if round(high - low, 3) >= 0.02 else 1
    return (
        f"{value:.{digits}%} ({_confidence(audit)} interval {100 * low:.{digits}f} to "
        f"{high:.{digits}%})"
    )


def _lose(audit: Audit, group: GroupRegret, rule: str) -> str:
    """Return what a group loses; beyond all there is to lose, what that means."""
    share = _share(audit, group, rule)
    if group.regret["share"][rule] <= 1:
        return f"lose {share} of what their own type's model would give them"
    certain = group.interval["share"][rule][0] > 1
    return (
        f"are {'worse' if certain else 'no better'} off than with the untuned model, at a regret "
        f"share of {share}"
    )


def _confidence(audit: Audit) -> str:
    return f"{100 * audit.config.confidence:g}%"


def people_text(group: GroupRegret) -> str:
    """Return whom a group is of, within a sentence. It holds user text: escape it."""
    return f"people with {_name(group)} (n = {group.n})"


def _name(group: GroupRegret) -> str:
    names, values = group.attribute.split(TIMES), group.value.split(TIMES)
    if len(names) != len(values):
        names, values = [group.attribute], [group.value]
    pairs = zip(names, values, strict=True)
    return " and ".join(f"{_shown(name)} {_shown(value)}" for name, value in pairs)


def _shown(text: str) -> str:
    """Return user text on one line of at most 60 characters."""
    line = " ".join(text.split())
    return line if len(line) <= 60 else line[:59].rstrip() + "…"


def _lower(rule: str) -> str:
    """Return a rule's name within a sentence."""
    label = rule_label(rule)
    return label if rule.startswith("type-") else label[0].lower() + label[1:]
