"""What is compared on what, as controls, and what of it may be asked of a shared server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from emdpo.core.errors import EmdpoError
from emdpo.formats.importers.preflib import ENDINGS as PREFLIB_ENDINGS
from emdpo.head_to_head.config import ComparisonConfig
from emdpo.head_to_head.simulations import PRESETS, simulation_text
from emdpo.methods.known_types import KnownTypes
from emdpo.methods.registry import METHODS

DEMO, WORKBENCH, FILE, SIMULATION = "demo", "workbench", "file", "simulation"
"""Where rankings come from."""

SOURCES = [
    ("Demo", DEMO),
    ("Loaded in the Workbench", WORKBENCH),
    ("A file of yours", FILE),
    ("Simulation with planted types", SIMULATION),
]

FIRST_GROUP = ""
"""Stands for the first attribute with two values."""

FIRST_GROUP_LABEL = "(the first with two values)"

MOST_DRAWS = 5000
"""Limit of the page; the command line has none."""

DEFAULT = ComparisonConfig()


@dataclass(frozen=True)
class CompareForm:
    """The controls of a comparison."""

    source: gr.Radio
    files: gr.Column
    rankings: gr.File
    users: gr.File
    simulation: gr.Dropdown
    note: gr.HTML
    """What the data are, or what is wrong with them."""
    methods: gr.CheckboxGroup
    features: gr.Dropdown
    group: gr.Dropdown
    cut: gr.Number
    new_share: gr.Slider
    seed: gr.Number
    draws: gr.Number

    @property
    def settings(self) -> list[Any]:
        """What `settings_of` reads, the source apart."""
        return [
            *(self.methods, self.features, self.group, self.cut),
            *(self.new_share, self.seed, self.draws),
        ]


def compare_form() -> CompareForm:
    """Lay out data and methods, and the rest in a closed accordion."""
    controls: list[Any] = [*_data_controls()]
    methods = gr.CheckboxGroup(
        methods_for(DEMO),
        value=methods_for(DEMO),
        label="Methods",
        info="All get the same features and as many settings to try. What each assumes is below.",
        elem_id="compare-methods",
    )
    with gr.Accordion("Settings", open=False):
        controls += [methods, *_settings()]
    return CompareForm(*controls)


def _data_controls() -> tuple[Any, ...]:
    source = gr.Radio(
        SOURCES,
        value=DEMO,
        label="Rankings",
        info="In a simulation the true types are known: regret and the types found are checked.",
        elem_id="compare-source",
    )
    types = [".csv", ".tsv", ".jsonl", ".parquet"]
    with gr.Column(visible=False) as files:
        rankings = gr.File(
            label="Rankings file",
            file_types=[*types, *PREFLIB_ENDINGS],
            height=140,
            elem_id="compare-file",
        )
        users = gr.File(label="Users file (optional)", file_types=types, height=140)
    simulation = gr.Dropdown(
        [(simulation_text(each), name) for name, each in PRESETS.items()],
        value=next(iter(PRESETS)),
        label="Simulation",
        info="Another seed, in Settings, draws other people.",
        visible=False,
        elem_id="compare-simulation",
    )
    return source, files, rankings, users, simulation, gr.HTML(elem_id="compare-data")


def _settings() -> list[Any]:
    features = gr.Dropdown(
        ["auto", "items", "text", "columns"],
        value=DEFAULT.features,
        label="Features",
        info="What tastes are about: each answer by itself, its text, or x_ columns of the file.",
    )
    group = gr.Dropdown(
        [(FIRST_GROUP_LABEL, FIRST_GROUP)],
        value=FIRST_GROUP,
        label="Group to protect",
        info="Attribute whose groups group_dpo treats alike.",
        elem_id="compare-group",
    )
    cut = gr.Number(
        0,
        precision=0,
        label="Cut long rankings into lists of",
        info="0: not at all. Where people ranked once, a part of each list can then be known.",
        elem_id="compare-cut",
    )
    new_share = gr.Slider(
        0.1,
        0.5,
        value=DEFAULT.new_share,
        step=0.05,
        label="Share of new users",
        info="No method is fitted to them.",
        buttons=[],
    )
    with gr.Row():
        seed = gr.Number(
            DEFAULT.seed,
            precision=0,
            label="Seed",
            info="Same seed, same result.",
            min_width=120,
            elem_id="compare-seed",
        )
        draws = gr.Number(
            DEFAULT.n_bootstrap,
            precision=0,
            label="Draws of users",
            info=f"For the intervals, up to {MOST_DRAWS:,}.",
            min_width=120,
            elem_id="compare-draws",
        )
    return [features, group, cut, new_share, seed, draws]


def methods_for(source: str) -> list[str]:
    """Return the methods that apply: the truth is known in simulations alone."""
    return [name for name in METHODS if source == SIMULATION or name != KnownTypes.name]


def settings_of(
    source: str,
    methods: list[str] | None,
    features: str,
    group: str | None,
    cut: float | None,
    new_share: float | None,
    seed: float | None,
    draws: float | None,
) -> dict[str, Any]:
    """Return the settings that the controls hold, as `Jobs.start_comparison` takes them.

    Raises
    ------
    EmdpoError
        No method chosen, or a value that is missing, out of range or more than this page gives.
    """
    chosen = [name for name in methods_for(source) if name in (methods or ())]
    if not chosen:
        raise EmdpoError("choose at least one method")
    if isinstance(new_share, bool) or not isinstance(new_share, int | float):
        raise EmdpoError(f"the share of new users must be a number, got {new_share!r:.40}")
    settings = {
        "features": features,
        "new_share": new_share,
        "n_bootstrap": _whole("draws of users", draws),
        "seed": _whole("seed", seed),
    }
    if settings["n_bootstrap"] > MOST_DRAWS:
        raise EmdpoError(f"draws of users may be at most {MOST_DRAWS:,} on this page")
    settings |= {"group": group} if group else {}
    settings |= {"cut": length} if (length := _whole("answers of a list", cut)) else {}
    ComparisonConfig(**settings)
    return {"methods": chosen, **settings}


def _whole(name: str, value: Any) -> int:
    good = isinstance(value, int | float) and float(value).is_integer() and value >= 0
    if isinstance(value, bool) or not good:
        raise EmdpoError(f"{name} must be a whole number, 0 or more, got {value!r:.40}")
    return int(value)
