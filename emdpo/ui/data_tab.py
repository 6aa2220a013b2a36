"""Tab 1, Data: load rankings, correct the columns, see what is wrong and what they can tell."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from emdpo.core.tables.forms import ROLES
from emdpo.formats.importers.preflib import ENDINGS as PREFLIB_ENDINGS
from emdpo.ui.data_report import report_html
from emdpo.ui.datasets import DataSet
from emdpo.ui.faults import one_line
from emdpo.ui.markup import line
from emdpo.ui.workplace import CLASSROOM_NAME, Workplace

NO_COLUMN = "(none)"
AUTOMATIC = "(automatic)"

ROLE_INFO = {
    "user_id": "who ranked; needed",
    "prompt": "what was asked; needed",
    "response": "one answer a row; needed in long tables",
    "rank": "1 = best, blank = not ranked",
    "ranking_id": "which rows belong together",
    "prompt_id": "name of the prompt",
    "response_id": "name of the answer",
    "split": "anything but train is held out",
    "weight": "how much a ranking counts",
    "score": "higher is better, instead of rank",
    "rating": "higher is better, instead of rank",
    "chosen": "flag or position of the best answer",
    "responses": "list of answers, one ranking a row",
    "ranking": "order such as B>A=C, one ranking a row",
}


@dataclass(frozen=True)
class DataTab:
    """What other parts of the page use of this tab."""

    demo: gr.Button
    status: gr.HTML


def build(place: Workplace, data_id: gr.State) -> DataTab:
    """Lay the tab out and connect it; it writes the id of the loaded data to `data_id`."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            status, demo, classroom, rankings, users = _sources()
            roles, apply, form = _columns()
        with gr.Column(scale=2, min_width=320):
            report = gr.HTML(line("No data yet: load the demo or choose a rankings file."))
            figure = gr.Plot(label="What is in the data?", show_label=False, visible=False)
            preview = gr.Dataframe(
                label="First rows as they are in the file",
                interactive=False,
                datatype="str",
                max_chars=60,
                elem_id="preview",
                visible=False,
            )
    loaded = [data_id, status]
    private: dict[str, Any] = {"api_visibility": "private"}
    demo.click(partial(load_demo, place), outputs=loaded, **private)
    classroom.click(partial(load_classroom, place), outputs=loaded, **private)
    for file in (rankings, users):
        file.upload(partial(load_files, place), [rankings, users], loaded, **private)
    chosen = [data_id, *roles]
    apply.click(partial(correct_columns, place), chosen, loaded, **private)
    shown = [report, figure, preview, form, apply, *roles]
    data_id.change(partial(show, place), data_id, shown, show_progress="minimal", **private)
    return DataTab(demo, status)


def _sources() -> tuple[gr.HTML, gr.Button, gr.Button, gr.File, gr.File]:
    gr.Markdown(
        "### Load rankings\nThe demo: 240 **simulated** raters rank four answers to everyday "
        "questions. No person was asked."
    )
    demo = gr.Button("Load the demo", variant="primary", elem_id="load-demo")
    status = gr.HTML(elem_id="data-status")
    gr.Markdown(
        "Or your own file: one row per answer shown, with `user_id`, `prompt`, `response`, `rank`; "
        "or one row per ranking. CSV, TSV, JSONL or Parquet, up to 50 MB. Files of PRISM, CoVal, "
        "Community Alignment, Argilla, TRL, PrefLib and others are known and read, too."
    )
    types = [".csv", ".tsv", ".jsonl", ".parquet"]
    rankings = gr.File(
        label="Rankings file",
        file_types=[*types, *PREFLIB_ENDINGS],
        height=150,
        elem_id="rankings-file",
    )
    users = gr.File(label="Users file (optional)", file_types=types, height=150)
    gr.Markdown(
        "The users file has `user_id` and one column per group, such as age or country; "
        "or it is PRISM's survey or CoVal's annotators."
    )
    with gr.Row():
        classroom = gr.Button("Load the classroom example", size="sm")
        gr.DownloadButton("Download it (CSV)", value=_classroom_copy(), size="sm")
    return status, demo, classroom, rankings, users


