"""What the form of a plan shows while it is filled in."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gradio as gr

from emdpo.collect.plans import Question, check_questions
from emdpo.ui.collect.plan_form import PASTE, SOURCES, asked, preview_html
from emdpo.ui.faults import one_line
from emdpo.ui.markup import line


def choose(source: str) -> list[gr.Column]:
    """Return the parts of the form: that of the source chosen is visible."""
    return [gr.Column(visible=source == name) for _, name in SOURCES]


def preview(source: str, pasted: str | None, *others: Any) -> str:
    """Return the questions that the form holds, or what is wrong with them."""
    if source == PASTE and not (pasted or "").strip():
        return ""
    try:
        questions = asked(source, pasted, *others)
        check_questions(questions)
        return preview_html(questions)
    except Exception as error:  # noqa: BLE001 - shown as one line
        return line(one_line(error), "warning")


def stopped(written: Sequence[Question]) -> str:
    """Return what is kept of the answers of models when they are stopped."""
    n = len(written)
    return line(f"Stopped: {n} question{'s' * (n != 1)} answered so far.")
