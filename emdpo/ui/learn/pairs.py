"""Figure 1 of the Learn page: why pairs can hide types."""

from __future__ import annotations

from typing import Any

import gradio as gr
import numpy as np

from emdpo.learn.designs import designs, love_and_hate
from emdpo.learn.opposed import em_paths
from emdpo.learn.sampling import sample_answers
from emdpo.learn.surfaces import expected_surface, sample_surface
from emdpo.learn.theorems import coverage
from emdpo.plots.learning_pairs import answers_figure, surface_figure
from emdpo.ui.learn.code import code_part
from emdpo.ui.learn.pairs_view import (
    code_text,
    coverage_html,
    difference_html,
    em_html,
    heading,
)

LIVE: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "trigger_mode": "always_last",
}

INTRODUCTION = (
    "**Two populations.** In one, everybody is indifferent. In the other, half the people love "
    "jokes and half hate them, equally strongly (with more types, tastes lie evenly between). "
    "Three ways of asking the same people: which of them can tell the two populations apart?"
)

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
    code = code_part("pairs-code")
    at_once = [*headings, *answers, *differences, *surfaces, *found, code]
    gr.on(None, exactly, controls, at_once, **LIVE).then(
        by_em, controls, [*surfaces, *found, table], **LIVE
    )


def _controls() -> list[Any]:
    """Return the sliders and the choice of surface, in the order of `exactly`'s arguments."""
    with gr.Row():
        theta = _slider("Strength", (0, 3, 0.1), 1.5, "theta: the strongest taste, in nats a joke.")
        types = _slider("Types", (2, 4, 1), 2, "Tastes evenly from hate to love, equal shares.")
        answers = _slider("Answers per person", (1, 4, 1), 2, "Linked only on the right.")
    with gr.Row():
        people = _slider("People", (50, 1000, 50), 400, "More people make open regions smaller.")
        seed = _slider("Seed", (0, 99, 1), 0, "Draws other people and other starts of EM.")
        surface = gr.Radio(
            [EXACT, ONE_SAMPLE],
            value=EXACT,
            label="Log-likelihood shown",
            info="On average over all samples, or of the one that EM fits.",
            elem_id="pairs-surface",
            min_width=220,
        )
    return [theta, types, answers, people, seed, surface]


def _slider(label: str, span: tuple[float, float, float], value: float, info: str) -> gr.Slider:
    low, high, step = span
    name = label.split()[0].lower()
    return gr.Slider(
        low,
        high,
        value=value,
        step=step,
        label=label,
        info=info,
        elem_id=f"pairs-{name}",
        min_width=220,
        buttons=[],
    )


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
        *(em_html(None) for _ in asked),
        code_text(theta, int(types), int(answers), int(people), int(seed)),
    ]


def by_em(
    theta: float, types: float, answers: float, people: float, seed: float, surface: str
) -> list[Any]:
    """Return the surfaces with EM's starts on them, what it found, and the table of theorems."""
    truth, n_people = love_and_hate(theta, int(types)), int(people)
    samples = [
        sample_answers(design, truth, n_people, np.random.default_rng(int(seed)))
        for design in designs(int(answers))
    ]
    figures, found = [], []
    for sample in samples:
        rng = np.random.default_rng(int(seed))
        paths = em_paths(sample.rankings(), truth.n_types, rng)
        if surface == EXACT:
            under = expected_surface(sample.design, truth, n_people)
        else:
            under = sample_surface(sample.design, sample.counts(), truth.n_types, n_people)
        figures.append(surface_figure(under, truth, paths, exact=surface == EXACT))
        found.append(em_html(paths))
    return [*figures, *found, coverage_html(coverage(samples), [s.design for s in samples], truth)]
