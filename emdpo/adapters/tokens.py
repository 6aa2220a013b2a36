"""Prompts and responses as tokens: made once, kept in files that are mapped into memory.

Texts that are too long together for the model are cut: first the end of the response, down to
`RESERVE` of the length allowed, then the beginning of the prompt, as its end holds the question.
A response that is cut has no end-of-turn token.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset, Features, List, Value
from datasets.arrow_writer import ArrowWriter

from emdpo import files
from emdpo.core.em import StopTest, never
from emdpo.core.errors import RunError

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from emdpo.adapters.base_model import BaseModel
    from emdpo.core.rankings import Rankings

RESERVE = 0.25
"""Share of the length allowed that a long response always gets."""

SHORTEST = 16
"""The least length allowed, in tokens."""

PROMPTS, RESPONSES, MANIFEST = "prompts.arrow", "responses.arrow", "tokens.json"
ROWS_AT_ONCE = 500
"""Rows in memory, and between two questions whether to stop."""

PROMPT_COLUMNS = {"input_ids": List(Value("int32")), "truncated": Value("bool")}
RESPONSE_COLUMNS = {"prompt": Value("int64"), **PROMPT_COLUMNS}


@dataclass(frozen=True, eq=False)
class Tokens:
    """Tokens of P prompts and A candidates; those not wanted have none."""

    prompts: Dataset
    """P rows: input_ids, truncated (whether the text was cut)."""
    responses: Dataset
    """A rows: prompt (position in `prompts`), input_ids, truncated."""
    prompt_lengths: NDArray[np.int64]
    """(P,) tokens of each prompt."""
    response_lengths: NDArray[np.int64]
    """(A,) tokens of each response, the end of the turn included."""
    candidate_prompt: NDArray[np.int64]
    """(A,) the prompt that each candidate answers."""
    n_truncated: int
    """Prompts and responses that were cut."""

    def prompt_ids(self, prompt: int) -> NDArray[np.int64]:
        """Return the tokens of a prompt, up to where the response begins."""
        return _ids(self.prompts)[prompt].values.to_numpy().astype(np.int64)

    def response_ids(self, candidate: int) -> NDArray[np.int64]:
        """Return the tokens of a candidate's response."""
        return _ids(self.responses)[candidate].values.to_numpy().astype(np.int64)


def _ids(rows: Dataset) -> pa.ChunkedArray:
    """Return the column itself: ten times faster than through `Dataset`'s own lookup."""
    return rows.data.column("input_ids")


def tokenise(
    rankings: Rankings,
    base: BaseModel,
    folder: Path,
    *,
    max_length: int = 1024,
    wanted: NDArray[np.bool_] | None = None,
    should_stop: StopTest = never,
) -> Tokens | None:
    """Return the tokens of all that the rankings show, None where it was stopped.

    What `folder` holds of the same texts, model and length is used again.

    Parameters
    ----------
    rankings
        Their positions in `prompts` and `candidates` are those of the result.
    base
        Its tokenizer and chat template.
    folder
        Gets prompts.arrow, responses.arrow and, last, tokens.json.
    max_length
        Most tokens of a prompt and a response together, at least 16; the model's own limit holds
        too.
    wanted
        (A,) the candidates to tokenise, and with them their prompts; by default those that the
        rankings show.
    should_stop
        Asked every few hundred texts.
    """
    if max_length < SHORTEST:
        raise ValueError(f"max_length must be at least {SHORTEST} tokens, got {max_length}")
    limit = min(max_length, base.max_length)
    if wanted is None:
        wanted = np.bincount(rankings.candidate, minlength=rankings.n_candidates) > 0
    content = _content(rankings, base, limit, wanted)
    if not _is_kept(folder, content):
        try:
            _write(rankings, base, limit, wanted, folder, content, should_stop)
        except _Stopped:
            return None
    return _read(folder)


class _Stopped(Exception):
    """Somebody asked to stop."""


def cut_prompt(ids: list[int], keep: int, bos: object) -> list[int]:
    """Return the last `keep` tokens; a token that begins texts stays where it is."""
    if len(ids) <= keep:
        return ids
    start = len(ids) - keep
    return [*ids[:1], *ids[start + 1 :]] if ids[0] == bos else ids[start:]


def _content(rankings: Rankings, base: BaseModel, limit: int, wanted: NDArray[np.bool_]) -> str:
    """Return a SHA-256 of all that decides the tokens."""
    digest = hashlib.sha256(json.dumps([base.fingerprint, limit, RESERVE]).encode())
    prompts, candidates = rankings.prompts, rankings.candidates
    asked = zip(prompts["prompt"], prompts["messages"], strict=True)
    given = zip(candidates["prompt"], candidates["response"], wanted, strict=True)
    for row in asked:
        digest.update(json.dumps(row).encode())
    for prompt, response, is_wanted in given:
        digest.update(json.dumps([int(prompt), response, bool(is_wanted)]).encode())
    return digest.hexdigest()


