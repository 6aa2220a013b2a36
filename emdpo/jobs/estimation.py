"""Estimate a fit of adapters in a child process: `python -m emdpo.jobs.estimation FILE ...`.

`emdpo fit --estimate` with its result in a folder, for whoever watches from outside; the options
are those of `emdpo fit`.
"""

from __future__ import annotations

import sys
from pathlib import Path

from emdpo import files
from emdpo.adapting import estimate
from emdpo.cli import build_parser
from emdpo.commands import fit_config
from emdpo.core.errors import EmdpoError
from emdpo.core.readers import load

RESULT = "estimate.json"


def main(arguments: list[str]) -> int:
    """Write FOLDER/estimate.json and return the exit code: 0 done, 2 bad input."""
    options = build_parser().parse_args(["fit", *arguments])
    try:
        found = estimate(load(options.file, users=options.users), fit_config(options))
    except EmdpoError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
    files.write_json(Path(options.out) / RESULT, found.to_dict())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
