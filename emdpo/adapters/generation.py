"""Answers drawn from the base model, the types and their aggregates, all in one pass a token.

A mixture over whole answers, pi(y) = sum_j a_j pi_j(y), is drawn exactly one token at a time:
with a_j(prefix) proportional to a_j pi_j(prefix), the posterior of the voices given what has been
said, p(next | prefix) = sum_j a_j(prefix) pi_j(next | prefix).

The consensus is drawn from prod_j pi_j(next | prefix)^a_j, normalised at every token. The optimum
over whole answers (`core.aggregation.kl_consensus`) normalises once, over all answers, which no
left-to-right sampler can do; the two agree where a prefix changes no normaliser.

Adapters are chosen by row (PEFT's `adapter_names`), not by switching the model. An answer of one
voice has one row; a blend has a row for each voice, on its own answer's prefix. Not covered: beams,
nucleus sampling, and speculation.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from emdpo.adapters.answers import Blend, Ending, Message, Partial, Sampling, Speaker
from emdpo.core.em import StopTest, never
from emdpo.core.errors import EmdpoError

if TYPE_CHECKING:
    from emdpo.adapters.base_model import BaseModel
    from emdpo.adapters.lora import AdaptedModel

UNFINISHED = "\ufffd"
"""What a decoder writes for the first bytes of a character whose others are still to come."""


def mixture_step(log_policies: Tensor, log_posterior: Tensor) -> Tensor:
    """Return log p(next | prefix) of a mixture, (V,).

    Parameters
    ----------
    log_policies : (K, V)
        log pi_j(next | prefix).
    log_posterior : (K,)
        log a_j(prefix), summing to one.
    """
    return torch.logsumexp(log_policies + log_posterior[:, None], dim=0)


def posterior_step(log_posterior: Tensor, log_said: Tensor) -> Tensor:
    """Return log a_j(prefix + token), (K,), from that of the prefix and log pi_j(token | prefix).

    >>> after = posterior_step(torch.tensor([0.5, 0.5]).log(), torch.tensor([0.3, 0.1]).log())
    >>> after.exp()
    tensor([0.7500, 0.2500])
    """
    return torch.log_softmax(log_posterior + log_said, dim=0)


def consensus_step(log_policies: Tensor, weights: Tensor) -> Tensor:
    """Return log of prod_j pi_j(next | prefix)^a_j, normalised, (V,).

    Parameters
    ----------
    log_policies : (K, V)
    weights : (K,)
        a_j > 0, summing to one.
    """
    return torch.log_softmax(weights @ log_policies, dim=0)


def draw(log_policy: Tensor, generator: torch.Generator | None) -> int:
    """Return a token drawn from (V,) log probabilities; without a generator the likeliest."""
    if generator is None:
        return int(log_policy.argmax())
    cumulative = log_policy.double().exp().cumsum(0)
    level = torch.rand((), generator=generator, dtype=torch.float64).to(cumulative.device)
    found = torch.searchsorted(cumulative, level * cumulative[-1], right=True)
    return min(int(found), len(cumulative) - 1)


def cache_name(model: torch.nn.Module) -> str:
    """Return what a model calls its keys and values; transformers 5.24 renamed them."""
    taken = inspect.signature(model.forward).parameters
    return "cache" if "cache" in taken else "past_key_values"


class Chorus:
    """The rows of one forward pass: each voice of each answer, with its cached keys and values."""

    def __init__(
        self, adapted: AdaptedModel, prompts: Sequence[Sequence[int]], voices: Sequence[str]
    ) -> None:
        """Read one prompt a row; rows of the same prompt and voice are read once."""
        self._model, self._device = adapted.model, adapted.base.device
        self._cache_name = cache_name(adapted.base.model)
        pairs = [(tuple(ids), voice) for ids, voice in zip(prompts, voices, strict=True)]
        distinct = list(dict.fromkeys(pairs))
        self._voices, self._cache = [voice for _, voice in distinct], None
        longest = max(len(ids) for ids, _ in distinct)
        self._mask = torch.zeros(len(distinct), longest, dtype=torch.long, device=self._device)
        tokens = torch.zeros_like(self._mask)
        for row, (ids, _) in enumerate(distinct):  # padded on the left: answers start together
            self._mask[row, longest - len(ids) :] = 1
            tokens[row, longest - len(ids) :] = torch.tensor(ids, device=self._device)
        self._forward(tokens)
        self.keep([distinct.index(pair) for pair in pairs])

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these rows, in this order; a row may come several times."""
        index = torch.tensor(rows, dtype=torch.long, device=self._device)
        self._voices = [self._voices[row] for row in rows]
        self._mask, self.logits = self._mask[index], self.logits[index]
        self._cache.batch_select_indices(index)  # type: ignore[union-attr]

    def hear(self, tokens: Sequence[int]) -> None:
        """Append one token to each row."""
        said = torch.tensor(tokens, dtype=torch.long, device=self._device)[:, None]
        self._mask = torch.cat([self._mask, torch.ones_like(said)], dim=1)
        self._forward(said)

    @torch.inference_mode()
    def _forward(self, tokens: Tensor) -> None:
        """Set `logits` (rows, V) of what follows the tokens (rows, T)."""
        padded = not bool(self._mask.all())
        length = tokens.shape[1]
        settings: dict[str, Any] = {"adapter_names": self._voices, "use_cache": True}
        if padded:
            settings["attention_mask"] = self._mask
            settings["position_ids"] = (self._mask.cumsum(1) - 1).clamp(min=0)[:, -length:]
        if self._cache is not None:
            settings[self._cache_name] = self._cache
        output = self._model(input_ids=tokens, logits_to_keep=1, **settings)
        self._cache, self.logits = output[self._cache_name], output.logits[:, -1].float()


