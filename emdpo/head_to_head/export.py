"""A whole comparison as one zip file, the same from the page and from the command line.

README.md is the report, REPRODUCE.txt how to do it again, comparison.json everything; then tables,
and in figures/ what the figures are drawn from. It holds no rankings.
"""

from __future__ import annotations

import shlex
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from emdpo import files
from emdpo.core.json_values import as_json
from emdpo.fitting import library_versions
from emdpo.head_to_head.comparison import Comparison
from emdpo.head_to_head.findings import findings, verdict
from emdpo.head_to_head.telling import (
    MEASURES,
    NOTE,
    assumptions,
    fact_table,
    markdown,
    part_name,
    wide_table,
)
from emdpo.methods.registry import MISSING
from emdpo.spreadsheets import spreadsheet_csv

_OPTIONS = {
    "methods": "methods",
    "features": "features",
    "group": "group",
    "cut": "cut",
    "base_model": "base-model",
    "adapter": "adapter",
    "new_share": "new-share",
    "n_bootstrap": "bootstrap",
    "seed": "seed",
}
"""Options of `emdpo compare` by the setting that they set."""


def compare_command(
    source: str, users: str | None = None, *, simulation: bool = False, **settings: Any
) -> str:
    """Return the command line of a comparison of a file, or of a simulation of that name.

    >>> compare_command("my file.csv", methods=["dpo", "pal"], group=None, seed=1)
    "emdpo compare 'my file.csv' --methods dpo,pal --seed 1"
    >>> compare_command("pairs", simulation=True, seed=2)
    'emdpo compare --simulation pairs --seed 2'
    >>> compare_command("a.csv", adapter={"rounds": 2, "preset": "quick"})
    'emdpo compare a.csv --adapter rounds=2 --adapter preset=quick'
    """
    words = ["emdpo", "compare", *(["--simulation"] if simulation else []), source]
    words += [] if users is None else ["--users", users]
    for name, option in _OPTIONS.items():
        value = settings.get(name)
        if isinstance(value, Mapping):
            for each, told in value.items():
                words += [f"--{option}", f"{each}={told}"]
        elif value is not None:
            told = ",".join(value) if isinstance(value, list | tuple) else str(value)
            words += [f"--{option}", told]
    return shlex.join(words)


def write_comparison(
    found: Comparison, path: str | Path, command: str, data: Mapping[str, Path] | None = None
) -> Path:
    """Write everything about a comparison to a zip file and return its path.

    Parameters
    ----------
    found : Comparison
    path : path
        The zip file.
    command : str
        The command line that does it again, as `compare_command` has it.
    data : mapping of str to path, optional
        The files compared on, by the names that `command` has; only their hashes are written.
    """
    tables = {
        "measures.csv": measure_table(found),
        "facts.csv": found.fact_table(),
        "assumptions.csv": assumption_table(found.methods),
        "figures/differences.csv": difference_table(found),
        "figures/cost.csv": cost_table(found),
    }
    texts = {name: spreadsheet_csv(table) for name, table in tables.items()}
    texts["comparison.json"] = as_json(found.to_dict()) + "\n"
    texts["README.md"] = report(found, command)
    texts["REPRODUCE.txt"] = reproduce(found, command, data or {})
    contents = {name: text.encode("utf-8", "replace") for name, text in texts.items()}
    files.write_bytes(Path(path), files.zipped(contents))
    return Path(path)


def measure_table(found: Comparison) -> pd.DataFrame:
    """Return a row for each measure, part and method, the ends of intervals in columns."""
    rows = []
    for each in found.measures:
        low, high = each.interval
        rank = each.rank or (None, None)
        rows.append(
            {
                "measure": each.measure,
                "users": each.users,
                "known": each.known,
                "method": each.method,
                "mean": each.mean,
                "low": low,
                "high": high,
                "is_among_best": each.is_among_best,
                "rank_best": rank[0],
                "rank_worst": rank[1],
                "n_users": each.n_users,
                "n_rankings": each.n_rankings,
            }
        )
    return pd.DataFrame(rows).astype(dict.fromkeys(("known", "rank_best", "rank_worst"), "Int64"))