def _is_kept(folder: Path, content: str) -> bool:
    try:
        manifest = files.read_json(folder / MANIFEST)
        return manifest.get("content") == content and all(
            files.sha256(folder / name) == manifest.get(name) for name in (PROMPTS, RESPONSES)
        )
    except RunError:
        return False


def _write(
    rankings: Rankings,
    base: BaseModel,
    limit: int,
    wanted: NDArray[np.bool_],
    folder: Path,
    content: str,
    should_stop: StopTest,
) -> None:
    """Write both files, then the manifest: it never stands beside files of other texts."""
    (folder / MANIFEST).unlink(missing_ok=True)
    _write_rows(
        folder / PROMPTS, PROMPT_COLUMNS, _prompt_rows(rankings, base, limit, wanted), should_stop
    )
    room = limit - _lengths(Dataset.from_file(str(folder / PROMPTS)))
    _write_rows(
        folder / RESPONSES,
        RESPONSE_COLUMNS,
        _response_rows(rankings, base, room, wanted),
        should_stop,
    )
    sums = {name: files.sha256(folder / name) for name in (PROMPTS, RESPONSES)}
    files.write_json(folder / MANIFEST, {"content": content, **sums})


def _prompt_rows(
    rankings: Rankings, base: BaseModel, limit: int, wanted: NDArray[np.bool_]
) -> Iterator[dict[str, Any]]:
    answers = _answers(rankings, wanted)
    reserve = int(limit * RESERVE)
    prompts = zip(rankings.prompts["prompt"], rankings.prompts["messages"], strict=True)
    for prompt, (text, messages) in enumerate(prompts):
        ids = base.prompt_ids(text, messages) if answers[prompt] else []
        keep = limit - reserve
        if len(ids) > keep:  # short responses leave the prompt more
            longest = max(len(base.response_ids(answer)) for answer in answers[prompt])
            keep = limit - min(reserve, longest)
        kept = cut_prompt(ids, keep, base.tokenizer.bos_token_id)
        yield {"input_ids": kept, "truncated": len(kept) < len(ids)}


def _answers(rankings: Rankings, wanted: NDArray[np.bool_]) -> list[list[str]]:
    """Return, for each of P prompts, the responses that are wanted."""
    answers: list[list[str]] = [[] for _ in range(rankings.n_prompts)]
    candidates = rankings.candidates[wanted]
    for prompt, response in zip(candidates["prompt"], candidates["response"], strict=True):
        answers[prompt].append(response)
    return answers


def _response_rows(
    rankings: Rankings, base: BaseModel, room: NDArray[np.int64], wanted: NDArray[np.bool_]
) -> Iterator[dict[str, Any]]:
    """Yield A rows; `room` (P,) is what each prompt leaves."""
    candidates = rankings.candidates
    rows = zip(candidates["prompt"], candidates["response"], wanted, strict=True)
    for prompt, response, is_wanted in rows:
        ids = base.response_ids(response) if is_wanted else []
        kept = ids[: room[prompt]]
        yield {"prompt": prompt, "input_ids": kept, "truncated": len(kept) < len(ids)}


def _write_rows(
    path: Path, columns: dict[str, Any], rows: Iterable[dict[str, Any]], should_stop: StopTest
) -> None:
    def write(temporary: Path) -> None:
        with ArrowWriter(
            path=str(temporary), features=Features(columns), writer_batch_size=ROWS_AT_ONCE
        ) as writer:
            for number, row in enumerate(rows):
                if number % ROWS_AT_ONCE == 0 and should_stop():
                    raise _Stopped
                writer.write(row)
            writer.finalize()

    files.write_with(path, write)


def _read(folder: Path) -> Tokens:
    prompts = Dataset.from_file(str(folder / PROMPTS))
    responses = Dataset.from_file(str(folder / RESPONSES))
    cut = [rows.data.column("truncated").to_numpy() for rows in (prompts, responses)]
    return Tokens(
        prompts=prompts,
        responses=responses,
        prompt_lengths=_lengths(prompts),
        response_lengths=_lengths(responses),
        candidate_prompt=responses.data.column("prompt").to_numpy(),
        n_truncated=int(np.concatenate(cut).sum()),
    )


def _lengths(rows: Dataset) -> NDArray[np.int64]:
    """Return how many tokens each row has, from the offsets alone."""
    offsets = [chunk.offsets.to_numpy() for chunk in _ids(rows).chunks]
    return np.concatenate([np.diff(part) for part in offsets]).astype(np.int64)
