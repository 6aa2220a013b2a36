"""The folder `policy` of a run: log-linear policies, or adapters with their scores and a reading.

    loglinear   theta.csv  pooled.csv  features.json  features.parquet
    adapters    type-1/ .. type-K/  pooled/  consensus/  scores.parquet
                reading/theta.csv  reading/features.json  reading/features.parquet

Features are stored for every kind but items, whose indicators are in the rankings. The folder
`consensus` is made from a finished run (`adapters.distilled`); reading the run does not need it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo import files
from emdpo.adapters.saved import (
    CONFIG,
    POOLED,
    TENSORS,
    Adapter,
    adapter_names,
    load_adapter,
    save_adapter,
)
from emdpo.cards import adapter_cards
from emdpo.core.errors import RunError
from emdpo.core.features import FeatureSet
from emdpo.core.loglinear import LogLinearPolicies
from emdpo.core.scored import ScoredPolicies
from emdpo.settings import LOGLINEAR

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings
    from emdpo.fitting import Fit
    from emdpo.settings import FitConfig

READING, SCORES = "reading", "scores.parquet"

POLICY_FILE = re.compile(
    r"(reading/)?(theta\.csv|features\.json|features\.parquet)|pooled\.csv|scores\.parquet"
    r"|(type-[1-9][0-9]{0,5}|pooled|consensus)"
    r"/(adapter_config\.json|adapter_model\.safetensors|README\.md)|consensus/distil\.json"
)
"""Every name that a file below `policy` can have."""

_FOLDER = re.compile(r"reading|pooled|consensus|type-[1-9][0-9]{0,5}")


@dataclass(frozen=True, eq=False)
class SavedPolicies:
    """What the folder holds."""

    policies: LogLinearPolicies | ScoredPolicies
    pooled: LogLinearPolicies | ScoredPolicies
    reading: LogLinearPolicies
    adapters: Mapping[str, Adapter] | None


def policy_files(policy: str, n_types: int, features: str) -> Iterator[str]:
    """Yield the files that a policy of this kind is read from, below `policy`."""
    reading = ["theta.csv", "features.json"] + ["features.parquet"] * (features != "items")
    if policy == LOGLINEAR:
        yield from [*reading, "pooled.csv"]
        return
    yield SCORES
    yield from (f"{READING}/{name}" for name in reading)
    for name in adapter_names(n_types):
        yield f"{name}/{CONFIG}"
        yield f"{name}/{TENSORS}"


def remove_policies(folder: Path) -> None:
    """Remove the policies of an earlier fit, whatever their kind; other files stay."""
    for name in held_policies(folder):
        (folder / name).unlink()
    for part in _places(folder)[1:]:
        with suppress(OSError):  # somebody else's files are in it
            part.rmdir()


def remove_unfinished_policies(folder: Path) -> None:
    """Remove what a killed process has left half written."""
    for part in _places(folder):
        files.remove_unfinished(part)


def held_policies(folder: Path) -> list[str]:
    """Return the files of policies, of any kind, that the folder holds, by name."""
    paths = [path for part in _places(folder) for path in part.glob("*")]
    names = [path.relative_to(folder).as_posix() for path in paths if not path.is_dir()]
    return sorted(name for name in names if POLICY_FILE.fullmatch(name))


def _places(folder: Path) -> list[Path]:
    """Return the folder and those of its policies; nothing where it is not there."""
    if not files.exists(folder):
        return []
    below = (path for path in folder.glob("*") if _FOLDER.fullmatch(path.name))
    return [folder, *(path for path in below if path.is_dir() and not path.is_symlink())]


def save_policies(fit: Fit, folder: Path) -> None:
    """Write all that scores are read or recomputed from, in place of an earlier fit's."""
    remove_policies(folder)
    for name, table in theta_tables(fit).items():
        files.write_csv(folder / name, table)
    if fit.adapters is None:
        _save_features(fit.features, fit.rankings, folder)
        return
    _save_features(fit.features, fit.rankings, folder / READING)
    files.write_parquet(folder / SCORES, _score_table(fit))
    for name, card in adapter_cards(fit).items():
        save_adapter(fit.adapters[name], folder / name, card)