def difference_table(found: Comparison) -> pd.DataFrame:
    """Return every paired difference from the baseline with its interval and verdict."""
    rows = [
        {
            "measure": each.measure,
            "users": each.users,
            "known": each.known,
            "method": each.method,
            "less": found.baseline,
            "difference": each.above,
            "low": each.above_interval[0],
            "high": each.above_interval[1],
            "verdict": verdict(each),
        }
        for each in found.measures
    ]
    return pd.DataFrame(rows).astype({"known": "Int64"})


def cost_table(found: Comparison) -> pd.DataFrame:
    """Return seconds of all settings tried beside every measure of every part."""
    seconds = {each.method: each.seconds_in_all for each in found.facts}
    names = ["measure", "users", "known", "method", "mean", "low", "high"]
    table = measure_table(found).loc[:, names]
    table.insert(4, "seconds", [seconds[method] for method in table["method"]])
    return table


def assumption_table(methods: Sequence[str]) -> pd.DataFrame:
    """Return what each method assumes, its source and what was changed; then those missing."""
    missing = [
        {"method": name, "assumes": "", "source": "", "changed": "", "missing": reason}
        for name, reason in MISSING.items()
    ]
    return pd.concat(
        [assumptions(methods).assign(missing=""), pd.DataFrame(missing)], ignore_index=True
    )


def about(found: Comparison) -> str:
    """Return in a line what was compared on what."""
    n = found.n_rankings
    return (
        f"{len(found.methods)} methods on {found.n_users:,} users: {n['train']:,} rankings fitted, "
        f"{n['validation']:,} to choose settings, {n['test']:,} of seen users and "
        f"{n['new_test']:,} of {found.n_new_users:,} new users predicted. Features: "
        f"{found.features}. Intervals: {found.confidence:.0%}, {found.n_bootstrap:,} draws of "
        "users, paired between methods."
    )


def rank_text(rank: tuple[int, int] | None) -> str:
    """Return a rank as far as intervals tell it: `1`, `2-4`, or `-` for who is not ranked."""
    if rank is None:
        return "-"
    low, high = rank
    return str(low) if low == high else f"{low}-{high}"


RANK_NOTE = (
    "Ranks run from 1 + the methods that are clearly better to the number of methods less those "
    "that are clearly worse; each pair is judged at the same confidence, without a correction for "
    "their number. known_types knows the truth and has no rank."
)


def report(found: Comparison, command: str) -> str:
    """Return the report as Markdown."""
    parts = ["# Head to head", about(found)]
    parts += ["\n".join(f"- {each}" for each in findings(found))]
    for measure, title in MEASURES.items():
        parts += [f"## {title[:1].upper()}{title[1:]}", markdown(_with_ranks(found, measure))]
    parts += [NOTE, RANK_NOTE, "## Settings, costs and who is served worst"]
    parts += [markdown(fact_table(found))]
    parts += ["\n".join(f"- left out: {reason}" for reason in found.left_out.values())]
    parts += ["## What each method assumes", markdown(assumptions(found.methods))]
    parts += ["\n".join(f"- missing: {reason}" for reason in MISSING.values())]
    parts += ["## Do it again", f"    {command}"]
    return "\n\n".join(filter(None, parts)) + "\n"


def _with_ranks(found: Comparison, measure: str) -> pd.DataFrame:
    """Return the table of a measure with intervals and ranks, best for new users first."""
    table = wide_table(found, measure, intervals=True).set_index("method")
    for each in found.measures:
        if each.measure == measure:
            table.loc[each.method, part_name(each)] += f" rank {rank_text(each.rank)}"
    last = found.of(measure, *found.parts()[-1])
    return table.loc[[each.method for each in last]].reset_index()


def reproduce(found: Comparison, command: str, data: Mapping[str, Path]) -> str:
    """Return the command, the seed, the hashes of the data and the versions of the libraries."""
    hashes = [f"sha256 {files.sha256(path)}  {name}" for name, path in data.items()]
    versions = [f"{name} {version}" for name, version in library_versions().items()]
    lines = [f"REPRODUCE: {command}", f"seed {found.seed}", *hashes, *versions]
    return "\n".join(lines) + "\n"
