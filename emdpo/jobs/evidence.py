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
from emdpo.audit_files import save_audit
from emdpo.auditing import audit, with_kept
from emdpo.chosen import chosen_settings
from emdpo.core.errors import EmdpoError
from emdpo.core.rankings import Rankings
from emdpo.core.readers import load
from emdpo.core.tested import SPLIT, WAYS, EvidenceConfig
from emdpo.jobs.children import input_file
from emdpo.predicting import evidence
from emdpo.resuming import PROGRESS, ProgressLog
from emdpo.runs import load_fit

RESULT = "evidence.json"


def main(arguments: list[str] | None = None) -> int:
    """Write FOLDER/evidence.json and return the exit code: 0 done, 2 bad input."""
    parser = argparse.ArgumentParser(prog="emdpo.jobs.evidence")
    parser.add_argument("run", type=Path)
    parser.add_argument("--by", choices=WAYS, required=True)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args(arguments)
    log = ProgressLog(options.out / PROGRESS)
    try:
        _test(options, log)
    except EmdpoError as error:
        message = str(error).replace(f"{options.run}", "this run")
        log.write("failed", message=message)
        sys.stderr.write(f"error: {message}\n")
        return 2
    finally:
        log.close()
    return 0


def _test(options: argparse.Namespace, log: ProgressLog) -> None:
    run, fit = options.run, load_fit(options.run)
    log.write("step", done=0, steps=EvidenceConfig().folds)
    tested = evidence(
        fit,
        options.by,
        rankings=_given_rankings(run) if options.by == SPLIT else None,
        progress=lambda done, steps: log.write("step", done=done, steps=steps),
    )
    result = with_kept(audit(fit, **chosen_settings(run, fit.n_types)), fit, run)
    save_audit(replace(result, evidence=tested), run, fit=fit)
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
