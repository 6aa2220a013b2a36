"""What a room asks: questions with their answers, what it asks about people, and its limits."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from emdpo.core.errors import EmdpoError
from emdpo.core.rankings import FEATURE_PREFIX
from emdpo.core.tables.forms import ROLES

MOST_QUESTIONS, MOST_CANDIDATES, MOST_GROUPS, MOST_CHOICES = 500, 8, 5, 12
LONGEST_TEXT, LONGEST_TITLE, LONGEST_NAME = 4_000, 120, 80
"""Characters of a prompt, an answer or the consent; of a title; of a name, a choice, own words."""

LONGEST_ID = 200

LONGEST_PLAN = 1_000_000
"""Characters of all questions and answers with their ids: a room is read often, and as a whole."""

CONSENT = (
    "Your answers are kept under a random id, without your name and without your address on the "
    "network. Whoever opened this room may read them, look for kinds of taste in them and publish "
    "the result. You may stop at any time, and withdraw: then your answers here are deleted."
)
"""What people are asked to agree to where the owner writes nothing else."""


@dataclass(frozen=True)
class Candidate:
    """One answer to a question."""

    response_id: str
    response: str


@dataclass(frozen=True)
class Question:
    """A prompt and the answers that people order."""

    prompt_id: str
    prompt: str
    candidates: tuple[Candidate, ...]
    """Two to eight."""


@dataclass(frozen=True)
class GroupQuestion:
    """What people are asked about themselves; they need not answer."""

    name: str
    """The column of the exported table."""
    choices: tuple[str, ...] = ()
    """Empty = in their own words."""


@dataclass(frozen=True)
class RoomPlan:
    """A room before it is opened."""

    title: str
    questions: tuple[Question, ...]
    per_person: int
    """Questions that each person is given, 1 to all."""
    groups: tuple[GroupQuestion, ...] = ()
    consent: str = CONSENT


def check_plan(plan: RoomPlan) -> None:
    """Raise EmdpoError saying what is wrong with a plan."""
    _check_text("the title", plan.title, LONGEST_TITLE)
    _check_text("the consent", plan.consent, LONGEST_TEXT)
    check_questions(plan.questions)
    _check_number("questions for each person", plan.per_person, 1, len(plan.questions))
    _check_number("questions about people", len(plan.groups), 0, MOST_GROUPS)
    _check_distinct("a question about people", (each.name for each in plan.groups))
    for group in plan.groups:
        _check_group(group)


def check_questions(questions: Sequence[Question]) -> None:
    """Raise EmdpoError saying what is wrong with the questions of a plan."""
    _check_number("questions", len(questions), 1, MOST_QUESTIONS)
    _check_distinct("the id of a question", (each.prompt_id for each in questions))
    for number, question in enumerate(questions, start=1):
        _check_question(f"question {number}", question)
    _check_length("the questions and answers have", sum(map(_length, questions)), LONGEST_PLAN)


def _check_question(name: str, question: Question) -> None:
    _check_text(name, question.prompt, LONGEST_TEXT)
    _check_text(f"the id of {name}", question.prompt_id, LONGEST_ID)
    _check_number(f"answers of {name}", len(question.candidates), 2, MOST_CANDIDATES)
    for candidate in question.candidates:
        _check_text(f"an answer of {name}", candidate.response, LONGEST_TEXT)
        _check_text(f"the id of an answer of {name}", candidate.response_id, LONGEST_ID)
    _check_distinct(f"an answer of {name}", (each.response for each in question.candidates))
    _check_distinct(
        f"the id of an answer of {name}", (each.response_id for each in question.candidates)
    )


def _check_group(group: GroupQuestion) -> None:
    _check_text("a question about people", group.name, LONGEST_NAME)
    if group.name in ROLES or group.name.startswith(FEATURE_PREFIX):
        raise EmdpoError(f"a question about people cannot be called {group.name!r}: it is a column")
    if group.choices:
        _check_number(f"choices of {group.name!r}", len(group.choices), 2, MOST_CHOICES)
    for choice in group.choices:
        _check_text(f"a choice of {group.name!r}", choice, LONGEST_NAME)
    _check_distinct(f"a choice of {group.name!r}", group.choices)


def _check_number(name: str, number: int, least: int, most: int) -> None:
    if not least <= number <= most:
        raise EmdpoError(f"{name}: expected {least} to {most}, got {number}")


def _check_distinct(name: str, values: Iterable[str]) -> None:
    value, times = (Counter(values).most_common(1) or [("", 0)])[0]
    if times > 1:
        raise EmdpoError(f"{name} appears {times} times: {value!r:.60}")


def _check_text(name: str, text: str, limit: int) -> None:
    if not text.strip():
        raise EmdpoError(f"{name} is empty")
    _check_length(f"{name} has", len(text), limit)
    if not is_storable(text):
        raise EmdpoError(f"{name} has a character that cannot be stored")


def _check_length(who_has: str, length: int, limit: int) -> None:
    if length > limit:
        raise EmdpoError(f"{who_has} {length:,} characters; the limit is {limit:,}")


def _length(question: Question) -> int:
    texts = [question.prompt_id, question.prompt]
    texts += [text for each in question.candidates for text in (each.response_id, each.response)]
    return sum(map(len, texts))


def is_storable(text: str) -> bool:
    """Return whether every database can keep a text: no NUL, no half of a surrogate pair."""
    return "\0" not in text and not any("\ud800" <= char <= "\udfff" for char in text)
