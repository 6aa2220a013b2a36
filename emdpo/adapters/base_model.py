"""The frozen language model that every adapter policy starts from, and how it writes text.

Where its files come from is `checkpoints` and `embedded`; cutting long texts is `tokens`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emdpo.core.errors import ModelError

try:
    import torch
    from jinja2 import TemplateError
    from safetensors import SafetensorError
    from transformers import CONFIG_MAPPING, AutoConfig, AutoModelForCausalLM, AutoTokenizer
    from transformers.models.auto.modeling_auto import (
        MODEL_FOR_CAUSAL_LM_MAPPING_NAMES,
        MODEL_FOR_MASKED_LM_MAPPING_NAMES,
    )
except ModuleNotFoundError as error:
    raise ModelError(
        f"type policies as adapters need the package {error.name}: pip install 'emdpo[adapters]'"
    ) from error

from emdpo.adapters.checkpoints import find_checkpoint, fingerprint, first_line, quiet
from emdpo.adapters.embedded import embedded_folder
from emdpo.files import read_json
from emdpo.settings import EMBEDDED

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedModel, PreTrainedTokenizerBase

ANSWER = "Paris"
"""A word that no chat template contains or changes."""


@dataclass(frozen=True, eq=False)
class BaseModel:
    """A causal language model that nothing trains, its tokenizer, and what tells it apart."""

    model: PreTrainedModel
    """In evaluation mode; no weight requires a gradient."""
    tokenizer: PreTrainedTokenizerBase
    """As the model's folder has it."""
    name: str
    """As asked for: "embedded", a Hugging Face id, or a folder."""
    fingerprint: str
    """SHA-256 of weights, architecture and tokens; the same on every device."""

    @property
    def device(self) -> torch.device:
        """Where the weights are."""
        return self.model.device

    @property
    def dtype(self) -> torch.dtype:
        """The weights' precision: float32 on a CPU, bfloat16 on a CUDA GPU."""
        return self.model.dtype

    @property
    def n_layers(self) -> int:
        """Transformer blocks."""
        return self.model.config.get_text_config().num_hidden_layers

    @property
    def hidden_size(self) -> int:
        """Length of a hidden state."""
        return self.model.config.get_text_config().hidden_size

    @property
    def max_length(self) -> int:
        """The most tokens that the model was made for."""
        config = self.model.config.get_text_config()
        return getattr(config, "max_position_embeddings", self.tokenizer.model_max_length)

    @property
    def n_parameters(self) -> int:
        """Weights, tied ones counted once."""
        return self.model.num_parameters()

    @property
    def has_chat_template(self) -> bool:
        """Whether the model was taught turns of a conversation."""
        return self.tokenizer.chat_template is not None

    def prompt_ids(self, prompt: str, messages: list[dict[str, str]] | None = None) -> list[int]:
        """Return the tokens that come before a response.

        With a chat template these are its rendering of `messages`, or of `prompt` as one turn of
        the user, up to where the assistant begins. Without one they are the token that begins a
        text, where the model has such a token, then `prompt` and a new line.

        Raises
        ------
        ModelError
            The chat template refuses the messages, as some do a system message.
        """
        if not self.has_chat_template:
            start: Any = self.tokenizer.bos_token_id
            return ([] if start is None else [start]) + self._encode([prompt + "\n"])[0]
        turns = messages or [{"role": "user", "content": prompt}]
        return self._encode([self._render(turns, begin_answer=True)], special=True)[0]

    def response_ids(self, response: str) -> list[int]:
        """Return the tokens of a response, with the token that ends the assistant's turn."""
        return self.responses_ids([response])[0]

    def responses_ids(self, responses: Sequence[str]) -> list[list[int]]:
        """Return `response_ids` of several responses, faster than one by one."""
        return [[*ids, self.end_of_turn] for ids in self._encode(responses)]

    @cached_property
    def end_of_turn(self) -> int:
        """The token that ends a response: what the chat template closes it with, or the eos.

        The two can differ: Gemma closes turns with <end_of_turn>, and its eos ends a document.
        """
        closing = self._closing_token() if self.has_chat_template else None
        end: Any = self.tokenizer.eos_token_id if closing is None else closing
        if end is None:
            raise ModelError(f"{self.name}: no token ends a text")
        return end

    def _closing_token(self) -> int | None:
        turns = [
            {"role": "user", "content": "What is the capital of France?"},
            {"role": "assistant", "content": ANSWER},
        ]
        _, _, closing = self._render(turns).rpartition(ANSWER)
        added = self.tokenizer.added_tokens_decoder
        ids = self._encode([closing], special=True)[0]
        return next((token for token in ids if token in added and added[token].special), None)

    def _render(self, turns: list[dict[str, str]], *, begin_answer: bool = False) -> str:
        try:
            return str(
                self.tokenizer.apply_chat_template(
                    turns, tokenize=False, add_generation_prompt=begin_answer
                )
            )
        except (TemplateError, TypeError, ValueError) as error:
            raise ModelError(
                f"{self.name}: its chat template refuses a conversation ({first_line(error)})"
            ) from None

    def _encode(self, texts: Sequence[str], *, special: bool = False) -> list[list[int]]:
        """Return tokens; a special token's name inside a text stays text unless `special`."""
        whole = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        return self.tokenizer(
            whole, add_special_tokens=False, split_special_tokens=not special, verbose=False
        )["input_ids"]


