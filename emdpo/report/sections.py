"""What the audit found: in sentences, by rule and type, by group."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emdpo import plots
from emdpo.core.findings import CAVEAT, findings, rule_label
from emdpo.core.rules import rule_note
from emdpo.report.figures import KIND_NAMES, figure_text, with_interval
from emdpo.report.markup import definitions, details, heading, listing, paragraph, table_html
from emdpo.telling import sampled_note, sampled_rows

if TYPE_CHECKING:
    from emdpo.core.audit import Audit

Part = str | go.Figure

SHOWN_ATTRIBUTES = 12
"""Attributes with figures and tables; the CSV has all."""


def findings_section(audit: Audit) -> Iterator[Part]:
    """Yield what the audit found, in sentences."""
    found = findings(audit)
    yield heading("What the audit found", anchor="findings")
    if found:
        yield listing(one.text for one in found)
    else:
        yield paragraph("Nothing that the intervals support.")
    if audit.cautions:
        yield heading("Before you believe it", 3)
        yield listing(audit.cautions)
    yield paragraph(CAVEAT, "soft")


def rules_section(audit: Audit) -> Iterator[Part]:
    """Yield who loses what under which rule."""
    yield heading("By rule and type", anchor="rules")
    yield plots.regret_by_rule_figure(audit, "share")
    yield details("Table: regret of each type under each rule", _by_type(audit), _behind(audit))
    yield plots.tradeoff_figure(audit, "share")
    yield details(
        "Table: worst and mean regret of each rule",
        _worst_and_mean(audit),
        f"n = {audit.n_users:,} users, means over n = {audit.n_prompts:,} prompts; how sure each "
        "type's regret is: table above.",
    )
    if audit.n_types > 1:
        yield plots.regret_matrix_figure(audit)
        yield details(
            "Table: plain regret of each type with each type's model, nats",
            _matrix(audit),
            f"n = {audit.n_prompts:,} prompts; in brackets {_level(audit)} intervals over them.",
        )
    notes = definitions({rule_label(name): rule_note(name) for name in _told_apart(audit)})
    about = "What each rule does, whom it protects and whom it can hurt"
    yield f"<details><summary>{about}</summary>{notes}</details>"
    yield details(
        "Weights of the types in each rule",
        _weights(audit),
        "Mixtures draw a type with these chances; the consensus has them as exponents. Rules "
        "without weights are left out.",
    )


def _told_apart(audit: Audit) -> list[str]:
    """Return the rules; those of a single type, which are alike, as one."""
    return list(dict.fromkeys("type-k" if r.startswith("type-") else r for r in audit.rules))


def _behind(audit: Audit) -> str:
    """Return how many users and prompts stand behind figures by type."""
    users = ", ".join(
        f"Type {k + 1} {share * audit.n_users:,.0f}" for k, share in enumerate(audit.prevalence)
    )
    return (
        f"n = {audit.n_users:,} users (expected: {users}), means over n = {audit.n_prompts:,} "
        f"prompts; in brackets {_level(audit)} bootstrap intervals over prompts."
    )


def _level(audit: Audit) -> str:
    return f"{audit.config.confidence:.0%}"


def _type_names(audit: Audit) -> list[str]:
    return [f"Type {k + 1}" for k in range(audit.n_types)]


def _by_type(audit: Audit) -> pd.DataFrame:
    none = np.full((audit.n_types, 2), np.nan)
    rows = []
    for kind in KIND_NAMES:
        for rule, values in audit.regret[kind].items():
            ends = none if audit.regret_interval is None else audit.regret_interval[kind][rule]
            told = zip(values, ends, strict=True)
            row = (with_interval(float(v), float(e[0]), float(e[1]), kind) for v, e in told)
            rows.append([KIND_NAMES[kind], rule_label(rule), *row])
    return pd.DataFrame(rows, columns=["kind", "rule", *_type_names(audit)])


def _worst_and_mean(audit: Audit) -> pd.DataFrame:
    beaten = plots.tradeoff_table(audit, "share").set_index("rule")["dominated"]
    rows = []
    for kind in KIND_NAMES:
        worst, mean, ratio = audit.worst(kind), audit.mean(kind), audit.worst_to_mean(kind)
        for rule in audit.rules:
            figures = figure_text(worst[rule], kind), figure_text(mean[rule], kind), ratio[rule]
            note = "yes" if kind == "share" and beaten.get(rule, False) else ""
            rows.append([KIND_NAMES[kind], rule_label(rule), *figures, note])
    names = ["kind", "rule", "worst type", "mean over users", "worst / mean"]
    return pd.DataFrame(rows, columns=[*names, "another rule is better on both"])


def _matrix(audit: Audit) -> pd.DataFrame:
    names, ends = _type_names(audit), audit.regret_matrix_interval
    ends = np.full((*audit.regret_matrix.shape, 2), np.nan) if ends is None else ends
    rows = [
        [
            name,
            *(
                with_interval(float(value), float(pair[0]), float(pair[1]), "plain")
                for value, pair in zip(row, ends[k], strict=True)
            ),
        ]
        for k, (name, row) in enumerate(zip(names, audit.regret_matrix, strict=True))
    ]
    return pd.DataFrame(rows, columns=["served", *(f"by {name}'s model" for name in names)])


def _weights(audit: Audit) -> pd.DataFrame:
    shares = {rule_label(name): w for name, w in audit.weights.items() if w is not None}
    table = pd.DataFrame.from_dict(shares, orient="index", columns=_type_names(audit))
    return table.reset_index(names="rule")


def sampled_section(audit: Audit) -> Iterator[Part]:
    """Yield regrets of answers that policies wrote, where some were drawn."""
    if audit.sampled is None:
        return
    yield heading("By the answers that policies write", anchor="sampled")
    yield paragraph(sampled_note(audit.sampled))
    yield table_html(sampled_rows(audit.sampled), "Regret by the answers that policies write")


def groups_section(audit: Audit) -> Iterator[Part]:
    """Yield what groups lose, with intervals and n."""
    attributes = list(dict.fromkeys(group.attribute for group in audit.groups))
    if not attributes:
        return
    yield heading("By group", anchor="groups")
    for attribute in attributes[:SHOWN_ATTRIBUTES]:
        yield plots.group_regret_figure(audit, attribute, "share")
        yield details(
            f"Table: regret share by {attribute}, every rule",
            _by_group(audit, attribute),
            f"n: users. {_level(audit)} bootstrap intervals over users in brackets, each for "
            "itself. groups.csv has the other kinds of regret.",
        )
        yield details(
            f"Table: regret share by {attribute}, less that of all other users",
            _beside_the_rest(audit, attribute),
            f"n: users. In brackets {_level(audit)} bootstrap intervals over users; p: permutation "
            "test of no difference, adjusted for all groups of the attribute.",
        )
    if len(attributes) > SHOWN_ATTRIBUTES:
        left_out = len(attributes) - SHOWN_ATTRIBUTES
        yield paragraph(f"{left_out} more attributes are in groups.csv.")


def _by_group(audit: Audit, attribute: str) -> pd.DataFrame:
    rows = [
        [
            group.value,
            group.n,
            *(
                with_interval(group.regret["share"][r], *group.interval["share"][r], "share")
                for r in audit.rules
            ),
        ]
        for group in audit.groups
        if group.attribute == attribute
    ]
    return pd.DataFrame(rows, columns=["group", "n", *map(rule_label, audit.rules)])


def _beside_the_rest(audit: Audit, attribute: str) -> pd.DataFrame:
    rows = []
    for group in audit.groups:
        if group.attribute != attribute or not group.above_rest:
            continue
        row: list[object] = [group.value, group.n]
        for rule in plots.DEFAULT_RULES:
            above, ends = group.above_rest["share"], group.above_rest_interval["share"]
            row += [with_interval(above[rule], *ends[rule], "share")]
            row += [figure_text(group.p_value["share"][rule], "p")]
        rows.append(row)
    names = [name for rule in plots.DEFAULT_RULES for name in (rule_label(rule), "p")]
    return pd.DataFrame(rows, columns=["group", "n", *names])
