"""Adapters on disk: what is written comes back, and nothing but plain LoRA is read."""

from __future__ import annotations

import json

import numpy as np
import pytest
from safetensors.numpy import load_file, save
from trainers import CONFIG, LAYER, adapter

from emdpo.adapters.saved import Adapter, BaseModelCard, load_adapter, save_adapter
from emdpo.core.errors import RunError

A, B = f"{LAYER}.lora_A.weight", f"{LAYER}.lora_B.weight"


@pytest.fixture
def folder(tmp_path):
    save_adapter(adapter("type-2", 0.5), tmp_path / "type-2", "# A card\n")
    return tmp_path / "type-2"


def test_there_and_back(folder):
    again = load_adapter(folder)
    assert again.name == "type-2"
    assert again.config == CONFIG
    assert set(again.tensors) == {A, B}
    np.testing.assert_array_equal(again.tensors[A], np.full((2, 3), 0.5, np.float32))
    assert again.tensors[A].dtype == np.float32
    assert {path.name for path in folder.iterdir()} == {
        "adapter_config.json", "adapter_model.safetensors", "README.md"
    }  # fmt: skip


def test_the_same_adapter_gives_the_same_bytes(folder, tmp_path):
    """Whatever the order of its tensors, and with PEFT's set of modules."""
    given = adapter("x", 0.5)
    tensors = dict(reversed(given.tensors.items()))
    config = CONFIG | {"target_modules": {"q_proj"}}
    save_adapter(Adapter("x", config, tensors), tmp_path / "x", "# A card\n")
    for path in folder.iterdir():
        assert (tmp_path / "x" / path.name).read_bytes() == path.read_bytes()


def test_what_peft_reads_by_itself(folder):
    """Its own loader of safetensors, and its own class of configurations."""
    peft = pytest.importorskip("peft")
    assert set(load_file(folder / "adapter_model.safetensors")) == {A, B}
    config = peft.PeftConfig.from_pretrained(str(folder))
    assert (config.r, config.target_modules) == (2, {"q_proj"})


HOSTILE = {
    "another kind": {"peft_type": "IA3"},
    "code to import": {"auto_mapping": {"base_model_class": "X", "parent_library": "os"}},
    "a module to import": {"megatron_config": {"a": 1}, "megatron_core": "os"},
    "a module's name": {"megatron_core": "os"},
    "remote code": {"trust_remote_code": True},
    "a revision": {"revision": "evil"},
    "layers beside LoRA": {"modules_to_save": ["lm_head"]},
    "a pattern": {"target_modules": "(a+)+$"},
    "patterns in a list": {"target_modules": ["(a+)+$"]},
    "no modules": {"target_modules": []},
    "patterns of ranks": {"rank_pattern": {"(a+)+$": 4}},
    "a pattern of layers": {"layers_pattern": "(a+)+$"},
    "a method that computes on loading": {"init_lora_weights": "pissa"},
    "a rank of nothing": {"r": 0},
    "a rank that is none": {"r": "2"},
    "another rank": {"r": 3},
    "a truth for a rank": {"r": True},
    "infinite": {"lora_alpha": float("inf")},
    "biases": {"bias": "all"},
    "a base model that is none": {"base_model_name_or_path": ["x"]},
    "unknown": {"surprise": "x"},
}


@pytest.mark.parametrize("change", HOSTILE)
def test_a_configuration_of_anything_but_plain_lora_is_refused(folder, change):
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(CONFIG | HOSTILE[change]), "utf-8")
    refused(folder)
    with pytest.raises(RunError, match="x: "):
        save_adapter(Adapter("x", CONFIG | HOSTILE[change], adapter("x", 1).tensors), folder, "")


def refused(folder):
    with pytest.raises(RunError) as caught:
        load_adapter(folder)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("key", ["peft_type", "r", "target_modules"])
def test_a_configuration_that_says_too_little_is_refused(folder, key):
    config = {name: value for name, value in CONFIG.items() if name != key}
    (folder / "adapter_config.json").write_text(json.dumps(config), "utf-8")
    assert f"has no {key}" in refused(folder)


ONES = np.ones((2, 3), np.float32)
TENSORS = {
    "none": {},
    "half": {A: ONES},
    "a layer of the model": {A: ONES, B: ONES.T, "lm_head.weight": ONES},
    "a name that is a path": {A: ONES, B: ONES.T, "../x.lora_A.weight": ONES},
    "another rank": {A: ONES.T, B: ONES.T},
    "a vector": {A: ONES[0], B: ONES.T},
    "whole numbers": {A: ONES.astype(np.int32), B: ONES.T},
    "not finite": {A: ONES * np.nan, B: ONES.T},
    "an embedding": {f"{LAYER}.lora_embedding_A": ONES, A: ONES, B: ONES.T},
}


@pytest.mark.parametrize("kind", TENSORS)
def test_tensors_that_are_no_lora_are_refused(folder, kind):
    tensors = {name: np.ascontiguousarray(each) for name, each in TENSORS[kind].items()}
    (folder / "adapter_model.safetensors").write_bytes(save(tensors))
    refused(folder)


@pytest.mark.parametrize("content", [b"", b"\x80\x04", b"\xff" * 64, b"{}"])
def test_what_is_no_safetensors_is_refused(folder, content):
    (folder / "adapter_model.safetensors").write_bytes(content)
    assert "cannot be read" in refused(folder)


def test_tensors_that_numpy_lacks_are_refused(folder):
    torch = pytest.importorskip("torch")
    from safetensors.torch import save_file

    tensors = {A: torch.ones(2, 3, dtype=torch.bfloat16), B: torch.ones(5, 2)}
    save_file(tensors, folder / "adapter_model.safetensors")
    assert "cannot be read" in refused(folder)


@pytest.mark.parametrize("name", ["adapter_config.json", "adapter_model.safetensors"])
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    assert name in refused(folder)


@pytest.mark.parametrize(
    "about", [{"name": 1}, {"fingerprint": None}, {"n_parameters": "9"}, {"licence": 1}]
)
def test_a_base_model_that_is_none_is_refused(about):
    told = {"name": "a", "fingerprint": "b", "n_parameters": 9} | about
    with pytest.raises(RunError, match=next(iter(about))):
        BaseModelCard(**told)
