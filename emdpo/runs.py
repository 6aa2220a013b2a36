"""The run folder: a fit on disk, whole, without pickle (DESIGN section 5).

Interrupted fits are `resuming`; the audit's files are written by `audit_files`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo import files
from emdpo.adapters.saved import BaseModelCard
from emdpo.audit_files import TABLES
from emdpo.cards import model_card
from emdpo.chosen import CHOSEN
from emdpo.core.em import StopReason, TraceRow
from emdpo.core.errors import RunError
from emdpo.core.identifiability import panel_identifiability
from emdpo.core.information import Information
from emdpo.core.rankings import Rankings, feature_columns
from emdpo.fitting import Fit, Restarts
from emdpo.policy_files import (
    SavedPolicies,
    load_policies,
    policy_files,
    save_policies,
    type_columns,
)
from emdpo.settings import FitConfig

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLACK = 1e-6
"""Rounding allowed where shares must sum to one."""

RUN_FORMAT = 1
"""Raised when a run folder can no longer be read by older versions."""

_TABLES = ("rows", "rankings", "users", "prompts", "candidates")
"""Of the rankings fitted, in data/."""

RUN_FILES = ("responsibilities.csv", "trace.csv", *(f"data/{name}.parquet" for name in _TABLES))
"""What `load_fit` reads beside fit.json and the policies."""

IS_PUBLICATION = (
    "this is a publication of a run, which cannot be opened as one: the rankings (data/) and the "
    "users' ids are missing; take the run folder or its bundle"
)
"""What is said of `publication.publish`'s files where a run is expected."""

AUDIT_FILES = ("audit.json", *TABLES, "report.html", CHOSEN)
"""What an audit of the run writes into its folder `audit`."""


def save_fit(fit: Fit, folder: str | Path) -> Path:
    """Write the run folder and return its path; `fit.json` comes last, when all else is whole.

    That of an earlier fit goes first, with its audit, or they would stand beside files that are
    not their own.
    """
    run = Path(folder)
    (run / "fit.json").unlink(missing_ok=True)
    for name in AUDIT_FILES:
        (run / "audit" / name).unlink(missing_ok=True)
    save_rankings(fit.rankings, run / "data")
    save_policies(fit, run / "policy")
    files.write_csv(run / "responsibilities.csv", fit.responsibility_table())
    files.write_csv(run / "trace.csv", fit.trace_table())
    files.write_bytes(run / "README.md", model_card(fit).encode("utf-8", "surrogatepass"))
    names = _files_read(fit.config.policy, fit.n_types, fit.features.kind)
    digests = {name: files.sha256(run / name) for name in names}
    files.write_json(run / "fit.json", {**summary(fit), "files": digests})
    return run


def load_fit(folder: str | Path) -> Fit:
    """Return the fit of a finished run folder.

    Raises
    ------
    RunError
        No such folder, an unfinished or damaged run, or one written by a newer version.

    Examples
    --------
    >>> import emdpo, tempfile
    >>> rankings = emdpo.load("assets/demo/rankings.csv")
    >>> found = emdpo.fit(rankings, n_types=2, restarts=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     again = emdpo.load_fit(found.save(folder))
    >>> again.log_likelihood == found.log_likelihood
    True
    """
    run = Path(folder)
    about = finished_summary(run)
    try:
        _verify(run, about)
        return _load(run, about)
    except RunError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RunError(f"{run}: damaged run folder ({error!r})") from None


def _files_read(policy: str, n_types: int, features: str) -> Iterator[str]:
    """Yield what `load_fit` reads beside fit.json; no name comes from the folder itself."""
    yield from RUN_FILES
    yield from (f"policy/{name}" for name in policy_files(policy, n_types, features))


def _verify(run: Path, about: Mapping[str, Any]) -> None:
    """Raise unless the files are those that fit.json was written for, bit for bit."""
    digests = about["files"]
    for name in _files_read(about["config"]["policy"], about["n_types"], about["features"]):
        if files.sha256(run / name) != digests[name]:
            raise RunError(f"{run}: {name} is damaged or was changed after the fit was saved")


