"""Figure 2 of the Learn page: EM step by step."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr
import numpy as np

from emdpo.learn.examples import em_program
from emdpo.learn.half_steps import (
    M_STEP,
    Crowd,
    Half,
    begin,
    best_known,
    draw_crowd,
    stands_still,
    walk,
    walk_to_end,
)
from emdpo.plots.learning_em import climb_figure, policies_figure, responsibilities_figure
from emdpo.ui.learn.em_view import state_html, verdict_html
from emdpo.ui.learn.parts import LIVE, code, slider

if TYPE_CHECKING:
    from collections.abc import Sequence

INTRODUCTION = (
    "**Forty people, three answers.** Each person ranks a brief, a funny and a thorough answer to "
    "some questions; three kinds of people are planted among them. EM does not know who is who: it "
    "guesses whose policy explains whom (E), fits the policies to the guess (M), and so on. These "
    "are the plain steps; a fit in the Workbench takes them too, and ends with a faster ascent."
)

START_LABELS = {
    "random": "at random",
    "clusters": "emdpo's own: k-means",
    "torn": "badly: two types in one, one torn in two",
    "alike": "badly: everybody the same",
}

WORKING: dict[str, Any] = LIVE | {"show_progress": "minimal"}

QUESTIONS = "More answers tell more of a person."
SEED = "Draws other people."
DRAW = "Restart counts it up."


def build() -> None:
    """Lay the figure out and connect it."""
    gr.Markdown(INTRODUCTION)
    done = gr.State(0)
    with gr.Row():
        start = gr.Radio(
            [(label, key) for key, label in START_LABELS.items()],
            value="random",
            label="Start",
            info="Who gives the first responsibilities, and how.",
            elem_id="em-start",
        )
    with gr.Row():
        whole = partial(slider, step=1)
        questions = whole("Questions a person", 3, QUESTIONS, "em-questions", minimum=1, maximum=5)
        seed = whole("People", 0, SEED, "em-people", maximum=99)
        draw = whole("Random start no.", 1, DRAW, "em-draw", minimum=1, maximum=99)
    buttons = _buttons()
    state = gr.HTML(elem_id="em-state")
    verdict = gr.HTML(elem_id="em-verdict")
    with gr.Row(equal_height=False):
        triangle, people, climb = (
            gr.Plot(label=label, show_label=False, min_width=320)
            for label in ("Policies", "Responsibilities", "The climb")
        )
    program = code("", elem_id="em-code")
    settings = [questions, seed, start, draw]
    shown = [done, *buttons[:4], state, verdict, triangle, people, climb, program]
    gr.on(None, partial(_show, 0), settings, shown, **LIVE)
    m_step, e_step, to_end, back, again = buttons
    for button in (m_step, e_step):
        button.click(_further, [done, *settings], shown, **LIVE)
    ended_from = gr.State()
    ending = to_end.click(_to_end, settings, [ended_from, *shown], **WORKING)
    ending.then(_begin_if_changed, [ended_from, *settings], shown, **LIVE)
    back.click(_back, [done, *settings], shown, **LIVE)
    again.click(_restart, draw, [start, draw], **LIVE)


def _buttons() -> list[gr.Button]:
    """Return M, E, to the end, back and restart."""
    words = {
        "em-m": "M step",
        "em-e": "E step",
        "em-end": "Run to the end",
        "em-back": "Back",
        "em-again": "Restart",
    }
    with gr.Row():
        return [gr.Button(word, min_width=110, elem_id=name) for name, word in words.items()]


def _world(questions: float, seed: float, start: str, draw: float) -> tuple[Crowd, Half]:
    crowd = draw_crowd(int(questions), np.random.default_rng(int(seed)))
    return crowd, begin(crowd, start, np.random.default_rng(int(draw)))


def _show(done: int, *settings: Any) -> list[Any]:
    """Return everything as it stands after `done` half-steps from the start of these settings."""
    crowd, begun = _world(*settings)
    return _shown(crowd, walk(crowd, begun, done), settings)


def _shown(crowd: Crowd, halves: Sequence[Half], settings: tuple[Any, ...]) -> list[Any]:
    questions, seed, start, draw = settings
    still, here = stands_still(halves), halves[-1]
    best = best_known(crowd) if still else None
    return [
        here.number,
        *_next_buttons(here, still),
        state_html(halves),
        verdict_html(crowd, halves, best),
        policies_figure(crowd, halves),
        responsibilities_figure(crowd, here),
        climb_figure(halves, best),
        em_program(int(questions), int(seed), start, int(draw), here.number),
    ]


def _next_buttons(here: Half, still: bool) -> list[gr.Button]:
    """Return M, E, to the end and back: what would change nothing cannot be pressed."""
    m_next = here.next_kind == M_STEP
    return [
        gr.Button(interactive=m_next, variant="primary" if m_next else "secondary"),
        gr.Button(interactive=not m_next, variant="secondary" if m_next else "primary"),
        gr.Button(interactive=not still),
        gr.Button(interactive=here.number > 0),
    ]


def _further(done: int, *settings: Any) -> list[Any]:
    return _show(done + 1, *settings)


def _back(done: int, *settings: Any) -> list[Any]:
    return _show(max(done - 1, 0), *settings)


def _to_end(*settings: Any) -> list[Any]:
    """Return the settings it began from, and everything as it stands at the end."""
    crowd, begun = _world(*settings)
    return [settings, *_shown(crowd, walk_to_end(crowd, begun), settings)]


def _begin_if_changed(ended_from: Any, *settings: Any) -> Any:
    """Begin from the settings on the page where they were changed on the way to the end."""
    return gr.skip() if tuple(ended_from) == settings else _show(0, *settings)


def _restart(draw: float) -> tuple[str, int]:
    """Return a random start that was not tried yet; both controls begin anew by themselves."""
    return "random", int(draw) % 99 + 1
