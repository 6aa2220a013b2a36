"""Run folders with adapters on a tiny random model that chats, written by PEFT itself."""

from __future__ import annotations

import json
from pathlib import Path

TYPES = ("type-1", "type-2")
SHARES = (0.6, 0.4)
MIXTURE, CONSENSUS = (0.5, 0.5), (0.3, 0.7)

CHATML = (
    "{% for message in messages %}<|im_start|>{{ message['role'] }}\n{{ message['content'] }}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def make_base(folder: Path, seed: int = 0) -> Path:
    """Save a random two-layer Qwen2 of bytes, with a chat template."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: i for i, token in enumerate([*special, *letters])}
    bytes_only = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    bytes_only.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bytes_only.decoder = decoders.ByteLevel()
    names = {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>"}
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bytes_only, **names)
    tokenizer.add_special_tokens({"extra_special_tokens": ["<|im_start|>"]})
    tokenizer.chat_template = CHATML
    config = Qwen2Config(
        vocab_size=len(vocabulary),
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=1024,
        initializer_range=0.2,
        bos_token_id=None,
        eos_token_id=2,
        pad_token_id=0,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        Qwen2ForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def make_run(folder: Path, base_folder: Path) -> Path:
    """Write a run of two types whose adapters change the policy clearly."""
    import torch

    from emdpo.adapters.base_model import load_base_model
    from emdpo.adapters.config import AdapterConfig
    from emdpo.adapters.lora import attach

    base = load_base_model(str(base_folder), device="cpu")
    adapted = attach(base, TYPES, AdapterConfig(rank=2))
    for index, name in enumerate(TYPES):
        generator = torch.Generator().manual_seed(index)
        tensors = adapted.tensors(name)
        for key in tensors:
            tensors[key].normal_(0.0, 0.3, generator=generator)
        adapted.load_tensors(name, tensors)
    adapted.model.save_pretrained(folder / "policy")
    about = {
        "format": 1,
        "policy": "adapters",
        "n_types": len(TYPES),
        "n_users": 10,
        "weights": SHARES,
        "config": {"n_types": len(TYPES), "policy": "adapters", "base_model": str(base_folder)},
        "base_model": {"name": str(base_folder), "fingerprint": base.fingerprint},
    }
    weights = {"mixture": MIXTURE, "consensus": CONSENSUS}
    (folder / "audit").mkdir()
    (folder / "audit" / "audit.json").write_text(json.dumps({"weights": weights}))
    (folder / "fit.json").write_text(json.dumps(about))
    return folder
