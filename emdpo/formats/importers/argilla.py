"""Rankings made in Argilla: version 1 (`user_id`, `value`, `status` in one list) and version 2.

Argilla names the answers after their fields (`reply-1` ranks the field `reply_1`). Only submitted
responses count; version 2 exports no ties.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emdpo.core.tables.problems import listing, show
from emdpo.formats.judgements import Judgement, LeftOut
from emdpo.formats.records import Record, Records

_PROMPTS = ("prompt", "instruction", "question", "input", "context", "text", "query")
_SUBMITTED = "submitted"
_NOT_SUBMITTED = LeftOut("responses that were not submitted")


def question_of(columns: Sequence[str]) -> str | None:
    """Return the column of the ranking question, None where this is no Argilla export."""
    second = [
        name.removesuffix(".responses.users")
        for name in columns
        if name.endswith(".responses.users") and name.removesuffix(".users") in columns
    ]
    first = [
        name for name in columns if f"{name}-suggestion" in columns and "external_id" in columns
    ]
    found = second + first
    ranked = [name for name in found if re.search("rank|prefer", name, re.IGNORECASE)]
    return (ranked or found or [None])[0]


def recognised(columns: Sequence[str]) -> bool:
    """Return whether these are the columns of an Argilla export."""
    return question_of(columns) is not None


@dataclass(frozen=True)
class _Response:
    user: str
    levels: list[tuple[int, str]]
    """Rank and name of each answer ranked."""
    submitted: bool


def read(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield every person's submitted ranking of every record."""
    question = question_of(records.columns) or ""
    for record in records:
        responses = list(_responses(record, question))
        for response in responses:
            if not response.submitted:
                yield _NOT_SUBMITTED
                continue
            fields = _fields(records, record, question, response)
            place = {fields[name]: rank for rank, name in response.levels}
            shown = [name for name in _siblings(records, list(place)) if record.optional_text(name)]
            yield Judgement(
                prompt=record.text(_prompt(records, record, shown)),
                responses=[record.text(name) for name in shown],
                ranks=[place.get(name, 0) for name in shown],
                user_id=response.user,
                response_ids=shown,
                prompt_id=_record_id(record),
            )


def _record_id(record: Record) -> str:
    """Return the record's own id, or else its number."""
    names = ("id", "external_id")
    own = next((found for name in names if (found := record.optional_text(name))), None)
    return own or f"record {record.position + 1}"


def _responses(record: Record, question: str) -> Iterator[_Response]:
    if f"{question}.responses.users" in record.source.columns:
        yield from _second(record, question)
        return
    for each in record.children(question):
        named = each.children("value")
        levels = [(int(item.number("rank")), item.text("value")) for item in named]
        yield _Response(each.identity("user_id"), levels, _is_submitted(each.value("status")))


def _second(record: Record, question: str) -> Iterator[_Response]:
    """Yield the responses of version 2: three lists side by side."""
    column = f"{question}.responses"
    users, values = record.items(f"{column}.users"), record.items(column)
    states = record.items(f"{column}.status") or [_SUBMITTED] * len(users)
    if not len(users) == len(values) == len(states):
        told = f"{len(values)} rankings by {len(users)} users with {len(states)} states"
        raise record.error(column, told)
    for user, value, state in zip(users, values, states, strict=True):
        if not _is_submitted(state):
            yield _Response(str(user), [], False)
            continue
        if not isinstance(value, list | tuple):
            raise record.error(column, f"expected a ranking, got {show(value)}")
        levels = [_level(record, column, place, item) for place, item in enumerate(value, 1)]
        yield _Response(str(user), levels, True)


def _level(record: Record, column: str, place: int, item: object) -> tuple[int, str]:
    """Return an answer's rank and name: names stand best first, or as {value, rank}."""
    if isinstance(item, dict) and isinstance(item.get("value"), str):
        return int(item.get("rank") or place), item["value"]
    if isinstance(item, str):
        return place, item
    raise record.error(column, f"expected the name of an answer, got {show(item)}")


def _is_submitted(status: object) -> bool:
    return str(status).rsplit(".", 1)[-1].lower() == _SUBMITTED


def _fields(records: Records, record: Record, question: str, response: _Response) -> dict[str, str]:
    """Return the field that each answer's name stands for."""
    plain = {_plain(name): name for name in reversed(records.columns)}
    found = {name: plain.get(_plain(name)) for _, name in response.levels}
    lost = [name for name, field in found.items() if field is None]
    if lost:
        told = f"no field for the answers {listing(lost)}; there are {listing(records.columns)}"
        raise record.error(question, told)
    return {name: field for name, field in found.items() if field is not None}


def _siblings(records: Records, named: list[str]) -> list[str]:
    """Return the fields named and those that differ from them in a number only."""
    stems = {_stem(name) for name in named}
    numbered = [name for name in records.columns if _stem(name) in stems and _stem(name) != name]
    return numbered if set(named) <= set(numbered) else named


def _stem(name: str) -> str:
    return re.sub(r"[\W_]*\d+$", "", name)


def _plain(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _prompt(records: Records, record: Record, answers: list[str]) -> str:
    """Return the field that is the prompt."""
    names = [name for name in _PROMPTS if name in records.columns and name not in answers]
    if not names:
        told = f"no field called {', '.join(_PROMPTS)}; there are {listing(records.columns)}"
        raise record.error("prompt", told)
    return names[0]
