"""Tiny random models on disk, one for each way of building a decoder, and one of them loaded."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    PreTrainedConfig,
    PreTrainedTokenizerFast,
    Qwen2Config,
)
from transformers.models.auto.modeling_auto import AutoModelForCausalLM

from emdpo.adapters.base_model import BaseModel, load_base_model

VOCABULARY = 300
SIZES = {
    "vocab_size": VOCABULARY,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
}
CORPUS = [
    "What is the capital of France? The capital of France is Paris.",
    "Say something kind. You are doing well, and the day is long.",
    "Shorter answers are better answers; longer answers say the same thing at length.",
]
CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
TURNS = (
    "{{ bos_token }}{% for message in messages %}{% if message['role'] == 'system' %}"
    "{{ raise_exception('System role not supported') }}{% endif %}<start_of_turn>"
    "{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    "{{ message['content'] | trim }}<end_of_turn>\n{% endfor %}"
    "{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)


def build_tokenizer(special: list[str], **settings: str) -> PreTrainedTokenizerFast:
    """Return a byte-level BPE of VOCABULARY tokens: no text is unknown to it."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=VOCABULARY,
        special_tokens=special,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, **settings)


def save_tiny(
    folder: Path, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerFast, seed: int
) -> Path:
    """Save a random model whose next tokens differ clearly from context to context."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = AutoModelForCausalLM.from_config(config, dtype=torch.float32)
        for name, weight in model.named_parameters():
            if "embed" in name or "wte" in name or "lm_head" in name:
                weight.data.normal_(std=0.5)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _plain(config_class: type[PreTrainedConfig], special: list[str], **settings):
    """Return a config and tokenizer of a model without a chat template: special = [bos, eos]."""
    tokenizer = build_tokenizer(special, bos_token=special[0], eos_token=special[-1])
    ends = {"bos_token_id": 0, "eos_token_id": len(special) - 1, "pad_token_id": None}
    return config_class(**SIZES, **ends, **settings), tokenizer


def llama():
    return _plain(LlamaConfig, ["<s>", "</s>"], tie_word_embeddings=False)


def gpt2():
    return _plain(GPT2Config, ["<|endoftext|>"], n_inner=48)


def qwen2():
    """Chat template; the tokenizer has no bos; what ends a turn is its eos."""
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    tokenizer = build_tokenizer(special, **names)
    tokenizer.chat_template = CHATML
    ends = {"bos_token_id": None, "eos_token_id": 2, "pad_token_id": 0}
    return Qwen2Config(**SIZES, **ends), tokenizer


def gemma2():
    """Chat template that writes bos; what ends a turn is not the eos; logits are soft-capped."""
    special = ["<pad>", "<eos>", "<bos>", "<start_of_turn>", "<end_of_turn>"]
    names = {"bos_token": "<bos>", "eos_token": "<eos>", "pad_token": "<pad>"}
    tokenizer = build_tokenizer(special, **names)
    tokenizer.add_special_tokens({"extra_special_tokens": special[3:]})
    tokenizer.chat_template = TURNS
    ends = {"bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0}
    return Gemma2Config(**SIZES, **ends, head_dim=8, sliding_window=16), tokenizer


BUILDERS = {"llama": llama, "qwen2": qwen2, "gpt2": gpt2, "gemma2": gemma2}


@pytest.fixture(scope="session", autouse=True)
def few_threads():
    """Tiny tensors gain nothing from more than one."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def tiny_models(tmp_path_factory) -> dict[str, Path]:
    """Folders of random four-layer models: llama, qwen2, gpt2 and gemma2."""
    home = tmp_path_factory.mktemp("models")
    return {
        name: save_tiny(home / name, *build(), seed)
        for seed, (name, build) in enumerate(BUILDERS.items())
    }


@pytest.fixture(scope="session")
def tiny_llama(tiny_models) -> BaseModel:
    """The random Llama, loaded; nothing may change it."""
    return load_base_model(str(tiny_models["llama"]), device="cpu")
