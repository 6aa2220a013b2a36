"""Questions from what people have: pasted text, a file in emdpo's formats, the demo."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from emdpo.collect.plans import Candidate, GroupQuestion, Question
from emdpo.core.errors import DataError, EmdpoError
from emdpo.core.readers import detect_columns, read_table
from emdpo.core.tables.prompts import prompts
from emdpo.demo import demo_file

_DASH = re.compile(r"\s*(?:[-*•]\s+|[-•](?=[^\W\d_]))")
_NUMBER = re.compile(r"\s*(?:\d{1,3}|[A-Ha-h])[.)]\s+")
"""Either begins an answer; where answers have dashes, a number begins their question."""


def pasted_questions(text: str) -> tuple[Question, ...]:
    r"""Return the questions of a text: blocks with blank lines between, answers behind dashes.

    >>> question, = pasted_questions("Tea or coffee?\n- Tea.\n- Coffee,\n  black.\n- Water.")
    >>> question.prompt, [each.response for each in question.candidates]
    ('Tea or coffee?', ['Tea.', 'Coffee,\nblack.', 'Water.'])

    Raises
    ------
    EmdpoError
        A block has no question or fewer than two answers.
    """
    blocks = [block for block in re.split(r"\n\s*\n", text.replace("\r\n", "\n")) if block.strip()]
    if not blocks:
        raise EmdpoError("no questions yet: write one, and its answers below it behind dashes")
    return tuple(_pasted(number, block) for number, block in enumerate(blocks, start=1))


def _pasted(number: int, block: str) -> Question:
    prompt: list[str] = []
    answers: list[str] = []
    rows = block.strip("\n").split("\n")
    if any(map(_DASH.match, rows[1:])) and (numbered := _NUMBER.match(rows[0])):
        prompt.append(rows.pop(0)[numbered.end() :].strip())
    for row in rows:
        if bullet := _DASH.match(row) or _NUMBER.match(row):
            answers.append(row[bullet.end() :].strip())
        elif answers:
            answers[-1] += "\n" + row.strip()
        else:
            prompt.append(row.strip())
    first = "\n".join(prompt).strip()
    if not first:
        raise EmdpoError(f"question {number} has no text above its answers")
    if len(answers) < 2:
        raise EmdpoError(
            f"question {number} ({first!r:.40}) has {len(answers)} answers: begin each on a "
            "line of its own with a dash and a space"
        )
    return _question(f"q{number}", first, answers)


def _question(prompt_id: str, prompt: str, answers: Iterable[str]) -> Question:
    named = (Candidate(f"{prompt_id}-{chr(97 + n)}", text) for n, text in enumerate(answers))
    return Question(prompt_id, prompt, tuple(named))


def demo_questions() -> tuple[Question, ...]:
    """Return the demo's questions, each with four answers written by hand."""
    lines = demo_file("questions.jsonl").read_text("utf-8").splitlines()
    return tuple(
        Question(
            row["prompt_id"],
            row["prompt"],
            tuple(Candidate(f"{row['prompt_id']}-{k}", text) for k, text in row["answers"].items()),
        )
        for row in map(json.loads, lines)
    )


def file_questions(path: Path) -> tuple[Question, ...]:
    """Return the distinct prompts of a file with all answers to each.

    CSV, TSV, JSONL or Parquet with `prompt` and `response`, one answer a row, or `responses`, a
    list; `prompt_id` and `response_id` where there are any. Who ranked them how is not read, so
    that a file of rankings will do. A conversation is shown as text.

    Raises
    ------
    DataError
        The file cannot be read, or lacks these columns.
    """
    raw = read_table(path)
    roles = detect_columns(raw.frame.columns).roles
    answers = "response" if "response" in roles else "responses"
    for role in ("prompt", answers):
        if role not in roles:
            raise DataError("the table has no such column", file=raw.file, column=role)
    cells: Any = raw.frame
    read = prompts(cells[roles["prompt"]])
    if read.faults:
        raise DataError(read.faults[0].message, file=raw.file, column=roles["prompt"])
    shown: list[Any] = [read.shown.values[code] for code in read.shown.codes]
    same = [read.identity.values[code] for code in read.identity.codes]
    texts = [_texts(cell, answers == "responses", raw.file) for cell in cells[roles[answers]]]
    prompt_ids = _ids(cells, roles, "prompt_id", same)
    response_ids = _ids(cells, roles, "response_id", [None] * len(same))
    rows = zip(prompt_ids, shown, texts, response_ids, strict=True)
    names = _ids(cells, roles, "prompt_id", [None] * len(same))
    return _gathered(rows, dict(zip(prompt_ids, names, strict=True)))


def _ids(cells: Any, roles: Mapping[str, str], role: str, otherwise: list[Any]) -> list[Any]:
    return [str(cell) for cell in cells[roles[role]]] if role in roles else otherwise


def _texts(cell: object, is_list: bool, file: str | None) -> list[str]:
    """Return the texts of the answers in one cell."""
    texts: Any = [cell]
    if is_list:
        try:
            texts = json.loads(cell) if isinstance(cell, str) else list(cell)  # type: ignore[call-overload]
        except (TypeError, ValueError):
            raise DataError("a list of answers is not JSON", file=file) from None
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise DataError("an answer is missing or is no text", file=file)
    return texts


def _gathered(
    rows: Iterable[tuple[str, str, list[str], str | None]], names: Mapping[str, str | None]
) -> tuple[Question, ...]:
    """Return one question for each key of `rows`: key, prompt, answers and id of the answer."""
    shown: dict[str, str] = {}
    answers: dict[str, dict[str, str | None]] = {}
    for key, prompt, texts, response_id in rows:
        if shown.setdefault(key, prompt) != prompt:
            raise DataError(f"one id has two prompts, {shown[key]!r:.40} and {prompt!r:.40}")
        known = answers.setdefault(key, {})
        for text in texts:
            known.setdefault(text, response_id if len(texts) == 1 else None)
    found = []
    for number, (key, known) in enumerate(answers.items(), start=1):
        question = _question(names[key] or f"q{number}", shown[key], known)
        candidates = (
            replace(each, response_id=known[each.response] or each.response_id)
            for each in question.candidates
        )
        found.append(replace(question, candidates=tuple(candidates)))
    return tuple(found)


def pasted_groups(text: str) -> tuple[GroupQuestion, ...]:
    """Return what people are asked about themselves, one question a line.

    >>> pasted_groups("age: under 30 | 30 or more")[0].choices
    ('under 30', '30 or more')
    >>> pasted_groups("your school")[0]
    GroupQuestion(name='your school', choices=())

    The name ends at the first colon with a space after it, or at the first colon.
    """
    found = []
    for row in filter(None, map(str.strip, text.splitlines())):
        name, _, choices = row.partition(": " if ": " in row else ":")
        parts = tuple(part.strip() for part in choices.split("|") if part.strip())
        found.append(GroupQuestion(name.strip(), parts))
    return tuple(found)
