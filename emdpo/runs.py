"""The run folder: a fit on disk, whole, without pickle (DESIGN section 5).

Interrupted fits are `resuming`; the audit's files are written by `auditing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo import files
from emdpo.core.em import StopReason, TraceRow
from emdpo.core.errors import RunError
from emdpo.core.features import FeatureSet, describe_preferences
from emdpo.core.identifiability import panel_identifiability
from emdpo.core.information import Information
from emdpo.core.json_values import visible
from emdpo.core.loglinear import LogLinearPolicies
from emdpo.core.rankings import Rankings, feature_columns
from emdpo.fitting import Fit, FitConfig, Restarts

if TYPE_CHECKING:
    from numpy.typing import NDArray

SLACK = 1e-6
"""Rounding allowed where shares must sum to one."""

RUN_FORMAT = 1
"""Raised when a run folder can no longer be read by older versions."""

_TABLES = ("rows", "rankings", "users", "prompts", "candidates")
"""Of the rankings fitted, in data/."""

_FEATURES = "policy/features.parquet"
"""Stored for every kind of features but items."""

RUN_FILES = (
    "responsibilities.csv",
    "trace.csv",
    "policy/theta.csv",
    "policy/pooled.csv",
    "policy/features.json",
    _FEATURES,
    *(f"data/{name}.parquet" for name in _TABLES),
)
"""What `load_fit` reads beside fit.json."""

AUDIT_FILES = ("audit.json", "types.csv", "groups.csv", "regret_matrix.csv", "report.html")
"""What an audit of the run writes into its folder `audit`."""

CITATION = (
    "Chidambaram, Seetharaman, Syrgkanis. Direct Preference Optimization with Unobserved "
    "Preference Heterogeneity: The Necessity of Ternary Preferences. AISTATS 2026 (PMLR 300), "
    "arXiv 2510.15716."
)


def save_fit(fit: Fit, folder: str | Path) -> Path:
    """Write the run folder and return its path; `fit.json` comes last, when all else is whole.

    That of an earlier fit goes first, with its audit, or they would stand beside files that are
    not their own.
    """
    run = Path(folder)
    (run / "fit.json").unlink(missing_ok=True)
    for name in AUDIT_FILES:
        (run / "audit" / name).unlink(missing_ok=True)
    _save_rankings(fit.rankings, run / "data")
    _save_policies(fit, run / "policy")
    files.write_csv(run / "responsibilities.csv", fit.responsibility_table())
    files.write_csv(run / "trace.csv", fit.trace_table())
    files.write_bytes(run / "README.md", model_card(fit).encode("utf-8", "surrogatepass"))
    names = [name for name in RUN_FILES if fit.features.codes is None or name != _FEATURES]
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
        _verify(run, about["files"], about["features"])
        return _load(run, about)
    except RunError:
        raise
    except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as error:
        raise RunError(f"{run}: damaged run folder ({error!r})") from None


def _verify(run: Path, digests: Mapping[str, str], kind: str) -> None:
    """Raise unless the files are those that fit.json was written for, bit for bit."""
    for name in RUN_FILES:
        if name == _FEATURES and kind == "items":
            continue
        if files.sha256(run / name) != digests[name]:
            raise RunError(f"{run}: {name} is damaged or was changed after the fit was saved")


def finished_summary(run: Path) -> dict[str, Any]:
    """Return fit.json of a finished run, or raise RunError saying why there is none."""
    if not (files.exists(run) and run.is_dir()):
        raise RunError(f"{run}: no such run folder")
    if not (run / "fit.json").exists():
        raise RunError(f"{run}: the run is not finished (it has no fit.json)")
    about = files.read_json(run / "fit.json")
    written = about.get("format")
    if not isinstance(written, int):
        raise RunError(f"{run}: damaged run folder (fit.json has no format number)")
    if written > RUN_FORMAT:
        raise RunError(f"{run}: written by a newer emdpo (format {written})")
    return about


def summary(fit: Fit) -> dict[str, Any]:
    """Return fit.json: what was fitted, to what, and how it ended."""
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
        "base_model": None,
        "versions": fit.versions,
    }


def _load(run: Path, about: Mapping[str, Any]) -> Fit:
    config = FitConfig(**about["config"])
    rankings = _load_rankings(run / "data")
    features, types, pooled = _load_policies(run / "policy", config)
    names = [f"type_{k + 1}" for k in range(config.n_types)]
    responsibilities = files.read_csv(run / "responsibilities.csv", ("user_id",))
    if list(responsibilities["user_id"]) != list(rankings.users.index):
        raise RunError(f"{run}: responsibilities.csv does not belong to the run's users")
    weights = np.array(about["weights"], float)
    posterior = responsibilities[names].to_numpy(float)
    if about["n_types"] != config.n_types or not _sound(weights, posterior, types, pooled):
        raise RunError(f"{run}: damaged run folder (its numbers contradict one another)")
    return Fit(
        rankings=rankings,
        config=config,
        policies=LogLinearPolicies(features, types, config.l2),
        pooled=LogLinearPolicies(features, pooled, config.l2),
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
    )


def _sound(
    weights: NDArray[np.float64],
    posterior: NDArray[np.float64],
    types: NDArray[np.float64],
    pooled: NDArray[np.float64],
) -> bool:
    """Return whether weights (K,), responsibilities (N, K) and thetas can be those of a fit."""
    shares = [*posterior, weights]
    return bool(
        weights.shape == (len(types),)
        and pooled.shape == (1, types.shape[1])
        and all(np.isfinite(array).all() for array in (weights, posterior, types, pooled))
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


def _save_policies(fit: Fit, folder: Path) -> None:
    """Write theta in raw units, and all that is needed to recompute scores from it."""
    features = fit.features
    names = [f"type_{k + 1}" for k in range(fit.n_types)]
    theta = pd.DataFrame(features.raw_theta(fit.policies.theta).T, columns=names)
    theta.insert(0, "feature", features.names)
    pooled = pd.DataFrame({"feature": features.names})
    pooled["pooled"] = features.raw_theta(fit.pooled.theta)[0]
    files.write_csv(folder / "theta.csv", theta)
    files.write_csv(folder / "pooled.csv", pooled)
    if features.codes is None:
        raw = pd.DataFrame(features.raw_matrix(), columns=list(features.names))
        candidates = fit.rankings.candidates
        raw.insert(0, "response_id", candidates["response_id"].to_numpy(object))
        prompt_ids = fit.rankings.prompts["prompt_id"].to_numpy(object)
        raw.insert(0, "prompt_id", prompt_ids[candidates["prompt"].to_numpy()])
        files.write_parquet(folder / "features.parquet", raw)
    about = {
        "kind": features.kind,
        "reason": features.reason,
        "names": features.names,
        "labels": features.labels,
        "scale": features.scale,
        "offset": features.offset,
        "dropped": features.dropped,
        "codes": features.codes,
        "correlation": features.correlation,
    }
    files.write_json(folder / "features.json", about)


def _load_policies(folder: Path, config: FitConfig) -> tuple[FeatureSet, np.ndarray, np.ndarray]:
    about = files.read_json(folder / "features.json")
    scale, offset = np.array(about["scale"], float), np.array(about["offset"], float)
    matrix, codes = None, None
    if about["codes"] is None:
        raw = files.read_parquet(folder / "features.parquet")[about["names"]].to_numpy(float)
        matrix = (raw - offset) / scale
    else:
        codes = np.array(about["codes"], np.int64)
    features = FeatureSet(
        kind=about["kind"],
        reason=about["reason"],
        names=tuple(about["names"]),
        labels=tuple(about["labels"]),
        matrix=matrix,
        codes=codes,
        scale=scale,
        offset=offset,
        dropped=tuple(about["dropped"]),
        correlation=None if about["correlation"] is None else np.array(about["correlation"]),
    )
    theta = files.read_csv(folder / "theta.csv", ("feature",))
    pooled = files.read_csv(folder / "pooled.csv", ("feature",))
    if any(list(table["feature"]) != about["names"] for table in (theta, pooled)):
        raise RunError(f"{folder.parent}: theta.csv does not belong to the run's features")
    names = [f"type_{k + 1}" for k in range(config.n_types)]
    return (
        features,
        theta[names].to_numpy(float).T * scale,
        pooled[["pooled"]].to_numpy(float).T * scale,
    )


def _save_rankings(rankings: Rankings, folder: Path) -> None:
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
    tables = (rows, panel, users, rankings.prompts, rankings.candidates)
    for name, table in zip(_TABLES, tables, strict=True):
        files.write_parquet(folder / f"{name}.parquet", table)


def _load_rankings(folder: Path) -> Rankings:
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


def model_card(fit: Fit) -> str:
    """Return README.md of the run: what it is, how it was made, what it must not be used for."""
    data = fit.rankings
    lines = [
        "# Preference types found by emdpo",
        "",
        f"{fit.n_types} preference types behind {data.n_rankings:,} rankings by {data.n_users:,} "
        f"users of {data.n_candidates:,} answers to {data.n_prompts:,} prompts. One log-linear "
        "DPO policy per type, fitted by EM-DPO.",
        "",
        "| type | share of users | prefers |",
        "| --- | --- | --- |",
    ]
    for k in range(fit.n_types):
        phrases = describe_preferences(fit.features, fit.policies.theta[k], top=3)
        words = "; ".join(cell_text(phrase) for phrase, _ in phrases)
        lines.append(f"| Type {k + 1} | {fit.weights[k]:.1%} | {words} |")
    starts = fit.restarts
    lines += [
        "",
        f"- Features: {fit.features.kind} ({cell_text(fit.features.reason)}).",
        f"- Ended: {fit.stop_reason.value} after {fit.n_iter} iterations; log-likelihood "
        f"{fit.log_likelihood:,.3f}; {starts.n_reached_best} of {starts.n_starts} starts reached "
        "this optimum.",
        f"- Settings: {', '.join(f'{k}={v}' for k, v in fit.config.to_dict().items())}.",
        f"- Data fingerprint (SHA-256 of the rankings): `{fit.data_sha256}`.",
        "",
        "Types are statistical patterns in these rankings. They are not demographic groups, and "
        "they say nothing about people who are not in the data.",
        "",
        "`fit.json` has every number of this page; `policy/theta.csv` the policies; "
        "`responsibilities.csv` each user's posterior over types.",
        "",
        f"Method: {CITATION}",
        "",
    ]
    return "\n".join(lines)


def cell_text(text: str) -> str:
    """Return text on one line that Markdown shows as it is, also inside a table cell."""
    single = visible(" ".join(str(text).split()))
    return "".join(f"\\{char}" if char in "\\|`*_[]<>#$~" else char for char in single)
