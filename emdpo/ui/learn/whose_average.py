"""Figure 4 of the Learn page: whose average? Rules that pick different answers."""

from __future__ import annotations

from typing import Any

import gradio as gr
import pandas as pd

from emdpo.learn.examples import WHOSE_AVERAGE
from emdpo.learn.whose_average import (
    AVERAGE_AGAINST_BORDA,
    COMPROMISE,
    FOUR_WINNERS,
    Case,
    case,
    verdicts,
)
from emdpo.plots.learning_average import utilities_figure, verdicts_figure
from emdpo.ui.learn.parts import LIVE, code
from emdpo.ui.learn.whose_average_view import PREMISES, told_html
from emdpo.ui.markup import line

INTRODUCTION = (
    "Answers must be put in one order for everybody. Which comes first depends on the rule, and a "
    "rule is a decision about people. Change the table and see who wins."
)

CASES = {
    "One reward against the mean": AVERAGE_AGAINST_BORDA,
    "Four rules, four answers": FOUR_WINNERS,
    "Pairs against full rankings": COMPROMISE,
}

PEOPLE = "people"
"""Column of the table with the sizes of the types."""

MOST = 12
"""Types, and answers, of a table: what is computed grows with their product and more."""

NOT_A_TABLE = (
    f"The table must have a column “{PEOPLE}”, 1 to {MOST} types and 2 to {MOST} answers; every "
    "cell but a type's name must hold a number, and people must not be below 0."
)


def build() -> None:
    """Lay the figure out and connect it."""
    first = next(iter(CASES))
    gr.Markdown(INTRODUCTION)
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            chosen = gr.Radio(
                list(CASES),
                value=first,
                label="Case",
                info="Fills the table; change any number after.",
                elem_id="average-case",
            )
            table = gr.Dataframe(
                table_of(CASES[first]),
                label="Utility of each answer for each type, and people of each type",
                interactive=True,
                datatype="number",
                static_columns=[0],
                buttons=[],
                elem_id="average-table",
            )
            noise = gr.Slider(
                0,
                5,
                value=0,
                step=0.1,
                label="Noise of people's choices",
                info="0 = all pick what is better for them; higher = more by chance.",
                elem_id="average-noise",
                buttons=[],
            )
            told = gr.HTML(elem_id="average-told")
        with gr.Column(scale=2, min_width=300):
            winners = gr.Plot(label="Who wins", show_label=False)
            utilities = gr.Plot(label="Utilities", show_label=False)
    gr.HTML(PREMISES)
    code(WHOSE_AVERAGE)
    gr.on(None, _show, [table, noise], [told, winners, utilities], **LIVE)
    chosen.input(lambda name: table_of(CASES[name]), chosen, table, **LIVE)


def table_of(given: Case) -> pd.DataFrame:
    """Return a case as the page's table: a row a type, a column an answer, and people."""
    table = pd.DataFrame(given.utilities, columns=list(given.answers))
    table.insert(0, "type", [f"Type {k + 1}" for k in range(len(table))])
    return table.assign(**{PEOPLE: (100 * given.shares).round(6)})


def case_of(table: pd.DataFrame) -> Case:
    """Return the case that a table holds; ValueError where it holds none."""
    names = [str(name) for name in table.columns if name not in ("type", PEOPLE)]
    if PEOPLE not in table or not (1 <= len(table) <= MOST and 2 <= len(names) <= MOST):
        raise ValueError(f"expected {PEOPLE}, up to {MOST} types and answers")
    numbers = table[[*names, PEOPLE]].apply(pd.to_numeric, errors="coerce").to_numpy(float)
    return case(numbers[:, :-1].tolist(), numbers[:, -1].tolist(), names)


def _show(table: pd.DataFrame, noise: float) -> list[Any]:
    try:
        given = case_of(table)
    except ValueError:
        return [line(NOT_A_TABLE, "error"), gr.skip(), gr.skip()]
    found = verdicts(given, noise)
    return [told_html(given, found), verdicts_figure(given, found), utilities_figure(given)]