def load_policies(folder: Path, config: FitConfig, rankings: Rankings) -> SavedPolicies:
    """Return what `save_policies` wrote; RunError where it is damaged or of other rankings."""
    if config.policy == LOGLINEAR:
        types = _load_loglinear(folder, config)
        pooled = _theta(folder / "pooled.csv", [POOLED], types.features)
        one = LogLinearPolicies(types.features, pooled, config.l2)
        return SavedPolicies(policies=types, pooled=one, reading=types, adapters=None)
    table, pooled_scores = _load_scores(folder / SCORES, config.n_types, rankings)
    return SavedPolicies(
        policies=ScoredPolicies(table),
        pooled=ScoredPolicies(pooled_scores),
        reading=_load_loglinear(folder / READING, config),
        adapters={name: load_adapter(folder / name) for name in adapter_names(config.n_types)},
    )


def type_columns(n_types: int) -> list[str]:
    """Return type_1 .. type_K."""
    return [f"type_{k + 1}" for k in range(n_types)]


def candidate_ids(rankings: Rankings) -> pd.DataFrame:
    """Return prompt_id and response_id (text) of the A candidates, in their order."""
    candidates = rankings.candidates
    prompts = rankings.prompts["prompt_id"].to_numpy(object)[candidates["prompt"].to_numpy()]
    responses = candidates["response_id"].to_numpy(object)
    return pd.DataFrame({"prompt_id": prompts, "response_id": responses}, dtype=object)


def _score_table(fit: Fit) -> pd.DataFrame:
    scores = [*fit.policies.candidate_scores(), *fit.pooled.candidate_scores()]
    names = [*type_columns(fit.n_types), POOLED]
    return candidate_ids(fit.rankings).assign(**dict(zip(names, scores, strict=True)))


def _load_scores(
    path: Path, n_types: int, rankings: Rankings
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the scores of the types (K, A) and of the pooled policy (1, A)."""
    table = files.read_parquet(path)
    ids = candidate_ids(rankings)
    if any(table[name].tolist() != ids[name].tolist() for name in ids):
        raise RunError(f"{path}: does not belong to the run's answers")
    types = table[type_columns(n_types)].to_numpy(np.float64).T
    return types, table[[POOLED]].to_numpy(np.float64).T


def theta_tables(fit: Fit) -> dict[str, pd.DataFrame]:
    """Return theta in raw units, of the types (or their reading) and of everybody, by file name."""
    features = fit.features
    types = _theta_table(features, type_columns(fit.n_types), fit.reading.theta)
    if fit.adapters is not None:
        return {f"{READING}/theta.csv": types}
    assert isinstance(fit.pooled, LogLinearPolicies)  # noqa: S101 - no adapters
    return {"theta.csv": types, "pooled.csv": _theta_table(features, [POOLED], fit.pooled.theta)}


def _theta_table(
    features: FeatureSet, columns: list[str], theta: NDArray[np.float64]
) -> pd.DataFrame:
    table = pd.DataFrame(features.raw_theta(theta).T, columns=columns)
    table.insert(0, "feature", features.names)
    return table


def _save_features(features: FeatureSet, rankings: Rankings, folder: Path) -> None:
    """Write the features that theta multiplies."""
    if features.codes is None:
        raw = pd.DataFrame(features.raw_matrix(), columns=list(features.names))
        table = pd.concat([candidate_ids(rankings), raw], axis=1)
        files.write_parquet(folder / "features.parquet", table)
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


def _load_loglinear(folder: Path, config: FitConfig) -> LogLinearPolicies:
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
    theta = _theta(folder / "theta.csv", type_columns(config.n_types), features)
    return LogLinearPolicies(features, theta, config.l2)


def _theta(path: Path, columns: list[str], features: FeatureSet) -> NDArray[np.float64]:
    """Return theta (K, D) in standardised units."""
    table = files.read_csv(path, ("feature",))
    if tuple(table["feature"]) != features.names:
        raise RunError(f"{path}: does not belong to the run's features")
    return table[columns].to_numpy(float).T * features.scale
