"""What an interrupted fit of adapters goes on from: safetensors with facts in JSON, no pickle.

Steps are drawn from streams named by seed, round and adapter, so that going on from any saved step
gives the same bytes as never having stopped.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from emdpo import files
from emdpo.core.errors import RunError

if TYPE_CHECKING:
    from emdpo.adapters.training import AdapterTrainer

SECONDS_BETWEEN = 5.0
"""Least time between two saves inside a pass; what is lost by a kill is run again."""

MOMENTS = ("step", "exp_avg", "exp_avg_sq")
"""What AdamW remembers of each tensor."""


class Store:
    """The folder of an unfinished fit; with no folder nothing is kept."""

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder
        self._saved = time.monotonic()

    def due(self) -> bool:
        """Return whether it is time to save inside a pass."""
        return self._folder is not None and time.monotonic() - self._saved >= SECONDS_BETWEEN

    def write(self, name: str, tensors: Mapping[str, torch.Tensor], facts: Any) -> None:
        """Save tensors and JSON facts under a name, at once or not at all."""
        if self._folder is None:
            return
        content = save(dict(tensors), {"facts": json.dumps(facts)})
        files.write_bytes(self._folder / f"{name}.safetensors", content)
        self._saved = time.monotonic()

    def read(self, name: str) -> tuple[dict[str, torch.Tensor], Any] | None:
        """Return what was saved under a name, None if nothing was.

        Raises
        ------
        RunError
            The file is damaged.
        """
        path = None if self._folder is None else self._folder / f"{name}.safetensors"
        if path is None or not files.exists(path):
            return None
        try:
            with safe_open(path, framework="pt") as opened:
                tensors = {key: opened.get_tensor(key) for key in opened.keys()}  # noqa: SIM118
                return tensors, json.loads(opened.metadata()["facts"])
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise RunError(
                f"{path}: is damaged ({type(error).__name__}); remove its folder to begin anew"
            ) from None


def trainer_state(trainer: AdapterTrainer) -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Return an adapter with its optimiser as tensors and facts."""
    tensors = trainer.scorer.adapted.tensors(trainer.name)
    for index, moments in trainer.optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{name}": moments[name].cpu() for name in MOMENTS}
    return tensors, {"n_steps": trainer.n_steps, "rate": trainer.rate}


def restore_trainer(
    trainer: AdapterTrainer, tensors: Mapping[str, torch.Tensor], facts: Mapping[str, Any]
) -> None:
    """Put an adapter and its optimiser back where `trainer_state` found them."""
    own = {key: value for key, value in tensors.items() if not key.startswith("optimizer.")}
    trainer.scorer.adapted.load_tensors(trainer.name, own)
    state: dict[int, dict[str, torch.Tensor]] = {}
    for key in tensors.keys() - own.keys():
        _, index, name = key.split(".")
        state.setdefault(int(index), {})[name] = tensors[key]
    held = trainer.optimizer.state_dict()
    trainer.optimizer.load_state_dict({**held, "state": dict(sorted(state.items()))})
    trainer.n_steps, trainer.rate = facts["n_steps"], facts["rate"]
