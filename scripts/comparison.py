"""Every method on simulations and real rankings: makes docs/comparison.md.

`python scripts/comparison.py DATA OUT.md` takes a folder of files NAME.parquet with
NAME_users.parquet; without it only simulations are run.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pandas as pd

import emdpo
from emdpo.head_to_head.comparison import Comparison
from emdpo.head_to_head.simulations import Simulation, simulate
from emdpo.head_to_head.telling import (
    AMONG_BEST,
    assumptions,
    fact_table,
    markdown,
    part_name,
    wide_table,
)

BASE = Simulation()
SIMULATIONS = {
    "three equal types, 8 rankings of 4": BASE,
    "two types, one of 10%": replace(BASE, n_types=2, shares=(0.9, 0.1)),
    "five types": replace(BASE, n_types=5, n_users=600),
    "pairs": replace(BASE, length=2),
    "triples": replace(BASE, length=3),
    "lists of 8": replace(BASE, length=8),
    "two rankings a user": replace(BASE, answers=2),
    "16 rankings a user": replace(BASE, answers=16),
    "many ties": replace(BASE, ties=True),
    "30% rank at random": replace(BASE, noisy=0.3),
    "tastes between three types": replace(BASE, tastes="between"),
    "one taste of random strength": replace(BASE, n_types=1, tastes="strengths"),
}

REAL = ("issp2000", "gss_music", "german_parties", "carconf", "cems", "chatbot_personalization")
"""Files small enough for one core."""


def simulated() -> Iterator[tuple[str, Comparison]]:
    """Yield every simulation's comparison."""
    for name, simulation in SIMULATIONS.items():
        drawn = simulate(simulation)
        yield name, emdpo.compare(drawn.panel, planted=drawn)


def real(folder: Path) -> Iterator[tuple[str, Comparison]]:
    """Yield the comparison of every file."""
    for name in REAL:
        users = folder / f"{name}_users.parquet"
        panel = emdpo.load(folder / f"{name}.parquet", users=users if users.exists() else None)
        yield name, emdpo.compare(panel)


def section(name: str, found: Comparison) -> str:
    """Return one comparison as Markdown."""
    n = found.n_rankings
    return "\n\n".join(
        [
            f"### {name}",
            f"{found.n_users:,} users; {n['train']:,} rankings fitted, {n['test']:,} of seen users "
            f"and {n['new_test']:,} of {found.n_new_users:,} new users predicted; features: "
            f"{found.features}.",
            markdown(wide_table(found, "log_loss", intervals=True)),
            markdown(fact_table(found)),
        ]
    )


def winners(comparisons: dict[str, Comparison]) -> str:
    """Return, for each comparison, the methods that are not told apart from the best."""
    rows = []
    for name, found in comparisons.items():
        parts: dict[str, list[str]] = {}
        for each in found.measures:
            if each.measure == "log_loss":
                parts.setdefault(part_name(each), [])
                if each.is_among_best and each.method != "known_types":
                    parts[part_name(each)].append(each.method)
        seen = parts.get("seen users", [])
        last = list(parts)[-1]
        rows.append(
            {
                "rankings": name,
                "seen users": ", ".join(seen) or "-",
                "new users, nothing known": ", ".join(parts["new, 0 known"]) or "-",
                "new users, most known": ", ".join(parts[last]) or "-",
            }
        )
    return markdown(pd.DataFrame(rows))


def main() -> None:
    """Write the page's tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of real rankings")
    parser.add_argument("--out", type=Path, help="file to write; printed otherwise")
    options = parser.parse_args()
    done: dict[str, Comparison] = {}
    texts: list[str] = []
    for source in (simulated(), real(options.data) if options.data else iter(())):
        for name, found in source:
            done[name] = found
            texts.append(section(name, found))
            note = f"{AMONG_BEST} not told apart from the best (95%, paired over users)"
            page = "\n\n".join([winners(done), note, *texts, "### What each method assumes"])
            page += "\n\n" + markdown(assumptions()) + "\n"
            if options.out:
                options.out.write_text(page, encoding="utf-8")
    if not options.out:
        print(page)


if __name__ == "__main__":
    main()
