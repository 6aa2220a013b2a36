"""What the events of "Which type am I?" do: a visitor orders answers, and the posterior moves.

Every event returns only what changes, by component.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from emdpo.core.errors import EmdpoError
from emdpo.ui import who_am_i_view as view
from emdpo.ui.faults import one_line
from emdpo.ui.markup import line
from emdpo.ui.results import missing, note_html
from emdpo.ui.type_facts import portraits
from emdpo.ui.workplace import Workplace
from emdpo.who_am_i import (
    Answer,
    Question,
    answered,
    answers_table,
    is_enough,
    next_question,
    posterior,
    questions,
    who_am_i,
)

if TYPE_CHECKING:
    from emdpo.core.question_pool import QuestionPool
    from emdpo.fitting import Fit

ONE_TYPE = "Which type am I? The run has one type: there is nothing to tell apart."
NOTHING_TO_ASK = "Which type am I? The run's types order all answers alike: nothing tells."
PLACE_ONE = "Tap the answer that you like best first, or skip the question."
ORDER_ONE = "Order the answers to one question first."
GONE = "This page no longer knows your answers: begin again."

Shown = dict[Any, Any]
"""New values, by component."""


@dataclass(frozen=True, eq=False)
class WhoAmIPart:
    """The components of the part that events write to."""

    interview: gr.State
    note: gr.HTML
    begin: gr.Button
    asking: gr.Column
    question: gr.HTML
    cards: tuple[gr.Button, ...]
    hint: gr.HTML
    """What to do before an order can be sent."""
    send: gr.Button
    skip: gr.Button
    finish: gr.Button
    standing: gr.HTML
    result: gr.Column
    verdict: gr.HTML
    course: gr.Plot
    chat: gr.Button
    download: gr.DownloadButton
    again: gr.Button

    @property
    def parts(self) -> list[Any]:
        """Every component."""
        parts = [getattr(self, each.name) for each in fields(self) if each.name != "cards"]
        return [*parts, *self.cards]


@dataclass(frozen=True)
class Interview:
    """How far a visitor has come with the questions of one run."""

    run_id: str
    seed: int
    """Of the order in which answers are shown, and of the first question."""
    answers: tuple[Answer, ...] = ()
    question: Question | None = None
    """The one that waits for an answer."""
    shown: tuple[int, ...] = ()
    """Its candidates in the order shown."""
    taps: tuple[tuple[float, int], ...] = ()
    """Taps on its candidates: when, by the visitor's clock, and which; the earliest first."""

    @property
    def given(self) -> tuple[Answer, ...]:
        """The answers that were not skipped."""
        return tuple(answer for answer in self.answers if answer.order)

    @property
    def tapped(self) -> tuple[int, ...]:
        """The candidates tapped so far, best first; one that is tapped again is taken back."""
        kept: list[int] = []
        for _, one in self.taps:
            kept.remove(one) if one in kept else kept.append(one)
        return tuple(kept)

    @property
    def placed(self) -> tuple[int, ...]:
        """The candidates that have a place: the last one has its own by itself."""
        left = tuple(one for one in self.shown if one not in self.tapped)
        return self.tapped + left if len(left) == 1 else self.tapped

    def with_tap(self, place: int, when: float = math.inf) -> Interview:
        """Return the interview after a tap on the answer shown at `place`.

        Taps that follow each other closely may arrive in another order: `when` puts them right.
        """
        if not 0 <= place < len(self.shown):
            return self
        taps = [*self.taps, (when, self.shown[place])]
        return replace(self, taps=tuple(sorted(taps, key=itemgetter(0))))

    def with_answer(self, order: tuple[int, ...]) -> Interview:
        """Return the interview after an answer to the question, empty = skipped."""
        if self.question is None:
            return self
        answer = Answer(self.question, order, self.shown)
        return replace(self, answers=(*self.answers, answer), question=None, shown=(), taps=())

    def with_question(self, question: Question) -> Interview:
        """Return the interview with another question, its candidates in random order."""
        rng = np.random.default_rng([self.seed, len(self.answers)])
        shown = tuple(int(one) for one in rng.permutation(question.candidates))
        return replace(self, question=question, shown=shown, taps=())


