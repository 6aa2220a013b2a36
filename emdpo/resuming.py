"""Fit into a run folder so that nothing is lost: starts and checkpoints are kept, progress logged.

Every start of EM draws from its own random stream and is saved when it ends; the one under way goes
on from its last checkpoint. A resumed fit ends with the same bytes as an uninterrupted one. So does
a fit worked on in slices of some seconds each (`run_slice`), from what lies in its folder.
"""

from __future__ import annotations

import json
import math
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from emdpo import files
from emdpo.core.em import StopReason, TraceRow
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.features import build_features
from emdpo.core.json_values import plain
from emdpo.core.mixture import LogLinearCheckpoint, LogLinearRun
from emdpo.core.rankings import Rankings
from emdpo.fitting import Fit, data_fingerprint, fit, fitted_panel
from emdpo.kept_starts import (
    checkpoint_writer,
    kept_files,
    load_checkpoint,
    load_restarts,
    save_restart,
)
from emdpo.locks import alone_in
from emdpo.policy_files import held_policies, remove_unfinished_policies
from emdpo.runs import RUN_FILES, load_fit, load_rankings, save_fit, save_rankings
from emdpo.settings import LOGLINEAR, FitConfig, flat_settings

STATE, PROGRESS, STOP = "state", "progress.jsonl", "stop"

