"""Rankings by a language model, of several answers each: Nectar and UltraFeedback."""

from __future__ import annotations

import re
from collections.abc import Iterator

from emdpo.formats.judgements import Judgement, LeftOut, Messages, as_prompt, ranks_of
from emdpo.formats.records import Record, Records

NECTAR = ("prompt", "answers", "num_responses")
ULTRAFEEDBACK = ("instruction", "completions")

_SPEAKER = re.compile(r"\n\n(Human|Assistant): ?")
_ROLES = {"Human": "user", "Assistant": "assistant"}


def read_nectar(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield the ranking of every row of Nectar (Zhu et al. 2023): seven answers, by GPT-4."""
    for record in records:
        answers = record.children("answers")
        yield Judgement(
            prompt=_transcript(record),
            responses=[answer.text("answer") for answer in answers],
            ranks=ranks_of(-answer.number("rank") for answer in answers),
            user_id=_user(record, user),
        )


def _transcript(record: Record) -> str | Messages:
    r"""Return "\n\nHuman: ... \n\nAssistant: ..." as messages, anything else as it is."""
    text = record.text("prompt")
    before, *parts = _SPEAKER.split(text)
    if before.strip() or not parts:
        return text
    spoken = zip(parts[::2], parts[1::2], strict=True)
    messages = [{"role": _ROLES[who], "content": said.strip()} for who, said in spoken]
    if messages[-1]["role"] == "assistant" and not messages[-1]["content"]:
        messages.pop()  # where the answer goes
    return as_prompt(messages) if messages else text


def read_ultrafeedback(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield the ranking of every row of UltraFeedback (Cui et al. 2023): scores by GPT-4."""
    for record in records:
        completions = record.children("completions")
        yield Judgement(
            prompt=record.text("instruction"),
            responses=[completion.text("response") for completion in completions],
            ranks=ranks_of(each.optional_number("overall_score") for each in completions),
            user_id=_user(record, user),
        )


def _user(record: Record, column: str | None) -> str | None:
    return None if column is None else record.identity(column)
