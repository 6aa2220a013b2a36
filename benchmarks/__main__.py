"""Run the benchmarks and print a table; all of them, or those named."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module

import pandas as pd

NAMES = (
    *("million_rows", "mixture_of_items", "one_plackett_luce", "audit_groups", "answers"),
    *("adapter_training", "adapter_depth", "page", "room_load", "latent_class"),
)

PEERS_ELSEWHERE = ("latent_class",)
"""Benchmarks whose peers need libraries that the project's own environment is spared."""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(NAMES)}")
    parser.add_argument("--markdown", action="store_true", help="for documents")
    parser.add_argument(
        "--other-python",
        default=sys.executable,
        metavar="PATH",
        help="interpreter with the extra `peers`, for latent_class",
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(NAMES):
        parser.error(f"no benchmark {', '.join(sorted(unknown))}")
    rows = []
    for name in options.names or NAMES:
        benchmark = import_module(f"benchmarks.{name}")
        print(benchmark.__doc__.splitlines()[0], flush=True)
        elsewhere = (options.other_python,) if name in PEERS_ELSEWHERE else ()
        rows += benchmark.run(*elsewhere)
    table = pd.DataFrame(rows).round({"seconds": 3, "peak_mb": 0, "ratio": 2})
    for case, part in table.groupby("case", sort=False):
        columns = part.drop(columns="case")
        print(f"\n{case}   (ratio: times the first row)")
        if options.markdown:
            print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns.columns))
            for row in columns.itertuples(index=False):
                print("| " + " | ".join(map(str, row)) + " |")
        else:
            print(columns.to_string(index=False))


if __name__ == "__main__":
    main()
