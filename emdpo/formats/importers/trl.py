"""Preference pairs as TRL reads them, with a column that names who preferred.

One user's pairs on one prompt are one ranking where they determine one (`merged`); nothing is made
up where they do not.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from emdpo.core.tables.problems import show
from emdpo.formats.judgements import Judgement, LeftOut, Messages, as_prompt
from emdpo.formats.records import Record, Records

COLUMNS = ("chosen", "rejected")
USER_COLUMNS = ("user_id", "annotator_id", "annotator", "worker_id", "labeler", "rater")

_REPEATED = LeftOut("pairs said before by the same person")


@dataclass(frozen=True)
class _Pair:
    prompt: str | Messages
    chosen: str
    rejected: str
    user: str | None


def user_column(columns: Sequence[str]) -> str | None:
    """Return the column that names who preferred, None where there is none."""
    return next((name for name in USER_COLUMNS if name in columns), None)


def read(records: Records, user: str | None) -> Iterator[Judgement | LeftOut]:
    """Yield the rankings that pairs determine, and the other pairs as they are."""
    user = user or user_column(records.columns)
    pairs = [_pair(record, user) for record in records]
    if user is None:
        yield from (_judgement(pair, [[pair.chosen], [pair.rejected]]) for pair in pairs)
        return
    together: dict[tuple[str | None, str], list[_Pair]] = defaultdict(list)
    for pair in pairs:
        together[pair.user, str(pair.prompt)].append(pair)
    for same in together.values():
        wins = list(dict.fromkeys((pair.chosen, pair.rejected) for pair in same))
        yield from [_REPEATED] * (len(same) - len(wins))
        for part in connected(wins):
            levels = merged(part)
            orders = [levels] if levels else [[[best], [worst]] for best, worst in part]
            yield from (_judgement(same[0], order) for order in orders)


def _judgement(pair: _Pair, levels: list[list[str]]) -> Judgement:
    return Judgement(
        prompt=pair.prompt,
        responses=[text for level in levels for text in level],
        ranks=[rank for rank, level in enumerate(levels, 1) for _ in level],
        user_id=pair.user,
    )


Wins = list[tuple[str, str]]
"""Pairs of what was chosen and what was rejected."""


def connected(wins: Wins) -> list[Wins]:
    """Return the pairs in parts that have no answer in common.

    >>> connected([("a", "b"), ("c", "d"), ("b", "e")])
    [[('a', 'b'), ('b', 'e')], [('c', 'd')]]
    """
    part: dict[str, str] = {}

    def root(name: str) -> str:
        while part.setdefault(name, name) != name:
            name = part[name]
        return name

    for best, worst in wins:
        part[root(worst)] = root(best)
    parts: dict[str, Wins] = defaultdict(list)
    for best, worst in wins:
        parts[root(best)].append((best, worst))
    return list(parts.values())


def merged(wins: Wins) -> list[list[str]] | None:
    """Return the levels of the ranking that pairs determine, best first; None where they do not.

    They do where answers that no chain of pairs orders can stand on one level: then the pairs
    follow from the ranking and it says nothing more. A circle, or a > b > c with d > c (is d
    better than a?), has no such ranking.

    >>> merged([("a", "b"), ("b", "c")])
    [['a'], ['b'], ['c']]
    >>> merged([("a", "c"), ("b", "c")])
    [['a', 'b'], ['c']]
    >>> merged([("a", "b"), ("b", "c"), ("d", "c")]) is None
    True
    """
    depth = _depths(wins)
    if depth is None:
        return None
    levels: list[list[str]] = [[] for _ in range(max(depth.values()) + 1)]
    for name, level in depth.items():
        levels[level].append(name)
    # Nothing stands between neighbouring levels, so only pairs themselves can order them.
    said = Counter(depth[best] for best, worst in set(wins) if depth[worst] == depth[best] + 1)
    sizes = [len(level) for level in levels]
    whole = all(said[i] == n * sizes[i + 1] for i, n in enumerate(sizes[:-1]))
    return levels if whole else None


def _depths(wins: Wins) -> dict[str, int] | None:
    """Return the most answers that some chain of pairs puts above each, None in a circle.

    Answers are taken once all above them are (Kahn 1962).
    """
    worse: dict[str, list[str]] = {}
    above: Counter[str] = Counter()
    for best, worst in dict.fromkeys(wins):
        worse.setdefault(best, []).append(worst)
        worse.setdefault(worst, [])
        above[worst] += 1
    depth = {name: 0 for name in worse if not above[name]}
    taken = list(depth)
    for name in taken:  # grows while it is gone through
        for other in worse[name]:
            depth[other] = max(depth.get(other, 0), depth[name] + 1)
            above[other] -= 1
            if not above[other]:
                taken.append(other)
    return depth if len(taken) == len(worse) else None


def _pair(record: Record, user: str | None) -> _Pair:
    """Return a row: text or messages, with a prompt or with one that both sides begin with."""
    chosen, rejected = record.value("chosen"), record.value("rejected")
    owner = None if user is None else record.identity(user)
    if isinstance(chosen, str) and isinstance(rejected, str):
        if "prompt" not in record.source.columns:
            raise record.error("prompt", "text pairs need a column with the prompt")
        prompt = record.value("prompt")
        asked = prompt if isinstance(prompt, str) else as_prompt(_messages(record, "prompt"))
        return _Pair(asked, chosen, rejected, owner)
    best, worst = _messages(record, "chosen"), _messages(record, "rejected")
    if record.value("prompt") is None:
        asked, n = _shared(record, best, worst)
    else:
        prompt = record.value("prompt")
        asked, n = prompt if isinstance(prompt, str) else _messages(record, "prompt"), 0
    texts = [_answer(record, name, side[n:]) for name, side in _sides(best, worst)]
    return _Pair(asked if isinstance(asked, str) else as_prompt(asked), texts[0], texts[1], owner)


def _sides(best: Messages, worst: Messages) -> list[tuple[str, Messages]]:
    return [("chosen", best), ("rejected", worst)]


def _messages(record: Record, name: str) -> Messages:
    found = record.children(name)
    if not found:
        raise record.error(name, f"expected text or messages, got {show(record.value(name))}")
    return [{"role": each.text("role"), "content": each.text("content")} for each in found]


def _shared(record: Record, best: Messages, worst: Messages) -> tuple[Messages, int]:
    """Return the messages that both sides begin with, and how many they are."""
    n = 0
    while n < min(len(best), len(worst)) - 1 and best[n] == worst[n]:
        n += 1
    if not n:
        raise record.error("chosen", "chosen and rejected begin with no message in common")
    return best[:n], n


def _answer(record: Record, name: str, messages: Messages) -> str:
    if len(messages) != 1 or messages[0]["role"] != "assistant":
        raise record.error(name, "expected one message of the assistant after the prompt")
    return messages[0]["content"]
