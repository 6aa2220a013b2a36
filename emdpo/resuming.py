"""Fit into a run folder so that nothing is lost: finished starts are kept, progress is logged.

Every start of EM draws from its own random stream and is saved when it ends, so that a resumed fit
repeats at most the start under way and ends with the same bytes as an uninterrupted one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np

from emdpo import files
from emdpo.core.em import EMRun, EMState, StopReason, TraceRow
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.features import FeatureSet, build_features
from emdpo.core.loglinear import LogLinearPolicies
from emdpo.core.mixture import LogLinearRun
from emdpo.core.rankings import Rankings
from emdpo.fitting import Fit, data_fingerprint, fit, fitted_panel
from emdpo.policy_files import held_policies, remove_unfinished_policies
from emdpo.runs import RUN_FILES, load_fit, save_fit
from emdpo.settings import LOGLINEAR, FitConfig, flat_settings

STATE, PROGRESS, STOP = "state", "progress.jsonl", "stop"

ADAPTER_STATE = "adapters"
"""Below `state`: what the training of adapters keeps to be resumed."""


def fit_in_folder(
    rankings: Rankings,
    config: FitConfig,
    folder: str | Path,
    *,
    resume: bool = False,
    force: bool = False,
) -> Fit:
    """Return the fit, written to a run folder; stops within an iteration if RUN/stop appears.

    Parameters
    ----------
    rankings : Rankings
    config : FitConfig
    folder : path
        New, empty, or with files of other names; with `resume`, that of an interrupted fit.
    resume : bool
        Go on where an interrupted fit with the same data and settings left off. A finished run is
        returned as it is; a folder where nothing was started begins the fit.
    force : bool
        As in `fit`.

    Raises
    ------
    RunError
        The folder holds a run and `resume` is not set, or holds one of other data or settings.
    """
    run = Path(folder)
    panel = fitted_panel(rankings)
    identity = {"config": config.to_dict(), "data_sha256": data_fingerprint(panel)}
    if files.exists(run / "fit.json") or files.exists(_identity(run)):
        _check_resumable(run, identity, resume)
        if is_finished(run):
            _clear_state(run)
            return load_fit(run)
    else:
        _check_free(run)
        _clear_state(run)
    with _progress(run) as log:
        return _fit(panel, config, run, identity, log, force)


def is_finished(run: Path) -> bool:
    """Return whether the folder holds a fit that ran to its end, not a cancelled one."""
    if not files.exists(run / "fit.json"):
        return False
    return files.read_json(run / "fit.json").get("stop_reason") != StopReason.CANCELLED.value


def _identity(run: Path) -> Path:
    """Return the file that says which data and settings an unfinished fit has."""
    return run / STATE / "identity.json"


def _clear_state(run: Path) -> None:
    """Remove what a fit keeps to be resumed, and what a killed one left half written."""
    state = run / STATE
    for folder in (run, run / "data", state):
        files.remove_unfinished(folder)
    remove_unfinished_policies(run / "policy")
    if files.exists(state):
        _identity(run).unlink(missing_ok=True)  # last to be written, first to go
        for path in state.glob("restart-*.json"):
            path.unlink()
        shutil.rmtree(state / ADAPTER_STATE, ignore_errors=True)  # nothing through a link
        with suppress(OSError):  # somebody else's files
            state.rmdir()


def _check_free(run: Path) -> None:
    """Refuse a folder where the fit would overwrite somebody else's files."""
    if run == Path():
        raise RunError("the run folder must be a folder of its own, not the present one")
    names = ["README.md", *RUN_FILES]
    taken = [name for name in names if files.exists(run / name)]
    taken += [f"policy/{name}" for name in held_policies(run / "policy")]
    if taken:
        raise RunError(
            f"{run} already has {taken[0]}, which is not this fit's; choose another --out"
        )


def _check_resumable(run: Path, identity: dict[str, Any], resume: bool) -> None:
    if not resume:
        kind = "a finished" if is_finished(run) else "an interrupted"
        raise RunError(f"{run} already holds {kind} run; choose another --out or add --resume")
    source = _identity(run)
    held = files.read_json(source if source.exists() else run / "fit.json")
    wanted = files.plain(identity)
    if held.get("data_sha256") != wanted["data_sha256"]:
        raise RunError(f"{run} was fitted to other data; choose another --out")
    before, now = flat_settings(held["config"]), flat_settings(wanted["config"])
    changed = [key for key in now | before if before.get(key) != now.get(key)]
    if changed:
        key = changed[0]
        raise RunError(
            f"{run} was begun with {key} = {before.get(key)}, not {now.get(key)}; "
            "choose another --out"
        )


