"""The part of the Audit tab on types found anew: its layout, and which event calls what.

What the events do is `refit_events`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from emdpo.ui import refit_events as events
from emdpo.ui.results import folded_table
from emdpo.ui.run_jobs import QUIET, Event, JobControls, job_buttons, job_controls
from emdpo.ui.session import Session
from emdpo.ui.workplace import Workplace

INTRODUCTION = (
    "### How sure are the types? Find them anew\n"
    "The intervals above hold the types fixed: they count whom one happened to ask, not how well "
    "the types were found. Here users are drawn again with replacement, and types, pooled model "
    "and rules are found anew in every draw. Kind of regret and groups are those chosen at the top "
    "of this tab."
)


@dataclass(frozen=True)
class RefitPart:
    """The components of this part."""

    controls: JobControls
    form: gr.Row
    draws: gr.Radio
    contents: gr.Column
    words: gr.HTML
    by_rule: gr.Plot
    rule: gr.Dropdown
    by_group: gr.Plot
    groups: gr.Dataframe
    rules: gr.Dataframe

    @property
    def shown(self) -> list[Any]:
        """What `refit_events.show` writes."""
        form = [self.form, self.draws, self.contents, self.words]
        return [*form, self.by_rule, self.rule, self.by_group, self.groups, self.rules]


def build() -> RefitPart:
    """Lay the part out."""
    gr.Markdown(INTRODUCTION)
    with gr.Row(equal_height=True) as form:
        draws = gr.Radio(
            [(f"{number:,} draws", number) for number in events.DRAWS],
            value=events.USUAL_DRAWS,
            label="How many draws of users",
            info="50 for a first look, 200 to report, 1,000 for ends that hardly move. You may "
            "leave meanwhile.",
            scale=3,
            min_width=280,
            elem_id="refit-draws",
        )
        buttons = job_buttons("Find them anew", "refits")
    controls = job_controls(*buttons, "refits")
    with gr.Column(visible=False) as contents:
        words = gr.HTML(elem_id="refit-words")
        with gr.Row():
            rule = gr.Dropdown(
                choices=[],
                label="Rule",
                info="Whose differences between groups are shown.",
                elem_id="refit-rule",
            )
        with gr.Row(equal_height=False):
            by_group = gr.Plot(label="Groups, found anew", show_label=False, min_width=320)
            by_rule = gr.Plot(label="Worst type, found anew", show_label=False, min_width=320)
        groups = folded_table("Table: groups against everybody else, types fixed and found anew")
        rules = folded_table("Table: every rule and type, types fixed and found anew")
    return RefitPart(controls, form, draws, contents, words, by_rule, rule, by_group, groups, rules)


def connect(
    place: Workplace,
    session: Session,
    part: RefitPart,
    chosen: list[Any],
    begins: Event,
    renewed: Event,
) -> None:
    """Connect the part.

    `chosen` are the audit's own controls, the kind of regret and the attribute; `begins` and
    `renewed` are of the events that fill the audit, for a run and after a policy was saved.
    """
    inputs = [session.run_id, *chosen, part.rule]
    show: dict[str, Any] = {
        "fn": partial(events.show, place),
        "inputs": inputs,
        "outputs": part.shown,
        **QUIET,
    }
    events.REFIT.connect(place, session.run_id, part.controls, part.draws, begins, show)
    renewed(**show)
    gr.on([control.input for control in chosen], **show)
    part.rule.input(partial(events.show_rule, place), inputs, [part.by_group, part.groups], **QUIET)
