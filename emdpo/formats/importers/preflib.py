"""PrefLib's ordinal files, .soc .soi .toc .toi (Mattei and Walsh 2013): ballots of nobody known.

Header lines `# KEY: value`, then `count: 1,2,{3,4}` for each distinct order. One file is one
prompt; each ballot becomes a person.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from emdpo.core.errors import DataError
from emdpo.core.tables.problems import show
from emdpo.core.tables.source import MAX_FILE_BYTES, check_size, display_name, read_text
from emdpo.formats.judgements import Judgement

ENDINGS = (".soc", ".soi", ".toc", ".toi")

_HEADER = re.compile(r"#\s*([A-Z][A-Z ]*?)(?:\s+(\d+))?\s*:\s?(.*)")
_PART = re.compile(r"\{([^{}]*)\}|([^\s,{}][^,{}]*)")
_ORDER = re.compile(r"(?:\{[^{}]*\}|[^,{}]+)(?:,\s*(?:\{[^{}]*\}|[^,{}]+))*")


@dataclass
class _File:
    name: str
    title: str = ""
    alternatives: dict[str, str] = field(default_factory=dict)
    """From number to name, in the file's order."""
    n_alternatives: int | None = None
    n_voters: int | None = None
    ballots: list[tuple[int, list[list[str]]]] = field(default_factory=list)
    """How many cast it, and its levels, best first."""


def read(path: Path, *, subsets: bool = False) -> Iterator[Judgement]:
    """Yield a judgement for every ballot of a file.

    Parameters
    ----------
    path
        A file with one of the `ENDINGS`.
    subsets
        Alternatives that a ballot leaves out were not shown to the voter; otherwise they were, and
        stand below those ranked. The file itself does not tell.
    """
    found = _parsed(path)
    n_ballots = sum(count for count, _ in found.ballots)
    check_size(n_ballots * len(found.alternatives), 1, found.name)
    names = list(found.alternatives)
    number = 0
    for count, levels in found.ballots:
        place = {name: rank for rank, level in enumerate(levels, 1) for name in level}
        shown = [name for name in names if name in place] if subsets else names
        for _ in range(count):
            number += 1
            yield Judgement(
                prompt=found.title or found.name,
                responses=[found.alternatives[name] for name in shown],
                ranks=[place.get(name, 0) for name in shown],
                user_id=f"voter-{number}",
                response_ids=shown,
            )


def _parsed(path: Path) -> _File:
    found = _File(display_name(str(path)))
    strict, complete = path.suffix.lower()[1] == "s", path.suffix.lower()[3] == "c"
    lines = _lines(path, found.name)
    if not lines[0].lstrip().startswith("#"):
        told = "no header of `# KEY: value` lines: not a PrefLib file, or one of the old format"
        raise DataError(told, file=found.name, row=1)
    for row, line in enumerate(lines, 1):
        try:
            if line.startswith("#"):
                _header(found, line)
            elif line.strip():
                found.ballots.append(_ballot(found, line, strict, complete))
        except ValueError as error:
            raise DataError(str(error), file=found.name, row=row) from None
    _check(found)
    return found


def _lines(path: Path, name: str) -> list[str]:
    """Return the lines of a regular file that is not too large."""
    if path.exists() and not path.is_file():
        raise DataError("not a regular file", file=name)
    if path.exists() and path.stat().st_size > MAX_FILE_BYTES:
        raise DataError(f"over {MAX_FILE_BYTES // 1_000_000} MB", file=name)
    return [line.rstrip("\r") for line in read_text(path).decode().split("\n")]


def _header(found: _File, line: str) -> None:
    match = _HEADER.fullmatch(line.rstrip())
    if match is None:
        return
    key, number, value = match[1], match[2], match[3].strip()
    if key == "ALTERNATIVE NAME" and number:
        if number in found.alternatives:
            raise ValueError(f"alternative {number} is named twice")
        found.alternatives[number] = value
    elif key == "TITLE":
        found.title = value
    elif key == "NUMBER ALTERNATIVES":
        found.n_alternatives = _count(value)
    elif key == "NUMBER VOTERS":
        found.n_voters = _count(value)


def _count(text: str) -> int:
    if not re.fullmatch(r"\s*[0-9]{1,9}\s*", text):
        raise ValueError(f"expected a whole number, got {show(text)}")
    return int(text)


def _ballot(found: _File, line: str, strict: bool, complete: bool) -> tuple[int, list[list[str]]]:
    count, sign, order = (part.strip() for part in line.partition(":"))
    if not sign or not _ORDER.fullmatch(order):
        raise ValueError(f"expected `count: 1,2,{{3,4}}`, got {show(line)}")
    levels = [
        [name.strip() for name in (tied or single).split(",")]
        for tied, single in _PART.findall(order)
    ]
    named = [name for level in levels for name in level]
    for name in named:
        if name not in found.alternatives:
            raise ValueError(f"no alternative {show(name)} in the header")
    if len(set(named)) < len(named):
        raise ValueError("an alternative stands twice in this order")
    if strict and len(levels) < len(named):
        raise ValueError("a tie, where files of this ending have none (.toc and .toi do)")
    if complete and len(named) < len(found.alternatives):
        told = f"{len(named)} of {len(found.alternatives)} alternatives, where files of this ending"
        raise ValueError(f"{told} rank all (.soi and .toi need not)")
    return _count(count), levels


def _check(found: _File) -> None:
    """Raise where the header and the body disagree."""
    n_ballots = sum(count for count, _ in found.ballots)
    told = (
        ("NUMBER ALTERNATIVES", found.n_alternatives, len(found.alternatives), "named"),
        ("NUMBER VOTERS", found.n_voters, n_ballots, "counted"),
    )
    for key, said, counted, verb in told:
        if said is not None and said != counted:
            raise DataError(f"{key} is {said:,}, but {counted:,} are {verb}", file=found.name)
    if not n_ballots:
        raise DataError("the file has no ballots", file=found.name)
