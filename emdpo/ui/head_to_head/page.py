"""The Compare page: the layout, and which event calls what."""

from __future__ import annotations

from typing import Any

import gradio as gr

from emdpo.head_to_head.engine import KNOWN
from emdpo.ui.downloads import write_on_press
from emdpo.ui.head_to_head.events import NOTHING_YET, CompareEvents, ComparePage
from emdpo.ui.head_to_head.form import compare_form
from emdpo.ui.head_to_head.view import MEASURE_CHOICES, assumptions_html
from emdpo.ui.markup import line
from emdpo.ui.session import kept_by_the_browser
from emdpo.ui.workplace import Workplace

INTRODUCTION = (
    "# Compare\nThe methods of the field on the same rankings, features and budget, judged by "
    "rankings that none was fitted to."
)

HOW_JUDGED = (
    "Some users are **new**: no method is fitted to them, and their rankings are predicted with "
    f"{', '.join(map(str, KNOWN[:-1]))} and {KNOWN[-1]} of their others known. Of the other users "
    "some rankings are kept for choosing settings and for the test. Intervals draw users again, "
    "paired between methods; they hold the split and the fits fixed."
)

PRIVATE: dict[str, Any] = {"api_visibility": "private", "show_progress": "hidden"}


def build(app: gr.Blocks, place: Workplace) -> None:
    """Lay the page out and connect it; call it inside `app.route`."""
    gr.Markdown(INTRODUCTION, elem_id="compare-introduction")
    mine = kept_by_the_browser("emdpo")
    page = layout()
    gr.Markdown("## What each method assumes")
    gr.HTML(assumptions_html(), elem_id="compare-assumptions")
    _connect(app, place, page, mine)


def layout() -> ComparePage:
    """Lay out the form beside what was found in words, and the results below."""
    with gr.Row(equal_height=False):
        with gr.Column(scale=1, min_width=300):
            form = compare_form()
            with gr.Row():
                start = gr.Button(
                    "Compare them", variant="primary", min_width=140, elem_id="start-comparison"
                )
                stop = gr.Button(
                    "Stop",
                    variant="stop",
                    interactive=False,
                    min_width=100,
                    elem_id="stop-comparison",
                )
        with gr.Column(scale=2, min_width=300):
            state = gr.HTML(line(NOTHING_YET), elem_id="comparison-state")
            headline = gr.HTML(elem_id="comparison-headline")
            gr.Markdown(HOW_JUDGED, elem_id="how-judged")
    with gr.Column(visible=False, elem_id="comparison") as contents:
        results = _results()
    job = (gr.State(""), gr.State(""), kept_by_the_browser("emdpo-compare"))
    clock = gr.Timer(1.0, active=False)
    watched = (clock, start, stop, state, gr.State(""))
    return ComparePage(form, *job, *watched, headline, contents, *results)


def _results() -> tuple[Any, ...]:
    with gr.Row():
        measure = gr.Radio(
            MEASURE_CHOICES,
            value=MEASURE_CHOICES[0][1],
            label="Measure",
            info="Of the table, the figures and the sentences above.",
            min_width=280,
            elem_id="compare-measure",
        )
        part = gr.Dropdown(
            choices=[],
            label="Users",
            info="Whom the table is sorted by and the figures show.",
            min_width=220,
            elem_id="compare-part",
        )
    table = gr.HTML(elem_id="comparison-table")
    with gr.Row(equal_height=False):
        differences = gr.Plot(label="Differences", show_label=False, min_width=300)
        cost = gr.Plot(label="Cost and quality", show_label=False, min_width=300)
    gr.Markdown("## Settings, costs and who is served worst")
    facts = gr.HTML(elem_id="comparison-facts")
    download = gr.Button(
        "Download everything (zip)", elem_id="comparison-zip", elem_classes="narrow"
    )
    note = gr.HTML(visible=False)
    return measure, part, table, differences, cost, facts, download, note


def _connect(app: gr.Blocks, place: Workplace, page: ComparePage, mine: gr.BrowserState) -> None:
    events = CompareEvents(place, page)
    form, about = page.form, [*page.of_data, page.form.source]
    chosen = [form.source, mine, page.own_data, form.methods]
    app.load(events.begin, [mine, page.kept, page.job_id], [*about, *page.watched], **PRIVATE)
    form.source.input(events.choose, chosen, page.of_data, **PRIVATE)
    for file in (form.rankings, form.users):
        file.upload(
            events.load, [form.rankings, form.users, mine, page.own_data], page.of_data, **PRIVATE
        )
    asked = [form.source, mine, page.own_data, form.simulation, *form.settings]
    page.start.click(events.start, asked, page.watched, **PRIVATE)
    page.stop.click(events.stop, page.job_id, page.watched, **PRIVATE)
    page.clock.tick(events.watch, page.job_id, page.watched, trigger_mode="once", **PRIVATE)
    drawn = [page.shown, page.measure, page.part]
    page.shown.change(events.show, drawn, page.results, **PRIVATE)
    write_on_press(page.download, place.comparison_bundle, [page.shown], page.download_note)
    gr.on(
        [page.measure.input, page.part.input], events.show_measure, drawn, page.results, **PRIVATE
    )
