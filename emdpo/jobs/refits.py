"""Find the types of a run anew in draws of its users, in a child: `python -m emdpo.jobs.refits`.

`emdpo audit RUN --refit` with its progress and result in a folder of its own, for whoever watches
from outside; it stops after the draw at which FOLDER/stop appears. The run's audit keeps the
intervals, too.
"""

from __future__ import annotations

import argparse
import sys

from emdpo import files
from emdpo.auditing import audit, keep_audit
from emdpo.chosen import chosen_settings
from emdpo.jobs.about_runs import do_job, job_parser
from emdpo.refitting import with_known_refits, with_refits
from emdpo.resuming import STOP, ProgressLog
from emdpo.runs import load_fit

RESULT = "refits.json"


def main(arguments: list[str] | None = None) -> int:
    """Write FOLDER/refits.json and return the exit code: 0 done or stopped, 2 bad input."""
    parser = job_parser("emdpo.jobs.refits")
    parser.add_argument("--draws", type=int, required=True)
    return do_job(parser.parse_args(arguments), _find_anew)


def _find_anew(options: argparse.Namespace, log: ProgressLog) -> None:
    run, stop = options.run, options.out / STOP
    fit = load_fit(run)
    given = chosen_settings(run, fit.n_types)
    log.write("started", draws=options.draws)
    log.write("step", done=0, steps=options.draws)
    result = with_refits(
        audit(fit, **given),
        fit,
        options.draws,
        should_stop=stop.exists,
        on_progress=lambda done, steps: log.write("step", done=done, steps=steps),
    )
    if result is None or result.refit is None:
        return
    refits, by_now = result.refit, chosen_settings(run, fit.n_types)
    if by_now != given:  # another policy was saved for the run meanwhile
        result = with_known_refits(audit(fit, **by_now), refits, vars(result.config))
    keep_audit(result, fit, run)
    files.write_json(options.out / RESULT, refits.to_dict())
    log.write("finished", draws=options.draws)


if __name__ == "__main__":
    sys.exit(main())
