"""The orders of one prompt's answers as PrefLib writes them: counts without names."""

from __future__ import annotations

from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING

from emdpo.core.errors import EmdpoError
from emdpo.core.tables.problems import show

if TYPE_CHECKING:
    from emdpo.core.rankings import Rankings

_WORDS = {"s": "without ties", "c": "of all alternatives"}


def preflib_text(rankings: Rankings, ending: str, prompt: str | None) -> str:
    """Return the file of one prompt.

    Parameters
    ----------
    rankings
        The panel.
    ending
        .soc, .soi, .toc or .toi. The second letter: s = no ties; the last: c = every order is of
        all alternatives, those shown but not ranked last; i = those not ranked are left out.
    prompt
        prompt_id; None where there is only one prompt.

    Raises
    ------
    EmdpoError
        There is no such prompt, or an order is not of the ending's kind.
    """
    place = _prompt(rankings, prompt)
    answers = rankings.candidates.index[rankings.candidate_prompt == place]
    number = {int(answer): str(i) for i, answer in enumerate(answers, 1)}
    orders: Counter[str] = Counter()
    for ranking in (rankings.prompt == place).nonzero()[0]:
        rows = slice(rankings.offsets[ranking], rankings.offsets[ranking + 1])
        ranked = zip(rankings.candidate[rows].tolist(), rankings.ranks[rows].tolist(), strict=True)
        levels = _levels([(rank, number[candidate]) for candidate, rank in ranked], ending[3])
        _check(levels, len(number), ending, str(rankings.ranking_ids[ranking]))
        orders[",".join(map(_level, levels))] += 1
    title = rankings.prompts["prompt"].tolist()[place]
    texts = rankings.candidates["response"].tolist()
    names = [_line(texts[answer]) for answer in answers]
    return _file(_line(title), names, orders, ending)


def closest_ending(rankings: Rankings, prompt: str | None) -> str:
    """Return the ending that holds a prompt's orders and says most: without ties, of all.

    Raises
    ------
    EmdpoError
        There is no such prompt.
    """
    _prompt(rankings, prompt)
    for ending in (".soc", ".toc", ".soi"):
        with suppress(EmdpoError):
            preflib_text(rankings, ending, prompt)
            return ending
    return ".toi"


def _prompt(rankings: Rankings, prompt: str | None) -> int:
    ids: list[str] = rankings.prompts["prompt_id"].tolist()
    if prompt is None and len(ids) == 1:
        return 0
    if prompt is None or prompt not in ids:
        given = "which prompt? Give --prompt ID" if prompt is None else f"no prompt {show(prompt)}"
        told = f"one of {len(ids):,}, such as {show(ids[0])}"
        raise EmdpoError(f"a PrefLib file holds one prompt: {given}, {told}")
    return ids.index(prompt)


def _levels(ranked: list[tuple[int, str]], complete: str) -> list[list[str]]:
    """Return the levels of an order, best first; what was not ranked comes last or is left out."""
    last = max(rank for rank, _ in ranked) + 1
    told = [(rank or last, name) for rank, name in ranked if rank or complete == "c"]
    return [[name for r, name in told if r == rank] for rank in sorted({r for r, _ in told})]


def _check(levels: list[list[str]], n: int, ending: str, ranking: str) -> None:
    named = sum(map(len, levels))
    wrong = "s" if ending[1] == "s" and named > len(levels) else ""
    wrong = wrong or ("c" if ending[3] == "c" and named < n else "")
    if wrong:
        fit = f".{'t' if wrong == 's' else ending[1]}o{'i' if wrong == 'c' else ending[3]}"
        told = f"{ending} holds orders {_WORDS[wrong]}, which ranking {show(ranking)} is not"
        raise EmdpoError(f"{told}; try {fit}")


def _level(names: list[str]) -> str:
    return names[0] if len(names) == 1 else "{" + ",".join(names) + "}"


def _line(text: str) -> str:
    """Return text on one line: a header line is a line."""
    return " ".join(text.split())


def _file(title: str, names: list[str], orders: Counter[str], ending: str) -> str:
    header = {
        "TITLE": title,
        "DATA TYPE": ending[1:],
        "MODIFICATION TYPE": "original",
        "NUMBER ALTERNATIVES": len(names),
        "NUMBER VOTERS": sum(orders.values()),
        "NUMBER UNIQUE ORDERS": len(orders),
    }
    header |= {f"ALTERNATIVE NAME {i}": name for i, name in enumerate(names, 1)}
    lines = [f"# {key}: {value}" for key, value in header.items()]
    lines += [f"{count}: {order}" for order, count in orders.most_common()]
    return "\n".join(lines) + "\n"
