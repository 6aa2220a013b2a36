"""Adapters as values and as files in PEFT's format, read and written without torch."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emdpo import files
from emdpo.core.errors import RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.em import StopReason, TraceRow

CONFIG, TENSORS, CARD = "adapter_config.json", "adapter_model.safetensors", "README.md"
"""The files of an adapter's folder; PEFT reads the first two, the hub shows the third."""

POOLED = "pooled"
"""Name of the adapter fitted to everybody."""


def type_name(k: int) -> str:
    """Return the name of the adapter of type k, counted from 0: its folder, too.

    >>> type_name(0)
    'type-1'
    """
    return f"type-{k + 1}"


def adapter_names(n_types: int) -> Iterable[str]:
    """Yield the names of all adapters of a fit: type-1 .. type-K, pooled."""
    yield from map(type_name, range(n_types))
    yield POOLED


@dataclass(frozen=True, eq=False)
class Adapter:
    """One LoRA adapter: what PEFT keeps in its two files."""

    name: str
    """type-1 .. type-K or pooled."""
    config: Mapping[str, Any]
    """Content of adapter_config.json."""
    tensors: Mapping[str, NDArray[Any]]
    """Content of adapter_model.safetensors: lora_A (r, inputs) and lora_B (outputs, r) by name."""


@dataclass(frozen=True)
class BaseModelCard:
    """What a run says of the base model that its adapters sit on."""

    name: str
    """As asked for: "embedded", an id or a folder."""
    fingerprint: str
    """Of its weights: adapters are of use on no other model."""
    n_parameters: int
    """Of the base model alone."""
    hub_id: str | None = None
    """Its id on the hub, None where it has none."""
    licence: str | None = None
    """Its licence as the hub names it (apache-2.0); None where it is not known."""

    def __post_init__(self) -> None:
        kinds = (("name", str), ("fingerprint", str), ("n_parameters", int))
        for name, kind in (*kinds, ("hub_id", str | None), ("licence", str | None)):
            if not isinstance(getattr(self, name), kind):
                raise RunError(f"base_model.{name} is {getattr(self, name)!r:.60}")


@dataclass(frozen=True, eq=False)
class AdapterOutcome:
    """What training adapters found, in the types' order of training; nothing of it needs torch."""

    scores: NDArray[np.float64]
    """(K, A) s_k of every distinct candidate."""
    pooled_scores: NDArray[np.float64]
    """(A,) of the one adapter fitted to everybody."""
    log_weights: NDArray[np.float64]
    """(K,) log mixture weights."""
    log_resp: NDArray[np.float64]
    """(N, K) log responsibilities."""
    log_likelihood: float
    """Observed, in nats, of the rankings fitted."""
    trace: tuple[TraceRow, ...]
    """Every round, as restart 0."""
    stop_reason: StopReason
    n_iter: int
    """Rounds."""
    remaining_gain: float
    """Estimated nats still to be gained; not finite where unknown."""
    adapters: Mapping[str, Adapter]
    """By `adapter_names`."""
    base_model: BaseModelCard
    warnings: tuple[str, ...] = ()
    """What a reader of the fit must know, one sentence each."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """JSON values, e.g. the held-out log-likelihood by round; nothing in it goes by type, since
    types are renumbered."""


def save_adapter(adapter: Adapter, folder: Path, card: str) -> None:
    """Write an adapter's folder, from which PEFT alone can load it.

    Raises
    ------
    RunError
        It is none that `load_adapter` would take back.
    """
    from safetensors.numpy import save

    config: dict[str, Any] = {
        key: sorted(value) if isinstance(value, set | frozenset) else value
        for key, value in adapter.config.items()
    }
    _check_config(config, adapter.name)
    _check_tensors(adapter.tensors, config["r"], adapter.name)
    tensors = {name: np.ascontiguousarray(adapter.tensors[name]) for name in adapter.tensors}
    content = save(dict(sorted(tensors.items())), {"format": "pt"})
    files.write_bytes(folder / TENSORS, content)
    files.write_json(folder / CONFIG, config)
    files.write_bytes(folder / CARD, card.encode("utf-8", "surrogatepass"))


def load_adapter(folder: Path) -> Adapter:
    """Return the adapter of a folder, which may come from a stranger.

    Raises
    ------
    RunError
        A file is missing or damaged; the configuration is not that of a plain LoRA adapter (it
        could make PEFT import a module or fetch something); a tensor is no part of one.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    config = files.read_json(folder / CONFIG)
    try:
        tensors = load((folder / TENSORS).read_bytes())
    except FileNotFoundError:
        raise RunError(f"{folder}: there is no {TENSORS}") from None
    except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / TENSORS}: cannot be read ({type(error).__name__})") from None
    _check_config(config, folder)
    _check_tensors(tensors, config["r"], folder)
    return Adapter(folder.name, config, tensors)


