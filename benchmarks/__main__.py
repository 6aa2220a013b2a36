"""Run every benchmark and print one table; --markdown for documents."""

from __future__ import annotations

import sys

import pandas as pd

from benchmarks import adapter_training, million_rows, mixture_of_items, one_plackett_luce


def main() -> None:
    rows = []
    for benchmark in (million_rows, mixture_of_items, one_plackett_luce, adapter_training):
        print(benchmark.__doc__.splitlines()[0], flush=True)
        rows += benchmark.run()
    table = pd.DataFrame(rows).round({"seconds": 3, "peak_mb": 0, "ratio": 2})
    for case, part in table.groupby("case", sort=False):
        columns = part.drop(columns="case")
        print(f"\n{case}   (ratio: times the first row)")
        if "--markdown" in sys.argv:
            print("| " + " | ".join(columns) + " |\n|" + " --- |" * len(columns.columns))
            for row in columns.itertuples(index=False):
                print("| " + " | ".join(map(str, row)) + " |")
        else:
            print(columns.to_string(index=False))


if __name__ == "__main__":
    main()
