"""Data that visitors loaded: on disk under an unguessable id, the last few also in memory."""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from emdpo import files
from emdpo.core.checks import Report, check
from emdpo.core.errors import DataError, EmdpoError, RunError
from emdpo.core.readers import Layout, RawTable, detect_columns, read_rankings, read_table
from emdpo.core.tables.forms import ROLES
from emdpo.core.tables.problems import Problem
from emdpo.formats.importing import import_rankings
from emdpo.formats.recognition import foreign
from emdpo.formats.registry import PREFLIB, by_name
from emdpo.jobs import JobInput
from emdpo.jobs.folder import is_id, new_id

if TYPE_CHECKING:
    import pandas as pd

    from emdpo.core.rankings import Rankings

PREVIEW_ROWS = 8
_KEEP_SECONDS = 24 * 3600.0


@dataclass(frozen=True, eq=False)
class DataSet:
    """What was read of the files that a visitor gave."""

    name: str
    """The file's name, or what we call our own data."""
    layout: Layout | None
    """Form and columns; None where the file is no table."""
    column_names: tuple[str, ...]
    """Of the rankings file, in its order."""
    preview: pd.DataFrame | None
    """The first records as they are."""
    report: Report
    rankings: Rankings | None
    """None where the report has errors."""
    job_input: JobInput
    """The files that a fit reads."""


def keep_files(
    home: Path,
    rankings: Path,
    users: Path | None,
    columns: Mapping[str, str | None] | None,
    name: str,
) -> str:
    """Copy a visitor's files into their own folder under `home` and return its id."""
    _forget_old(home)
    data_id = new_id()
    folder = home / data_id
    folder.mkdir(parents=True)
    for role, source in (("rankings", rankings), ("users", users)):
        if source is not None:
            (folder / role).mkdir()
            shutil.copyfile(source, folder / role / source.name)
    files.write_json(folder / "data.json", {"name": name, "columns": columns or {}})
    return data_id


def _forget_old(home: Path) -> None:
    """Remove uploads of yesterday; fits keep copies of their own."""
    for about in home.glob("*/data.json"):
        if time.time() - about.stat().st_mtime > _KEEP_SECONDS:
            shutil.rmtree(about.parent, ignore_errors=True)


def folder_of_data(home: Path, data_id: object) -> Path:
    """Return the folder of an id that may come from anybody; RunError where there is none."""
    if not is_id(data_id) or not (home / str(data_id) / "data.json").is_file():
        raise RunError("these data are no longer here; please load them again")
    return home / str(data_id)


def given_files(folder: Path) -> tuple[Path, Path | None]:
    """Return the rankings file and the users file, if any, under the names they came with."""
    return next((folder / "rankings").iterdir()), next(folder.glob("users/*"), None)


def read_data(folder: Path) -> DataSet:
    """Read and check the files of a folder that `keep_files` made."""
    about = files.read_json(folder / "data.json")
    rankings, users = given_files(folder)
    try:
        given = _Given(rankings, users, about["name"], ())
        if (known := foreign(rankings)) is not None:
            given = _imported(given, known[0], folder)
    except EmdpoError as error:
        problem = Problem.of(error) if isinstance(error, DataError) else Problem(str(error))
        refused = Report((problem,), (), None, None)
        job_input = JobInput(rankings, users, about["name"])
        return DataSet(about["name"], None, (), None, refused, None, job_input)
    return _read(given, about["columns"] or None, folder)


@dataclass(frozen=True)
class _Given:
    """What is read: the visitor's files, or what was made of them."""

    rankings: Path
    users: Path | None
    name: str
    """For people."""
    notes: tuple[Problem, ...]
    """What was said when they were made."""


def _read(given: _Given, columns: Mapping[str, str | None] | None, folder: Path) -> DataSet:
    rankings, users = given.rankings, given.users
    raw, layout = _table(rankings, columns)
    reading = read_rankings(rankings, users=users, columns=columns)
    if reading.rankings is None:
        report = Report(reading.errors, reading.warnings, None, None)
    else:
        report = check(reading.rankings)
        report = replace(report, warnings=(*given.notes, *report.warnings))
        if columns and raw is not None and layout is not None:
            rankings = _write_renamed(raw, layout, folder, rankings.suffix.lower())
    return DataSet(
        name=given.name,
        layout=layout,
        column_names=() if raw is None else tuple(raw.frame.columns),
        preview=None if raw is None else raw.frame.head(PREVIEW_ROWS),
        report=report,
        rankings=reading.rankings,
        job_input=JobInput(rankings, users, given.name),
    )


def _imported(given: _Given, name: str, folder: Path) -> _Given:
    """Return the canonical file made of a foreign one, and what has to be known of it."""
    takes_users = name not in PREFLIB and by_name(name).users is not None
    found = import_rankings(given.rankings, format=name, users=given.users if takes_users else None)
    read_as = f", read as {found.title}"
    told = [f"left out: {n:,} {reason}" for reason, n in found.left_out.items()]
    return _Given(
        found.save(folder / "imported.jsonl"),
        None if takes_users else given.users,
        given.name.removesuffix(read_as) + read_as,  # corrected data bring it along
        tuple(Problem(text, given.rankings.name) for text in (*told, *found.notes)),
    )


def _table(
    path: Path, columns: Mapping[str, str | None] | None
) -> tuple[RawTable | None, Layout | None]:
    try:
        raw = read_table(path)
    except DataError:
        return None, None
    try:
        return raw, detect_columns(raw.frame.columns, columns)
    except DataError:
        return raw, None


def _write_renamed(raw: RawTable, layout: Layout, folder: Path, suffix: str) -> Path:
    """Write the table with its columns named by role, so that a fit needs no corrections."""
    used = set(layout.roles.values())
    unused = [name for name in raw.frame.columns if name in ROLES and name not in used]
    roles = {column: role for role, column in layout.roles.items()}
    frame = raw.frame.drop(columns=unused).rename(columns=roles)
    path = folder / f"renamed{'.csv' if suffix == '.tsv' else suffix}"
    match path.suffix:
        case ".csv":
            files.write_csv(path, frame)
        case ".parquet":
            files.write_parquet(path, frame)
        case _:
            records = (row.dropna().to_dict() for _, row in frame.iterrows())
            lines = (json.dumps(record, ensure_ascii=False, default=str) for record in records)
            files.write_bytes(path, ("\n".join(lines) + "\n").encode("utf-8", "surrogatepass"))
    return path
