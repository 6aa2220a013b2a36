"""The part of the Types tab that asks a visitor which type they are: its layout and connections.

What the events do is `who_am_i_events`.
"""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from emdpo.ui.session import Session
from emdpo.ui.who_am_i_events import WhoAmIEvents, WhoAmIPart
from emdpo.ui.workplace import Workplace
from emdpo.who_am_i import FEWEST, MOST, SHOWN

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

ONE_BY_ONE: dict[str, Any] = {
    **QUIET,
    "trigger_mode": "multiple",
    "concurrency_id": "taps",
    "concurrency_limit": 1,
}
"""Of taps: none is lost however fast they follow each other, and each sees those before it."""

WITH_THE_TIME = "(interview) => [interview, performance.now()]"
"""Tells when a tap was made: on a slow line the next one may arrive before it."""

INTRODUCTION = (
    f"Order answers as you would like them, {FEWEST} to {MOST} times. Each question is the one "
    "that is expected to tell most about your type after what you answered before. Answers are "
    "shown in random order. What you answer stays with this page; only the file that you may "
    "download at the end is written."
)

LOOK_AT = """() => {{
    setTimeout(() => {{
        const part = document.getElementById("{first}") || document.getElementById("{second}");
        if (part) part.focus();
    }}, 80);
}}"""
"""Keyboard, screen reader and small screens go on at what is new."""

TO_WHAT_IS_NEW = LOOK_AT.format(first="who-question", second="who-verdict")
TO_THE_VERDICT = LOOK_AT.format(first="who-verdict", second="who-question")


def build(place: Workplace, session: Session, tabs: gr.Tabs) -> None:
    """Lay the part out and connect it; `tabs` are those of the page."""
    with gr.Accordion("Which type am I?", open=False, elem_id="which-type"):
        part = _lay_out()
    _connect(WhoAmIEvents(place, part), part, session, tabs)


def _lay_out() -> WhoAmIPart:
    gr.Markdown(INTRODUCTION)
    begin = gr.Button("Begin", variant="primary", elem_id="who-begin", elem_classes="narrow")
    note = gr.HTML(visible=False)
    with gr.Column(visible=False) as asking:
        question = gr.HTML()
        cards = tuple(
            gr.Button("", visible=False, elem_classes="rank-card", elem_id=f"who-card-{place}")
            for place in range(SHOWN)
        )
        hint = gr.HTML(visible=False)
        with gr.Row():
            send = gr.Button("Send", variant="primary", min_width=150, elem_id="who-send")
            skip = gr.Button("Skip: cannot say", min_width=130, elem_id="who-skip")
            finish = gr.Button("Enough: tell my type", min_width=150, elem_id="who-finish")
        standing = gr.HTML(elem_id="who-standing")
    with gr.Column(visible=False) as result:
        verdict = gr.HTML()
        course = gr.Plot(label="When did your type become clear?", show_label=False, min_width=300)
        with gr.Row():
            chat = gr.Button("Ask your type in 4 Chat", visible=False, min_width=170)
            download = gr.DownloadButton("My answers (JSONL)", min_width=150, elem_id="who-file")
            again = gr.Button("Start again", min_width=130, elem_id="who-again")
    return WhoAmIPart(
        interview=gr.State(None),
        note=note,
        begin=begin,
        asking=asking,
        question=question,
        cards=cards,
        hint=hint,
        send=send,
        skip=skip,
        finish=finish,
        standing=standing,
        result=result,
        verdict=verdict,
        course=course,
        chat=chat,
        download=download,
        again=again,
    )


def _connect(events: WhoAmIEvents, part: WhoAmIPart, session: Session, tabs: gr.Tabs) -> None:
    clock = gr.Number(
        label="Tapped at", info="Milliseconds since the page was opened.", visible=False
    )
    session.milestone.change(events.show, session.run_id, part.parts, **QUIET)
    begins = [part.begin.click, part.again.click]
    asked = gr.on(begins, events.begin, session.run_id, part.parts, **QUIET)
    asked.then(None, js=TO_WHAT_IS_NEW, **QUIET)
    for place, card in enumerate(part.cards):
        given = [part.interview, clock]
        card.click(partial(events.tap, place), given, part.parts, js=WITH_THE_TIME, **ONE_BY_ONE)
    for button, answer in ((part.send, events.send), (part.skip, events.skip)):
        told = button.click(answer, part.interview, part.parts, **QUIET)
        told.then(None, js=TO_WHAT_IS_NEW, **QUIET)
    told = part.finish.click(events.finish, part.interview, part.parts, **QUIET)
    told.then(None, js=TO_THE_VERDICT, **QUIET)
    part.chat.click(lambda: gr.Tabs(selected="chat"), outputs=tabs, **QUIET)
