"""The settings of a fit as controls, and what of them may be asked of a shared server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from emdpo.core.errors import EmdpoError
from emdpo.fitting import FitConfig

PRESETS = {"Quick": 3, "Normal": 10, "Thorough": 30}
"""Random starts by name."""

MOST_TYPES, MOST_RESTARTS, MOST_ITERATIONS = 12, 100, 5000
"""Limits of the page; the command line has none."""

DEFAULT = FitConfig(n_types=1)


@dataclass(frozen=True)
class FitForm:
    """The controls of a fit."""

    n_types: gr.Slider
    suggest: gr.Button
    suggestion: gr.HTML
    """State and outcome of a suggestion."""
    settings: list[Any]
    """features, beta, l2, restarts, max_iter, seed, force: in the order of `config_of`."""

    @property
    def inputs(self) -> list[Any]:
        """Everything that `config_of` reads, and force at the end."""
        return [self.n_types, *self.settings]


def fit_form() -> FitForm:
    """Lay out the settings: number of types, quality, and the rest in a closed accordion."""
    n_types = gr.Slider(
        1,
        MOST_TYPES,
        value=3,
        step=1,
        label="Number of types",
        info="How many kinds of taste to look for. Not sure? Let the data suggest it.",
        elem_id="n-types",
    )
    suggest = gr.Button("Suggest a number", size="sm", interactive=False, elem_id="suggest")
    suggestion = gr.HTML(elem_id="suggestion")
    quality = gr.Radio(
        list(PRESETS),
        value="Normal",
        label="Quality",
        info="3, 10 or 30 random starts; more starts are surer to find the best fit.",
    )
    with gr.Accordion("Advanced settings", open=False):
        settings = _advanced()
    quality.change(
        lambda name: PRESETS[name], quality, settings[3], queue=False, api_visibility="private"
    )
    return FitForm(n_types, suggest, suggestion, settings)


def _advanced() -> list[Any]:
    model, search = _model_settings(), _search_settings()
    force = gr.Checkbox(
        False,
        label="Force",
        info="Fit even where the data cannot tell types apart (one pair per user).",
    )
    return [*model, *search, force]


def _model_settings() -> list[Any]:
    features = gr.Dropdown(
        ["auto", "items", "text", "columns"],
        value=DEFAULT.features,
        label="Features",
        info="What tastes are about: each answer by itself, its text, or x_ columns of the file.",
    )
    with gr.Row():
        beta = gr.Number(
            DEFAULT.beta,
            label="beta",
            info="DPO inverse temperature, above 0; higher stays nearer the reference.",
            min_width=130,
        )
        l2 = gr.Number(
            DEFAULT.l2,
            label="l2",
            info="Pull of every taste towards none, 0 or more.",
            min_width=130,
        )
    return [features, beta, l2]


def _search_settings() -> list[Any]:
    with gr.Row():
        restarts = gr.Number(
            DEFAULT.restarts,
            precision=0,
            label="Restarts",
            info=f"Random starts, 1 to {MOST_RESTARTS}; set by Quality.",
            min_width=130,
        )
        max_iter = gr.Number(
            DEFAULT.max_iter,
            precision=0,
            label="Max iterations",
            info=f"Of each start, up to {MOST_ITERATIONS}.",
            min_width=130,
        )
        seed = gr.Number(
            DEFAULT.seed,
            precision=0,
            label="Seed",
            info="Same seed, same result.",
            min_width=130,
        )
    return [restarts, max_iter, seed]


def config_of(
    n_types: float,
    features: str,
    beta: float,
    l2: float,
    restarts: float,
    max_iter: float,
    seed: float,
) -> FitConfig:
    """Return the settings that the controls hold.

    Raises
    ------
    EmdpoError
        A value is missing, out of range, or more than a shared server gives.
    """
    named = {"number of types": n_types, "beta": beta, "l2": l2, "restarts": restarts}
    named |= {"max iterations": max_iter, "seed": seed}
    for name, value in named.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise EmdpoError(f"{name} must be a number, got {value!r:.40}")
    _check_most("number of types", n_types, MOST_TYPES)
    _check_most("restarts", restarts, MOST_RESTARTS)
    _check_most("max iterations", max_iter, MOST_ITERATIONS)
    if features not in ("auto", "items", "text", "columns"):
        raise EmdpoError("features must be auto, items, text or columns")
    return FitConfig(
        n_types=_whole("number of types", n_types),
        features=features,
        beta=float(beta),
        l2=float(l2),
        restarts=_whole("restarts", restarts),
        max_iter=_whole("max iterations", max_iter),
        seed=_whole("seed", seed),
    )


def _check_most(name: str, value: float, most: int) -> None:
    if not value <= most:
        raise EmdpoError(f"{name} may be at most {most} on this page, got {value:g}")


def _whole(name: str, value: float) -> int:
    if not float(value).is_integer():
        raise EmdpoError(f"{name} must be a whole number, got {value:g}")
    return int(value)