def _classroom_copy() -> str | None:
    """Return the path of a copy where Gradio may serve files from."""
    import shutil
    import tempfile

    from emdpo.core.errors import EmdpoError
    from emdpo.demo import demo_file

    try:
        source = demo_file("classroom.csv")
    except EmdpoError:
        return None
    folder = Path(tempfile.mkdtemp(prefix="emdpo-example-"))
    return str(shutil.copy(source, folder / source.name))


def _columns() -> tuple[list[gr.Dropdown], gr.Button, gr.HTML]:
    with gr.Accordion("Columns: check or correct what was detected", open=False):
        form = gr.HTML(line("Load a file first."))
        with gr.Row():
            roles = [
                gr.Dropdown(
                    choices=[AUTOMATIC],
                    value=AUTOMATIC,
                    label=role,
                    info=ROLE_INFO[role],
                    min_width=140,
                    interactive=True,
                )
                for role in ROLES
            ]
        apply = gr.Button("Read again with these columns", size="sm", interactive=False)
    return roles, apply, form


def load_demo(place: Workplace) -> tuple[Any, str]:
    """Load the embedded demo."""
    return _loaded(place, place.add_demo)


def load_classroom(place: Workplace) -> tuple[Any, str]:
    """Load the small wide example."""
    return _loaded(place, lambda: place.add_demo("classroom.csv", CLASSROOM_NAME))


def load_files(place: Workplace, rankings: str | None, users: str | None) -> tuple[Any, str]:
    """Load what was uploaded; a users file alone waits for its rankings."""
    if rankings is None:
        return gr.skip(), line("Now choose the rankings file that these users belong to.")
    second = None if users is None else Path(users)
    return _loaded(place, lambda: place.add_data(Path(rankings), second))


def correct_columns(place: Workplace, data_id: str, *choices: str) -> tuple[Any, str]:
    """Read the same files again with the columns that were chosen."""
    columns = {
        role: None if choice == NO_COLUMN else choice
        for role, choice in zip(ROLES, choices, strict=True)
        if choice != AUTOMATIC
    }
    return _loaded(place, lambda: place.correct_columns(data_id, columns))


def _loaded(place: Workplace, load: Any) -> tuple[Any, str]:
    try:
        data_id = load()
        return data_id, _outcome(place.data(data_id))
    except Exception as error:  # noqa: BLE001 - shown as one line, logged where it is ours
        return gr.skip(), line(one_line(error), "error")


def _outcome(data: DataSet) -> str:
    if data.report.errors:
        return line(str(data.report.errors[0]), "error")
    warnings = len(data.report.warnings)
    doubts = f", {warnings} warning{'s' * (warnings != 1)}" if warnings else ""
    return line(f"Loaded: {data.name}{doubts}. Next: 2 Fit.", "good")


def show(place: Workplace, data_id: str) -> tuple[Any, ...]:
    """Return the report, figure, preview and column choices of the loaded data."""
    try:
        data = place.data(data_id)
    except Exception as error:  # noqa: BLE001 - shown as one line
        return (line(one_line(error), "error"), *[gr.skip()] * (4 + len(ROLES)))
    return (
        report_html(data),
        _figure(data),
        gr.Dataframe(value=_as_text(data.preview), visible=data.preview is not None),
        _form_html(data),
        gr.Button(interactive=bool(data.column_names)),
        *_role_choices(data),
    )


def _figure(data: DataSet) -> gr.Plot:
    from emdpo.plots import data_figure

    if data.rankings is None:
        return gr.Plot(value=None, visible=False)
    return gr.Plot(value=data_figure(data.rankings), visible=True)


def _as_text(preview: Any) -> Any:
    return None if preview is None else preview.map(lambda cell: "" if cell is None else str(cell))


def _form_html(data: DataSet) -> str:
    if data.layout is None or data.layout.form is None:
        return line("The form was not recognised: name the columns below.", "warning")
    return line(f"Detected: {data.layout.form.value}.")


def _role_choices(data: DataSet) -> list[gr.Dropdown]:
    found = {} if data.layout is None else data.layout.roles
    guesses = {} if data.layout is None else data.layout.suggestions
    choices = [AUTOMATIC, NO_COLUMN, *data.column_names]
    return [
        gr.Dropdown(choices=choices, value=found.get(role) or guesses.get(role) or AUTOMATIC)
        for role in ROLES
    ]