def finished_summary(run: Path) -> dict[str, Any]:
    """Return fit.json of a finished run, or raise RunError saying why there is none."""
    if not (files.exists(run) and run.is_dir()):
        raise RunError(f"{run}: no such run folder")
    if not (run / "fit.json").exists():
        raise RunError(f"{run}: the run is not finished (it has no fit.json)")
    about = files.read_json(run / "fit.json")
    if about.get("publication"):
        raise RunError(f"{run}: {IS_PUBLICATION}")
    written = about.get("format")
    if not isinstance(written, int):
        raise RunError(f"{run}: damaged run folder (fit.json has no format number)")
    if written > RUN_FORMAT:
        raise RunError(f"{run}: written by a newer emdpo (format {written})")
    return about


def summary(fit: Fit) -> dict[str, Any]:
    """Return fit.json: what was fitted, to what, and how it ended."""
    base = fit.base_model
    told = {"warnings": fit.warnings, "evidence": fit.evidence}
    return {
        "format": RUN_FORMAT,
        "n_types": fit.n_types,
        "weights": fit.weights,
        "log_likelihood": fit.log_likelihood,
        "n_users": fit.rankings.n_users,
        "n_rankings": fit.rankings.n_rankings,
        "n_iter": fit.n_iter,
        "stop_reason": fit.stop_reason.value,
        "remaining_gain": fit.remaining_gain,
        "seed": fit.config.seed,
        "policy": fit.config.policy,
        "features": fit.features.kind,
        "features_reason": fit.features.reason,
        "config": fit.config.to_dict(),
        "restarts": asdict(fit.restarts),
        "information": asdict(fit.information),
        "identifiability": fit.identifiability.to_dict(),
        "data_sha256": fit.data_sha256,
        "base_model": None if base is None else asdict(base),
        "versions": fit.versions,
        **{name: value for name, value in told.items() if value},
    }


def _load(run: Path, about: Mapping[str, Any]) -> Fit:
    config = FitConfig(**about["config"])
    rankings = load_rankings(run / "data")
    saved = load_policies(run / "policy", config, rankings)
    responsibilities = files.read_csv(run / "responsibilities.csv", ("user_id",))
    if list(responsibilities["user_id"]) != list(rankings.users.index):
        raise RunError(f"{run}: responsibilities.csv does not belong to the run's users")
    weights = np.array(about["weights"], float)
    posterior = responsibilities[type_columns(config.n_types)].to_numpy(float)
    if about["n_types"] != config.n_types or not _sound(weights, posterior, saved, rankings):
        raise RunError(f"{run}: damaged run folder (its numbers contradict one another)")
    return Fit(
        rankings=rankings,
        config=config,
        policies=saved.policies,
        pooled=saved.pooled,
        reading=saved.reading,
        weights=weights,
        responsibilities=posterior,
        log_likelihood=_number(about["log_likelihood"]),
        trace=_trace_rows(files.read_csv(run / "trace.csv"), config.n_types),
        stop_reason=StopReason(about["stop_reason"]),
        n_iter=about["n_iter"],
        remaining_gain=_number(about["remaining_gain"]),
        restarts=Restarts(**about["restarts"]),
        information=Information(**about["information"]),
        identifiability=panel_identifiability(rankings),
        data_sha256=about["data_sha256"],
        versions=about["versions"],
        adapters=saved.adapters,
        base_model=BaseModelCard(**about["base_model"]) if saved.adapters is not None else None,
        warnings=tuple(map(str, about.get("warnings", ()))),
        evidence=dict(about.get("evidence", {})),
    )


