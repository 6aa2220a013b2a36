"""Files that are written on a press: words meanwhile, then the file, or why there is none."""

from __future__ import annotations

import gradio as gr
import pytest

from emdpo.core.errors import RunError
from emdpo.ui.downloads import write_on_press


def pressed(write, *given):
    """Return what a press shows, step by step, as (file, line)."""
    with gr.Blocks() as page:
        inputs = [gr.State() for _ in given]
        write_on_press(gr.Button(), write, inputs, gr.HTML())
    event = next(each for each in page.fns.values() if each.outputs and each.inputs is not None)
    return [(file, note) for file, note in event.fn(*given)]


def test_a_press_says_so_then_gives_the_file(tmp_path):
    def write(words):
        path = tmp_path / "words.txt"
        path.write_text(words)
        return path

    (nothing, first), (file, last) = pressed(write, "hello")
    assert nothing is None and first.visible and "Writing" in first.value
    assert file == str(tmp_path / "words.txt") and not last.visible
    assert (tmp_path / "words.txt").read_text() == "hello"


@pytest.mark.parametrize(
    ("error", "told"), [(RunError("the run is gone"), "the run is gone"), (KeyError("x"), "log id")]
)
def test_a_file_that_cannot_be_written_is_one_line(error, told):
    def write():
        raise error

    *_, (file, note) = pressed(write)
    assert file is None and note.visible
    assert told in note.value and "line-error" in note.value
