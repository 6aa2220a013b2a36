"""The form in which a room is planned, and what its controls mean."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from emdpo.collect.plans import CONSENT, LONGEST_TITLE, MOST_QUESTIONS, Question, RoomPlan
from emdpo.collect.reading import demo_questions, file_questions, pasted_groups, pasted_questions
from emdpo.core.errors import EmdpoError
from emdpo.ui.collect.writing_part import WritingPart, writing_part
from emdpo.ui.markup import fold, line, listing, shortened, text

PASTE, FILE, DEMO, MODELS = "paste", "file", "demo", "models"

SOURCES = [
    ("Paste them", PASTE),
    ("A file", FILE),
    ("The demo's", DEMO),
    ("Written by models", MODELS),
]

EXAMPLE = """How do I ask for a day off?
- Ask plainly: "May I take Friday off?" No reasons needed.
- 1. Check the calendar. 2. Ask two weeks ahead. 3. Offer to swap.
- You deserve a rest! Tell them kindly why it matters to you.

What should I cook tonight?
- Pasta.
- Something you loved as a child.
- Whatever is left in the fridge, with an egg on top."""

DEFAULT_PER_PERSON = 8

QUESTIONS_SHOWN = 60


@dataclass(frozen=True)
class PlanForm:
    """The controls of a plan."""

    title: gr.Textbox
    source: gr.Radio
    pasted: gr.Textbox
    file: gr.File
    written: gr.State
    """Questions that models have answered."""
    writing: WritingPart
    parts: list[gr.Column]
    """One for each source, in the order of `SOURCES`."""
    preview: gr.HTML
    per_person: gr.Number
    groups: gr.Textbox
    consent: gr.Textbox
    open: gr.Button
    note: gr.HTML

    @property
    def sources(self) -> list[Any]:
        """What `asked` reads."""
        return [self.source, self.pasted, self.file, self.written]

    @property
    def inputs(self) -> list[Any]:
        """What `plan_of` reads."""
        return [self.title, *self.sources, self.per_person, self.groups, self.consent]


def plan_form() -> PlanForm:
    """Lay the form out."""
    gr.Markdown(
        "## Open a room\nPeople order answers to questions on their phones, without accounts. You "
        "get a link and a picture to show, watch the rankings arrive, and find the types in them."
    )
    title = gr.Textbox(
        label="Title",
        info="People see it on top of their page.",
        max_lines=1,
        max_length=LONGEST_TITLE,
        elem_id="room-title",
    )
    source = gr.Radio(
        SOURCES,
        value=PASTE,
        label="Questions and answers",
        info=f"Up to {MOST_QUESTIONS} questions with two to eight answers each; three or more "
        "answers tell types apart much better than two.",
        elem_id="question-source",
    )
    written = gr.State(())
    parts, pasted, file, writing = _sources()
    preview = gr.HTML(elem_id="question-preview")
    per_person, groups, consent = _about_people()
    opening = gr.Button("Open the room", variant="primary", elem_id="open-room")
    note = gr.HTML(elem_id="plan-note")
    return PlanForm(
        *(title, source, pasted, file, written, writing, parts, preview),
        *(per_person, groups, consent, opening, note),
    )


def _sources() -> tuple[list[gr.Column], gr.Textbox, gr.File, WritingPart]:
    with gr.Column() as pasting:
        pasted = gr.Textbox(
            label="Your questions",
            info="A blank line between questions; each answer begins with a dash on a new line.",
            placeholder=EXAMPLE,
            lines=11,
            max_lines=24,
            elem_id="pasted-questions",
        )
    with gr.Column(visible=False) as uploading:
        file = gr.File(
            label="File with questions",
            file_types=[".csv", ".tsv", ".jsonl", ".parquet"],
            height=150,
            elem_id="question-file",
        )
        gr.Markdown("Columns `prompt` and `response`, one answer a row; a rankings file will do.")
    with gr.Column(visible=False) as demo:
        gr.Markdown(
            "Everyday questions with four answers each, written by hand: terse, in steps, warm, "
            "cautious."
        )
    with gr.Column(visible=False) as models:
        writing = writing_part()
    return [pasting, uploading, demo, models], pasted, file, writing


def _about_people() -> tuple[gr.Number, gr.Textbox, gr.Textbox]:
    per_person = gr.Number(
        DEFAULT_PER_PERSON,
        precision=0,
        minimum=1,
        label="Questions for each person",
        info="Drawn so that every question gets about as many people; all, where there are fewer.",
        elem_id="per-person",
    )
    with gr.Accordion("Questions about people, and consent", open=False):
        groups = gr.Textbox(
            label="Questions about people (optional)",
            info="One a line. Choices after a colon, with | between; without any, people write a "
            "few words of their own. Nobody has to answer.",
            placeholder="age: under 30 | 30 or more\nschool year: 9 | 10 | 11",
            lines=3,
            elem_id="group-questions",
        )
        consent = gr.Textbox(
            CONSENT,
            label="Consent",
            info="Everybody reads this and agrees before the first question.",
            lines=4,
            elem_id="consent-text",
        )
    return per_person, groups, consent


def asked(
    source: str, pasted: str | None, file: str | None, written: Sequence[Question]
) -> tuple[Question, ...]:
    """Return the questions that the form holds now.

    Raises
    ------
    EmdpoError
        There are none yet, or they cannot be read.
    """
    if source == PASTE:
        return pasted_questions(pasted or "")
    if source == FILE:
        if not file:
            raise EmdpoError("no questions yet: choose a file")
        return file_questions(Path(file))
    if source == DEMO:
        return demo_questions()
    if not written:
        raise EmdpoError("no questions yet: let the models write answers first")
    return tuple(written)


def plan_of(
    title: str | None,
    source: str,
    pasted: str | None,
    file: str | None,
    written: Sequence[Question],
    per_person: float | None,
    groups: str | None,
    consent: str | None,
) -> RoomPlan:
    """Return the plan that the form holds; EmdpoError where it holds none."""
    questions = asked(source, pasted, file, written)
    if isinstance(per_person, bool) or not isinstance(per_person, int | float):
        raise EmdpoError("say how many questions each person gets")
    if not float(per_person).is_integer():
        raise EmdpoError(f"questions for each person must be a whole number, got {per_person:g}")
    return RoomPlan(
        title=title or "",
        questions=questions,
        per_person=min(int(per_person), len(questions)),
        groups=pasted_groups(groups or ""),
        consent=consent or "",
    )


def preview_html(questions: Sequence[Question]) -> str:
    """Return how many questions there are, and what they are."""
    numbers = [len(question.candidates) for question in questions]
    few, many = min(numbers), max(numbers)
    words = f"{len(numbers)} question{'s' * (len(numbers) != 1)}, "
    words += f"{few} answers each." if few == many else f"{few} to {many} answers each."
    items = (
        f"{shortened(question.prompt, 200)}"
        + listing(shortened(each.response, 200) for each in question.candidates)
        for question in questions[:QUESTIONS_SHOWN]
    )
    more = len(questions) - QUESTIONS_SHOWN
    rest = f"<p>{text(more)} more are not shown here.</p>" if more > 0 else ""
    return line(words, "good") + fold("See them", listing(items, "planned") + rest)
