"""Two runs side by side in words, figures and tables for people."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from emdpo.comparison_tables import (
    group_rows,
    moved_rows,
    regret_rows,
    setting_rows,
    type_regret_rows,
    type_rows,
)
from emdpo.comparison_words import JUDGED, run_text, sentences
from emdpo.ui.audit_view import KINDS
from emdpo.ui.markup import line, listing, shortened, text

if TYPE_CHECKING:
    from emdpo.run_comparison import RunComparison

JUDGES = {"A's types": "a", "B's types": "b", "Each run's own types": "own"}

ROWS_SHOWN = 1000
"""Users who moved that the page shows; the JSON has all."""


def fixed_parts(found: RunComparison, names: tuple[str, str]) -> list[Any]:
    """Return words, figure and tables that only the two runs decide."""
    from emdpo import plots

    return [
        words_html(found, names),
        plots.movement_figure(found),
        type_rows(found),
        setting_rows(found).map(_cut),
        moved_rows(found).head(ROWS_SHOWN).map(_cut),
    ]


def chosen(found: RunComparison, kind: str, judge: str) -> list[Any]:
    """Return figure and tables of one kind of regret, judged by the types chosen."""
    import gradio as gr

    from emdpo import plots

    kind, judge = KINDS.get(kind, "share"), JUDGES.get(judge, "a")
    figure = plots.regret_changes_figure(found, kind, judge) if found.n_candidates else None
    rules = found.regret["rule"].unique().tolist()
    return [
        gr.Plot(value=figure, visible=figure is not None),
        regret_rows(found, kind, [judge]),
        type_regret_rows(found, kind),
        group_rows(found, kind, judge, rules).map(_cut),
    ]


def words_html(found: RunComparison, names: tuple[str, str]) -> str:
    """Return what the comparison found, in sentences, and what readers must know."""
    runs = zip("AB", names, (found.a, found.b), strict=True)
    heads = [
        f"<b>{letter}</b> {shortened(name, 60)}: {text(run_text(facts))}"
        for letter, name, facts in runs
    ]
    told = [text(sentence) for sentence in sentences(found)]
    hidden = sum(found.n_hidden_groups.values())
    if hidden:
        told.append(text(f"{hidden:,} groups are not shown: too few of the shared users."))
    notes = "".join(line(note[:1].upper() + note[1:] + ".", "warning") for note in found.notes)
    caveat = f'<p class="caveat">{text(JUDGED)}</p>'
    body = f"{listing(heads)}{listing(told, 'findings')}{notes}{caveat}"
    return f'<div class="report">{body}</div>'


def _cut(cell: str) -> str:
    return cell if len(cell) <= 200 else cell[:199] + "…"
