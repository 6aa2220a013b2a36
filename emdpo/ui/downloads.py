"""Files that are written when they are asked for: a press writes one, and the browser saves it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import gradio as gr

from emdpo.ui.faults import one_line
from emdpo.ui.results import note_html

QUIET: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}

SAVE = """(file) => {
    if (!file) return;
    const link = document.createElement("a");
    link.href = file.url;
    link.download = file.orig_name || "";
    document.body.append(link);
    link.click();
    link.remove();
}"""
"""Gives a file that the server has written to the browser, which saves it."""

Write = Callable[..., Path]
"""Writes a file that may be downloaded and returns its path."""


def write_on_press(button: gr.Button, write: Write, inputs: Sequence[Any], note: gr.HTML) -> None:
    """Let a button write a file of the inputs and give it to the browser.

    `note` says so meanwhile, or why there is none. Call it inside the Blocks.
    """
    file = gr.File(visible=False)
    written = button.click(_written(write), list(inputs), [file, note], **QUIET)
    written.then(None, file, None, js=SAVE, **QUIET)


def _written(write: Write) -> Callable[..., Iterator[tuple[Any, gr.HTML]]]:
    """Return the event: first that it has begun, then the file or what went wrong."""

    def event(*given: Any) -> Iterator[tuple[Any, gr.HTML]]:
        yield None, note_html("Writing the file…")
        try:
            yield str(write(*given)), note_html("")
        except Exception as error:  # noqa: BLE001 - shown as one line
            yield None, note_html(one_line(error), "error")

    return event
