"""The types of a room: fitted with one press, and shown to the class as soon as they are there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import gradio as gr

from emdpo.cards import reading_note
from emdpo.collect.rooms import Room, counts, set_shares_run
from emdpo.jobs import JobState
from emdpo.plots.collecting import room_shares_figure
from emdpo.settings import LOGLINEAR
from emdpo.ui import fit_view
from emdpo.ui.collect.room_events import RoomEvents, Shown, export_config
from emdpo.ui.collect.runs import fit_room, forget_stale, newest_run, shown_run
from emdpo.ui.faults import one_line
from emdpo.ui.fit_form import POLICIES
from emdpo.ui.markup import line, pill, text
from emdpo.ui.session import with_run
from emdpo.ui.type_facts import portraits
from emdpo.ui.types_view import cards_html
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.core.composition import Composition
    from emdpo.fitting import Fit
    from emdpo.jobs import JobStatus

MOST_TYPES = 6

NO_TYPES = "No types yet. Press Find the types when most have finished; you may press it again."


@dataclass(frozen=True)
class TypesPart:
    """The controls of this part, and what it shows."""

    mine: gr.BrowserState
    """The Workbench's ids: it finds the run among those of this browser."""
    n_types: gr.Slider
    start: gr.Button
    stop: gr.Button
    features: gr.Dropdown
    policy: gr.Radio
    seed: gr.Number
    share: gr.Checkbox
    state: gr.HTML
    seen: gr.State
    """Which version of which run is on the screen."""
    contents: gr.Column
    rests_on: gr.HTML
    shares: gr.Plot
    cards: gr.HTML
    certainty: gr.HTML

    @property
    def settings(self) -> list[Any]:
        """What `TypesEvents.start` reads of this part."""
        return [self.n_types, self.features, self.policy, self.seed]

    @property
    def parts(self) -> list[Any]:
        """Every component that `TypesEvents` writes to."""
        shown = [self.contents, self.rests_on, self.shares, self.cards, self.certainty]
        return [self.mine, self.start, self.stop, self.share, self.state, self.seen, *shown]


def types_part(mine: gr.BrowserState) -> TypesPart:
    """Lay the part out; what people look at together comes without any setting on top."""
    with gr.Row(equal_height=False):
        n_types = gr.Slider(
            1,
            MOST_TYPES,
            value=2,
            step=1,
            label="Number of types",
            info="How many kinds of taste to look for; a class of 20 tells 2 or 3 apart.",
            min_width=220,
            elem_id="room-n-types",
        )
        start = gr.Button("Find the types", variant="primary", min_width=150, elem_id="room-fit")
        stop = gr.Button("Stop", variant="stop", interactive=False, min_width=90)
    state = gr.HTML(line(NO_TYPES), elem_id="room-fit-state")
    with gr.Column(visible=False) as contents:
        rests_on = gr.HTML(elem_id="rests-on")
        shares = gr.Plot(label="How many of each type?", show_label=False)
        cards = gr.HTML(elem_id="room-types")
        certainty = gr.HTML()
    with gr.Accordion("More settings, and what people may see", open=False):
        share = gr.Checkbox(
            False,
            label="People may open the whole run",
            info="Everybody always sees the types and their own. With this they may also open the "
            "run in the Workbench, with all rankings under random ids, and chat with its types. "
            "Taking it back hides the link; who has opened a run can still open that one.",
            elem_id="share-run",
        )
        features = gr.Dropdown(
            ["auto", "items", "text"],
            value="auto",
            label="Features",
            info="What tastes are about. items: each answer by itself, for few answers that many "
            "people ordered. text: length, lists, warmth and topics. auto chooses and says why.",
        )
        policy = gr.Radio(
            POLICIES,
            value=LOGLINEAR,
            label="Policy of each type",
            info="Log-linear: seconds. Adapters: a language model per type, to chat with; minutes.",
        )
        seed = gr.Number(0, precision=0, label="Seed", info="Same seed, same result.")
    return TypesPart(
        *(mine, n_types, start, stop, features, policy, seed, share, state),
        *(gr.State(""), contents, rests_on, shares, cards, certainty),
    )


