"""Two runs side by side, in plain text for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emdpo.comparison_tables import (
    JUDGES,
    group_rows,
    held_out_rows,
    moved_rows,
    regret_rows,
    setting_rows,
    type_rows,
)
from emdpo.comparison_words import JUDGED, run_text, sentences

if TYPE_CHECKING:
    import pandas as pd

    from emdpo.run_comparison import RunComparison
    from emdpo.run_facts import RunFacts

ROWS_SHOWN = 8
"""Rows of long tables that the terminal shows: users who moved, groups."""

TOLD_RULES = ("pooled", "prevalence", "mixture", "consensus")
"""Rules of the terminal's table of regret; all are in the JSON."""

GROUP_RULE = "consensus"
"""The rule by which groups are told on the terminal."""

CELL_LENGTH = 40
"""Characters of a cell: ids and groups are what users typed."""


def comparison_text(found: RunComparison) -> str:
    """Return both runs, their types, who moved, regret by rule and group, settings and notes."""
    lines = [f"{name}  {facts.label}: {run_text(facts)}" for name, facts in _runs(found)]
    lines += sentences(found)
    lines += ["", "matched types, and how far their policies agree:", _table(type_rows(found))]
    if found.n_moved:
        lines += ["", "the surest moves:", _table(moved_rows(found))]
    if found.n_candidates:
        told = regret_rows(found, "share", list(JUDGES), TOLD_RULES)
        lines += ["", "regret share (0% own model, 100% untuned):", _table(told, len(told)), JUDGED]
    if len(found.held_out):
        lines += ["", "held-out rankings:", _table(held_out_rows(found), len(found.held_out))]
    groups = group_rows(found, "share", "a", [GROUP_RULE])
    if len(groups):
        about = f"regret share of groups under {GROUP_RULE}, judged by A's types:"
        lines += ["", about, _table(groups)]
    n_hidden = sum(found.n_hidden_groups.values())
    if n_hidden:
        lines.append(f"{n_hidden} groups are not shown: too few of the shared users")
    if len(found.settings):
        lines += ["", "settings that differ:", _table(setting_rows(found), len(found.settings))]
    return "\n".join([*lines, *(f"note: {note}" for note in found.notes)])


def _runs(found: RunComparison) -> list[tuple[str, RunFacts]]:
    return [("A", found.a), ("B", found.b)]


def _table(rows: pd.DataFrame, most: int = ROWS_SHOWN) -> str:
    """Return the first rows as aligned text, and how many more there are."""
    shown = rows.head(most).map(_shortened).to_string(index=False)
    return shown if len(rows) <= most else f"{shown}\n({len(rows) - most:,} more in the JSON)"


def _shortened(cell: str) -> str:
    line = " ".join(cell.split())
    return line if len(line) <= CELL_LENGTH else line[: CELL_LENGTH - 1].rstrip() + "…"
