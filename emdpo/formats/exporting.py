"""Rankings, or a run with its types, out to other tools."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emdpo import files
from emdpo.core.errors import EmdpoError
from emdpo.core.rankings import Rankings
from emdpo.core.readers import load
from emdpo.core.tables.problems import show
from emdpo.formats.exporters import preflib, trl
from emdpo.formats.exporters.llm_comparator import comparison
from emdpo.formats.importers.preflib import ENDINGS as PREFLIB_ENDINGS
from emdpo.formats.tables import canonical_table, write_lines, write_table

if TYPE_CHECKING:
    from emdpo.fitting import Fit

EXPORTS = ("canonical", "trl", "preflib", "llm-comparator")
"""Names of the formats that are written."""

NOT_INDEPENDENT = (
    "a ranking's pairs are not independent: intervals from them are too narrow, and DPO on them is "
    "not the likelihood of the ranking"
)


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    path: Path
    format: str
    """One of `EXPORTS`."""
    counts: dict[str, int]
    """How many rows, or of what else it is."""
    notes: tuple[str, ...] = ()
    """What the format loses."""

    def to_dict(self) -> dict[str, Any]:
        """Return what was written, as JSON values."""
        about = {"path": str(self.path), "format": self.format}
        return {**about, "counts": self.counts, "notes": list(self.notes)}


def export_rankings(
    source: Rankings | Fit | str | os.PathLike[str],
    path: str | os.PathLike[str],
    format: str = "canonical",  # noqa: A002 - the word people look for
    *,
    types: Sequence[int] | None = None,
    soft: bool = False,
    prompt: str | None = None,
) -> Exported:
    """Write rankings in another tool's format.

    Parameters
    ----------
    source
        A run (its folder, or the fit), a rankings file, or rankings.
    path
        The file to write: .jsonl, .parquet, .csv, .tsv (canonical), .jsonl (trl), .soc, .soi, .toc,
        .toi (preflib), .json (llm-comparator).
    format
        One of `EXPORTS`. `trl` of a run tells each pair's type; `llm-comparator` takes a run.
    types
        Types from 1: for `trl`, only these; for `llm-comparator`, the two compared (1 and 2).
    soft
        For `trl`: every pair once for each type, weighted by the user's responsibilities.
    prompt
        For `preflib`: the prompt_id.

    Raises
    ------
    EmdpoError
        What the format cannot hold, or an option it does not have.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = Path(folder) / "pairs.jsonl"
    ...     export_rankings("assets/demo/classroom.csv", file, "trl").counts
    {'pairs': 188}
    """
    if format not in EXPORTS:
        raise EmdpoError(f"{show(format)} is no format; the formats are {', '.join(EXPORTS)}")
    _check_options(format, types, soft, prompt)
    target = Path(path)
    rankings, fit = _opened(source)
    match format:
        case "canonical":
            table = canonical_table(rankings)
            return Exported(write_table(table, target), format, {"rows": len(table)})
        case "trl":
            return _trl(rankings, fit, target, types, soft)
        case "preflib":
            return _preflib(rankings, target, prompt)
        case _:
            return _llm_comparator(fit, target, types)


def _check_options(
    format: str,  # noqa: A002
    types: Sequence[int] | None,
    soft: bool,
    prompt: str | None,
) -> None:
    given = {"types": types is not None, "soft": soft, "prompt": prompt is not None}
    takes = {"trl": ("types", "soft"), "preflib": ("prompt",), "llm-comparator": ("types",)}
    for name, is_given in given.items():
        if is_given and name not in takes.get(format, ()):
            raise EmdpoError(f"{format} does not take --{name}")


def _opened(source: Rankings | Fit | str | os.PathLike[str]) -> tuple[Rankings, Fit | None]:
    if isinstance(source, Rankings):
        return source, None
    if isinstance(source, str | os.PathLike):
        if not Path(source).is_dir():
            return load(source), None
        from emdpo.runs import load_fit

        source = load_fit(Path(source))
    return source.rankings, source


def _ending(target: Path, endings: Sequence[str]) -> str:
    ending = target.suffix.lower()
    if ending not in endings:
        raise EmdpoError(f"{target.name}: the name must end in {' or '.join(endings)}")
    return ending


def _trl(
    rankings: Rankings, fit: Fit | None, target: Path, types: Sequence[int] | None, soft: bool
) -> Exported:
    _ending(target, (".jsonl",))
    if fit is None and (types or soft):
        raise EmdpoError("types are told by a run: give its folder instead of a rankings file")
    if fit is not None and types and not set(types) <= set(range(1, fit.n_types + 1)):
        raise EmdpoError(f"expected types from 1 to {fit.n_types}, got {list(types)}")
    wanted = None if types is None else {f"type-{number}" for number in types}
    counts: Counter[str] = Counter()

    def rows() -> Iterator[dict[str, Any]]:
        shares = None if fit is None else fit.responsibilities
        for pair in trl.pairs(rankings, shares, soft=soft):
            if wanted is None or pair["type"] in wanted:
                counts["pairs"] += 1
                if "type" in pair:
                    counts[f"pairs of {pair['type']}"] += 1
                yield pair

    write_lines(target, rows())
    return Exported(target, "trl", dict(sorted(counts.items())), (NOT_INDEPENDENT,))


def _preflib(rankings: Rankings, target: Path, prompt: str | None) -> Exported:
    ending = _ending(target, PREFLIB_ENDINGS)
    text = preflib.preflib_text(rankings, ending, prompt)
    files.write_bytes(target, text.encode("utf-8", "surrogatepass"))
    orders = [line for line in text.splitlines() if not line.startswith("#")]
    notes = ["who ranked is not in the file"]
    if (rankings.weight != 1).any():
        notes.append("weights of rankings are not in the file: each counts once")
    if ending[3] == "i":
        notes.append("answers not ranked and answers not shown cannot be told apart in it")
    return Exported(target, "preflib", {"orders": len(orders)}, tuple(notes))


def _llm_comparator(fit: Fit | None, target: Path, types: Sequence[int] | None) -> Exported:
    _ending(target, (".json",))
    if fit is None:
        raise EmdpoError("LLM Comparator compares two types of a run: give its folder")
    chosen = (1, 2) if types is None else tuple(types)
    if len(chosen) != 2:
        raise EmdpoError(f"LLM Comparator compares two types, got {len(chosen)}")
    found = comparison(fit, (chosen[0], chosen[1]))
    files.write_json(target, found)
    return Exported(target, "llm-comparator", {"prompts": len(found["examples"])})
