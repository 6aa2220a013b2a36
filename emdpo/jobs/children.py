"""The child process of a job: its command line, its start, and whether it still runs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from emdpo import files
from emdpo.core.errors import RunError

_OPTIONS = {"n_types": "types", "max_iter": "max-iter", "base_model": "base-model"}
"""Settings whose command line option is not their name."""

_PROGRAMS = {
    "selection": "emdpo.jobs.selection",
    "estimate": "emdpo.jobs.estimation",
    "evidence": "emdpo.jobs.evidence",
    "refits": "emdpo.jobs.refits",
    "comparison": "emdpo.jobs.comparison",
}
"""What runs the kinds of job that are no fit."""


def child_command(folder: Path) -> list[str]:
    """Return the command line of a job, from its job.json and its copies of the input files.

    A job about another run names it, and has no copies. A comparison reads its folder itself.
    """
    about = files.read_json(folder / "job" / "job.json")
    if about["kind"] == "comparison":
        program = _PROGRAMS[about["kind"]]
        return [sys.executable, "-m", program, str(folder), "--out", str(folder)]
    config = dict(about["config"])
    run = config.pop("run", None)
    source = input_file(folder, "rankings") if run is None else folder.parent / run
    users = input_file(folder, "users")
    command = [sys.executable, "-m"]
    if about["kind"] == "fit":  # --resume also begins what was never begun
        command += ["emdpo", "fit", str(source), "--resume"]
    else:
        command += [_PROGRAMS[about["kind"]], str(source)]
    command += ["--out", str(folder)]
    command += [] if users is None else ["--users", str(users)]
    return command + _options(config)


def input_file(folder: Path, role: str) -> Path | None:
    """Return a job's copy of an input file, `rankings` or `users`; None where it has none."""
    return next((folder / "job").glob(f"{role}.*"), None)


def _options(config: dict[str, Any]) -> list[str]:
    options: list[str] = []
    for name, value in config.items():
        if name == "force":
            options += ["--force"] if value else []
        elif name == "adapters":
            for setting, chosen in value.items():
                options += ["--adapter", f"{setting}={json.dumps(chosen)}"]
        else:
            options += [f"--{_OPTIONS.get(name, name)}", str(value)]
    return options


def spawn(folder: Path) -> subprocess.Popen[bytes]:
    """Start the child of a job; what it prints goes to files beside job.json."""
    job = folder / "job"
    with (job / "stdout").open("wb") as out, (job / "stderr").open("wb") as err:
        process = subprocess.Popen(  # noqa: S603 - a list of our own making, no shell
            child_command(folder), stdin=subprocess.DEVNULL, stdout=out, stderr=err
        )
    identity = {"pid": process.pid, "born": _birth(process.pid)}
    files.write_json(job / "process.json", identity)
    return process


def is_alive(folder: Path) -> bool:
    """Return whether the child that the folder names still runs (not another with its number)."""
    try:
        child = files.read_json(folder / "job" / "process.json")
    except RunError:
        return False
    return child["born"] is not None and _birth(child["pid"]) == child["born"]


def _birth(pid: int) -> str | None:
    """Return what tells a process from later ones with its number; None where it does not run."""
    if not Path("/proc/self/stat").exists():
        return _birth_without_proc(pid)
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] in "ZX" else fields[19]  # state; start time in clock ticks


def _birth_without_proc(pid: int) -> str | None:
    try:
        os.kill(pid, 0)
    except OSError:
        return None
    return "alive"
