"""The lessons and the glossary, to be read beside the figures."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emdpo.core.errors import EmdpoError
from emdpo.learn.lessons import GLOSSARY, LESSONS, lesson_text, lesson_title
from emdpo.ui.learn.parts import LIVE

NAMES = (*LESSONS, GLOSSARY)

NOT_INSTALLED = "The lessons are not installed here; they are in the project's folder docs/lessons."


def build(app: gr.Blocks) -> None:
    """Lay the tab out and connect it; `?lesson=2` in the address opens a lesson."""
    try:
        choices = [(lesson_title(name), name) for name in NAMES]
    except EmdpoError:
        gr.Markdown(NOT_INSTALLED)
        return
    chosen = gr.Radio(
        choices,
        value=NAMES[0],
        label="Read",
        info="Four lessons of 45 minutes, with clicks, questions and answers; and what words mean.",
        elem_id="lesson-chosen",
    )
    shown = gr.Markdown(told(NAMES[0]), elem_id="lesson-text")
    chosen.change(told, chosen, shown, **LIVE)
    app.load(_asked_for, None, chosen, **LIVE)


def told(name: str) -> str:
    """Return a lesson under a link to its figure, or the glossary."""
    if name == GLOSSARY:
        return lesson_text(name)
    figure = LESSONS[name][1]
    return (
        f'<a href="?figure={figure}" target="_blank">Open figure {name} in a tab of its own</a>, '
        f"to have lesson and figure side by side.\n\n{lesson_text(name)}"
    )


def _asked_for(request: gr.Request) -> Any:
    """Return the lesson that the address names."""
    wanted = request.query_params.get("lesson")
    return wanted if wanted in NAMES else gr.skip()
