"""Figure 1 of the Learn page: why pairs can hide types."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emdpo.learn.designs import designs, love_and_hate
from emdpo.plots.learning_pairs import answers_figure

LIVE: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "trigger_mode": "always_last",
}

HEADINGS = ("Pairs, no names", "Best of three, no names", "Pairs, linked by person")


def build() -> None:
    """Lay the figure out and connect it."""
    with gr.Row():
        theta = gr.Slider(
            0,
            3,
            value=1.5,
            step=0.1,
            label="Strength",
            info="How strongly people feel about jokes.",
            elem_id="pairs-theta",
            buttons=[],
        )
        n_types = gr.Slider(
            2,
            4,
            value=2,
            step=1,
            label="Types",
            info="Tastes evenly spaced from hate to love.",
            elem_id="pairs-types",
            buttons=[],
        )
        n_answers = gr.Slider(
            1,
            5,
            value=2,
            step=1,
            label="Answers per person",
            info="Linked only on the right.",
            elem_id="pairs-answers",
            buttons=[],
        )
    plots = []
    with gr.Row():
        for heading in HEADINGS:
            with gr.Column(min_width=300):
                gr.Markdown(f"### {heading}")
                plots.append(gr.Plot(label=heading, show_label=False))
    gr.on(None, _answers, [theta, n_types, n_answers], plots, **LIVE)


def _answers(theta: float, n_types: int, n_answers: int) -> list[Any]:
    population = love_and_hate(theta, n_types)
    return [answers_figure(design, population) for design in designs(n_answers)]
