"""OpenAssistant conversations (Köpf et al. 2023): the consensus order of sibling answers.

`user_id` in these files is who WROTE the message. Who ranked is not published: `rank` is the merged
order of several volunteers. So no one here is a ranker with an id.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from emdpo.core.errors import DataError
from emdpo.formats.judgements import Judgement, LeftOut, Messages, as_prompt, ranks_of
from emdpo.formats.records import Record, Records

COLUMNS = ("message_id", "parent_id", "user_id", "text", "role", "rank", "message_tree_id")

_DEEPEST = 1000
"""Messages of a thread that are followed up to its root."""

_ROLES = {"prompter": "user", "assistant": "assistant"}

IS_AUTHOR = (
    "user_id names who wrote the message, not who ranked it; OpenAssistant does not publish its "
    "rankers, so it has no users (leave --user out: each order is read as an unknown person's)"
)


def read(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield the order of the assistants' answers to each message that has several ranked ones."""
    if user is not None:
        raise DataError(IS_AUTHOR, file=records.name, column=user)
    messages = {record.identity("message_id"): record for record in records}
    answers: dict[str, list[Record]] = defaultdict(list)
    for record in messages.values():
        parent = record.optional_text("parent_id")
        if parent and record.text("role") == "assistant" and not record.flag("deleted"):
            answers[parent].append(record)
    for parent, siblings in answers.items():
        ranked = [each for each in siblings if each.optional_number("rank") is not None]
        if len(ranked) < 2:
            yield LeftOut("messages with fewer than two ranked answers")
        elif (thread := _thread(messages, parent)) is None:
            yield LeftOut("answers whose thread is not whole in the file")
        else:
            yield Judgement(
                prompt=as_prompt(thread),
                responses=[each.text("text") for each in ranked],
                ranks=ranks_of(-each.number("rank") for each in ranked),
                prompt_id=parent,
                response_ids=[each.text("message_id") for each in ranked],
            )


def _thread(messages: dict[str, Record], last: str) -> Messages | None:
    """Return the messages from the root to `last`, None where there is no way to the root."""
    thread: Messages = []
    name: str | None = last
    while name:
        record = messages.get(name)
        if record is None or len(thread) == _DEEPEST:
            return None
        role = record.text("role")
        if role not in _ROLES:
            raise record.error("role", f"expected prompter or assistant, got {role!r}")
        thread.append({"role": _ROLES[role], "content": record.text("text")})
        name = record.optional_text("parent_id")
    return thread[::-1]
