"""PRISM (Kirk et al. 2024, arXiv 2404.16019): people rate the answers of up to four models.

`utterances.jsonl` has a row per answer, `conversations.jsonl` one per conversation; both are read,
every turn as one ranking by score. The people are in `survey.jsonl`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass

from emdpo.formats.judgements import Judgement, LeftOut, Messages, as_prompt, ranks_of
from emdpo.formats.records import Record, Records

UTTERANCES = (
    "conversation_id",
    "user_id",
    "turn",
    "within_turn_id",
    "user_prompt",
    "model_response",
    "score",
    "if_chosen",
)
CONVERSATIONS = ("conversation_id", "user_id", "conversation_history", "conversation_turns")

_ATTRIBUTES = (
    "age",
    "gender",
    "education",
    "employment_status",
    "marital_status",
    "english_proficiency",
    "lm_familiarity",
    "study_locale",
)
_NESTED = {
    "ethnicity": ("ethnicity", "simplified"),
    "religion": ("religion", "simplified"),
    "birth_region": ("location", "birth_region"),
    "reside_region": ("location", "reside_region"),
}


@dataclass(frozen=True)
class _Answer:
    name: str
    """Its place within the turn: unique there."""
    text: str
    score: float | None
    chosen: bool


@dataclass
class _Turn:
    prompt: str
    answers: list[_Answer]


_Turns = dict[int, _Turn]


def read_utterances(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield a judgement for every turn of every conversation of utterances.jsonl."""
    conversations: dict[str, _Turns] = defaultdict(dict)
    users: dict[str, str] = {}
    for record in records:
        conversation = record.identity("conversation_id")
        users[conversation] = record.identity("user_id")
        turns = conversations[conversation]
        number = int(record.number("turn"))
        turn = turns.setdefault(number, _Turn(record.text("user_prompt"), []))
        turn.answers.append(_answer(record, "model_response"))
    for conversation, turns in conversations.items():
        yield from _judgements(conversation, users[conversation], turns)


def read_conversations(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield a judgement for every turn of every conversation of conversations.jsonl."""
    for record in records:
        turns: _Turns = {}
        for message in record.children("conversation_history"):
            number = int(message.number("turn"))
            if message.text("role") == "user":
                turns[number] = _Turn(message.text("content"), [])
            elif number in turns:
                turns[number].answers.append(_answer(message, "content"))
            else:
                raise message.error("turn", "an answer before its prompt")
        owner = record.identity("user_id")
        yield from _judgements(record.identity("conversation_id"), owner, turns)


def _answer(record: Record, text: str) -> _Answer:
    return _Answer(
        name=record.text("within_turn_id"),
        text=record.text(text),
        score=record.optional_number("score"),
        chosen=record.flag("if_chosen"),
    )


def _judgements(conversation: str, user: str, turns: _Turns) -> Iterator[Judgement | LeftOut]:
    """Yield the turns of one conversation, each with what was said before as its prompt."""
    history: Messages = []
    for number, turn in sorted(turns.items()):
        history = [*history, {"role": "user", "content": turn.prompt}]
        yield Judgement(
            prompt=as_prompt(history),
            responses=[answer.text for answer in turn.answers],
            ranks=ranks_of(answer.score for answer in turn.answers),
            user_id=user,
            prompt_id=f"{conversation}:{number}",
            response_ids=[answer.name for answer in turn.answers],
        )
        chosen = next((answer for answer in turn.answers if answer.chosen), None)
        if chosen is None:
            yield from (
                LeftOut("turns after one without a chosen answer") for _ in _after(turns, number)
            )
            return
        history = [*history, {"role": "assistant", "content": chosen.text}]


def _after(turns: _Turns, number: int) -> list[int]:
    return [later for later in turns if later > number]


def read_users(records: Records) -> Iterator[tuple[str, dict[str, str]]]:
    """Yield each person of survey.jsonl with what is known of it."""
    for record in records:
        known = {name: record.optional_text(name) for name in _ATTRIBUTES}
        for name, (outer, inner) in _NESTED.items():
            if record.value(outer) is not None:
                known[name] = record.child(outer).optional_text(inner)
        yield (
            record.identity("user_id"),
            {name: value for name, value in known.items() if value is not None},
        )