_WORD = re.compile(r"[A-Za-z0-9_]+(\.[A-Za-z0-9_]+)*")
_TENSOR = re.compile(r"base_model\.model((?:\.[A-Za-z0-9_]+)+)\.lora_([AB])\.weight")


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_number(value: object) -> bool:
    kind = isinstance(value, int | float) and not isinstance(value, bool)
    return kind and bool(np.isfinite(value))  # type: ignore[arg-type]


def _is_flag(value: object) -> bool:
    return isinstance(value, bool)


def _is_text(value: object) -> bool:
    return value is None or isinstance(value, str)


def _is_word(value: object) -> bool:
    return isinstance(value, str) and _WORD.fullmatch(value) is not None


def _are_words(value: object) -> bool:
    return isinstance(value, list) and len(value) > 0 and all(map(_is_word, value))


def _are_layers(value: object) -> bool:
    return value is None or (isinstance(value, list) and all(map(_is_whole, value)))


def _is_off(value: object) -> bool:
    return value is None or value is False or value == {} or value == []


_READ: Mapping[str, Callable[[Any], bool]] = {
    "peft_type": lambda value: value == "LORA",
    "task_type": lambda value: value in (None, "CAUSAL_LM"),
    "base_model_name_or_path": _is_text,
    "peft_version": _is_text,
    "inference_mode": _is_flag,
    "init_lora_weights": _is_flag,
    "fan_in_fan_out": _is_flag,
    "use_rslora": _is_flag,
    "r": lambda value: _is_whole(value) and value > 0,
    "lora_alpha": _is_number,
    "lora_dropout": _is_number,
    "target_modules": _are_words,
    "layers_to_transform": _are_layers,
    "layers_pattern": lambda value: value is None or _is_word(value),
    "bias": lambda value: value == "none",
    "megatron_core": lambda value: value in (None, "megatron.core"),
    "qalora_group_size": _is_whole,
}
"""What an adapter_config.json may say; any other key must be off. So no key can name code to
import, a pattern to match, a revision to fetch or layers beside LoRA's own."""


def _check_config(config: Mapping[str, Any], place: object) -> None:
    for key in ("peft_type", "r", "target_modules"):
        if key not in config:
            raise RunError(f"{place}: {CONFIG} has no {key}")
    for key, value in config.items():
        if not _READ.get(key, _is_off)(value):
            raise RunError(f"{place}: {CONFIG} has {key!r:.40} = {value!r:.60}: not plain LoRA")


def _check_tensors(tensors: Mapping[str, NDArray[Any]], rank: int, place: object) -> None:
    if not tensors:
        raise RunError(f"{place}: {TENSORS} is empty")
    layers: dict[str, set[str]] = {}
    for name, tensor in tensors.items():
        matched = _TENSOR.fullmatch(name)
        if matched is None:
            raise RunError(f"{place}: {TENSORS} has {name!r:.80}, which is no part of LoRA")
        layer, side = matched.groups()
        layers.setdefault(layer, set()).add(side)
        ranked = tensor.ndim == 2 and tensor.shape["AB".index(side)] == rank
        if not (ranked and np.issubdtype(tensor.dtype, np.floating)):
            raise RunError(f"{place}: {name} is not a matrix of rank {rank}")
        if not np.isfinite(tensor).all():
            raise RunError(f"{place}: {name} has values that are not finite")
    for layer, sides in layers.items():
        if len(sides) < 2:
            raise RunError(f"{place}: {TENSORS} has only half of {layer[1:]}")
