"""Answers drawn from policies as tokens, and scored beside the listed ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from datasets import Dataset, concatenate_datasets

from emdpo.adapters.answers import LARGEST_SEED, Sampling, Speaker
from emdpo.adapters.generation import draw_tokens
from emdpo.core.em import StopTest, never

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.lora import AdaptedModel
    from emdpo.adapters.tokens import Tokens

CELLS = 16_384
"""Tokens whose keys and values are kept at once: rows times their length."""

Answer = tuple[int, ...]
"""Tokens, with what ended the turn where it was said."""


def draw_answers(
    adapted: AdaptedModel,
    prompts: Sequence[NDArray[np.int64]],
    speakers: Sequence[Speaker],
    n_samples: int,
    max_tokens: int,
    rng: np.random.Generator,
    should_stop: StopTest = never,
) -> Iterator[list[Answer] | None]:
    """Yield the answers of each speaker to each prompt in runs; None, and no more, if stopped.

    In order of prompt, speaker and sample, each from a stream of its own at temperature 1.
    """
    seeds = rng.integers(LARGEST_SEED, size=len(prompts) * len(speakers) * n_samples).tolist()
    wanted = [
        (prompt.tolist(), speaker)
        for prompt in prompts
        for speaker in speakers
        for _ in range(n_samples)
    ]
    start = 0
    while start < len(wanted):
        end = start + _fitting(wanted[start:], max_tokens)
        run = wanted[start:end]
        samplings = [Sampling(max_tokens, 1.0, seed) for seed in seeds[start:end]]
        drawn = draw_tokens(
            adapted, [ids for ids, _ in run], [who for _, who in run], samplings, should_stop
        )
        yield None if drawn is None else [tuple(answer) for answer in drawn]
        if drawn is None:
            return
        start = end


def _fitting(wanted: Sequence[tuple[Sequence[int], Speaker]], max_tokens: int) -> int:
    """Return how many of the first answers go through the model together, at least one."""
    rows, longest = 0, 0
    for number, (ids, speaker) in enumerate(wanted):
        rows, longest = rows + len(speaker.heard()), max(longest, len(ids))
        if number and rows * (longest + max_tokens) > CELLS:
            return number
    return len(wanted)


def with_answers(
    tokens: Tokens, prompts: NDArray[np.int64], answers: Sequence[Answer]
) -> tuple[Tokens, NDArray[np.int64]]:
    """Return tokens that hold n more candidates, and the place of each answer among them.

    `prompts` (n,) says what each answers. Equal answers to one prompt are one candidate.
    """
    pairs = list(zip(prompts.tolist(), answers, strict=True))
    distinct = {pair: place for place, pair in enumerate(dict.fromkeys(pairs))}
    first = len(tokens.candidate_prompt)
    rows = {
        "prompt": [prompt for prompt, _ in distinct],
        "input_ids": [list(answer) for _, answer in distinct],
        "truncated": [False] * len(distinct),
    }
    added = Dataset.from_dict(rows, features=tokens.responses.features)
    lengths = np.array([len(answer) for _, answer in distinct], np.int64)
    joined = replace(
        tokens,
        responses=concatenate_datasets([tokens.responses, added]),
        response_lengths=np.concatenate([tokens.response_lengths, lengths]),
        candidate_prompt=np.concatenate(
            [tokens.candidate_prompt, np.array(rows["prompt"], np.int64)]
        ),
    )
    return joined, first + np.array([distinct[pair] for pair in pairs], np.int64)
