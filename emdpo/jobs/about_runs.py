"""What the child processes of jobs about a run share: options, log, exit code."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

from emdpo.core.errors import EmdpoError
from emdpo.resuming import PROGRESS, ProgressLog

Work = Callable[[argparse.Namespace, ProgressLog], None]
"""What a job does, given its options and the log that those who watch read."""


def job_parser(program: str) -> argparse.ArgumentParser:
    """Return a parser of the options that every job about a run has: the run, the job's folder."""
    parser = argparse.ArgumentParser(prog=program)
    parser.add_argument("run", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    return parser


def do_job(options: argparse.Namespace, work: Work) -> int:
    """Do the work and return the exit code: 0 done, 2 bad input, told in one line."""
    log = ProgressLog(options.out / PROGRESS)
    try:
        work(options, log)
    except EmdpoError as error:
        message = str(error).replace(f"{options.run}", "this run")
        log.write("failed", message=message)
        sys.stderr.write(f"error: {message}\n")
        return 2
    finally:
        log.close()
    return 0
