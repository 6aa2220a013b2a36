"""The part of the Types tab that writes a run for other tools: TRL, LLM Comparator, PrefLib."""

from __future__ import annotations

import secrets
from functools import partial
from pathlib import Path
from typing import Any

import gradio as gr

from emdpo.core.errors import EmdpoError
from emdpo.formats.exporting import NOT_INDEPENDENT
from emdpo.ui.downloads import QUIET, write_on_press
from emdpo.ui.markup import line
from emdpo.ui.results import missing
from emdpo.ui.session import Session
from emdpo.ui.workplace import Workplace

TRL, COMPARATOR, PREFLIB, CANONICAL = "trl", "llm-comparator", "preflib", "canonical"

CHOICES = (
    ("Preference pairs (TRL)", TRL),
    ("Two types side by side (LLM Comparator)", COMPARATOR),
    ("One prompt's orders (PrefLib)", PREFLIB),
    ("Rankings (canonical table)", CANONICAL),
)

ABOUT = {
    TRL: "Every ordered pair of answers with its user and the user's likeliest type: keep one type "
    "to train its model with TRL. Lost are ties and which pairs belong together; "
    f"{NOT_INDEPENDENT}.",
    COMPARATOR: "For every prompt the answers that the two types like best, how many people would "
    "prefer which, and who ranked both. Other types and all rules are left out.",
    PREFLIB: "The orders of one prompt's answers, counted. Lost are people, their groups and the "
    "weights of rankings.",
    CANONICAL: "The rankings that were fitted, one row per answer shown, with the groups: what "
    "1 Data and emdpo read. Types are not in it; Download this run in 2 Fit has them.",
}

PROMPTS = 200
"""Most prompts offered by name; the id of any other may be typed."""


def build(place: Workplace, session: Session) -> None:
    """Lay the part out and connect it."""
    with gr.Accordion("Take it to another tool", open=False, elem_id="export"):
        kind = gr.Radio(list(CHOICES), value=TRL, label="Format", info="Of the tool that reads it.")
        about = gr.HTML(line(ABOUT[TRL]))
        types = gr.CheckboxGroup(
            choices=[], label="Types", info="Those whose pairs are written, or the two compared."
        )
        soft = gr.Checkbox(
            label="Each pair for every type",
            info="With the user's responsibility as its weight; only for tools that use weights.",
        )
        prompt = gr.Dropdown(
            choices=[],
            label="Prompt",
            info="Or type its prompt_id.",
            allow_custom_value=True,
            visible=False,
        )
        write = gr.Button(
            "Download", variant="primary", elem_id="export-file", elem_classes="narrow"
        )
        note = gr.HTML(visible=False)
    run_id, options = session.run_id, [types, soft, prompt]
    session.milestone.change(partial(show, place), [run_id, kind], [about, *options], **QUIET)
    kind.input(partial(show, place), [run_id, kind], [about, *options], **QUIET)
    write_on_press(write, partial(export, place), [run_id, kind, *options], note)


def show(place: Workplace, run_id: str, kind: str) -> list[Any]:
    """Return what a format holds, and the options that it has for a run."""
    about = line(ABOUT.get(kind, ""))
    if missing(place, run_id):
        return [about, *[gr.skip()] * 3]
    fit = place.fit(run_id)
    numbers = list(range(1, fit.n_types + 1))
    prompts = fit.rankings.prompts.head(PROMPTS)
    named = list(zip(map(_shown, prompts["prompt"]), prompts["prompt_id"], strict=True))
    return [
        about,
        gr.CheckboxGroup(
            choices=[(f"Type {number}", number) for number in numbers],
            value=numbers[:2] if kind == COMPARATOR else numbers,
            visible=kind in (TRL, COMPARATOR),
        ),
        gr.Checkbox(value=False, visible=kind == TRL),
        gr.Dropdown(choices=named, value=named[0][1], visible=kind == PREFLIB),
    ]


def _shown(prompt: object) -> str:
    text = " ".join(str(prompt).split())
    return text if len(text) <= 80 else f"{text[:79].rstrip()}…"


def export(
    place: Workplace, run_id: str, kind: str, types: list[int], soft: bool, prompt: str | None
) -> Path:
    """Write a run in another tool's format into a folder of our own; return the file's path."""
    from emdpo.formats.exporters.preflib import closest_ending
    from emdpo.formats.exporting import export_rankings

    if message := missing(place, run_id):
        raise EmdpoError(message)
    if kind == TRL and not types:
        raise EmdpoError("Choose at least one type.")
    fit = place.fit(run_id)
    options: dict[str, Any] = {}
    name = "rankings.jsonl"
    if kind == TRL:
        name, options = "trl-pairs.jsonl", {"types": sorted(types), "soft": soft}
    elif kind == COMPARATOR:
        name, options = "llm-comparator.json", {"types": sorted(types)}
    elif kind == PREFLIB:
        options = {"prompt": prompt}
        name = f"orders{closest_ending(fit.rankings, prompt)}"
    path = place.downloads(run_id) / secrets.token_hex(10) / name
    return export_rankings(fit, path, kind, **options).path