def load_base_model(name: str = EMBEDDED, *, device: str | None = None) -> BaseModel:
    """Return a base model, frozen, in float32 on a CPU and in bfloat16 on a CUDA GPU.

    Parameters
    ----------
    name
        "embedded", a folder, or a Hugging Face id. Only safetensors are read, and a model that
        brings code of its own is refused.
    device
        "cpu", "cuda", ...; a CUDA GPU where there is one by default.

    Raises
    ------
    ModelError
        The model is missing, damaged, or not a causal language model; the message says which.
    """
    place = _device(device)
    try:
        folder = embedded_folder() if name == EMBEDDED else find_checkpoint(name)
        with quiet():
            _refuse_other_kinds(folder, name)
            tokenizer = AutoTokenizer.from_pretrained(folder, trust_remote_code=False)
            model = _load(folder, name, place)
        return BaseModel(model, tokenizer, name, fingerprint(folder, tokenizer))
    except ModelError:
        raise
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, SafetensorError) as error:
        raise ModelError(f"{name}: cannot be loaded ({first_line(error)})") from None


def _device(name: str | None) -> torch.device:
    if name is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError, NotImplementedError):
        raise ModelError(f"there is no device {name!r} on this machine") from None


def inspect_base_model(name: str = EMBEDDED) -> PreTrainedConfig:
    """Return what a base model says of itself, without its weights; raises `load_base_model`'s.

    A model on the hub is downloaded, if it has not been before.
    """
    try:
        folder = embedded_folder() if name == EMBEDDED else find_checkpoint(name)
        with quiet():
            return _refuse_other_kinds(folder, name)
    except ModelError:
        raise
    except (OSError, ValueError, RuntimeError, ImportError, KeyError) as error:
        raise ModelError(f"{name}: cannot be loaded ({first_line(error)})") from None


def _refuse_other_kinds(folder: Path, name: str) -> PreTrainedConfig:
    """Return the configuration of a decoder; refuse others.

    BERT and its kin load as one, but see what comes after.
    """
    stated = read_json(folder / "config.json")
    if "auto_map" in stated and stated.get("model_type") not in CONFIG_MAPPING:
        raise ModelError(f"{name}: needs code of its own, and emdpo runs no code that models bring")
    config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
    kind = config.model_type
    if config.is_encoder_decoder:
        raise ModelError(
            f"{name}: is an encoder-decoder ({kind}); a causal language model is needed"
        )
    is_encoder = kind in MODEL_FOR_MASKED_LM_MAPPING_NAMES and not getattr(
        config, "is_decoder", False
    )
    if is_encoder or kind not in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES:
        raise ModelError(f"{name}: is no causal language model ({kind})")
    return config


def _load(folder: Path, name: str, device: torch.device) -> PreTrainedModel:
    loaded: Any = AutoModelForCausalLM.from_pretrained(
        folder,
        dtype=torch.bfloat16 if device.type == "cuda" else torch.float32,
        use_safetensors=True,
        trust_remote_code=False,
        output_loading_info=True,
    )
    model, found = loaded
    if found["missing_keys"]:  # transformers would fill them with random numbers
        missing = sorted(found["missing_keys"])
        raise ModelError(f"{name}: {len(missing)} weights are missing, {missing[0]} first")
    return model.requires_grad_(False).eval().to(device)
