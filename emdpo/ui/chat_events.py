"""What the events of the Chat tab do: answers are streamed, and the model is shared by all.

Every event returns only what changes, by component.
"""

from __future__ import annotations

import importlib.util
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import gradio as gr

from emdpo.adapters.answers import Sampling
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.json_values import plain
from emdpo.core.rules import GIVEN
from emdpo.demo import demo_run
from emdpo.jobs.folder import new_id
from emdpo.settings import ADAPTERS
from emdpo.ui import chat_view
from emdpo.ui.faults import one_line
from emdpo.ui.fit_events import status_or_none
from emdpo.ui.results import note_html
from emdpo.ui.talks import LETTERS, Talk, Turn
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.chatting import Cast

NEEDED = ("torch", "transformers", "peft")
WAITING = "Waiting for the model: it answers one question at a time."
LOADING = "The model is getting ready; the first time this takes a while."
GONE = "this conversation is gone; press New conversation"
SECONDS_BETWEEN_UPDATES = 0.1
MOST_AT_FIRST = 7
"""Policies that answer unless the visitor says otherwise."""

Shown = dict[Any, Any]
"""New values, by component."""


@dataclass(frozen=True, eq=False)
class ChatTab:
    """The components of the tab that events write to."""

    talk_id: gr.State
    mine: gr.BrowserState
    """{talk}: the id of the conversation for the time after a reload."""
    waiting: gr.State
    """Changes when a question waits for its answers: `stream` then runs."""
    note: gr.HTML
    offer: gr.Button
    contents: gr.Column
    question: gr.Textbox
    ask: gr.Button
    stop: gr.Button
    anew: gr.Button
    names: gr.CheckboxGroup
    last: gr.HTML
    judging: gr.Column
    liked: gr.Radio
    guess: gr.Dropdown
    reveal: gr.Button
    earlier: gr.HTML
    conversation: gr.DownloadButton
    picks: gr.DownloadButton

    @property
    def parts(self) -> list[Any]:
        """Every component."""
        return [getattr(self, each.name) for each in fields(self)]


def missing_chat(place: Workplace, run_id: str) -> str:
    """Return one line about why nobody can answer; empty where somebody can."""
    run = status_or_none(place, run_id)
    if run is None:
        return "No fitted run yet: chat needs one whose policies are adapters; start it in 2 Fit."
    if not run.has_result:
        return "The run has no result yet: this tab fills by itself when it has one."
    if run.config.get("policy") != ADAPTERS:
        return (
            "This run's policies are log-linear: they score answers and write none. Chat needs a "
            "run fitted with adapters (emdpo fit --policy adapters)."
        )
    if lacking := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        return f"Chat needs {', '.join(lacking)}: pip install 'emdpo[adapters]'."
    try:
        place.cast(run_id)
    except Exception as error:  # noqa: BLE001 - shown as one line
        return one_line(error)
    return ""


def sampling_of(max_tokens: Any, temperature: Any, seed: Any) -> Sampling:
    """Return the form's settings; EmdpoError naming the one that is out of range."""
    named = {"length": max_tokens, "temperature": temperature, "seed": seed}
    for name, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise EmdpoError(f"{name} must be a number, got {value!r:.40}")
        if name != "temperature" and not float(value).is_integer():
            raise EmdpoError(f"{name} must be a whole number, got {value:g}")
    return Sampling(int(max_tokens), float(temperature), int(seed))


def _to_ask(cast: Cast, chosen: Sequence[str]) -> gr.CheckboxGroup:
    """Return who can be asked, and who is."""
    choices = [(chat_view.policy_label(cast, name), name) for name in cast.speakers]
    return gr.CheckboxGroup(
        choices=choices, value=[name for name in cast.speakers if name in chosen]
    )


