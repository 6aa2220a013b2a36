"""Folders that hold a language model: finding them, refusing unsafe ones, telling them apart.

Only safetensors are read: they hold numbers alone, while PyTorch's older files can run code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
)
from safetensors import SafetensorError, safe_open
from transformers.utils import logging

from emdpo import files
from emdpo.adapters.cache import cache_folders, writable_cache
from emdpo.core.errors import ModelError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

WANTED = ("*.json", "*.safetensors", "*.jinja", "*.txt", "tokenizer.model")
"""What is downloaded of a model on the hub: no pickles, no code."""

UNWANTED = ("*/*", "consolidated*")
"""The same weights in other formats."""

WITHOUT_EFFECT = frozenset(
    {
        "_model_name_or_path",
        "_name_or_path",
        "architectures",
        "dtype",
        "torch_dtype",
        "transformers_version",
        "use_cache",
    }
)
"""Fields of config.json that leave the outputs as they are."""

WORTH_KEEPING = 64 * 2**20
"""Bytes of weights from which on their digest is kept: fewer are read in no time."""


@contextmanager
def quiet() -> Iterator[None]:
    """Keep transformers from drawing progress bars and giving advice while a model loads."""
    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()


def find_checkpoint(name: str) -> Path:
    """Return the folder of a model: `name` itself, or the downloaded files of that hub id.

    Raises
    ------
    ModelError
        There is no such folder or hub id, the hub cannot be reached, or the folder holds no
        causal language model as safetensors.
    """
    folder = Path(name).expanduser()
    if not files.exists(folder) and not _is_path(name):
        folder = _download(name)
    elif not files.exists(folder):
        raise ModelError(f"{name}: there is no such folder")
    elif not folder.is_dir():
        raise ModelError(f"{name}: is a file; a base model is a folder or a Hugging Face id")
    _refuse_unreadable(folder, name)
    return folder


def _is_path(name: str) -> bool:
    return name.startswith((".", "/", "~")) or "\\" in name or name.count("/") > 1


def _download(name: str) -> Path:
    try:
        return Path(
            snapshot_download(name, allow_patterns=list(WANTED), ignore_patterns=list(UNWANTED))
        )
    except GatedRepoError:
        raise ModelError(
            f"{name}: its owners ask you to accept terms: do so on https://huggingface.co/{name}, "
            "then log in with `hf auth login`"
        ) from None
    except LocalEntryNotFoundError:
        raise ModelError(
            f"{name}: is neither a folder nor kept on this machine, "
            "and the Hugging Face Hub cannot be reached"
        ) from None
    except RepositoryNotFoundError:
        raise ModelError(f"{name}: the Hugging Face Hub has no such model") from None
    except (HfHubHTTPError, OSError, ValueError) as error:
        raise ModelError(f"{name}: cannot be downloaded ({first_line(error)})") from None


def _refuse_unreadable(folder: Path, name: str) -> None:
    if (folder / "adapter_config.json").exists():
        raise ModelError(f"{name}: is an adapter, not a whole model; name its base model")
    if not (folder / "config.json").is_file():
        raise ModelError(f"{name}: there is no config.json, so it is not a model's folder")
    if not weight_files(folder):
        pickled = sorted(path.name for path in folder.iterdir() if path.suffix in (".bin", ".pt"))
        reason = f": {pickled[0]} can run code when it is opened" if pickled else ""
        raise ModelError(f"{name}: there is no model.safetensors{reason}")


def weight_files(folder: Path) -> list[Path]:
    """Return the safetensors that make up the model, in the order of their names."""
    single, index = folder / "model.safetensors", folder / "model.safetensors.index.json"
    if single.is_file():
        return [single]
    if not index.is_file():
        return []
    try:
        shards = set(json.loads(index.read_text("utf-8"))["weight_map"].values())
        return [folder / str(shard) for shard in sorted(shards)]
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        raise ModelError(f"{index}: cannot be read as the list of a model's weights") from None


def fingerprint(folder: Path, tokenizer: PreTrainedTokenizerBase) -> str:
    """Return a SHA-256 that is equal only where weights, architecture and tokens are.

    It is taken from the files, so that neither the device nor the precision of loading matters.
    """
    parts = {
        "weights": _remembered(weight_files(folder)),
        "config": _architecture(folder),
        "vocabulary": sorted(tokenizer.get_vocab().items()),
        "chat_template": tokenizer.chat_template,
        "ends": [tokenizer.bos_token_id, tokenizer.eos_token_id],
    }
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _architecture(folder: Path) -> dict[str, Any]:
    config = files.read_json(folder / "config.json")
    return {key: value for key, value in config.items() if key not in WITHOUT_EFFECT}


def _remembered(paths: list[Path]) -> str:
    """Return `weights_digest`, kept while path, size and time stay: 16 GB take half a minute."""
    try:
        states = [path.stat() for path in paths]
    except OSError as error:
        raise ModelError(f"{paths[0].parent}: weights are missing ({first_line(error)})") from None
    if sum(state.st_size for state in states) < WORTH_KEEPING:
        return weights_digest(paths)
    found = [
        (str(path.resolve()), state.st_size, state.st_mtime_ns)
        for path, state in zip(paths, states, strict=True)
    ]
    name = hashlib.sha256(json.dumps(found).encode()).hexdigest()
    for cache in cache_folders():
        with suppress(OSError, UnicodeDecodeError):
            kept = (cache / "digests" / name).read_text("ascii")
            if len(kept) == len(name):
                return kept
    digest = weights_digest(paths)
    cache = writable_cache()
    if cache is not None:
        with suppress(OSError):
            files.write_bytes(cache / "digests" / name, digest.encode())
    return digest


def weights_digest(paths: list[Path]) -> str:
    """Return the SHA-256 of names, types, shapes and bytes of all tensors, in the names' order.

    How the tensors are spread over files does not matter.
    """
    try:
        with ExitStack() as stack:
            opened = [stack.enter_context(safe_open(path, framework="pt")) for path in paths]
            home = {name: tensors for tensors in opened for name in tensors.keys()}  # noqa: SIM118
            return _digest((name, home[name].get_tensor(name)) for name in sorted(home))
    except (OSError, SafetensorError) as error:
        raise ModelError(
            f"{paths[0].parent}: the weights are damaged ({first_line(error)})"
        ) from None


def _digest(tensors: Iterable[tuple[str, torch.Tensor]]) -> str:
    digest = hashlib.sha256()
    for name, tensor in tensors:
        digest.update(repr((name, str(tensor.dtype), list(tensor.shape))).encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def first_line(error: Exception) -> str:
    """Return what went wrong in one line."""
    lines = str(error).strip().splitlines()
    return lines[0] if lines else type(error).__name__
