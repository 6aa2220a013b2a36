"""What `emdpo import` and `emdpo export` do, given their options."""

from __future__ import annotations

import argparse
from pathlib import Path

from emdpo.terminal import print_json, say, write_to

DONE = 0


def import_(options: argparse.Namespace) -> int:
    """Make a canonical file of a public data set or another tool's file."""
    from emdpo.core.checks import check
    from emdpo.formats.importing import import_rankings
    from emdpo.formats.tables import table_ending

    table_ending(Path(options.out))  # before hours of loading
    found = import_rankings(
        options.source,
        format=options.format,
        users=options.users,
        user=options.user,
        config=options.config,
        split=options.split,
        limit=options.limit,
    )
    write_to(options.out, found.save)
    report = check(found.rankings)
    if options.json:
        print_json({"path": options.out, **found.to_dict(), "check": report.to_dict()})
        return DONE
    say(f"{found.title} -> {options.out}")
    for reason, n in found.left_out.items():
        say(f"left out: {n:,} {reason}")
    for note in found.notes:
        say(f"note: {note}")
    for problem in report.warnings:
        say(f"warning: {problem}")
    if report.summary and report.identifiability:
        say(f"{report.summary.to_text()}\n{report.identifiability.verdict}")
    say(f"More: emdpo check {options.out}")
    return DONE


def export(options: argparse.Namespace) -> int:
    """Write a run or a rankings file in another tool's format."""
    from emdpo.formats.exporting import Exported, export_rankings

    done: list[Exported] = []

    def write(path: Path) -> None:
        done.append(
            export_rankings(
                options.source,
                path,
                options.format,
                types=options.types,
                soft=options.soft,
                prompt=options.prompt,
            )
        )

    write_to(options.out, write)
    written = done[0]
    if options.json:
        print_json({**written.to_dict(), "path": options.out})
        return DONE
    counted = ", ".join(f"{n:,} {what}" for what, n in written.counts.items())
    say(f"{written.format}: {counted} -> {options.out}")
    for note in written.notes:
        say(f"note: {note}")
    return DONE
