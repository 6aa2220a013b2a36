"""Figure 1 of the Learn page: why pairs can hide types."""

from __future__ import annotations

from functools import lru_cache, partial
from typing import Any

import gradio as gr
import numpy as np

from emdpo.learn.designs import designs, love_and_hate
from emdpo.learn.examples import pairs_program
from emdpo.learn.opposed import em_paths
from emdpo.learn.sampling import sample_answers
from emdpo.learn.surfaces import expected_surface, open_strengths, sample_surface
from emdpo.learn.theorems import coverage
from emdpo.plots.learning_pairs import answers_figure, surface_figure
from emdpo.ui.learn.pairs_view import coverage_html, difference_html, em_html, heading
from emdpo.ui.learn.parts import LIVE, code, slider
from emdpo.ui.markup import line

INTRODUCTION = (
    "**Two populations.** In one, everybody is indifferent. In the other, half the people love "
    "jokes and half hate them, equally strongly (with more types, tastes lie evenly between). "
    "Three ways of asking the same people: which of them can tell the two populations apart?"
)

STRENGTH = "theta: the strongest taste, in nats a joke."
TYPES = "Tastes evenly from hate to love, equal shares."
ANSWERS = "Linked only on the right."
PEOPLE = "More people make open regions smaller."
SEED = "Draws other people and other starts of EM."

EM_WORKS = "EM is working on the people drawn …"

EXACT, ONE_SAMPLE = "expected, exactly", "of the people drawn"


def build() -> None:
    """Lay the figure out and connect it."""
    gr.Markdown(INTRODUCTION)
    controls = _controls()
    headings, answers, differences, surfaces, found = [], [], [], [], []
    with gr.Row():
        for place in range(3):
            with gr.Column(min_width=300):
                headings.append(gr.HTML())
                answers.append(gr.Plot(label=f"Answers, design {place + 1}", show_label=False))
                differences.append(gr.HTML(elem_id=f"pairs-difference-{place + 1}"))
                surfaces.append(gr.Plot(label=f"Likelihood, design {place + 1}", show_label=False))
                found.append(gr.HTML(elem_id=f"pairs-em-{place + 1}"))
    gr.Markdown("### Which theorem covers these settings?")
    table = gr.HTML(elem_id="pairs-theorems")
    program = code("", elem_id="pairs-code")
    at_once = [*headings, *answers, *differences, *surfaces, *found, program]
    gr.on(None, exactly, controls, at_once, **LIVE).then(
        by_em, controls, [*surfaces, *found, table], **LIVE
    )


def _controls() -> list[Any]:
    """Return the sliders and the choice of surface, in the order of `exactly`'s arguments."""
    whole = partial(slider, step=1)
    with gr.Row():
        theta = slider("Strength", 1.5, STRENGTH, "pairs-strength", maximum=3, step=0.1)
        types = whole("Types", 2, TYPES, "pairs-types", minimum=2, maximum=4)
        answers = whole("Answers per person", 2, ANSWERS, "pairs-answers", minimum=1, maximum=4)
    with gr.Row():
        people = slider("People", 400, PEOPLE, "pairs-people", minimum=50, maximum=600, step=50)
        seed = whole("Seed", 0, SEED, "pairs-seed", maximum=99)
        surface = gr.Radio(
            [EXACT, ONE_SAMPLE],
            value=EXACT,
            label="Log-likelihood shown",
            info="On average over all samples, or of the one that EM fits.",
            elem_id="pairs-surface",
            min_width=220,
        )
    return [theta, types, answers, people, seed, surface]


def exactly(
    theta: float, types: float, answers: float, people: float, seed: float, surface: str
) -> list[Any]:
    """Return what is known without any sample, and the code for these settings."""
    truth, asked = love_and_hate(theta, int(types)), designs(int(answers))
    expected = [expected_surface(design, truth, int(people)) for design in asked]
    shown = [surface_figure(each, truth) for each in expected]
    return [
        *(heading(design) for design in asked),
        *(answers_figure(design, truth) for design in asked),
        *(difference_html(design, truth) for design in asked),
        *(shown if surface == EXACT else [gr.skip()] * 3),
        *[line(EM_WORKS)] * 3,
        pairs_program(theta, int(types), int(answers), int(people), int(seed)),
    ]


@lru_cache(maxsize=64)
def by_em(
    theta: float, types: float, answers: float, people: float, seed: float, surface: str
) -> tuple[Any, ...]:
    """Return the surfaces with EM's starts on them, what it found, and the table of theorems.

    Remembered, since everybody who opens the page begins with the same settings.
    """
    truth, n_people = love_and_hate(theta, int(types)), int(people)
    samples = [
        sample_answers(design, truth, n_people, np.random.default_rng(int(seed)))
        for design in designs(int(answers))
    ]
    figures, found = [], []
    for sample in samples:
        rng = np.random.default_rng(int(seed))
        paths = em_paths(sample.rankings(), truth.n_types, rng)
        exact, counts = surface == EXACT, sample.counts()
        if exact:
            under = expected_surface(sample.design, truth, n_people)
        else:
            under = sample_surface(sample.design, counts, truth.n_types, n_people)
        left_open = open_strengths(sample.design, counts, truth.n_types)
        figures.append(surface_figure(under, truth, paths, exact=exact))
        found.append(em_html(paths, n_people, left_open))
    table = coverage_html(coverage(samples), [sample.design for sample in samples], truth)
    return (*figures, *found, table)
