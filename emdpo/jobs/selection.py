"""Choose the number of types in a child process: `python -m emdpo.jobs.selection FILE ...`.

`emdpo select` with its progress and result in a folder, for whoever watches from outside.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from emdpo import files
from emdpo.choosing import select
from emdpo.core.errors import EmdpoError
from emdpo.core.readers import load
from emdpo.resuming import PROGRESS, ProgressLog

RESULT = "selection.json"


def main(arguments: list[str] | None = None) -> int:
    """Write FOLDER/selection.json and return the exit code: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="emdpo.jobs.selection")
    parser.add_argument("file")
    parser.add_argument("--users")
    parser.add_argument("--largest", type=int, required=True)
    parser.add_argument("--features", default="auto")
    parser.add_argument("--l2", type=float, default=None)
    parser.add_argument("--restarts", type=int, default=10)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--force", action="store_true")
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    log = ProgressLog(options.out / PROGRESS)
    try:
        _select(options, log)
    except EmdpoError as error:
        log.write("failed", message=str(error))
        sys.stderr.write(f"error: {error}\n")
        return 2
    finally:
        log.close()
    return 0


def _select(options: argparse.Namespace, log: ProgressLog) -> None:
    rankings = load(options.file, users=options.users)
    largest = min(options.largest, rankings.fitted().n_users)
    selection = select(
        rankings,
        range(1, largest + 1),
        features=options.features,
        l2=options.l2,
        restarts=options.restarts,
        seed=options.seed,
        force=options.force,
        progress=lambda done, steps: log.write("step", done=done, steps=steps),
    )
    files.write_json(options.out / RESULT, selection.to_dict())
    log.write("finished", n_types=selection.n_types)


if __name__ == "__main__":
    sys.exit(main())