class ChatEvents:
    """The events over a workplace; all memory is in its conversations."""

    def __init__(self, place: Workplace, tab: ChatTab) -> None:
        self._place, self._tab = place, tab

    def show(self, run_id: str, saved: Any) -> Shown:
        """Return the tab for a run: what is missing, or this browser's conversation."""
        tab, message = self._tab, missing_chat(self._place, run_id)
        if message:
            return {
                tab.talk_id: "",
                tab.note: note_html(message),
                tab.offer: gr.Button(visible=demo_run() is not None),
                tab.contents: gr.Column(visible=False),
            }
        known = saved.get("talk") if isinstance(saved, dict) else None
        talk, cast = self._place.talks.get(known, run_id), self._place.cast(run_id)
        if talk is None:
            return self._whole(self._place.talks.start(run_id, cast))
        talk.renew(cast)
        return self._whole(talk)

    def renew(self, run_id: str, talk_id: str, asked: Sequence[str] | None) -> Shown:
        """Let the policy that was saved just now be asked too, from the next question on."""
        talk = self._place.talks.get(talk_id, run_id)
        if talk is None:
            return {self._tab.names: gr.skip()}
        talk.renew(self._place.cast(run_id))
        return {self._tab.names: _to_ask(talk.cast, [*(asked or []), GIVEN])}

    def start_anew(self, run_id: str, talk_id: str) -> Shown:
        """Return the tab with an empty conversation; the answers of the old one stop."""
        old = self._place.talks.get(talk_id, run_id)
        if old is not None:
            old.leave()
        return self.show(run_id, None)

    def _whole(self, talk: Talk) -> Shown:
        tab, cast = self._tab, talk.cast
        names = list(cast.speakers)
        chosen = (
            names if len(names) <= MOST_AT_FIRST else [*names[: MOST_AT_FIRST - 2], *names[-2:]]
        )
        return {
            tab.talk_id: talk.talk_id,
            tab.mine: {"talk": talk.talk_id},
            tab.waiting: gr.skip() if talk.last is None or talk.last.over else new_id(),
            tab.note: note_html(""),
            tab.offer: gr.Button(visible=False),
            tab.contents: gr.Column(visible=True),
            tab.names: _to_ask(cast, chosen),
            tab.earlier: chat_view.earlier_html(talk),
            **self._turn(talk),
            **self._downloads(talk),
        }

    def _turn(self, talk: Talk, waiting: str = "") -> Shown:
        """Return the newest turn, and what may be done now."""
        tab, turn = self._tab, talk.last
        busy = turn is not None and not turn.over
        shown: Shown = {
            tab.last: chat_view.last_html(talk, waiting),
            tab.ask: gr.Button(interactive=not busy),
            tab.stop: gr.Button(interactive=busy),
            tab.judging: gr.Column(visible=False),
        }
        if turn is not None and turn.waits_for_pick:
            names = [(chat_view.policy_label(turn.cast, name), name) for name in sorted(turn.names)]
            shown[tab.judging] = gr.Column(visible=True)
            shown[tab.liked] = gr.Radio(choices=list(LETTERS[: len(names)]), value=None)
            shown[tab.guess] = gr.Dropdown(choices=names, value=None)
        return shown

    def _downloads(self, talk: Talk) -> Shown:
        """Write the conversation and the picks into a folder of our own and offer them."""
        tab, folder = self._tab, self._place.talk_downloads(talk.talk_id)
        offers: Shown = {}
        for button, name in ((tab.conversation, "conversation"), (tab.picks, "picks")):
            rows = talk.rows() if button is tab.conversation else talk.picks()
            path = folder / f"{name}.jsonl"
            lines = (json.dumps(plain(row), ensure_ascii=False, allow_nan=False) for row in rows)
            path.write_text("".join(f"{each}\n" for each in lines), "utf-8", "replace")
            offers[button] = gr.DownloadButton(value=str(path), interactive=bool(rows))
        return offers

    def ask(
        self,
        run_id: str,
        talk_id: str,
        question: str,
        names: Sequence[str],
        blind: bool,
        *settings: Any,
    ) -> Shown:
        """Put a question; `stream` answers it."""
        tab = self._tab
        try:
            talk = self._talk(run_id, talk_id)
            talk.ask(question or "", names or [], sampling_of(*settings), blind=bool(blind))
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {tab.note: note_html(one_line(error), "error")}
        if talk.left:
            return {tab.note: gr.skip()}
        return {
            tab.note: note_html(""),
            tab.question: "",
            tab.waiting: new_id(),
            tab.earlier: chat_view.earlier_html(talk),
            **self._turn(talk, WAITING),
        }

    def _talk(self, run_id: str, talk_id: str) -> Talk:
        talk = self._place.talks.get(talk_id, run_id)
        if talk is None:
            raise RunError(GONE)
        return talk

    def stream(self, run_id: str, talk_id: str) -> Iterator[Shown]:
        """Yield the answers to the question that waits as they grow, and what comes after.

        Where another page of this visitor has begun them, they are shown as that page left them.
        """
        talk = self._place.talks.get(talk_id, run_id)
        if talk is None or talk.last is None:  # Gradio tells of changes that were none, too
            yield {self._tab.note: gr.skip()}
            return
        turn = talk.begin()
        if turn is not None:
            try:
                yield from self._growing(talk, turn)
            except Exception as error:  # noqa: BLE001 - shown as one line
                turn.end(one_line(error))
            finally:
                turn.end(turn.message)  # also where the page was closed or reloaded meanwhile
        if talk.left:
            yield {self._tab.note: gr.skip()}
        else:
            yield {**self._turn(talk), **self._downloads(talk)}

    def _growing(self, talk: Talk, turn: Turn) -> Iterator[Shown]:
        """Fill the turn with answers, and yield them at a rate that a browser can draw."""
        shown = 0.0
        asked = (turn.cast, talk.histories(turn), turn.names, turn.sampling, turn.stopping.is_set)
        with closing(self._place.models.answers(*asked)) as growing:
            for partials in growing:
                turn.partials = partials or turn.partials
                if not talk.left and time.monotonic() - shown > SECONDS_BETWEEN_UPDATES:
                    waiting = "" if partials else LOADING
                    yield {self._tab.last: chat_view.last_html(talk, waiting)}
                    shown = time.monotonic()

    def stop(self, run_id: str, talk_id: str) -> Shown:
        """Stop the answers before their next token."""
        talk = self._place.talks.get(talk_id, run_id)
        if talk is not None:
            talk.stop()
            if talk.last is not None and talk.last.over:
                return self._turn(talk)
        return {self._tab.stop: gr.Button(interactive=False)}

    def judge(self, run_id: str, talk_id: str, letter: str | None, guess: str | None) -> Shown:
        """Note a pick, and show who answered."""
        tab = self._tab
        try:
            talk = self._talk(run_id, talk_id)
            talk.pick(letter or "", guess)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {tab.note: note_html(one_line(error), "error")}
        return {tab.note: note_html(""), **self._turn(talk), **self._downloads(talk)}

    def open_demo_run(self) -> tuple[Any, Any]:
        """Open the shipped run with adapters: its id, and one line."""
        try:
            return self._place.add_demo_run(), note_html("")
        except Exception as error:  # noqa: BLE001 - shown as one line
            return gr.skip(), note_html(one_line(error), "error")

    def warm(self, run_id: str) -> None:
        """Begin to load the run's model when a visitor comes to the tab."""
        if not missing_chat(self._place, run_id):
            self._place.models.warm(self._place.cast(run_id))
