"""The Collect page: the layout, and which event calls what."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from emdpo.ui.chat_tab import MODEL
from emdpo.ui.collect import plan_events
from emdpo.ui.collect.plan_form import PlanForm, plan_form
from emdpo.ui.collect.room_events import CollectPage, RoomEvents
from emdpo.ui.collect.room_part import answers_part, export_part, invite_part, key_part
from emdpo.ui.collect.types_part import TypesEvents, TypesPart, types_part
from emdpo.ui.collect.writing_part import offer_names, offer_writers, write
from emdpo.ui.figures import FIT_FIGURES
from emdpo.ui.session import kept_by_the_browser
from emdpo.ui.workplace import Workplace

INTRODUCTION = (
    "# Collect\nA class, a lab or a crowd gives rankings on their phones, and sees which types are "
    "among them."
)

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

WATCHING: dict[str, Any] = {**PRIVATE, "trigger_mode": "once"}

SECONDS_BETWEEN_LOOKS = 2.0


def build(app: gr.Blocks, place: Workplace) -> None:
    """Lay the page out and connect it; call it inside `app.route`."""
    gr.Markdown(INTRODUCTION, elem_id="collect-introduction")
    mine = kept_by_the_browser("emdpo")
    page, types = layout(mine)
    events = RoomEvents(place, page)
    _connect_plan(app, place, page.plan, mine)
    _connect_room(app, events, page)
    _connect_types(TypesEvents(place, events, types), page, types)


def layout(mine: gr.BrowserState) -> tuple[CollectPage, TypesPart]:
    """Lay out what there is without a room, and a room in four tabs."""
    with gr.Column(elem_id="lobby") as lobby:
        own_key, enter, enter_note = _way_back()
        plan = plan_form()
    with gr.Column(visible=False, elem_id="room") as room:
        head = gr.HTML(elem_id="room-head")
        fresh = key_part()
        with gr.Tabs(elem_id="room-tabs") as tabs:
            with gr.Tab("1 Invite", id="invite"):
                invite = invite_part()
            with gr.Tab("2 Answers", id="answers"):
                answers = answers_part()
            with gr.Tab("3 Types", id="room-types"):
                types = types_part(mine)
            with gr.Tab("4 Export", id="export"):
                export = export_part()
    tabs.change(None, js=FIT_FIGURES, **PRIVATE)
    page = CollectPage(
        key=gr.State(""),
        kept=kept_by_the_browser("emdpo-room"),
        clock=gr.Timer(SECONDS_BETWEEN_LOOKS, active=False),
        seen=gr.State(None),
        lobby=lobby,
        own_key=own_key,
        enter=enter,
        enter_note=enter_note,
        plan=plan,
        room=room,
        head=head,
        fresh=fresh,
        invite=invite,
        answers=answers,
        export=export,
    )
    return page, types


def _way_back() -> tuple[gr.Textbox, gr.Button, gr.HTML]:
    note = gr.HTML(elem_id="enter-note")
    with gr.Accordion("You have a key: go back to your room", open=False):
        own_key = gr.Textbox(
            label="Key",
            info="Shown once when the room was opened; there is no list of rooms.",
            type="password",
            max_lines=1,
            elem_id="own-key",
        )
        enter = gr.Button("Enter the room", size="sm", elem_classes="narrow", elem_id="enter-room")
    return own_key, enter, note


def _connect_plan(app: gr.Blocks, place: Workplace, plan: PlanForm, mine: gr.BrowserState) -> None:
    writing = plan.writing
    look: dict[str, Any] = {
        "fn": plan_events.preview,
        "inputs": plan.sources,
        "outputs": plan.preview,
        **PRIVATE,
    }
    plan.source.change(plan_events.choose, plan.source, plan.parts, **PRIVATE).then(**look)
    gr.on([plan.pasted.blur, plan.file.change], **look)
    offered = [writing.names, writing.note]
    app.load(partial(offer_writers, place), mine, [writing.run, *offered], **PRIVATE)
    writing.run.input(partial(offer_names, place), writing.run, offered, **PRIVATE)
    going = writing.write.click(
        partial(write, place), writing.inputs, [plan.written, writing.note], **MODEL
    )
    going.then(**look)
    writing.stop.click(
        plan_events.stopped, plan.written, writing.note, cancels=[going], **PRIVATE
    ).then(**look)


def _connect_room(app: gr.Blocks, events: RoomEvents, page: CollectPage) -> None:
    key, invite, answers, export = page.key, page.invite, page.answers, page.export
    every = page.parts
    app.load(events.come_back, [page.kept, key], every, **PRIVATE)
    page.plan.open.click(events.open, page.plan.inputs, every, **PRIVATE)
    gr.on([page.enter.click, page.own_key.submit], events.enter, page.own_key, every, **PRIVATE)
    key.change(events.show, key, every, **PRIVATE)
    page.clock.tick(events.watch, [key, page.seen], every, **WATCHING)
    page.fresh.kept.click(events.hide_key, None, every, **PRIVATE)
    gr.on([invite.site.submit, invite.site.blur], events.move_site, [key, invite.site], every,
          **PRIVATE)  # fmt: skip
    for button, closed in ((invite.close, True), (invite.reopen, False)):
        button.click(
            partial(events.set_closed, closed=closed), [key, invite.site], every, **PRIVATE
        )
    invite.leave.click(events.leave, None, every, **PRIVATE)
    answers.take_out.click(events.take_out, [key, answers.ids, answers.sure], every, **PRIVATE)
    export.make.click(events.make_tables, [key, *export.options], every, **PRIVATE)
    export.delete.click(events.delete, [key, export.code], every, **PRIVATE)


def _connect_types(events: TypesEvents, page: CollectPage, types: TypesPart) -> None:
    key, every = page.key, types.parts
    asked = [key, *page.export.options, types.mine, *types.settings]
    types.start.click(events.start, asked, every, **PRIVATE)
    types.stop.click(events.stop, key, every, **PRIVATE)
    types.share.input(events.set_share, [key, types.share], None, **PRIVATE)
    key.change(events.show, key, every, **PRIVATE)
    page.clock.tick(events.watch, [key, types.seen], every, **WATCHING)
