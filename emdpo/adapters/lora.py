"""One frozen base model that carries several named LoRA adapters (Hu et al. 2021, 2106.09685)."""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict

from emdpo.adapters.checkpoints import first_line
from emdpo.adapters.saved import Adapter, load_adapter
from emdpo.core.errors import EmdpoError, RunError

if TYPE_CHECKING:
    from torch import nn

    from emdpo.adapters.base_model import BaseModel
    from emdpo.adapters.config import AdapterConfig

ATTENTION = ("q_proj", "k_proj", "v_proj", "o_proj", "qkv_proj", "c_attn")
"""Names of attention's linear layers in the architectures of transformers."""

SHAPE = (
    "r",
    "lora_alpha",
    "target_modules",
    "layers_to_transform",
    "layers_pattern",
    "fan_in_fan_out",
    "use_rslora",
)
"""Of an adapter's saved configuration, what decides its policy."""


class AdaptedModel:
    """A base model and its adapters, of which one at a time speaks, or none: the reference.

    Which adapter speaks is a state of the model. Whoever shares the model between threads holds a
    lock from `speaking` to the last token.
    """

    def __init__(self, base: BaseModel, model: PeftModel) -> None:
        self.base, self.model = base, model
        self._parameters = {name: _parameters_of(model, name) for name in self.names}
        self.model.requires_grad_(False)
        self.model.eval()

    @property
    def names(self) -> tuple[str, ...]:
        """The adapters, in the order in which they were added."""
        return tuple(self.model.peft_config)

    @property
    def depth(self) -> int:
        """How many blocks from the top down to the lowest that carries part of an adapter."""
        _, layers = layer_container(self.base.model)
        carried = {id(each) for held in self._parameters.values() for each in held}
        touched = (any(id(p) in carried for p in layer.parameters()) for layer in layers)
        return len(layers) - next(place for place, found in enumerate(touched) if found)

    def parameters(self, name: str) -> list[nn.Parameter]:
        """Return the tensors of one adapter, in the model's order."""
        return self._parameters[name]

    def rank(self, name: str) -> int:
        """Return the rank of one adapter's updates."""
        return self.model.peft_config[name].r  # type: ignore[attr-defined]

    @contextmanager
    def speaking(self, name: str | None, *, training: bool = False) -> Iterator[None]:
        """While open, the model is this adapter's policy; with None it is the reference."""
        if name is None:
            with self.model.disable_adapter():
                yield
            return
        self.model.set_adapter(name, inference_mode=not training)
        try:
            yield
        finally:
            for parameter in self._parameters[name]:
                parameter.requires_grad_(False)

    def release(self) -> BaseModel:
        """Return the base model without its adapters, as it was; this object is of no use then."""
        self.model.unload()
        return self.base

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """Return a copy of an adapter's tensors on the CPU, named as PEFT saves them."""
        state = get_peft_model_state_dict(self.model, adapter_name=name)
        return {key: value.detach().cpu().clone() for key, value in sorted(state.items())}

    def load_tensors(self, name: str, tensors: Mapping[str, torch.Tensor]) -> None:
        """Put back what `tensors` gave.

        Raises
        ------
        EmdpoError
            A tensor is missing, left over or of another shape.
        """
        own = self.tensors(name)
        if own.keys() != tensors.keys() or any(own[k].shape != tensors[k].shape for k in own):
            raise EmdpoError(f"the tensors of {name} do not fit this base model and LoRA shape")
        set_peft_model_state_dict(self.model, dict(tensors), adapter_name=name)


def _parameters_of(model: PeftModel, name: str) -> list[nn.Parameter]:
    found = [value for key, value in model.named_parameters() if f".{name}." in key]
    if not found:
        raise EmdpoError(f"no layer of the base model carries the adapter {name}")
    return found


def attach(
    base: BaseModel, names: Sequence[str], config: AdapterConfig, seed: int = 0
) -> AdaptedModel:
    """Return the base model with untrained adapters, each equal to the reference: B = 0.

    Every adapter draws its A from a stream of its own, so that it does not depend on the others.

    Raises
    ------
    EmdpoError
        `top_layers` is more than the model has.
    """
    lora = lora_config(base, config)
    first, *others = names
    with _without_advice():
        model = get_peft_model(base.model, lora, adapter_name=first)  # type: ignore[arg-type]
        for name in others:
            model.add_adapter(name, lora)
    adapted = AdaptedModel(base, model)  # type: ignore[arg-type]
    for index, name in enumerate(names):
        generator = torch.Generator().manual_seed(seed * 1_000_003 + index)
        _draw(adapted, name, generator)
    return adapted


