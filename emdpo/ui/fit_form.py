"""The settings of a fit as controls, and what of them may be asked of a shared server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import gradio as gr

from emdpo.adapters.config import PRESETS, AdapterConfig
from emdpo.core.errors import EmdpoError
from emdpo.fitting import FitConfig
from emdpo.settings import ADAPTERS, EMBEDDED, LOGLINEAR, adapter_config
from emdpo.ui.hosting import check_base_model, is_public, models_on_offer

RESTARTS = {"quick": 3, "normal": 10, "thorough": 30}
"""Random starts by the name of a preset; the adapters' own are in their `PRESETS`."""

MOST_TYPES, MOST_RESTARTS, MOST_ITERATIONS, MOST_ROUNDS = 12, 100, 5000, 50
"""Limits of the page; the command line has none."""

DEFAULT, DEFAULT_ADAPTERS = FitConfig(n_types=1), AdapterConfig()

ALL_LAYERS = 0
"""Depth that stands for all layers: a number's box cannot be empty."""

DEFAULT_DEPTH = DEFAULT_ADAPTERS.top_layers or ALL_LAYERS

POLICIES = [("Log-linear", LOGLINEAR), ("Adapters (language models)", ADAPTERS)]
"""Kinds of policy as the page calls them."""


@dataclass(frozen=True)
class FitForm:
    """The controls of a fit."""

    n_types: gr.Slider
    suggest: gr.Button
    suggestion: gr.HTML
    """State and outcome of a suggestion."""
    estimate: gr.Button
    estimation: gr.HTML
    """State and outcome of an estimate of time and memory."""
    settings: list[Any]
    """features .. learning_rate in the order of `config_of`, and force."""

    @property
    def inputs(self) -> list[Any]:
        """Everything that `config_of` reads, and force at the end."""
        return [self.n_types, *self.settings]


def fit_form() -> FitForm:
    """Lay out the settings: types, policy, quality, and the rest in a closed accordion."""
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
    policy = gr.Radio(
        POLICIES,
        value=LOGLINEAR,
        label="Policy of each type",
        info="Log-linear: on features of the answers, in seconds on any laptop. Adapters: a "
        "language model per type, to talk to; minutes to hours.",
        elem_id="policy",
    )
    with gr.Column(visible=False, elem_id="estimate-part") as estimate_part:
        estimate = gr.Button(
            "Estimate time and memory", size="sm", interactive=False, elem_id="estimate"
        )
        estimation = gr.HTML(elem_id="estimation")
    quality = gr.Radio(
        [(name.capitalize(), name) for name in PRESETS],
        value="normal",
        label="Quality",
        info="3, 10 or 30 random starts; adapters on a quarter, half or all of the layers.",
    )
    with gr.Accordion("Advanced settings", open=False):
        settings, adapters, adapter_part = _advanced(policy)
    quality.change(preset, quality, settings[3:4] + adapters, queue=False, api_visibility="private")
    policy.change(
        lambda kind: [gr.Column(visible=kind == ADAPTERS)] * 2,
        policy,
        [estimate_part, adapter_part],
        queue=False,
        api_visibility="private",
    )
    return FitForm(n_types, suggest, suggestion, estimate, estimation, settings)


def preset(name: str) -> list[Any]:
    """Return restarts, and the adapters' rounds, depth and learning rate, of a preset."""
    settings = adapter_config({"preset": name})
    depth = ALL_LAYERS if settings.top_layers is None else settings.top_layers
    return [RESTARTS[name], settings.rounds, depth, settings.learning_rate]


def _advanced(policy: gr.Radio) -> tuple[list[Any], list[Any], gr.Column]:
    """Lay the settings out; return all, those of adapters that a preset sets, and their part."""
    model, search = _model_settings(), _search_settings()
    with gr.Column(visible=False) as adapter_part:
        adapters = _adapter_settings()
    force = gr.Checkbox(
        False,
        label="Force",
        info="Fit even where the data cannot tell types apart (one pair per user).",
    )
    base_model, *of_preset = adapters
    return [*model, *search, policy, base_model, *of_preset, force], of_preset, adapter_part


def _adapter_settings() -> list[Any]:
    with gr.Row():
        rounds = gr.Number(
            DEFAULT_ADAPTERS.rounds,
            precision=0,
            label="Rounds",
            info=f"Most rounds of training, up to {MOST_ROUNDS}.",
            min_width=130,
        )
        top_layers = gr.Number(
            DEFAULT_DEPTH,
            label="Depth",
            info="Topmost layers that adapters change, or below 1 a share of them. 0: all.",
            min_width=130,
        )
        learning_rate = gr.Number(
            DEFAULT_ADAPTERS.learning_rate,
            label="Learning rate",
            info="Of the adapters, above 0; higher learns faster, and may overshoot.",
            min_width=130,
        )
    return [_base_model(), rounds, top_layers, learning_rate]


def _base_model() -> gr.Dropdown | gr.Textbox:
    """Return the choice of the base model; on a public server, of those that it offers."""
    label, embedded = "Base model", "the one that comes along, SmolLM2-135M-Instruct"
    if is_public():
        return gr.Dropdown(
            models_on_offer(),
            value=EMBEDDED,
            label=label,
            info=f"What adapters sit on. embedded: {embedded}.",
            elem_id="base-model",
        )
    return gr.Textbox(
        EMBEDDED,
        label=label,
        info=f"What adapters sit on: embedded ({embedded}), a Hugging Face id, or a folder.",
        elem_id="base-model",
    )


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
    policy: str = LOGLINEAR,
    base_model: str | None = EMBEDDED,
    rounds: float = DEFAULT_ADAPTERS.rounds,
    top_layers: float = DEFAULT_DEPTH,
    learning_rate: float = DEFAULT_ADAPTERS.learning_rate,
) -> FitConfig:
    """Return the settings that the controls hold.

    Raises
    ------
    EmdpoError
        A value is missing, out of range, or more than a shared server gives.
    """
    named = {"number of types": n_types, "beta": beta, "l2": l2, "restarts": restarts}
    named |= {"max iterations": max_iter, "seed": seed}
    with_adapters = policy == ADAPTERS
    if with_adapters:
        named |= {"rounds": rounds, "depth": top_layers, "learning rate": learning_rate}
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
        policy=policy,
        **(_adapters_of(base_model, rounds, top_layers, learning_rate) if with_adapters else {}),
    )


def _adapters_of(
    base_model: str | None, rounds: float, top_layers: float, learning_rate: float
) -> dict[str, Any]:
    """Return what only a fit of adapters has; a base model that is not for everybody is refused."""
    _check_most("rounds", rounds, MOST_ROUNDS)
    name = str(base_model or "").strip() or EMBEDDED
    check_base_model(name)
    settings = AdapterConfig(
        rounds=_whole("rounds", rounds),
        top_layers=(top_layers if 0 < top_layers < 1 else _whole("depth", top_layers)) or None,
        learning_rate=float(learning_rate),
    )
    return {"base_model": name, "adapters": settings}


def _check_most(name: str, value: float, most: int) -> None:
    if not value <= most:
        raise EmdpoError(f"{name} may be at most {most} on this page, got {value:g}")


def _whole(name: str, value: float) -> int:
    if not float(value).is_integer():
        raise EmdpoError(f"{name} must be a whole number, got {value:g}")
    return int(value)
