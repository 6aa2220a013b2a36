"""Collective Alignment 1, also CoVal (OpenAI 2025): people rank four answers, with ties.

`comparisons.jsonl` has the answers and every person's ranking: what they prefer themselves
(`personal`) and what they think best for the world (`world`). The people are in `annotators.jsonl`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

from emdpo.formats.judgements import Judgement, LeftOut, as_prompt
from emdpo.formats.records import Record, Records

COMPARISONS = ("prompt_id", "prompt", "responses", "metadata")
MERGED = ("prompt_id", "annotator_id", "ranking_blocks")
ANNOTATORS = ("annotator_id", "demographics")

_ESSAYS = ("ideal-model-behavior",)
"""Free text about oneself, which makes no groups."""

_NO_ORDER = LeftOut("rankings that are no order of the answers, such as A>B>A")


def _read(kind: str, records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    for record in records:
        names, texts = _answers(record)
        prompt = as_prompt(_messages(record.child("prompt")))
        prompt_id = record.identity("prompt_id")
        for assessment in record.child("metadata").children("assessments"):
            ranking = _ranking(assessment, kind)
            if ranking is None:
                yield LeftOut(f"no {kind} ranking")
                continue
            ranks = _ranks(ranking, names)
            if ranks is None:
                yield _NO_ORDER
                continue
            yield Judgement(
                prompt=prompt,
                responses=texts,
                ranks=ranks,
                user_id=assessment.identity("annotator_id"),
                prompt_id=prompt_id,
                response_ids=names,
            )


read_personal = partial(_read, "personal")
"""Yield what people prefer themselves."""

read_world = partial(_read, "world")
"""Yield what people think best for the world."""


def _messages(holder: Record) -> list[dict[str, str]]:
    found = holder.children("messages")
    if not found:
        raise holder.error("messages", "expected at least one message, found none")
    return [{"role": each.text("role"), "content": each.text("content")} for each in found]


def _answers(record: Record) -> tuple[list[str], list[str]]:
    """Return the answers' letters and texts."""
    answers = record.children("responses")
    names = [answer.identity("response_index") for answer in answers]
    texts = ["\n\n".join(part["content"] for part in _messages(answer)) for answer in answers]
    return names, texts


def _ranking(assessment: Record, kind: str) -> str | None:
    """Return the order as it is written, "A>B>C=D", None where there is none of this kind."""
    if assessment.value("ranking_blocks") is None:
        return None
    blocks = assessment.child("ranking_blocks").children(kind)
    return blocks[0].optional_text("ranking") or None if blocks else None


def _ranks(ranking: str, names: list[str]) -> list[int] | None:
    """Return the answers' ranks, None where the text is no order of them."""
    levels = [[name.strip() for name in level.split("=")] for level in ranking.split(">")]
    place = {name: rank for rank, level in enumerate(levels, 1) for name in level}
    if not set(place) <= set(names) or sum(map(len, levels)) > len(place):
        return None
    return [place.get(name, 0) for name in names]


def read_users(records: Records) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each person of annotators.jsonl with what is known of it."""
    for record in records:
        about = record.child("demographics")
        known = {
            name: str(value)
            for name in about.values
            if name not in _ESSAYS and isinstance(value := about.value(name), str | int | float)
        }
        yield record.identity("annotator_id"), known