@contextmanager
def _without_advice() -> Iterator[None]:
    """Silence what PEFT 0.21 tells its own developers: a property's old name, GPT-2's layout."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing` is deprecated")
        warnings.filterwarnings("ignore", "fan_in_fan_out is set to False")
        yield


def load_adapters(base: BaseModel, folders: Mapping[str, Path]) -> AdaptedModel:
    """Return the base model with saved adapters, named and ordered as in `folders`.

    Raises
    ------
    EmdpoError
        A folder holds no plain LoRA adapter, or one of another base model's shape.
    """
    return carry(base, {name: load_adapter(folder) for name, folder in folders.items()})


def carry(base: BaseModel, adapters: Mapping[str, Adapter]) -> AdaptedModel:
    """Return the base model with adapters that were read before; raises as `load_adapters`."""
    model: PeftModel | None = None
    for name, adapter in adapters.items():
        kept = {key: adapter.config[key] for key in SHAPE if key in adapter.config}
        lora = LoraConfig(**kept, task_type="CAUSAL_LM", bias="none")
        try:
            with _without_advice():
                if model is None:
                    model = get_peft_model(base.model, lora, adapter_name=name)  # type: ignore
                else:
                    model.add_adapter(name, lora)
        except ValueError as error:
            raise RunError(f"{name} does not fit {base.name} ({first_line(error)})") from None
    if model is None:
        raise RunError("there is no adapter to load")
    adapted = AdaptedModel(base, model)
    for name, adapter in adapters.items():
        adapted.load_tensors(name, {key: torch.tensor(v) for key, v in adapter.tensors.items()})
    return adapted


def merge(adapted: AdaptedModel, name: str, weights: Mapping[str, float]) -> AdaptedModel:
    """Return the model with one adapter more: the weighted sum of the updates of others.

    The sum is exact, as PEFT's `add_weighted_adapter` makes it by laying factors side by side: its
    rank is the sum of theirs. Whoever holds `adapted` uses what is returned in its place.
    """
    with _without_advice():
        adapted.model.base_model.add_weighted_adapter(  # type: ignore[operator]
            list(weights), list(weights.values()), name, combination_type="cat"
        )
    return AdaptedModel(adapted.base, adapted.model)


def lora_config(base: BaseModel, config: AdapterConfig) -> LoraConfig:
    """Return PEFT's configuration of every adapter."""
    n_layers = base.n_layers
    check_depth(config.top_layers, n_layers, base.name)
    top = config.depth(n_layers)
    container = layer_container(base.model)[0]
    return LoraConfig(
        r=config.rank,
        lora_alpha=config.alpha,  # type: ignore[arg-type]
        lora_dropout=0.0,
        target_modules=_targets(base.model, config.modules),
        layers_to_transform=list(range(n_layers - top, n_layers)),
        layers_pattern=container,
        task_type="CAUSAL_LM",
        bias="none",
    )


def check_depth(top_layers: float | None, n_layers: int, name: str) -> None:
    """Raise EmdpoError where adapters are to sit on more layers than the model has."""
    if top_layers is not None and top_layers > n_layers:
        raise EmdpoError(
            f"top_layers must be at most {n_layers}, the layers of {name}, got {top_layers}"
        )


def _targets(model: nn.Module, modules: str) -> list[str]:
    """Return the names of the linear layers inside the blocks that carry LoRA."""
    from transformers.pytorch_utils import Conv1D

    _, layers = layer_container(model)
    names = {
        path.rpartition(".")[2]
        for path, layer in layers[0].named_modules()
        if isinstance(layer, torch.nn.Linear | Conv1D)
    }
    if modules == "attention":
        names &= set(ATTENTION)
    if not names:
        raise EmdpoError(f"the base model has no linear layers for modules={modules!r}")
    return sorted(names)


def layer_container(model: nn.Module) -> tuple[str, nn.ModuleList]:
    """Return the decoder's list of blocks and its attribute name ("layers", "h")."""
    decoder = model.get_decoder()  # type: ignore[operator]
    n_layers = model.config.num_hidden_layers  # type: ignore[union-attr]
    for name, child in decoder.named_children():
        if isinstance(child, torch.nn.ModuleList) and len(child) == n_layers:
            return name, child
    raise EmdpoError("the base model keeps its layers in no list that is known here")


def _draw(adapted: AdaptedModel, name: str, generator: torch.Generator) -> None:
    """Draw A uniformly within 1/sqrt(inputs), as PEFT does, from a stream of our own; B = 0."""
    state = adapted.tensors(name)
    for key, tensor in state.items():
        if ".lora_A." in key:
            bound = 1 / math.sqrt(tensor.shape[1])
            tensor.uniform_(-bound, bound, generator=generator)
        else:
            tensor.zero_()
    adapted.load_tensors(name, state)
