"""What the figures of the Learn page have in common."""

from __future__ import annotations

from typing import Any

import gradio as gr

LIVE: dict[str, Any] = {
    "api_visibility": "private",
    "show_progress": "hidden",
    "trigger_mode": "always_last",
}
"""Of what follows a control: of the moves made while the server answers, only the last counts."""


def code(program: str, title: str = "The code that draws this", elem_id: str = "") -> gr.Code:
    """Return what shows the program that draws a figure, for who opens it."""
    with gr.Accordion(title, open=False):
        return gr.Code(
            program,
            language="python",
            show_label=False,
            label=title,
            interactive=False,
            wrap_lines=True,
            elem_id=elem_id or None,
        )


def slider(label: str, value: float, info: str, elem_id: str, **settings: Any) -> gr.Slider:
    """Return a slider from 0 to 100 by halves, or as `settings` say."""
    bounds = {"minimum": 0, "maximum": 100, "step": 0.5} | settings
    return gr.Slider(
        **bounds, value=value, label=label, info=info, elem_id=elem_id, buttons=[], min_width=150
    )
