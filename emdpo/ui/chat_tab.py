"""Tab 4, Chat: one question, and the answers of the base model, the types and the aggregates."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from emdpo.adapters.answers import HOTTEST, Sampling
from emdpo.demo import demo_run
from emdpo.ui.chat_events import ChatEvents, ChatTab
from emdpo.ui.markup import line
from emdpo.ui.session import Session
from emdpo.ui.talks import MOST_CHARACTERS, MOST_TOKENS, MOST_TURNS
from emdpo.ui.workplace import Workplace

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

MODEL: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "minimal",
    "concurrency_id": "model",
    "concurrency_limit": 1,
}
"""Of what touches the model: one at a time, on all pages together, with the place in the queue."""

OPEN_THE_DEMO = "Open the demo with adapters"

EXAMPLES = (
    "How do I tell my boss that I will miss a deadline?",
    "My friend has stopped answering my messages. What should I do?",
    "How can I sleep better?",
)

DEFAULT = Sampling()


def build(place: Workplace, session: Session, here: gr.Tab) -> None:
    """Lay the tab out and connect it; `here` is the tab itself."""
    note = gr.HTML(line("No fitted run yet: chat needs one whose policies are adapters."))
    shipped = demo_run() is not None
    offer = gr.Button(OPEN_THE_DEMO, size="sm", visible=shipped, elem_classes="narrow")
    with gr.Column(visible=False) as contents:
        question, ask, stop, anew = _asking()
        blind, names, settings = _options()
        last = gr.HTML(elem_id="answers")
        judging, liked, guess, reveal = _judging()
        with gr.Row():
            conversation = gr.DownloadButton("Conversation (JSONL)", interactive=False, size="sm")
            picks = gr.DownloadButton("My picks as rankings (JSONL)", interactive=False, size="sm")
        earlier = gr.HTML(elem_id="earlier")
    tab = ChatTab(
        talk_id=gr.State(""),
        mine=session.talk,
        waiting=gr.State(""),
        note=note,
        offer=offer,
        contents=contents,
        question=question,
        ask=ask,
        stop=stop,
        anew=anew,
        names=names,
        last=last,
        judging=judging,
        liked=liked,
        guess=guess,
        reveal=reveal,
        earlier=earlier,
        conversation=conversation,
        picks=picks,
    )
    asked = [session.run_id, tab.talk_id, question, names, blind, *settings]
    _connect(ChatEvents(place, tab), tab, asked, session, here)


def _connect(
    events: ChatEvents, tab: ChatTab, asked: list[Any], session: Session, here: gr.Tab
) -> None:
    run_id, ids = session.run_id, [session.run_id, tab.talk_id]
    gr.on([tab.ask.click, tab.question.submit], events.ask, asked, tab.parts, **PRIVATE)
    answering = tab.waiting.change(
        events.stream, ids, tab.parts, show_progress_on=tab.last, **MODEL
    )
    tab.stop.click(events.stop, ids, tab.parts, **PRIVATE)
    tab.anew.click(events.start_anew, ids, tab.parts, **PRIVATE)
    tab.reveal.click(events.judge, [*ids, tab.liked, tab.guess], tab.parts, **PRIVATE)
    opened = tab.offer.click(events.open_demo_run, outputs=[run_id, tab.note], **PRIVATE)
    opened.then(events.warm, run_id, **PRIVATE)
    shown = [run_id, tab.mine]
    session.chosen.change(events.renew, [*ids, tab.names], tab.parts, **PRIVATE)
    session.milestone.change(events.show, shown, tab.parts, cancels=[answering], **PRIVATE)
    here.select(events.warm, run_id, **PRIVATE)


def _asking() -> tuple[gr.Textbox, gr.Button, gr.Button, gr.Button]:
    question = gr.Textbox(
        label="Your question",
        info=f"Everybody below answers it, each with its own memory of up to {MOST_TURNS} turns.",
        placeholder="Ask anything; the model is small.",
        lines=2,
        max_lines=6,
        max_length=MOST_CHARACTERS,
        elem_id="question",
    )
    with gr.Row(elem_classes="examples"):
        for example in EXAMPLES:
            button = gr.Button(example, size="sm", min_width=120)
            button.click(partial(str, example), outputs=question, **PRIVATE)
    with gr.Row():
        ask = gr.Button("Ask", variant="primary", min_width=110, elem_id="ask")
        stop = gr.Button("Stop", variant="stop", interactive=False, min_width=110, elem_id="hush")
        anew = gr.Button("New conversation", min_width=110, elem_id="anew")
    return question, ask, stop, anew


def _options() -> tuple[gr.Checkbox, gr.CheckboxGroup, list[Any]]:
    blind = gr.Checkbox(
        label="Blind: hide who answers",
        info="Answers are shuffled and unnamed until you pick one; each question stands alone.",
        elem_id="blind",
    )
    with gr.Accordion("Who answers, length, temperature, seed", open=False):
        names = gr.CheckboxGroup(
            choices=[], label="Who answers", info="Fewer policies answer faster."
        )
        with gr.Row():
            length = gr.Slider(
                16,
                MOST_TOKENS,
                value=DEFAULT.max_tokens,
                step=1,
                label="Longest answer",
                info="In tokens; about three quarters of a word each.",
                min_width=200,
            )
            temperature = gr.Slider(
                0,
                HOTTEST,
                value=DEFAULT.temperature,
                step=0.05,
                label="Temperature",
                info="1 = the policy itself, lower is safer, 0 = always the likeliest word.",
                min_width=200,
            )
            seed = gr.Number(
                DEFAULT.seed,
                precision=0,
                label="Seed",
                info="Same seed, same answers.",
                min_width=130,
            )
    return blind, names, [length, temperature, seed]


def _judging() -> tuple[gr.Column, gr.Radio, gr.Dropdown, gr.Button]:
    with gr.Column(visible=False, elem_id="judging") as judging:
        with gr.Row(equal_height=True):
            liked = gr.Radio(
                choices=[], label="I like best", info="It counts as a ranking of yours."
            )
            guess = gr.Dropdown(
                choices=[], label="I think it is by", info="A guess; may stay empty.", min_width=200
            )
        reveal = gr.Button("Show who answered", size="sm", elem_classes="narrow")
    return judging, liked, guess, reveal