@dataclass(eq=False)
class _Answer:
    """One answer under way."""

    speaker: Speaker
    sampling: Sampling
    stop_tokens: frozenset[int]
    tokens: list[int] = field(default_factory=list)
    ending: Ending | None = None

    def __post_init__(self) -> None:
        seed = self.sampling.seed
        self.heard = self.speaker.heard()
        weights = torch.tensor([self.speaker.weights[j] for j in self.heard], dtype=torch.float64)
        self._weights, self._log_posterior = weights, weights.log()
        is_greedy = self.sampling.temperature == 0
        self._generator = None if is_greedy else torch.Generator().manual_seed(seed)

    @property
    def voices(self) -> list[str]:
        """One row each."""
        return [self.speaker.voices[j] for j in self.heard]

    @property
    def is_mixture(self) -> bool:
        return self.speaker.blend is Blend.MIXTURE and len(self.speaker.voices) > 1

    def say(self, logits: Tensor) -> None:
        """Draw the next token from the (voices, V) logits."""
        heat = self.sampling.temperature or 1.0
        log_policies = torch.log_softmax(logits.double() / heat, dim=1)
        if self.speaker.blend is Blend.MIXTURE:
            before = self._log_posterior.to(logits.device)
            token = draw(mixture_step(log_policies, before), self._generator)
            self._log_posterior = posterior_step(before, log_policies[:, token]).cpu()
        else:
            weights = self._weights.to(logits.device)
            token = draw(consensus_step(log_policies, weights), self._generator)
        self.tokens.append(token)
        if token in self.stop_tokens:
            self.ending = Ending.SAID
        elif len(self.tokens) == self.sampling.max_tokens:
            self.ending = Ending.LIMIT

    def partial(self, base: BaseModel) -> Partial:
        posterior = None
        if self.is_mixture:
            held = dict(zip(self.heard, self._log_posterior.exp().tolist(), strict=True))
            posterior = tuple(held.get(j, 0.0) for j in range(len(self.speaker.voices)))
        said = [token for token in self.tokens if token not in self.stop_tokens]
        return Partial(whole_text(base, said), len(self.tokens), posterior, self.ending)


