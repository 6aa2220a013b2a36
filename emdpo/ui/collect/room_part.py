"""An open room: how people get in, what has come, what leaves; the layout."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from emdpo.ui.collect.room_view import KEY_WARNING
from emdpo.ui.markup import line


@dataclass(frozen=True)
class KeyPart:
    """The key, shown once."""

    column: gr.Column
    key: gr.Textbox
    kept: gr.Button


@dataclass(frozen=True)
class InvitePart:
    """How people get in."""

    way_in: gr.HTML
    counts: gr.HTML
    site: gr.Textbox
    close: gr.Button
    reopen: gr.Button
    leave: gr.Button
    note: gr.HTML


@dataclass(frozen=True)
class AnswersPart:
    """What has come."""

    counts: gr.HTML
    questions: gr.HTML
    ids: gr.Textbox
    sure: gr.Checkbox
    take_out: gr.Button
    note: gr.HTML


@dataclass(frozen=True)
class ExportPart:
    """What leaves the room."""

    own_words: gr.Checkbox
    min_group: gr.Number
    make: gr.Button
    note: gr.HTML
    rankings_csv: gr.DownloadButton
    rankings_jsonl: gr.DownloadButton
    shown: gr.DownloadButton
    code: gr.Textbox
    delete: gr.Button
    deleted: gr.HTML

    @property
    def options(self) -> list[Any]:
        """What `export_config` reads."""
        return [self.own_words, self.min_group]

    @property
    def made(self) -> list[Any]:
        """What `make_tables` writes."""
        return [self.rankings_csv, self.rankings_jsonl, self.shown, self.note]


def key_part() -> KeyPart:
    """Lay out the key of a room that was opened just now."""
    with gr.Column(visible=False, elem_id="fresh-key") as column:
        gr.HTML(line(KEY_WARNING, "warning"))
        key = gr.Textbox(
            label="Your key",
            info="This browser remembers it until you press Leave the room.",
            interactive=False,
            max_lines=1,
            buttons=["copy"],
            elem_id="shown-key",
        )
        kept = gr.Button("I have kept the key: hide it", size="sm", elem_classes="narrow")
    return KeyPart(column, key, kept)


def invite_part() -> InvitePart:
    """Lay out the first tab."""
    way_in = gr.HTML(elem_id="way-in")
    counts = gr.HTML(elem_id="invite-counts")
    with gr.Row():
        close = gr.Button("Close the room", min_width=130, elem_id="close-room")
        reopen = gr.Button("Open it again", visible=False, min_width=130, elem_id="reopen-room")
        leave = gr.Button("Leave the room", min_width=130, elem_id="leave-room")
    note = gr.HTML(elem_id="room-note")
    with gr.Accordion("The link does not work on phones?", open=False):
        site = gr.Textbox(
            label="Address of this site as phones see it",
            info="Link and picture follow it. A phone must be on the same network, unless the "
            "site is on the internet.",
            max_lines=1,
            elem_id="site",
        )
    return InvitePart(way_in, counts, site, close, reopen, leave, note)


def answers_part() -> AnswersPart:
    """Lay out the second tab."""
    counts = gr.HTML(elem_id="room-counts")
    gr.Markdown("### Question by question")
    questions = gr.HTML(elem_id="room-questions")
    with gr.Accordion("Take somebody out", open=False):
        ids = gr.Textbox(
            label="Id of the person",
            info="As in the tables of 4 Export and in the Workbench, such as p-ab3cd5ef7g; of "
            "several people with spaces between.",
            max_lines=3,
            elem_id="take-out-ids",
        )
        sure = gr.Checkbox(
            False,
            label="Delete them",
            info="With all that they gave, and the runs that know of them, for good.",
            elem_id="take-out-sure",
        )
        take_out = gr.Button("Take out", variant="stop", size="sm", elem_id="take-out")
        note = gr.HTML(elem_id="take-out-note")
    return AnswersPart(counts, questions, ids, sure, take_out, note)


def export_part() -> ExportPart:
    """Lay out the last tab."""
    gr.Markdown(
        "## Take the answers home\nThe rankings are a table that 1 Data reads. The other table "
        "has what was shown to whom in which order, also where nobody ranked."
    )
    with gr.Row():
        own_words = gr.Checkbox(
            False,
            label="With own words",
            info="What people wrote of themselves may name them. Fits obey this, too.",
            elem_id="own-words",
        )
        min_group = gr.Number(
            1,
            precision=0,
            minimum=1,
            label="Smallest group told",
            info="What fewer people than this say of themselves is left blank. Fits obey, too.",
            elem_id="min-group",
        )
    make = gr.Button("Make the tables", variant="primary", elem_id="make-tables")
    note = gr.HTML(elem_id="export-note")
    with gr.Row():
        csv = gr.DownloadButton("Rankings (CSV)", interactive=False, size="sm", elem_id="get-csv")
        jsonl = gr.DownloadButton("Rankings (JSONL)", interactive=False, size="sm")
        shown = gr.DownloadButton("What was shown (CSV)", interactive=False, size="sm")
    with gr.Accordion("Delete the room", open=False):
        code = gr.Textbox(
            label="Code of the room",
            info="Type it to delete all answers and every run made of them, for good.",
            max_lines=1,
            elem_id="delete-code",
        )
        delete = gr.Button("Delete everything", variant="stop", size="sm", elem_id="delete-room")
        deleted = gr.HTML(elem_id="delete-note")
    return ExportPart(own_words, min_group, make, note, csv, jsonl, shown, code, delete, deleted)