class ProgressLog:
    """Appends one JSON object a line to progress.jsonl, for whoever watches the run."""

    def __init__(self, path: Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._stream = path.open("a", encoding="utf-8")

    def write(self, event: str, **facts: Any) -> None:
        """Append an event with the time in seconds since the epoch."""
        line = {"event": event, "time": round(time.time(), 3), **files.plain(facts)}
        self._stream.write(json.dumps(line, allow_nan=False) + "\n")
        self._stream.flush()

    def close(self) -> None:
        """Close the file."""
        self._stream.close()


@contextmanager
def _progress(run: Path) -> Iterator[ProgressLog]:
    try:
        log = ProgressLog(run / PROGRESS)
    except OSError as error:
        raise RunError(f"{run}: cannot be written to ({error.strerror})") from None
    try:
        yield log
    except EmdpoError as error:
        log.write("failed", message=str(error))
        raise
    except OSError as error:
        reason = f"{run}: cannot be written to ({error.strerror}); --resume goes on with it"
        raise RunError(reason) from None
    finally:
        log.close()


def _fit(
    panel: Rankings,
    config: FitConfig,
    run: Path,
    identity: dict[str, Any],
    log: ProgressLog,
    force: bool,
) -> Fit:
    began = time.monotonic()
    (run / STOP).unlink(missing_ok=True)
    files.write_json(_identity(run), identity)
    log.write(
        "started",
        n_users=panel.n_users,
        n_rankings=panel.n_rankings,
        n_rows=panel.n_rows,
        n_types=config.n_types,
        restarts=config.restarts,
        max_iter=config.max_iter,
    )

    def monitor(row: TraceRow) -> bool:
        log.write("iteration", **row._asdict())
        return False

    def on_finished(restart: int, outcome: LogLinearRun) -> None:
        save_restart(run, restart, outcome)
        likelihood = outcome.state.log_likelihood
        reason = outcome.stop_reason.value
        log.write("restart", restart=restart, log_likelihood=likelihood, stop_reason=reason)

    settings = config.to_dict()
    try:
        features = build_features(panel, config.features)
        found = fit(
            panel,
            settings.pop("n_types"),
            force=force,
            monitor=monitor,
            should_stop=(run / STOP).exists,
            finished=load_restarts(run, features, config),
            on_finished=on_finished,
            feature_set=features,
            folder=run / STATE / ADAPTER_STATE,
            on_progress=log.write,
            **settings,
        )
    except EmdpoError:
        kept = "restart-*.json" if config.policy == LOGLINEAR else f"{ADAPTER_STATE}/*"
        if not any((run / STATE).glob(kept)):
            _clear_state(run)  # refused: nothing to resume, the folder is free again
        raise
    save_fit(found, run)
    if found.stop_reason is not StopReason.CANCELLED:
        _clear_state(run)
    log.write(
        "finished",
        stop_reason=found.stop_reason.value,
        log_likelihood=found.log_likelihood,
        seconds=round(time.monotonic() - began, 3),
    )
    return found


def save_restart(run: Path, restart: int, outcome: LogLinearRun) -> None:
    """Keep a finished start at full precision, with a fingerprint that shows damage.

    Responsibilities are kept too: another E-step would give them up to rounding only, since types
    have been renumbered since and sums over types round by their order.
    """
    state = outcome.state
    value = {
        "theta": state.policies.theta.tolist(),
        "log_weights": state.log_weights.tolist(),
        "log_resp": state.log_resp.tolist(),
        "log_likelihood": state.log_likelihood,
        "stop_reason": outcome.stop_reason.value,
        "remaining_gain": outcome.remaining_gain,
        "trace": [row._asdict() for row in outcome.trace],
    }
    held = {"sha256": _fingerprint(files.plain(value)), "outcome": value}
    files.write_json(run / STATE / f"restart-{restart:04d}.json", held)


def _fingerprint(value: Any) -> str:
    return hashlib.sha256(json.dumps(value).encode()).hexdigest()


def load_restarts(run: Path, features: FeatureSet, config: FitConfig) -> dict[int, LogLinearRun]:
    """Return the finished starts of an interrupted fit, by number; a damaged one is run again."""
    found = {}
    for path in sorted((run / STATE).glob("restart-*.json")):
        try:
            held = files.read_json(path)
            if _fingerprint(held["outcome"]) == held["sha256"]:
                restart = int(path.stem.removeprefix("restart-"))
                found[restart] = _restart(held["outcome"], features, config)
        except (RunError, KeyError, TypeError, ValueError):
            continue
    return found


def _restart(held: dict[str, Any], features: FeatureSet, config: FitConfig) -> LogLinearRun:
    policies = LogLinearPolicies(features, np.array(held["theta"], float), config.l2)
    gain = held["remaining_gain"]
    rows = [TraceRow(**row) for row in held["trace"]]
    return EMRun(
        state=EMState(
            policies=policies,
            log_weights=np.array(held["log_weights"], float),
            log_resp=np.array(held["log_resp"], float),
            log_likelihood=np.nan if held["log_likelihood"] is None else held["log_likelihood"],
        ),
        trace=tuple(row._replace(weights=tuple(row.weights)) for row in rows),
        stop_reason=StopReason(held["stop_reason"]),
        remaining_gain=np.nan if gain is None else gain,
    )
