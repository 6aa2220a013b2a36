"""A comparison in words and tables; whatever people named stays text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emdpo.head_to_head.comparison import SEEN
from emdpo.head_to_head.export import RANK_NOTE, about, rank_text
from emdpo.head_to_head.findings import findings
from emdpo.head_to_head.telling import AMONG_BEST, MEASURES, assumptions, fact_table
from emdpo.methods.registry import MISSING
from emdpo.ui.markup import line, listing, text

if TYPE_CHECKING:
    import pandas as pd

    from emdpo.head_to_head.comparison import Comparison, Measured
    from emdpo.jobs import JobStatus

Part = tuple[str, int | None]

MEASURE_CHOICES = [
    ("Log-loss", "log_loss"),
    ("Best answer named", "accuracy"),
    ("Kendall's tau-b", "tau"),
]

FACTS_NOTE = (
    "Setting: chosen on validation rankings among those tried. Seconds: of all of them. Gains: "
    "nats a ranking above no tuning, of new users of whom most is known."
)

TRUTH_NOTE = (
    "Regret: of the planted types under the one policy that the method gives everybody. ARI: the "
    "types told to seen users against those planted."
)


def headline_html(found: Comparison, measure: str) -> str:
    """Return what the comparison found, and on what."""
    items = (f'<span class="finding">{text(each)}</span>' for each in findings(found, measure))
    return (
        f'<div class="report">{listing(items, "findings")}'
        f'<p class="caveat">{text(about(found))}</p></div>'
    )


def settings_html(status: JobStatus) -> str:
    """Return the comparison's own saved settings, never those that the form shows now."""
    config = status.config
    shown = {"Data": status.name, "new users": f"{config['new_share']:.0%}", "seed": config["seed"]}
    if "cut" in config:
        shown["long rankings cut into lists of"] = config["cut"]
    if "group" in config:
        shown["group to protect"] = config["group"]
    told = "; ".join(f"{name}: {value}" for name, value in shown.items())
    return f'<p class="caveat">{text(told)}.</p>'


def part_label(part: Part) -> str:
    """Return a part as people read it."""
    users, known = part
    return "Seen users" if users == SEEN else f"New users, {known} known"


def part_key(part: Part) -> str:
    """Return a part as the value of a choice."""
    users, known = part
    return users if known is None else f"{users} {known}"


def chosen_part(found: Comparison, key: str | None) -> Part:
    """Return the part of a choice; the last, of whom most is known, where it is none of these."""
    parts = found.parts()
    return next((part for part in parts if part_key(part) == key), parts[-1])


def measure_html(found: Comparison, measure: str, part: Part) -> str:
    """Return a measure of every method and part: means, intervals, ranks; sorted by `part`."""
    parts = found.parts()
    cells = {
        (each.method, each.users, each.known): _cell(each)
        for each in found.measures
        if each.measure == measure
    }
    head = "".join(
        f'<th scope="col">{text(part_label(each))}{" ▾" if each == part else ""}</th>'
        for each in parts
    )
    rows = "".join(
        f'<tr><th scope="row">{text(row.method)}</th>'
        + "".join(cells[(row.method, *each)] for each in parts)
        + "</tr>"
        for row in found.of(measure, *part)
    )
    title = MEASURES[measure]
    note = (
        f"{title[:1].upper()}{title[1:]}. Sorted by the column with ▾. Below each mean: its "
        f"{found.confidence:.0%} interval, and the rank as far as intervals tell it. {AMONG_BEST} "
        f"and bold: not told apart from the best of its column. {RANK_NOTE}"
    )
    table = f'<thead><tr><th scope="col">method</th>{head}</tr></thead><tbody>{rows}</tbody>'
    return f'{_boxed(table, title, "measures")}<p class="caveat">{text(note)}</p>'


def _cell(each: Measured) -> str:
    low, high = each.interval
    mean = f"{each.mean:.3f}"
    shown = f"<b>{mean}{AMONG_BEST}</b>" if each.is_among_best else f"<span>{mean}</span>"
    rank = "" if each.rank is None else f"<small>rank {rank_text(each.rank)}</small>"
    return f"<td>{shown}<small>{low:.3f} to {high:.3f}</small>{rank}</td>"


def facts_html(found: Comparison) -> str:
    """Return settings, costs and who is served worst, then the methods that were left out."""
    left_out = "".join(line(f"Left out: {reason}") for reason in found.left_out.values())
    planted = any(each.regret_worst is not None for each in found.facts)
    note = f"{FACTS_NOTE} {TRUTH_NOTE}" if planted else FACTS_NOTE
    table = table_html(fact_table(found), "Settings and costs", "costs")
    return f'{table}<p class="caveat">{text(note)}</p>{left_out}'


def assumptions_html() -> str:
    """Return what each method assumes, and why one of the field is missing."""
    missing = "".join(line(f"Missing: {reason}") for reason in MISSING.values())
    return f"{table_html(assumptions(), 'What each method assumes', 'assumed')}{missing}"


def table_html(table: pd.DataFrame, title: str, kind: str) -> str:
    """Return a table of text, the first column as row headers, that scrolls in a box of its own."""
    head = "".join(f'<th scope="col">{text(name)}</th>' for name in table.columns)
    rows = "".join(
        f'<tr><th scope="row">{text(first)}</th>'
        + "".join(f"<td>{text(cell)}</td>" for cell in rest)
        + "</tr>"
        for first, *rest in table.itertuples(index=False)
    )
    return _boxed(f"<thead><tr>{head}</tr></thead><tbody>{rows}</tbody>", title, kind)


def _boxed(table: str, title: str, kind: str) -> str:
    return (
        f'<div class="scrolled" role="region" tabindex="0" aria-label="{text(title)}">'
        f'<table class="losses {kind}">{table}</table></div>'
    )
