"""Under every figure: the short Python that draws it, for these settings."""

from __future__ import annotations

import gradio as gr


def code_part(elem_id: str) -> gr.Code:
    """Lay out the closed accordion and return what shows the code."""
    with gr.Accordion("The code that draws this", open=False):
        gr.Markdown("Runs anywhere that `emdpo` is installed, with the settings chosen above.")
        return gr.Code(
            language="python",
            interactive=False,
            label="The code that draws this",
            show_label=False,
            elem_id=elem_id,
        )
