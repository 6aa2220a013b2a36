"""What the buttons of an open room do; each event returns only what changes, by component.

The key is all that a page knows of its room: every event looks the room up by it anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import gradio as gr

from emdpo.collect.export import ExportConfig, rankings_table, shown_table
from emdpo.collect.people import take_out
from emdpo.collect.rooms import (
    Counts,
    NoRoomError,
    Room,
    counts,
    counts_by_question,
    open_room,
    room_by_key,
    set_closed,
)
from emdpo.core.errors import EmdpoError
from emdpo.spreadsheets import spreadsheet_csv
from emdpo.ui.collect import room_view
from emdpo.ui.collect.links import checked_site, site_of
from emdpo.ui.collect.plan_form import PlanForm, plan_of
from emdpo.ui.collect.room_part import AnswersPart, ExportPart, InvitePart, KeyPart
from emdpo.ui.collect.runs import as_jsonl, close_for_good, forget_stale
from emdpo.ui.faults import one_line
from emdpo.ui.markup import line
from emdpo.ui.workplace import Workplace

Shown = dict[Any, Any]
"""New values, by component."""


@dataclass(frozen=True, eq=False)
class CollectPage:
    """The components of the page that events write to."""

    key: gr.State
    """Of the room that is open on this page; empty = none."""
    kept: gr.BrowserState
    """{key}: the same for the time after a reload."""
    clock: gr.Timer
    """Ticks only while a room is open on this page."""
    seen: gr.State
    """Which numbers are on the screen."""
    lobby: gr.Column
    """What there is without a room."""
    own_key: gr.Textbox
    enter: gr.Button
    enter_note: gr.HTML
    plan: PlanForm
    room: gr.Column
    head: gr.HTML
    fresh: KeyPart
    invite: InvitePart
    answers: AnswersPart
    export: ExportPart

    @property
    def parts(self) -> list[Any]:
        """Every component that `RoomEvents` writes to."""
        invite, answers, export = self.invite, self.answers, self.export
        return [
            *(self.key, self.kept, self.clock, self.seen, self.lobby, self.own_key),
            *(self.enter_note, self.plan.note, self.room, self.head),
            *(self.fresh.column, self.fresh.key),
            *(invite.way_in, invite.counts, invite.site, invite.close, invite.reopen, invite.note),
            *(answers.counts, answers.questions, answers.ids, answers.sure, answers.note),
            *(*export.made, export.code, export.deleted),
        ]


class RoomEvents:
    """The events over a workplace."""

    def __init__(self, place: Workplace, page: CollectPage) -> None:
        self._place, self._page = place, page

    def found(self, key: str) -> Room | None:
        """Return the room of this page; None where it is none, or no longer there."""
        try:
            return room_by_key(self._place.rooms, key) if key else None
        except NoRoomError:
            return None

    def open(self, *plan: Any) -> Shown:
        """Open a room as planned, and show its key this once."""
        page = self._page
        try:
            key = open_room(self._place.rooms, plan_of(*plan))
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {page.plan.note: line(one_line(error), "error")}
        return {
            page.plan.note: "",
            page.key: key,
            page.fresh.column: gr.Column(visible=True),
            page.fresh.key: key,
        }

    def enter(self, key: str | None) -> Shown:
        """Open the room of a key that somebody typed."""
        page = self._page
        key = (key or "").strip()
        if not key:
            return {page.enter_note: line("Type the key first.", "warning")}
        if self.found(key) is None:
            told = "This key opens no room here."
            return {page.enter_note: line(told, "error")}
        return {page.enter_note: "", page.own_key: "", page.key: key}

    def come_back(self, kept: Any, key: str) -> Shown:
        """Open the room that this browser was in, unless one is open on the page already."""
        known = kept.get("key") if isinstance(kept, dict) else None
        if key or not isinstance(known, str) or self.found(known) is None:
            return {self._page.enter_note: gr.skip()}
        return {self._page.key: known}

    def show(self, key: str, request: gr.Request) -> Shown:
        """Return the whole page for a room, or without one."""
        page, room = self._page, self.found(key)
        there, answers = room is not None, page.answers
        shown: Shown = {
            page.kept: {"key": key} if there else {},
            page.clock: gr.Timer(active=there),
            page.lobby: gr.Column(visible=not there),
            page.room: gr.Column(visible=there),
        }
        if room is None:
            return {**shown, **self.hide_key()}
        site = site_of(request)
        export = page.export
        cleared = dict.fromkeys(export.made[:-1], gr.DownloadButton(value=None, interactive=False))
        notes = [page.invite.note, export.note, export.deleted, export.code]
        texts = dict.fromkeys([*notes, answers.ids, answers.note], "")
        return {
            **shown,
            **cleared,
            **texts,
            answers.sure: False,
            page.invite.site: site,
            page.invite.way_in: room_view.way_in_html(room, site),
            **self._state(room),
            **self._numbers(room),
        }

    def hide_key(self) -> Shown:
        """Take the key off the screen."""
        return {self._page.fresh.column: gr.Column(visible=False), self._page.fresh.key: ""}

    def _state(self, room: Room) -> Shown:
        page = self._page
        return {
            page.head: room_view.head_html(room),
            page.invite.close: gr.Button(visible=not room.closed),
            page.invite.reopen: gr.Button(visible=room.closed),
        }

    def _numbers(self, room: Room) -> Shown:
        page, told = self._page, counts(self._place.rooms, room)
        return {
            page.seen: told,
            page.invite.counts: room_view.counts_html(room, told),
            page.answers.counts: room_view.counts_html(room, told),
            page.answers.questions: room_view.questions_html(
                counts_by_question(self._place.rooms, room)
            ),
        }

    def watch(self, key: str, seen: Counts | None) -> Shown:
        """Return how far the room has come; where it is gone, the page without it."""
        room = self.found(key)
        if room is None:
            return {self._page.key: "", self._page.clock: gr.Timer(active=False)}
        if counts(self._place.rooms, room) == seen:
            return {self._page.seen: gr.skip()}
        return self._numbers(room)

    def move_site(self, key: str, site: str) -> Shown:
        """Return link and picture under another address."""
        page, room = self._page, self.found(key)
        try:
            if room is None:
                raise EmdpoError("the room is gone")
            return {
                page.invite.way_in: room_view.way_in_html(room, checked_site(site or "")),
                page.invite.note: "",
            }
        except EmdpoError as error:
            return {page.invite.note: line(one_line(error), "error")}

    def set_closed(self, key: str, site: str, closed: bool) -> Shown:
        """Close the room, or open it again."""
        room = self.found(key)
        if room is None:
            return {self._page.key: ""}
        set_closed(self._place.rooms, room, closed)
        room = room_by_key(self._place.rooms, key)
        return {**self._state(room), **self.move_site(key, site)}

    def leave(self) -> Shown:
        """Forget the room on this page and in this browser; it stays as it is."""
        return {self._page.key: ""}

    def take_out(self, key: str, ids: str | None, sure: bool) -> Shown:
        """Delete people by their ids as if they had withdrawn, if the box is ticked."""
        page, room, who = self._page, self.found(key), set((ids or "").replace(",", " ").split())
        answers = page.answers
        if room is None:
            return {page.key: ""}
        if not who or not sure:
            told = "Type an id and tick the box to take somebody out."
            return {answers.note: line(told, "warning")}
        try:
            take_out(self._place.rooms, room, who)
            forget_stale(self._place)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {answers.note: line(one_line(error), "error")}
        told = f"Taken out: {len(who)}. Tables that were downloaded still have them."
        cleared = {answers.ids: "", answers.sure: False, answers.note: line(told, "good")}
        return {**cleared, **self._numbers(room)}

    def make_tables(self, key: str, own_words: bool, min_group: float | None) -> Shown:
        """Write the tables of what has come until now and offer them."""
        export, room = self._page.export, self.found(key)
        try:
            if room is None:
                raise EmdpoError("the room is gone")
            config = export_config(own_words, min_group)
            return self._tables(room, config)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {export.note: line(one_line(error), "error")}

    def _tables(self, room: Room, config: ExportConfig) -> Shown:
        export, folder = self._page.export, self._place.room_downloads() / str(room.room_id)
        folder.mkdir(exist_ok=True)
        rankings = rankings_table(self._place.rooms, room, config)
        shown = shown_table(self._place.rooms, room)
        contents = {
            export.rankings_csv: ("rankings.csv", spreadsheet_csv(rankings)),
            export.rankings_jsonl: ("rankings.jsonl", as_jsonl(rankings)),
            export.shown: ("shown.csv", spreadsheet_csv(shown)),
        }
        offers: Shown = {}
        for button, (name, content) in contents.items():
            path = folder / f"{room.code}-{name}"
            path.write_text(content, "utf-8", newline="")
            offers[button] = gr.DownloadButton(value=str(path), interactive=True)
        n = len(rankings[["user_id", "prompt_id"]].drop_duplicates())
        when = datetime.now(UTC).strftime("%H:%M UTC")
        words = f"As of {when}: {n:,} rankings by {rankings['user_id'].nunique():,} people."
        return {**offers, export.note: line(words, "good")}

    def delete(self, key: str, code: str | None) -> Shown:
        """Delete the room with all answers and runs, if its code is typed."""
        page, room = self._page, self.found(key)
        if room is None:
            return {page.key: ""}
        if (code or "").strip().upper() != room.code:
            told = f"Type the code of the room, {room.code}, to delete it."
            return {page.export.deleted: line(told, "warning")}
        close_for_good(self._place, room)
        words = "The room, its answers and the runs made of them are deleted."
        return {page.key: "", page.enter_note: line(words, "good")}


def export_config(own_words: bool, min_group: float | None) -> ExportConfig:
    """Return what the options of an export say; EmdpoError where they say nothing."""
    if isinstance(min_group, bool) or not isinstance(min_group, int | float) or min_group < 1:
        raise EmdpoError("the smallest group told is a whole number from 1")
    return ExportConfig(own_words=bool(own_words), min_group=int(min_group))
