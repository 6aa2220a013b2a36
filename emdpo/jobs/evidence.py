"""Test a run on rankings that nobody fitted, in a child process: `python -m emdpo.jobs.evidence`.

`emdpo audit RUN --evidence` with its progress and result in a folder of its own, for whoever
watches from outside; the run's audit keeps the evidence, too.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from pathlib import Path

from emdpo import files
from emdpo.auditing import audit, keep_audit
from emdpo.chosen import chosen_settings
from emdpo.core.errors import EmdpoError
from emdpo.core.rankings import Rankings
from emdpo.core.readers import load
from emdpo.core.tested import SPLIT, WAYS, EvidenceConfig
from emdpo.jobs.about_runs import do_job, job_parser
from emdpo.jobs.children import input_file
from emdpo.predicting import evidence
from emdpo.resuming import ProgressLog
from emdpo.runs import load_fit

RESULT = "evidence.json"


def main(arguments: list[str] | None = None) -> int:
    """Write FOLDER/evidence.json and return the exit code: 0 done, 2 bad input."""
    parser = job_parser("emdpo.jobs.evidence")
    parser.add_argument("--by", choices=WAYS, required=True)
    return do_job(parser.parse_args(arguments), _test)


def _test(options: argparse.Namespace, log: ProgressLog) -> None:
    run, fit = options.run, load_fit(options.run)
    log.write("step", done=0, steps=EvidenceConfig().folds)
    tested = evidence(
        fit,
        options.by,
        rankings=_given_rankings(run) if options.by == SPLIT else None,
        progress=lambda done, steps: log.write("step", done=done, steps=steps),
    )
    result = audit(fit, **chosen_settings(run, fit.n_types))
    keep_audit(replace(result, evidence=tested), fit, run)
    files.write_json(options.out / RESULT, tested.to_dict())
    log.write("finished", by=options.by)


def _given_rankings(run: Path) -> Rankings:
    """Return the file that was fitted, which a run made on the page still has."""
    rankings = input_file(run, "rankings")
    if rankings is None:
        raise EmdpoError(
            "this run came without the file that was fitted: what that held out is tested by "
            "emdpo audit RUN --evidence split --rankings FILE"
        )
    return load(rankings, users=input_file(run, "users"))


if __name__ == "__main__":
    sys.exit(main())
