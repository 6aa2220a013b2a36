"""A run folder as one zip file, and back: what leaves is a finished run, what enters is checked."""

from __future__ import annotations

import re
import shutil
import stat
import tempfile
import zipfile
from pathlib import Path

from emdpo.chosen import CHOSEN, check_chosen, load_chosen, save_chosen
from emdpo.core.errors import DataError, EmdpoError, RunError
from emdpo.core.tables.parquet import read_parquet
from emdpo.core.tables.source import MAX_CELLS
from emdpo.fitting import Fit
from emdpo.policy_files import POLICY_FILE
from emdpo.runs import IS_PUBLICATION, load_fit

MAX_FILES = 200
MAX_BYTES = 500_000_000
"""Of all files unpacked, and of all Parquet tables decompressed."""

_CHUNK = 1 << 20
_NAMES = re.compile(
    r"fit\.json|responsibilities\.csv|trace\.csv|progress\.jsonl|README\.md"
    rf"|policy/({POLICY_FILE.pattern})"
    r"|data/(rows|rankings|users|prompts|candidates)\.parquet"
    r"|audit/(audit\.json|chosen\.json|[a-z_]+\.csv|report\.html)"
)
"""Every file of a run folder (DESIGN section 5). Names that could leave the folder do not match."""

_CHOSEN = f"audit/{CHOSEN}"

_MADE_AGAIN = ("audit/",)
"""Accepted in a bundle but, _CHOSEN apart, not unpacked: the audit is computed afresh, no page is
taken over."""


def pack(run: Path, bundle: Path) -> Path:
    """Write the finished run's files to a zip file and return its path."""
    with zipfile.ZipFile(bundle, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(run.rglob("*")):
            name = path.relative_to(run).as_posix()
            if path.is_file() and not path.is_symlink() and _NAMES.fullmatch(name):
                archive.write(path, name)
    return bundle


def unpack(bundle: Path, folder: Path) -> Fit:
    """Unpack a bundle into a new folder and return its fit.

    Raises
    ------
    RunError
        Not a zip file, a file that no run folder has (a path that leaves it, a link), too many or
        too large files, or no finished run inside. Nothing is left behind then.
    """
    work = Path(tempfile.mkdtemp(prefix="bundle-"))
    try:
        _extract(bundle, work)
        fit = _load(work)
        shutil.move(work, folder)
        return fit
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _extract(bundle: Path, folder: Path) -> None:
    try:
        with zipfile.ZipFile(bundle) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
            _check_entries(entries)
            left = MAX_BYTES
            for entry in entries:
                if entry.filename == _CHOSEN or not entry.filename.startswith(_MADE_AGAIN):
                    left -= _extract_one(archive, entry, folder / entry.filename, left)
    except (zipfile.BadZipFile, NotImplementedError, EOFError, OSError) as error:
        raise RunError(f"the bundle is not a sound zip file ({type(error).__name__})") from None


def _check_entries(entries: list[zipfile.ZipInfo]) -> None:
    names = [entry.filename for entry in entries]
    if "datasheet.md" in names:  # `publication` writes it
        raise RunError(IS_PUBLICATION)
    if len(names) > MAX_FILES or len(set(names)) < len(names):
        raise RunError(f"the bundle must hold each file once and at most {MAX_FILES} files")
    for entry in entries:
        if not _NAMES.fullmatch(entry.filename):
            raise RunError(f"the bundle holds {entry.filename[:60]!r}, which is no file of a run")
        if stat.S_ISLNK(entry.external_attr >> 16) or entry.flag_bits & 1:
            raise RunError(f"the bundle's {entry.filename!r} is a link or encrypted")
    if "fit.json" not in names:
        raise RunError("the bundle holds no finished run (no fit.json at its top)")


def _extract_one(archive: zipfile.ZipFile, entry: zipfile.ZipInfo, target: Path, limit: int) -> int:
    """Write one file, counting what really comes out of it; return its size."""
    target.parent.mkdir(parents=True, exist_ok=True)
    size = 0
    with archive.open(entry) as source, target.open("wb") as sink:
        while piece := source.read(_CHUNK):
            size += len(piece)
            if size > limit:
                raise RunError(f"the bundle unpacks to more than {MAX_BYTES // 1_000_000} MB")
            sink.write(piece)
    return size


def _load(folder: Path) -> Fit:
    try:
        _check_parquet(folder)
        fit = load_fit(folder)
        chosen = load_chosen(folder, fit.n_types)
        if chosen is not None:
            check_chosen(chosen, fit.weights, fit.rankings.n_users)
            save_chosen(folder, chosen)  # as it was understood, without what else the file held
        return fit
    except RunError as error:
        raise RunError(str(error).replace(f"{folder}", "the bundle")) from None
    except EmdpoError as error:
        raise RunError(f"the bundle's chosen policy is refused ({error})") from None
    except Exception as error:  # noqa: BLE001 - hostile content can fail anywhere in the libraries
        raise RunError(f"the bundle's run is damaged ({type(error).__name__})") from None


def _check_parquet(folder: Path) -> None:
    """Refuse tables that would unpack to more than is allowed, before any is read whole.

    Rankings from strangers pass the same gate: it counts cells, which a run of equal values hides
    from the compressed size, and keeps repeated texts apart.
    """
    cells = 0
    for path in sorted(folder.rglob("*.parquet")):
        try:
            table = read_parquet(path).frame
        except DataError as error:
            raise RunError(f"the bundle's {path.name} is refused ({error})") from None
        cells += table.shape[0] * table.shape[1]
    if cells > MAX_CELLS:
        raise RunError(f"the bundle's tables hold more than {MAX_CELLS:,} cells")
