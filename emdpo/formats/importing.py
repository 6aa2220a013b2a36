"""Foreign data in, canonical rankings out."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from emdpo.core.errors import DataError, EmdpoError
from emdpo.core.readers import detect_columns, load, read_rankings, read_table
from emdpo.core.tables.problems import show
from emdpo.core.tables.source import display_name
from emdpo.formats.importers import preflib
from emdpo.formats.judgements import Gathered, gather
from emdpo.formats.records import Records
from emdpo.formats.registry import (
    CANONICAL,
    FORMATS,
    PREFLIB,
    UNKNOWN_RANKERS,
    Format,
    by_name,
    checked,
    detected,
    unrecognised,
)
from emdpo.formats.sources import first, from_file, from_hub, from_table, is_hub_id
from emdpo.formats.tables import canonical_table, write_table

if TYPE_CHECKING:
    from emdpo.core.rankings import Rankings

_ANONYMOUS_BALLOTS = (
    "ballots have no names: each is a person of its own, with one ranking, and no group can be "
    "audited"
)
_LEFT_OUT = {
    PREFLIB[0]: "alternatives that a ballot leaves out count as shown and ranked below; if they "
    "were not shown: --format preflib-subsets",
    PREFLIB[1]: "alternatives that a ballot leaves out count as not shown",
}


@dataclass(frozen=True)
class Imported:
    """Rankings that came from a foreign format."""

    table: pd.DataFrame
    """The canonical table: one row per answer shown."""
    rankings: Rankings
    """The same as a panel, ready to be fitted."""
    format: str
    """Name of the format."""
    title: str
    """The format for people."""
    left_out: Mapping[str, int]
    """From reason to number of judgements that are not in the table."""
    notes: tuple[str, ...]
    """What whoever uses the rankings has to know."""

    def save(self, path: str | os.PathLike[str]) -> Path:
        """Write the table as .jsonl, .parquet, .csv or .tsv, whole or not at all."""
        return write_table(self.table, Path(path))

    def to_dict(self) -> dict[str, Any]:
        """Return what was read, as JSON values."""
        return {
            "format": self.format,
            "title": self.title,
            "n_users": self.rankings.n_users,
            "n_prompts": self.rankings.n_prompts,
            "n_rankings": self.rankings.n_rankings,
            "left_out": dict(self.left_out),
            "notes": list(self.notes),
        }


def import_rankings(
    source: str | os.PathLike[str] | pd.DataFrame,
    *,
    format: str | None = None,  # noqa: A002 - the word people look for
    users: str | os.PathLike[str] | None = None,
    user: str | None = None,
    config: str | None = None,
    split: str = "train",
    limit: int | None = None,
) -> Imported:
    """Return the rankings of a public data set or another tool's file.

    Parameters
    ----------
    source
        A CSV, TSV, JSONL, Parquet or PrefLib file, a table in memory, or a data set of the hub,
        "owner/name".
    format
        Its format (docs/formats.md); None: told by the columns.
    users
        A second file about the people: survey.jsonl of PRISM, annotators.jsonl of CoVal.
    user
        The column that names who ranked, where the format does not say.
    config, split
        Which part of a data set of the hub.
    limit
        Read at most this many rows.

    Raises
    ------
    DataError
        The first thing that is wrong, with file, row and column.
    EmdpoError
        A data set that cannot be loaded.

    Examples
    --------
    >>> import pandas as pd
    >>> pairs = pd.DataFrame({
    ...     "user_id": ["ann", "ann"], "prompt": ["Tea?", "Tea?"],
    ...     "chosen": ["Yes.", "No."], "rejected": ["No.", "Coffee!"],
    ... })
    >>> found = import_rankings(pairs)
    >>> found.title, found.table[["response", "rank"]].values.tolist()
    ('TRL preference pairs', [['Yes.', 1], ['No.', 2], ['Coffee!', 3]])
    """
    if limit is not None and limit < 1:
        raise EmdpoError(f"limit must be at least 1, got {limit}")
    hub = is_hub_id(source)
    if config is not None and not hub:
        raise EmdpoError("a configuration is of a data set of the hub, not of a file")
    if _is_preflib(source, format):
        return _from_preflib(Path(str(source)), format or PREFLIB[0], users, user, limit)
    known = _hub_format(str(source), format) if hub else None
    if hub:
        records = from_hub(str(source), config or _hub_config(str(source), known), split, limit)
    else:
        records = _local(source, limit)
    known = _known(records, format)
    if known is None:
        return _canonical(pd.DataFrame(list(records.cells())) if hub else source, users, limit)
    people = _people(known, source if hub and not config else None, users, split)
    return _read(known, records, people, user)


def _known(records: Records, format: str | None) -> Format | None:  # noqa: A002
    """Return the format of a table, None where it is emdpo's own."""
    if format == CANONICAL:
        return None
    known = checked(by_name(format), records) if format else detected(records.columns)
    if known is None and detect_columns(records.columns).missing:
        raise unrecognised(records)
    return known