def whole_text(base: BaseModel, tokens: Sequence[int]) -> str:
    """Return the text of tokens without the beginning of a character that is not complete."""
    text: Any = base.tokenizer.decode(
        list(tokens), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text.rstrip(UNFINISHED)


def answers(
    adapted: AdaptedModel,
    histories: Sequence[Sequence[Message]],
    speakers: Sequence[Speaker],
    sampling: Sampling | None = None,
    should_stop: StopTest = never,
) -> Iterator[list[Partial]]:
    """Yield the answers of all speakers as they grow, once a token, until each is over.

    Parameters
    ----------
    adapted
        Nobody else may use it until the last token: hold a lock.
    histories
        Of each speaker: the conversation up to the question, its own earlier answers included.
    speakers
        At least one.
    sampling
        At a temperature other than 1 the voices are heated first and blended then, so that the
        mixture is exactly that of the heated voices. At 0 the likeliest token of the blend at 1
        is taken.
    should_stop
        Asked before every token.

    Raises
    ------
    EmdpoError
        A conversation leaves the model no room for an answer; a speaker has an unknown voice.
    """
    base, sampling = adapted.base, sampling or Sampling()
    known = {*adapted.names}
    unknown = {v for s in speakers for v in s.voices if not v.startswith("__")} - known
    if unknown:
        raise EmdpoError(f"the model carries no adapter {min(unknown)}")
    prompts = [_prompt_ids(base, history, sampling) for history in histories]
    stops = _stop_tokens(base)
    under_way = [_Answer(speaker, sampling, stops) for speaker in speakers]
    for _ in _grow(adapted, prompts, under_way, should_stop):
        yield [answer.partial(base) for answer in under_way]


def draw_tokens(
    adapted: AdaptedModel,
    prompts: Sequence[Sequence[int]],
    speakers: Sequence[Speaker],
    samplings: Sequence[Sampling],
    should_stop: StopTest = never,
) -> list[list[int]] | None:
    """Return one answer to each prompt as tokens, with what ended the turn; None if told to stop.

    Prompts are tokens, each with a speaker and a sampling of its own; all go through the model
    together.
    """
    stops = _stop_tokens(adapted.base)
    asked = zip(speakers, samplings, strict=True)
    under_way = [_Answer(speaker, sampling, stops) for speaker, sampling in asked]
    for _ in _grow(adapted, prompts, under_way, should_stop):
        pass
    stopped = any(answer.ending is Ending.STOPPED for answer in under_way)
    return None if stopped else [answer.tokens for answer in under_way]


def _grow(
    adapted: AdaptedModel,
    prompts: Sequence[Sequence[int]],
    under_way: Sequence[_Answer],
    should_stop: StopTest,
) -> Iterator[None]:
    """Let answers grow, pausing once a token, until each is over or all are stopped."""
    if should_stop():
        _stop(under_way)
        yield
        return
    rows = [(ids, v) for ids, a in zip(prompts, under_way, strict=True) for v in a.voices]
    chorus = Chorus(adapted, [ids for ids, _ in rows], [voice for _, voice in rows])
    growing = under_way
    while growing:
        growing = _say(chorus, growing)
        if growing and should_stop():
            _stop(under_way)
            growing = []
        yield
        if growing:
            chorus.hear([a.tokens[-1] for a in growing for _ in a.voices])


@torch.inference_mode()
def _say(chorus: Chorus, growing: Sequence[_Answer]) -> list[_Answer]:
    """Let every answer say one token; return those that go on, and let the chorus keep them."""
    row, kept, going_on = 0, [], []
    for answer in growing:
        rows = range(row, row := row + len(answer.heard))
        answer.say(chorus.logits[rows.start : rows.stop])
        if answer.ending is None:
            going_on.append(answer)
            kept.extend(rows)
    if going_on and len(going_on) < len(growing):
        chorus.keep(kept)
    return going_on


def _stop(under_way: Sequence[_Answer]) -> None:
    for answer in under_way:
        answer.ending = answer.ending or Ending.STOPPED


def _prompt_ids(base: BaseModel, history: Sequence[Message], sampling: Sampling) -> list[int]:
    text = "\n".join(message["content"] for message in history)  # where there is no chat template
    ids = base.prompt_ids(text, [dict(message) for message in history])
    room = base.max_length - sampling.max_tokens
    if len(ids) > room:
        raise EmdpoError(
            f"the conversation has {len(ids):,} tokens, and with {sampling.max_tokens} for the "
            f"answer the model takes at most {max(room, 0):,}: start a new conversation"
        )
    return ids


def _stop_tokens(base: BaseModel) -> frozenset[int]:
    stated: Any = getattr(base.model.generation_config, "eos_token_id", None)
    known = stated if isinstance(stated, list) else [stated]
    ends = (base.end_of_turn, base.tokenizer.eos_token_id, *known)
    return frozenset(token for token in ends if isinstance(token, int))