ADAPTER_STATE, DATA = "adapters", "data"
"""Below `state`: what the training of adapters keeps to be resumed; the rankings."""


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
        The folder holds a run and `resume` is not set, or holds one of other data or settings, or
        another fit is at work in it.
    """
    run, panel = Path(folder), fitted_panel(rankings)
    with alone_in(run):
        if _is_over(run, panel, config, resume):
            return load_fit(run)
        with _progress(run) as log:
            _prepare(run, panel, config, force)
            found = _fit(panel, config, run, log, force, _Limit(run / STOP))
    assert found is not None  # noqa: S101 - it has no limit
    return found


def begin_in_folder(
    rankings: Rankings, config: FitConfig, folder: str | Path, *, force: bool = False
) -> None:
    """Prepare a run folder for `run_slice`; raises as `fit_in_folder`."""
    run, panel = Path(folder), fitted_panel(rankings)
    with alone_in(run):
        _is_over(run, panel, config, resume=False)
        with _progress(run):
            _prepare(run, panel, config, force)


def run_slice(folder: str | Path, seconds: float | None = None) -> StopReason | None:
    """Work on a fit that was begun, and return why it is over; None while there is more to do.

    All is read from the folder and saved there again, so that each slice may run in a process of
    its own, and any number of slices end with the same bytes as one uninterrupted fit.

    Parameters
    ----------
    folder : path
        Of `begin_in_folder`, or of an interrupted `fit_in_folder`.
    seconds : float, optional
        When to end: before the next step or batch after that time, and not before something was
        gained that is saved (a start, a step, a batch). No limit by default.

    Raises
    ------
    RunError
        No fit was begun there, what it keeps is damaged, or another process is at work on it.
    """
    run = Path(folder)
    if is_finished(run):
        return StopReason(files.read_json(run / "fit.json")["stop_reason"])
    limit = _Limit(run / STOP, seconds)
    panel, config, force = _begun(run)
    with alone_in(run), _progress(run) as log:
        found = _fit(panel, config, run, log, force, limit)
    return None if found is None else found.stop_reason


class _Limit:
    """Says when to stop: when told to, or when time is up and something was gained."""

    def __init__(self, told: Path, seconds: float | None = None) -> None:
        self._told = told
        self._end = math.inf if seconds is None else time.monotonic() + seconds
        self.gained, self.is_over = False, False
        """Whether something was gained since the slice began; whether only time ended it."""

    def __call__(self) -> bool:
        if self._told.exists():
            self.is_over = False
            return True
        self.is_over = self.is_over or (self.gained and time.monotonic() >= self._end)
        return self.is_over


def _is_over(run: Path, panel: Rankings, config: FitConfig, resume: bool) -> bool:
    """Return whether there is nothing left to do; raise where the fit cannot be in this folder."""
    if files.exists(run / "fit.json") or files.exists(_identity(run)):
        _check_resumable(run, _identity_of(panel, config), resume)
        if is_finished(run):
            _clear_state(run)
            return True
        return False
    _check_free(run)
    _clear_state(run)
    return False


def _identity_of(panel: Rankings, config: FitConfig) -> dict[str, Any]:
    return {"config": config.to_dict(), "data_sha256": data_fingerprint(panel)}


def _prepare(run: Path, panel: Rankings, config: FitConfig, force: bool) -> None:
    """Write what `run_slice` reads; identity.json last, so that it stands for the rankings too."""
    (run / STOP).unlink(missing_ok=True)
    if not files.exists(_identity(run)):
        save_rankings(panel, run / STATE / DATA)
    files.write_json(_identity(run), {**_identity_of(panel, config), "force": force})


def _begun(run: Path) -> tuple[Rankings, FitConfig, bool]:
    """Return rankings, settings and `force` of an unfinished fit."""
    if not files.exists(_identity(run)):
        raise RunError(f"{run}: no fit was begun here")
    held = files.read_json(_identity(run))
    try:
        panel = load_rankings(run / STATE / DATA)
        whole = data_fingerprint(panel) == held["data_sha256"]
        config, force = FitConfig(**held["config"]), bool(held["force"])
    except (ArithmeticError, LookupError, TypeError, ValueError) as error:
        raise RunError(f"{run}: the unfinished fit is damaged ({error!r})") from None
    if not whole:
        raise RunError(f"{run}: the rankings of the unfinished fit are damaged")
    return panel, config, force


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
        for path in kept_files(state):
            path.unlink()
        shutil.rmtree(state / DATA, ignore_errors=True)
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
    wanted = plain(identity)
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
        line = {"event": event, "time": round(time.time(), 3), **plain(facts)}
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
    panel: Rankings, config: FitConfig, run: Path, log: ProgressLog, force: bool, limit: _Limit
) -> Fit | None:
    """Return the fit, saved; None where the time was up before it was over."""
    began = time.monotonic()
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
        save_restart(run / STATE, restart, outcome)
        limit.gained = True
        likelihood = outcome.state.log_likelihood
        reason = outcome.stop_reason.value
        log.write("restart", restart=restart, log_likelihood=likelihood, stop_reason=reason)

    keep = checkpoint_writer(run / STATE)

    def on_checkpoint(restart: int, checkpoint: LogLinearCheckpoint) -> None:
        limit.gained = keep(restart, checkpoint) or limit.gained

    def on_progress(event: str, **facts: Any) -> None:
        limit.gained = limit.gained or "done" in facts
        log.write(event, **facts)

    settings = config.to_dict()
    try:
        features = build_features(panel, config.features)
        finished = load_restarts(run / STATE, features, config)
        under_way = load_checkpoint(run / STATE, features, config, panel)
        for row in (row for start in under_way.values() for row in start.trace):
            monitor(row)  # whoever watches sees the start from its beginning
        found = fit(
            panel,
            settings.pop("n_types"),
            force=force,
            monitor=monitor,
            should_stop=limit,
            finished=finished,
            on_finished=on_finished,
            under_way=under_way,
            on_checkpoint=on_checkpoint,
            feature_set=features,
            folder=run / STATE / ADAPTER_STATE,
            on_progress=on_progress,
            **settings,
        )
    except EmdpoError:
        state = run / STATE
        trained = any((state / ADAPTER_STATE).glob("*"))
        if not (kept_files(state) if config.policy == LOGLINEAR else trained):
            _clear_state(run)  # refused: nothing to resume, the folder is free again
        raise
    if found.stop_reason is StopReason.CANCELLED and limit.is_over:
        log.write("paused", seconds=round(time.monotonic() - began, 3))
        return None
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
