"""Part of tab 5, Audit: weights of one's own, and what types and groups would lose with them."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emdpo.chosen import LONGEST_NAME
from emdpo.core.rules import MIXTURE
from emdpo.ui.session import Session
from emdpo.ui.what_if_events import MOST_SLIDERS, WhatIfEvents, WhatIfTab
from emdpo.ui.what_if_view import FORM_LABELS
from emdpo.ui.workplace import Workplace

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

LIVE: dict[str, Any] = {**PRIVATE, "trigger_mode": "always_last"}
"""Of what follows a slider: of the moves made while the server answers, only the last counts."""

INTRODUCTION = (
    "### What if? Choose the weights yourself\n"
    "Everybody would get one policy, made of the types' with your weights. Kind of regret and "
    "groups are those chosen at the top of this tab."
)


def build() -> WhatIfTab:
    """Lay the part out."""
    note = gr.HTML(visible=False)
    with gr.Column(visible=False) as contents:
        gr.Markdown(INTRODUCTION)
        with gr.Row(equal_height=False):
            with gr.Column(scale=1, min_width=300):
                start, form, position, off_curve, sliders = _controls()
                weights = gr.HTML(elem_id="weights")
                summary = gr.HTML(elem_id="what-if-summary")
            tradeoff = gr.Plot(label="Trade-off", show_label=False, scale=1, min_width=320)
        losses = gr.HTML(elem_id="losses")
        figure = gr.Plot(label="Who would lose how much", show_label=False)
        with gr.Accordion("Table: the trade-off curve", open=False):
            curve = gr.Dataframe(
                label="The trade-off curve", show_label=False, interactive=False, datatype="str"
            )
        with gr.Row(equal_height=True):
            name = gr.Textbox(
                label="Name of this policy",
                info="Optional. It is saved in the run's folder and in its download.",
                max_lines=1,
                max_length=LONGEST_NAME,
                scale=3,
                min_width=200,
                elem_id="policy-name",
            )
            save = gr.Button("Save this policy", scale=1, min_width=140, elem_id="save-policy")
        saved = gr.HTML(elem_id="saved-policy")
    return WhatIfTab(
        blend=gr.State(None),
        note=note,
        contents=contents,
        start=start,
        form=form,
        position=position,
        off_curve=off_curve,
        sliders=tuple(sliders),
        weights=weights,
        summary=summary,
        tradeoff=tradeoff,
        losses=losses,
        figure=figure,
        curve=curve,
        name=name,
        save=save,
        saved=saved,
    )


def _controls() -> tuple[gr.Dropdown, gr.Radio, gr.Slider, gr.HTML, list[gr.Slider]]:
    start = gr.Dropdown(
        choices=[],
        label="Start from a rule",
        info="Sets the sliders. Pooled DPO and the lottery are no blends of types.",
        elem_id="start-from",
    )
    form = gr.Radio(
        [(label, form) for form, label in FORM_LABELS.items()],
        value=MIXTURE,
        label="How the types are blended",
        info="With the same weights, a consensus is a compromise and a mixture a lottery.",
    )
    position = gr.Slider(
        0,
        100,
        value=0,
        step=1,
        label="Along the trade-off curve",
        info="0 = least mean regret, 100 = least worst regret; sets the weights. By KL regret the "
        "curve is of consensuses, else of mixtures.",
        elem_id="along-the-curve",
        buttons=[],
    )
    off_curve = gr.HTML(visible=False)
    sliders = [
        gr.Slider(
            0,
            100,
            step=1,
            label=f"Type {k + 1}",
            info="Counts beside the other sliders.",
            visible=False,
            elem_id=f"weight-{k + 1}",
            buttons=[],
        )
        for k in range(MOST_SLIDERS)
    ]
    return start, form, position, off_curve, sliders


def connect(
    place: Workplace, session: Session, tab: WhatIfTab, chosen: list[Any], shown: Any, renewed: Any
) -> None:
    """Connect the part.

    `chosen` are the audit's own controls, the kind of regret and the attribute; `shown` and
    `renewed` the events that fill the audit, for a run and after a policy was saved.
    """
    events = WhatIfEvents(place, tab)
    about, kept = [session.run_id, *chosen], [session.run_id, *chosen, tab.blend]
    shown.then(events.show, about, tab.parts, **PRIVATE)
    renewed.then(events.renew, kept, tab.parts, **PRIVATE)
    moves = [slider.input for slider in tab.sliders]
    gr.on(moves, events.move, [*about, tab.form, *tab.sliders], tab.parts, **LIVE)
    tab.position.input(events.slide, [*about, tab.position], tab.parts, **LIVE)
    tab.start.input(events.begin, [*about, tab.start], tab.parts, **PRIVATE)
    tab.form.input(events.reshape, [*about, tab.form, tab.blend], tab.parts, **PRIVATE)
    gr.on([control.input for control in chosen], events.look, kept, tab.parts, **LIVE)
    tab.save.click(
        events.save,
        [session.run_id, tab.blend, tab.name],
        [session.run_id, session.chosen, tab.saved],
        **PRIVATE,
    )
