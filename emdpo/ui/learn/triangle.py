"""Figure 3 of the Learn page: from types to one policy, and the game that finds the fairest."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from emdpo.core.findings import rule_label
from emdpo.core.rules import MIXTURE
from emdpo.learn.examples import HEDGE, TRIANGLE
from emdpo.learn.triangle import EXAMPLE, ThreeTypes, marks, simplex
from emdpo.plots.learning_triangle import triangle_figure, type_regrets_figure
from emdpo.ui.learn import hedge
from emdpo.ui.learn.parts import LIVE, code, slider
from emdpo.ui.learn.triangle_view import RULE_COLUMNS, rule_rows, types_html, verdict_html
from emdpo.ui.what_if_view import FORM_LABELS

if TYPE_CHECKING:
    from emdpo.core.regret import Floats

INTRODUCTION = (
    "Three types of people want different answers to one question, and each has a policy of its "
    "own. Everybody gets **one** policy: move it, and see who loses what."
)

GAME = (
    "### The same point, found by a game\n"
    "An adversary picks the type that is worst off, and every policy loses weight by what that "
    "type lost with it. The mean of many rounds (Hedge) nears what a linear programme finds at "
    "once. It is about mixtures and plain regret, whatever is chosen above."
)

KIND_LABELS = {"share": "Share of own gain", "plain": "Plain regret", "kl": "KL regret"}

RULES = ("mixture", "prevalence", "uniform", "maximin", "nash", "consensus")
"""Rules that a policy can be put on, in the order of the menu."""

NO_NASH = "No mixture makes every type better off than the untuned model: there is no Nash point."


def build() -> None:
    """Lay the figure out and connect it."""
    gr.Markdown(INTRODUCTION)
    gr.HTML(types_html(EXAMPLE))
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=280):
            own = _three("Policy of type", (40, 30, 30), "Counts beside the other two.", "own")
            jump = gr.Dropdown(
                [(rule_label(rule), rule) for rule in RULES],
                value=None,
                label="Put my policy on a rule",
                info="Sets the three sliders, and the form.",
                elem_id="own-on-rule",
            )
            form, kind = _choices()
            with gr.Accordion("People of each type", open=False):
                sizes = _three(
                    "People of type", (50, 30, 20), "Counts beside the other two.", "people", 1
                )
        with gr.Column(scale=2, min_width=300):
            note = gr.HTML(elem_id="triangle-note")
            triangle = gr.Plot(label="The triangle", show_label=False)
            regrets = gr.Plot(label="Regret of each type", show_label=False)
    with gr.Accordion("Table: the rules", open=False):
        table = gr.Dataframe(
            headers=list(RULE_COLUMNS),
            label="The rules",
            show_label=False,
            interactive=False,
            datatype="str",
            elem_id="triangle-rules",
        )
    code(TRIANGLE)
    gr.on(None, _show, [*own, *sizes, form, kind], [note, triangle, regrets, table], **LIVE)
    jump.input(_on_rule, [jump, *sizes, form], [*own, form, note], **LIVE)
    gr.Markdown(GAME)
    hedge.build(sizes)
    code(HEDGE)


def _three(
    label: str, values: tuple[int, int, int], info: str, elem_id: str, least: int = 0
) -> list[gr.Slider]:
    """Return a slider for each type."""
    make = partial(slider, info=info, minimum=least)
    return [
        make(f"{label} {k + 1}", value, elem_id=f"{elem_id}-{k + 1}")
        for k, value in enumerate(values)
    ]


def _choices() -> tuple[gr.Radio, gr.Radio]:
    form = gr.Radio(
        [(label, form) for form, label in FORM_LABELS.items()],
        value=MIXTURE,
        label="How the three are blended",
        info="What a point of the triangle means.",
        elem_id="triangle-form",
    )
    kind = gr.Radio(
        [(label, kind) for kind, label in KIND_LABELS.items()],
        value="share",
        label="Kind of regret",
        info="Share: 0% = its own policy, 100% = no better than untuned.",
        elem_id="triangle-kind",
    )
    return form, kind


def _world(settings: tuple[Any, ...]) -> tuple[Floats, ThreeTypes]:
    """Return the policy's weights and the types in the sizes that six sliders give."""
    return simplex(settings[:3]), EXAMPLE.sized(settings[3:6])


def _show(*settings: Any) -> list[Any]:
    weights, types = _world(settings)
    form, kind = settings[6:]
    return [
        verdict_html(types, weights, form, kind),
        triangle_figure(types, weights, form, kind),
        type_regrets_figure(types, weights, form, kind),
        rule_rows(types, weights, form, kind),
    ]


def _on_rule(rule: str, *settings: Any) -> list[Any]:
    """Return the sliders and the form of a rule; a word where there is no such policy."""
    found = marks(EXAMPLE.sized(settings[:3])).get(rule)
    if found is None:
        return [gr.skip()] * 4 + [f'<p class="line line-warning" role="status">{NO_NASH}</p>']
    form = settings[3] if rule in ("uniform", "prevalence") else found.form
    return [*(np.round(200 * found.weights) / 2).tolist(), form, gr.skip()]
