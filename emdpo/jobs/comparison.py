"""Compare methods in a child process: `python -m emdpo.jobs.comparison FOLDER --out FOLDER`.

`emdpo compare` with its progress and result in a folder, for whoever watches from outside. Settings
and copies of the input files are in the folder.
"""

from __future__ import annotations

import argparse
import sys

from emdpo import files
from emdpo.core.rankings import Rankings
from emdpo.core.readers import load
from emdpo.head_to_head.engine import compare
from emdpo.head_to_head.simulations import simulate, simulation_named
from emdpo.jobs.about_runs import do_job, job_parser
from emdpo.jobs.children import input_file
from emdpo.resuming import ProgressLog

RESULT = "comparison.json"


def main(arguments: list[str] | None = None) -> int:
    """Write FOLDER/comparison.json and return the exit code: 0 done, 2 bad input."""
    return do_job(job_parser("emdpo.jobs.comparison").parse_args(arguments), _compare)


def _compare(options: argparse.Namespace, log: ProgressLog) -> None:
    settings = dict(files.read_json(options.run / "job" / "job.json")["config"])
    methods, simulation = settings.pop("methods"), settings.pop("simulation", None)
    settings.pop("files", None)  # their names, for people
    log.write("step", done=0, steps=len(methods))
    planted = None
    if simulation is not None:
        planted = simulate(simulation_named(simulation), settings["seed"])
    rankings = planted.panel if planted else _given(options)
    found = compare(
        rankings,
        methods,
        planted=planted,
        leave_out=True,
        progress=lambda done, steps: log.write("step", done=done, steps=steps),
        **settings,
    )
    files.write_json(options.out / RESULT, found.to_dict())
    log.write("finished", methods=found.methods)


def _given(options: argparse.Namespace) -> Rankings:
    rankings = input_file(options.run, "rankings")
    return load(str(rankings), users=input_file(options.run, "users"))


if __name__ == "__main__":
    sys.exit(main())
