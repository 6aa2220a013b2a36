"""Tab 3, Types: who wants what, how sure that is, and why a user is thought to be of a type."""

from __future__ import annotations

from functools import partial
from typing import Any

import gradio as gr

from emdpo.ui import export_part, who_am_i_part
from emdpo.ui.faults import one_line
from emdpo.ui.markup import line
from emdpo.ui.results import (
    fit_demo,
    missing,
    missing_part,
    missing_view,
    note_html,
    present_view,
)
from emdpo.ui.session import Session
from emdpo.ui.type_facts import composition_of, portraits, profile
from emdpo.ui.types_view import cards_html, user_html
from emdpo.ui.workplace import Workplace

NO_GROUPS = "The data have no groups: add a users file in 1 Data and fit again to see them here."

PRIVATE: dict[str, Any] = {"api_visibility": "private"}


def build(place: Workplace, session: Session, tabs: gr.Tabs) -> None:
    """Lay the tab out and connect it; `tabs` are those of the page."""
    note, demo = missing_part()
    with gr.Column(visible=False) as contents:
        cards = gr.HTML()
        with gr.Row(equal_height=False):
            posterior = gr.Plot(label="How sure?", show_label=False, min_width=320)
            style = gr.Plot(label="Likes and dislikes", show_label=False, min_width=320)
        who_am_i_part.build(place, session, tabs)
        gr.Markdown("### Types and groups")
        groups = gr.HTML()
        attribute = gr.Dropdown(
            choices=[],
            label="Group by",
            info="A column of your file that is the same for all of a user's rows.",
        )
        composition = gr.Plot(label="Types by group", show_label=False)
        user, look, answer = _look_up()
        export_part.build(place, session)
    shown = [
        note,
        demo,
        contents,
        cards,
        posterior,
        style,
        groups,
        attribute,
        composition,
        user,
        answer,
    ]
    run_id = session.run_id
    session.milestone.change(partial(show, place), run_id, shown, **PRIVATE)
    attribute.input(partial(show_groups, place), [run_id, attribute], composition, **PRIVATE)
    gr.on([look.click, user.submit], partial(show_user, place), [run_id, user], answer, **PRIVATE)
    started = [session.data_id, run_id, note]
    demo.click(partial(fit_demo, place), outputs=started, **PRIVATE)


def _look_up() -> tuple[gr.Textbox, gr.Button, gr.HTML]:
    gr.Markdown("### Look up one user")
    with gr.Row(equal_height=True):
        user = gr.Textbox(
            label="User id",
            info="Exactly as in the file.",
            max_lines=1,
            scale=4,
            min_width=200,
            elem_id="user-id",
        )
        look = gr.Button("Look up", variant="primary", scale=1, min_width=110, elem_id="look-up")
    return user, look, gr.HTML(elem_id="user-answer")


def show(place: Workplace, run_id: str) -> list[Any]:
    """Return the types of a run, or what is missing."""
    if message := missing(place, run_id):
        return [*missing_view(message), *[gr.skip()] * 8]
    try:
        return [*present_view(), *_contents(place, run_id)]
    except Exception as error:  # noqa: BLE001 - shown as one line
        return [note_html(one_line(error), "error"), *[gr.skip()] * 10]


def _contents(place: Workplace, run_id: str) -> list[Any]:
    from emdpo.cards import reading_note
    from emdpo.plots import posterior_figure, style_figure

    fit = place.fit(run_id)
    posterior = posterior_figure(fit.responsibilities)
    names = fit.rankings.attributes
    first = names[0] if names else None
    return [
        cards_html(portraits(place, run_id), reading_note(fit)),
        gr.Plot(value=posterior, visible=posterior is not None),
        style_figure(profile(place, run_id)),
        note_html("" if names else NO_GROUPS),
        gr.Dropdown(choices=names, value=first, visible=bool(names)),
        show_groups(place, run_id, first),
        gr.Textbox(value="", placeholder=f"for example {fit.rankings.users.index[0]}"[:60]),
        "",
    ]


def show_groups(place: Workplace, run_id: str, attribute: str | None) -> gr.Plot:
    """Return types by group; nothing where the file has no groups."""
    from emdpo.plots import composition_figure

    if attribute is None or attribute not in place.fit(run_id).rankings.attributes:
        return gr.Plot(value=None, visible=False)
    return gr.Plot(value=composition_figure(composition_of(place, run_id, attribute)), visible=True)


def show_user(place: Workplace, run_id: str, user: str) -> str:
    """Return one user's type and why."""
    from emdpo.core.evidence import user_evidence

    if not user:
        return line("Type a user id first.", "warning")
    try:
        fit = place.fit(run_id)
        evidence = user_evidence(
            fit.rankings, fit.policies, fit.responsibilities, fit.weights, user
        )
    except Exception as error:  # noqa: BLE001 - shown as one line
        return line(one_line(error), "error")
    return user_html(evidence)
