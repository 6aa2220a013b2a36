"""The Learn page: one tab a figure, each a file of this package with a `build` of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import gradio as gr

from emdpo.ui.figures import FIT_FIGURES
from emdpo.ui.learn import em_steps, lessons, pairs, triangle, whose_average

INTRODUCTION = (
    "# Learn\nSee the ideas move: every picture is computed now, from the settings beside it, by "
    "the same library that fits and audits. Four lessons of 45 minutes and a glossary are in the "
    "[last tab](?figure=lessons)."
)

FIGURES: tuple[tuple[str, str, Callable[[], None]], ...] = (
    ("pairs", "1 Why pairs can hide types", pairs.build),
    ("em", "2 EM step by step", em_steps.build),
    ("triangle", "3 From types to one policy", triangle.build),
    ("average", "4 Whose average?", whose_average.build),
)
"""Name in the address (/learn?figure=pairs), title and builder of every figure, in order."""

LESSONS = "lessons"
"""Name in the address of the tab with the lessons; `?lesson=2` opens it at a lesson."""

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build(app: gr.Blocks) -> None:
    """Lay the page out; call it inside `app.route`."""
    gr.Markdown(INTRODUCTION, elem_id="learn-introduction")
    with gr.Tabs(elem_id="figures") as tabs:
        for name, title, figure in FIGURES:
            with gr.Tab(title, id=name):
                figure()
        with gr.Tab("Lessons and glossary", id=LESSONS):
            lessons.build(app)
    tabs.change(None, js=FIT_FIGURES, **PRIVATE)
    app.load(_asked_for, None, tabs, **PRIVATE)


def _asked_for(request: gr.Request) -> Any:
    """Return the tabs with the figure that the address names on top."""
    names = [LESSONS, *(name for name, *_ in FIGURES)]
    asked = request.query_params
    wanted = LESSONS if "lesson" in asked else asked.get("figure")
    return gr.Tabs(selected=wanted) if wanted in names else gr.skip()