class WhoAmIEvents:
    """The events over a workplace; what a visitor has answered is kept by their page alone."""

    def __init__(self, place: Workplace, part: WhoAmIPart) -> None:
        self._place, self._part = place, part

    def show(self, run_id: str) -> Shown:
        """Return the part for another run: nothing asked yet, or why nothing can be."""
        part, told = self._part, self._why_not(run_id)
        return {
            part.interview: None,
            part.note: note_html(told),
            part.begin: gr.Button(visible=not told),
            part.asking: gr.Column(visible=False),
            part.result: gr.Column(visible=False),
        }

    def _why_not(self, run_id: str) -> str:
        """Return why nothing can be asked about a run that has a result; empty where it can."""
        try:
            if not missing(self._place, run_id) and self._place.fit(run_id).n_types == 1:
                return ONE_TYPE
        except Exception as error:  # noqa: BLE001 - shown as one line
            return one_line(error)
        return ""

    def begin(self, run_id: str) -> Shown:
        """Ask the first question."""
        part = self._part
        try:
            if message := missing(self._place, run_id):
                raise EmdpoError(message)
            shown = self._next(Interview(run_id, secrets.randbits(32)))
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {part.note: note_html(one_line(error), "error")}
        return {part.begin: gr.Button(visible=False), **shown}

    def tap(self, place: int, interview: Interview | None, when: float | None = None) -> Shown:
        """Place an answer next, or take it back; `when` is on the visitor's clock."""
        if interview is None or interview.question is None:
            return self._hint(GONE)
        moved = interview.with_tap(place, math.inf if when is None else when)
        return {self._part.interview: moved, **self._hint(""), **self._cards(moved)}

    def send(self, interview: Interview | None) -> Shown:
        """Take the order, and ask the next question or tell the type."""
        if interview is None or interview.question is None:
            return self._hint(GONE)
        if not interview.placed:
            return self._hint(PLACE_ONE)
        return self._after(interview.with_answer(interview.placed))

    def skip(self, interview: Interview | None) -> Shown:
        """Leave the question, and ask another."""
        if interview is None or interview.question is None:
            return self._hint(GONE)
        return self._after(interview.with_answer(()))

    def finish(self, interview: Interview | None) -> Shown:
        """Tell the type from the answers so far."""
        if interview is None or not interview.given:
            return self._hint(ORDER_ONE)
        return self._after(replace(interview, question=None), over=True)

    def _after(self, interview: Interview, *, over: bool = False) -> Shown:
        try:
            return self._told(interview) if over else self._next(interview)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {self._part.hint: note_html(one_line(error), "error")}

    def _hint(self, words: str) -> Shown:
        return {self._part.hint: note_html(words, "warning")}

    def _next(self, interview: Interview) -> Shown:
        """Return the next question, or the verdict where enough has been asked."""
        part, fit = self._part, self._place.fit(interview.run_id)
        now = posterior(fit, answered(fit, interview.given))
        question = None
        if not (interview.given and is_enough(now, len(interview.given))):
            rng = np.random.default_rng(interview.seed)
            question = next_question(fit, self._pool(interview.run_id), interview.answers, rng)
        if question is None:
            return self._told(interview)
        before = posterior(fit, answered(fit, interview.given[:-1])) if interview.given else None
        asked = interview.with_question(question)
        prompt = str(fit.rankings.prompts["prompt"].iloc[question.prompt])
        return {
            part.interview: asked,
            part.note: note_html(""),
            **self._hint(""),
            part.asking: gr.Column(visible=True),
            part.result: gr.Column(visible=False),
            part.question: view.question_html(len(asked.answers) + 1, prompt),
            part.standing: view.standing_html(
                now.tolist(), None if before is None else before.tolist(), len(asked.given)
            ),
            **self._cards(asked),
        }

    def _cards(self, interview: Interview) -> Shown:
        """Return the buttons of the answers and the one that sends their order."""
        part = self._part
        texts = self._place.fit(interview.run_id).rankings.candidates["response"]
        shown: Shown = {
            part.send: gr.Button(view.send_label(len(interview.tapped), len(interview.shown)))
        }
        for place, card in enumerate(part.cards):
            if place >= len(interview.shown):
                shown[card] = gr.Button(visible=False)
                continue
            one = interview.shown[place]
            rank = interview.placed.index(one) + 1 if one in interview.placed else None
            label = view.card_label(place, str(texts.iloc[one]), rank)
            classes = ["rank-card"] if rank is None else ["rank-card", "placed"]
            shown[card] = gr.Button(label, elem_classes=classes, visible=True)
        return shown

    def _told(self, interview: Interview) -> Shown:
        """Return the verdict on the answers given."""
        part, given = self._part, interview.given
        if not given:
            told = NOTHING_TO_ASK if not interview.answers else "No more questions: begin again."
            return {
                part.note: gr.HTML(line(told), visible=True),
                part.asking: gr.Column(visible=False),
                part.begin: gr.Button(visible=bool(interview.answers)),
            }
        fit = self._place.fit(interview.run_id)
        found = who_am_i(fit, answered(fit, given))
        number = found.evidence.most_likely
        return {
            part.interview: interview,
            part.note: note_html(""),
            part.asking: gr.Column(visible=False),
            part.result: gr.Column(visible=True),
            part.verdict: view.verdict_html(
                found, portraits(self._place, interview.run_id)[number - 1]
            ),
            part.course: _course(fit, given),
            part.chat: gr.Button(f"Ask Type {number} in 4 Chat", visible=fit.adapters is not None),
            part.download: self._download(fit, interview),
        }

    def _pool(self, run_id: str) -> QuestionPool:
        return self._place.derived(run_id, "questions", questions)

    def _download(self, fit: Fit, interview: Interview) -> gr.DownloadButton:
        """Write the answers as a canonical file into a folder of our own and offer it."""
        token = secrets.token_hex(10)
        folder = self._place.downloads(interview.run_id) / token
        folder.mkdir()
        path = folder / "my-answers.jsonl"
        table = answers_table(fit, interview.given, f"visitor-{token[:10]}")
        with path.open("w", encoding="utf-8", errors="replace") as stream:
            table.to_json(stream, orient="records", lines=True, force_ascii=False)
        return gr.DownloadButton(value=str(path))


def _course(fit: Fit, given: Sequence[Answer]) -> Any:
    from emdpo.plots import course_figure

    course = [posterior(fit, answered(fit, given[:n])) for n in range(len(given) + 1)]
    return course_figure(np.array(course))
