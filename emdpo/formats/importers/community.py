"""Community Alignment (Zhang et al. 2025, Meta): people choose one of four answers a turn."""

from __future__ import annotations

from collections.abc import Iterator

from emdpo.core.tables.problems import show
from emdpo.formats.judgements import Judgement, LeftOut, Messages, as_prompt
from emdpo.formats.records import Record, Records

COLUMNS = (
    "annotator_id",
    "first_turn_prompt",
    "first_turn_response_a",
    "first_turn_response_b",
    "first_turn_preferred_response",
)

_TURNS = ("first", "second", "third", "fourth")
_LETTERS = "abcd"
_ATTRIBUTES = ("age", "gender", "education_level", "political", "ethnicity", "country")
_END = "<|end_of_text|>"
"""A token that the release leaves at the end of answers."""


def read(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield the choice of every turn; the prompt is all that was said before."""
    for record in records:
        owner, attributes = record.identity("annotator_id"), _attributes(record)
        history: Messages = []
        for turn in _TURNS:
            prompt = record.optional_text(f"{turn}_turn_prompt")
            if not prompt:
                break
            history = [*history, {"role": "user", "content": prompt}]
            answers = _answers(record, turn)
            chosen = _chosen(record, turn, answers)
            if chosen is None:
                yield LeftOut("turns without a choice")
                break
            yield Judgement(
                prompt=as_prompt(history),
                responses=list(answers.values()),
                ranks=[int(letter == chosen) for letter in answers],
                user_id=owner,
                attributes=attributes,
            )
            history = [*history, {"role": "assistant", "content": answers[chosen]}]


def _attributes(record: Record) -> dict[str, str]:
    found = {name: record.optional_text(f"annotator_{name}") for name in _ATTRIBUTES}
    found["language"] = record.optional_text("assigned_lang")
    return {name: value for name, value in found.items() if value}


def _answers(record: Record, turn: str) -> dict[str, str]:
    """Return the answers shown, by letter."""
    found = {letter: record.optional_text(f"{turn}_turn_response_{letter}") for letter in _LETTERS}
    return {letter: text.removesuffix(_END) for letter, text in found.items() if text}


def _chosen(record: Record, turn: str, answers: dict[str, str]) -> str | None:
    name = f"{turn}_turn_preferred_response"
    told = record.optional_text(name)
    if not told:
        return None
    letter = told.removeprefix("response_").strip().lower()
    if letter not in answers:
        expected = ", ".join(f"response_{known}" for known in answers)
        raise record.error(name, f"expected one of {expected}, got {show(told)}")
    return letter