def _is_preflib(source: object, format: str | None) -> bool:  # noqa: A002
    path = str(source).lower() if isinstance(source, str | os.PathLike) else ""
    if format in PREFLIB and not path.endswith(preflib.ENDINGS):
        told = f"a PrefLib file ends in one of {', '.join(preflib.ENDINGS)}"
        raise DataError(told, file=display_name(path) if path else None)
    return path.endswith(preflib.ENDINGS)


def _local(source: str | os.PathLike[str] | pd.DataFrame, limit: int | None) -> Records:
    if isinstance(source, str | os.PathLike):
        return first(from_file(source), limit)
    return first(from_table(read_table(source)), limit)


def _hub_format(name: str, format: str | None) -> Format | None:  # noqa: A002
    if format and format not in (*PREFLIB, CANONICAL):
        return by_name(format)
    return next((known for known in FORMATS if name in known.hub), None)


def _hub_config(name: str, known: Format | None) -> str | None:
    return known.hub.get(name) if known else None


def _people(
    known: Format, hub: object, users: str | os.PathLike[str] | None, split: str
) -> dict[str, dict[str, str]]:
    """Return what a second table tells of people; on the hub it comes with the data set."""
    if known.users is None:
        if users is not None:
            told = "has no second file about people; give yours to `emdpo fit FILE --users` later"
            raise DataError(f"{known.title} {told}")
        return {}
    if users is not None:
        records = from_file(users)
    elif hub is not None and known.hub_users and hub in known.hub:
        records = from_hub(str(hub), known.hub_users, split, None)
    else:
        return {}
    if known.users.key not in records.columns:
        told = "the users file has no such column"
        raise DataError(told, file=records.name, column=known.users.key)
    found: dict[str, dict[str, str]] = {}
    for name, about in known.users.read(records):
        found.setdefault(name, about)
    if not any(found.values()):
        raise DataError(f"tells nothing of people that {known.title} knows", file=records.name)
    return found


def _read(
    known: Format, records: Records, people: dict[str, dict[str, str]], user: str | None
) -> Imported:
    if user is not None and known.rankers is not None:
        told = f"{known.title} names its rankers in {known.rankers}; leave --user out"
        raise DataError(told, file=records.name, column=user)
    if user is not None and user not in records.columns:
        raise DataError("there is no such column", file=records.name, column=user)
    gathered = gather(known.read(records, user), people, records.name)
    notes = known.notes + ((UNKNOWN_RANKERS,) if gathered.n_unnamed else ())
    if known.users and not people:
        notes += (f"{known.users.file} tells who the people are (--users); without it no groups",)
    return _imported(gathered, known.name, known.title, notes, records.name)


def _from_preflib(
    path: Path,
    format: str,  # noqa: A002
    users: object,
    user: str | None,
    limit: int | None,
) -> Imported:
    if format not in PREFLIB:
        raise DataError(f"a PrefLib file is not {show(format)}", file=display_name(str(path)))
    if users is not None or user is not None:
        raise DataError("PrefLib's ballots are of nobody known", file=display_name(str(path)))
    if limit is not None:
        raise DataError("a PrefLib file is read whole; leave the limit out", file=path.name)
    gathered = gather(preflib.read(path, subsets=format == PREFLIB[1]), {}, path.name)
    notes = (_ANONYMOUS_BALLOTS, _LEFT_OUT[format])
    return _imported(gathered, format, f"PrefLib {path.suffix.lower()}", notes, path.name)


def _imported(
    gathered: Gathered, name: str, title: str, notes: tuple[str, ...], file: str | None
) -> Imported:
    """Return what was gathered, once emdpo's own reader has read it."""
    if not gathered.n_judgements:
        reasons = "; ".join(f"{n:,} {reason}" for reason, n in gathered.left_out.items())
        raise DataError(f"no ranking can be used ({reasons or 'there is none'})", file=file)
    reading = read_rankings(gathered.table)
    if reading.rankings is None:
        problem = reading.errors[0]
        raise DataError(f"the rankings made of it are refused: {problem}", file=file)
    return Imported(gathered.table, reading.rankings, name, title, gathered.left_out, notes)


def _canonical(
    source: str | os.PathLike[str] | pd.DataFrame,
    users: str | os.PathLike[str] | None,
    limit: int | None,
) -> Imported:
    """Return a table of emdpo's own, in its long form."""
    if limit is not None:
        raise EmdpoError("a limit could cut a ranking of emdpo's own tables in two; leave it out")
    rankings = load(source, users=users)
    return Imported(canonical_table(rankings), rankings, CANONICAL, "emdpo's own table", {}, ())
