"""The part of the Audit tab that sets the run beside another: its layout and its events.

What the events do is `compare_events`; tables and words are `compare_view`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import Any

import gradio as gr

from emdpo.ui import compare_events as events
from emdpo.ui.audit_view import KINDS
from emdpo.ui.compare_view import JUDGES
from emdpo.ui.session import Session
from emdpo.ui.workplace import Workplace

PRIVATE: dict[str, Any] = {"api_visibility": "private"}
QUIET: dict[str, Any] = {**PRIVATE, "show_progress": "hidden"}


@dataclass(frozen=True)
class ComparePart:
    """The components that set two runs side by side."""

    other: gr.Dropdown
    upload: gr.UploadButton
    note: gr.HTML
    contents: gr.Column
    words: gr.HTML
    movement: gr.Plot
    types: gr.Dataframe
    settings: gr.Dataframe
    moved: gr.Dataframe
    kind: gr.Radio
    judge: gr.Radio
    changes: gr.Plot
    regrets: gr.Dataframe
    by_type: gr.Dataframe
    groups: gr.Dataframe
    download: gr.DownloadButton

    @property
    def fixed(self) -> list[Any]:
        """What only the two runs decide."""
        return [self.words, self.movement, self.types, self.settings, self.moved, self.download]

    @property
    def chosen(self) -> list[Any]:
        """What kind of regret and judge decide, too."""
        return [self.changes, self.regrets, self.by_type, self.groups]


def build(place: Workplace, session: Session) -> None:
    """Lay the part out and connect it."""
    with gr.Accordion("Compare with another run", open=False, elem_id="compare-runs"):
        part = _lay_out()
    run_id, other, mine = session.run_id, part.other, session.mine
    gr.on(
        [mine.change, session.milestone.change],
        partial(events.offer, place),
        [mine, run_id, other],
        [other, part.contents],
        **QUIET,
    )
    choices = [part.kind, part.judge]
    shown = [part.note, part.contents, *part.fixed, *part.chosen]
    show: dict[str, Any] = {
        "fn": partial(events.show, place),
        "inputs": [run_id, other, *choices],
        "outputs": shown,
        **PRIVATE,
    }
    other.input(events.wait, other, [part.note, part.contents], **QUIET).then(**show)
    taken = part.upload.upload(
        partial(events.take_in, place),
        [part.upload, mine, run_id],
        [other, mine, part.note],
        **PRIVATE,
    )
    taken.success(**show)
    gr.on(
        [choice.input for choice in choices],
        partial(events.show_choice, place),
        [run_id, other, *choices],
        [part.note, *part.chosen],
        **PRIVATE,
    )


def _lay_out() -> ComparePart:
    gr.Markdown(
        "Other numbers of types, seeds, features, or adapters against log-linear policies: which "
        "types belong together, who moves, and what that does to regret. **A** is the run on this "
        "page, **B** the other one; both must know some of the same users."
    )
    with gr.Row(equal_height=False):
        other = gr.Dropdown(
            choices=[],
            label="The other run",
            info="Finished runs of this browser; the newest is first.",
            scale=4,
            min_width=220,
            elem_id="other-run",
        )
        upload = gr.UploadButton(
            "Bring a run (zip)",
            file_types=[".zip"],
            size="sm",
            scale=1,
            min_width=150,
            elem_id="other-zip",
        )
    note = gr.HTML(elem_id="compare-note")
    with gr.Column(visible=False) as contents:
        words = gr.HTML(elem_id="compare-words")
        movement = gr.Plot(label="Who moved", show_label=False, min_width=320)
        types = _table("Types of both runs that belong together", open=True)
        settings = _table("Settings that differ", open=True)
        moved = _table("Table: users who move, the surest first")
        with gr.Row(equal_height=True):
            kind = gr.Radio(
                list(KINDS),
                value=next(iter(KINDS)),
                label="Kind of regret compared",
                info="As above: lower is better.",
                min_width=280,
            )
            judge = gr.Radio(
                list(JUDGES),
                value=next(iter(JUDGES)),
                label="Judged by",
                info="One run's types judge both runs alike; own judges differ, too.",
                min_width=280,
            )
        changes = gr.Plot(label="Regret compared", show_label=False, min_width=320)
        regrets = _table("Table: regret under each rule of both runs")
        by_type = _table("Table: regret of matched types, each under its own run's rules")
        groups = _table("Table: regret of groups, the largest difference first")
        download = gr.DownloadButton("All of the comparison (JSON)", interactive=False, size="sm")
    head = (other, upload, note, contents, words, movement, types, settings, moved)
    return ComparePart(*head, kind, judge, changes, regrets, by_type, groups, download)


def _table(title: str, *, open: bool = False) -> gr.Dataframe:  # noqa: A002
    with gr.Accordion(title, open=open):
        return gr.Dataframe(
            label=title, show_label=False, interactive=False, datatype="str", wrap=True
        )