class TypesEvents:
    """The events of this part."""

    def __init__(self, place: Workplace, rooms: RoomEvents, part: TypesPart) -> None:
        self._place, self._rooms, self._part = place, rooms, part

    def start(
        self,
        key: str,
        own_words: bool,
        min_group: float | None,
        mine: Any,
        *settings: Any,
    ) -> Shown:
        """Fit what the room has now; the run is among those of this browser."""
        part, room = self._part, self._rooms.found(key)
        if room is None:
            return {part.state: line("The room is gone.", "error")}
        try:
            config = export_config(own_words, min_group)
            run_id = fit_room(self._place, room, config, *settings)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {part.state: line(one_line(error), "error")}
        return {part.mine: {**with_run(mine, run_id), "run": run_id}, **self._watched(room, "")}

    def stop(self, key: str) -> Shown:
        """Stop the fit under way; the best so far is kept."""
        room = self._rooms.found(key)
        run = newest_run(self._place, room) if room else None
        try:
            if run is not None:
                self._place.jobs.stop(run.job_id)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {self._part.state: line(one_line(error), "error")}
        return {self._part.stop: gr.Button(interactive=False)}

    def set_share(self, key: str, shares: bool) -> None:
        """Let people open the whole run, or not."""
        if room := self._rooms.found(key):
            set_shares_run(self._place.rooms, room, bool(shares))

    def show(self, key: str) -> Shown:
        """Return this part for another room."""
        part, room = self._part, self._rooms.found(key)
        if room is None:
            return {part.contents: gr.Column(visible=False), part.seen: ""}
        hidden = {part.contents: gr.Column(visible=False), part.seen: ""}
        return {**hidden, part.share: room.shares_run, **self._watched(room, "")}

    def watch(self, key: str, seen: str) -> Shown:
        """Return where the newest fit stands, and the newest types if they are not shown yet."""
        room = self._rooms.found(key)
        return {self._part.stop: gr.skip()} if room is None else self._watched(room, seen)

    def _watched(self, room: Room, seen: str) -> Shown:
        part = self._part
        forget_stale(self._place)
        run, with_types = newest_run(self._place, room), shown_run(self._place, room)
        active = run is not None and run.state.is_active
        shown: Shown = {
            part.start: gr.Button(interactive=not active),
            part.stop: gr.Button(interactive=active),
            part.state: state_html(run),
        }
        if with_types is None:
            return {**shown, part.contents: gr.Column(visible=False), part.seen: ""}
        earlier = run is not None and run.job_id != with_types.job_id
        return {**shown, **self._found(room, with_types.job_id, seen, earlier)}

    def _found(self, room: Room, run_id: str, seen: str, earlier: bool) -> Shown:
        """Return the types of a finished run; those on the screen stay."""
        part, place = self._part, self._place
        try:
            fit = place.fit(run_id)
            rests_on = rests_on_html(fit, counts(place.rooms, room).answers, earlier)
            version = f"{run_id} {place.version(run_id)}"
            if version == seen:
                return {part.rests_on: rests_on}
            return {
                part.seen: version,
                part.contents: gr.Column(visible=True),
                part.rests_on: rests_on,
                part.shares: room_shares_figure(everybody(place, run_id)),
                part.cards: cards_html(portraits(place, run_id), reading_note(fit)),
                part.certainty: fit_view.certainty_html(fit),
            }
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {part.state: line(one_line(error), "error")}


def everybody(place: Workplace, run_id: str) -> Composition:
    """Return the shares of the types among all people of a run, with intervals over people."""
    from emdpo.core.audit import AuditConfig
    from emdpo.core.composition import composition

    def make(fit: Fit) -> Composition:
        names = ["everybody"] * len(fit.responsibilities)
        return composition(fit.responsibilities, names, config=AuditConfig(min_group=1))

    return place.derived(run_id, "everybody", make)


def rests_on_html(fit: Fit, n_now: int, earlier: bool) -> str:
    """Return what the types rest on, whether a newer fit has none, and what has come since."""
    data = fit.rankings
    which = "These types, of an earlier fit," if earlier else "These types"
    told = f"{which} rest on {data.n_rankings:,} rankings by {data.n_users:,} people."
    if n_now > data.n_rankings:
        return line(f"{told} {n_now - data.n_rankings:,} more have come since: find them again.")
    return line(told)


def state_html(run: JobStatus | None) -> str:
    """Return where the newest fit of a room stands; a finished one can be opened from here."""
    if run is None:
        return line(NO_TYPES)
    if not run.has_result:
        return fit_view.state_html(run)
    link = (
        f'<a href="./?run={text(run.job_id)}" target="_blank">Open this run in the Workbench</a>: '
        "types in full, people by their ids, chat where there are adapters, audit."
    )
    words = "stopped early; the best so far is kept. " if run.state is JobState.STOPPED else ""
    return f'<p class="state" role="status">{pill(run.state)}<span>{words}{link}</span></p>'