def _sound(
    weights: NDArray[np.float64],
    posterior: NDArray[np.float64],
    saved: SavedPolicies,
    rankings: Rankings,
) -> bool:
    """Return whether weights (K,), responsibilities (N, K) and policies can be those of a fit."""
    shares = [*posterior, weights]
    policies = (saved.policies, saved.pooled, saved.reading)
    tables = [each.candidate_scores() for each in policies]
    expected = [(n, rankings.n_candidates) for n in (len(weights), 1, len(weights))]
    return bool(
        weights.ndim == 1
        and [table.shape for table in tables] == expected
        and all(np.isfinite(array).all() for array in (weights, posterior, *tables))
        and all((row >= 0).all() and abs(row.sum() - 1) < SLACK for row in shares)
        and (np.diff(weights) <= SLACK).all()
    )


def _number(value: float | None) -> float:
    """Return a number that JSON holds as null where it is not finite."""
    return np.nan if value is None else value


def _trace_rows(table: pd.DataFrame, n_types: int) -> tuple[TraceRow, ...]:
    weights = table[[f"weight_{k + 1}" for k in range(n_types)]].to_numpy(float)
    return tuple(
        TraceRow(int(restart), int(iteration), float(log_likelihood), tuple(row))
        for restart, iteration, log_likelihood, row in zip(
            table["restart"],
            table["iteration"],
            table["log_likelihood"],
            weights.tolist(),
            strict=True,
        )
    )


def save_rankings(rankings: Rankings, folder: Path) -> None:
    """Write rankings as the tables of a run folder's data/."""
    rows = pd.DataFrame(
        {
            "ranking": rankings.ranking_of_row,
            "candidate": rankings.candidate,
            "rank": rankings.ranks,
        }
    )
    panel = pd.DataFrame(
        {
            "ranking_id": pd.Series(rankings.ranking_ids, dtype=object),
            "user": rankings.user,
            "prompt": rankings.prompt,
            "weight": rankings.weight,
            "held_out": rankings.held_out,
        }
    )
    users = rankings.users.reset_index()
    users.columns = ["user_id", *rankings.attributes]
    numeric = ["prompt", *feature_columns(rankings.candidates)]
    candidates = _as_text(rankings.candidates, numeric)  # as they come back: the same bytes again
    tables = (rows, panel, _as_text(users), rankings.prompts, candidates)
    for name, table in zip(_TABLES, tables, strict=True):
        files.write_parquet(folder / f"{name}.parquet", table)


def load_rankings(folder: Path) -> Rankings:
    """Return what `save_rankings` wrote; RunError where a table is missing or damaged."""
    rows, panel, users, prompts, candidates = (
        files.read_parquet(folder / f"{name}.parquet") for name in _TABLES
    )
    lengths = np.bincount(rows["ranking"], minlength=len(panel))
    users = _as_text(users).set_index("user_id")
    numeric = ["prompt", *feature_columns(candidates)]
    return Rankings(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        ranks=rows["rank"].to_numpy(np.int32),
        candidate=rows["candidate"].to_numpy(np.int32),
        user=panel["user"].to_numpy(np.int32),
        prompt=panel["prompt"].to_numpy(np.int32),
        weight=panel["weight"].to_numpy(np.float64),
        held_out=panel["held_out"].to_numpy(np.bool_),
        ranking_ids=panel["ranking_id"].to_numpy(object),
        users=users,
        prompts=_as_prompts(prompts),
        candidates=_as_text(candidates, numeric),
    )


def _as_prompts(table: pd.DataFrame) -> pd.DataFrame:
    """Return the prompts with messages as lists: Parquet gives arrays back."""
    cells = [None if cell is None else list(cell) for cell in table["messages"].tolist()]
    return _as_text(table.assign(messages=pd.Series(cells, index=table.index, dtype=object)))


def _as_text(table: pd.DataFrame, numeric: list[str] | tuple[()] = ()) -> pd.DataFrame:
    """Return the table with its text columns as objects and None for what is not known."""
    text = table.columns.difference([*numeric])
    table = table.astype(dict.fromkeys(text, object))
    table[text] = table[text].where(table[text].notna(), None)
    return table
