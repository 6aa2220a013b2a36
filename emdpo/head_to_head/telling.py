"""A head-to-head in words and tables, for the terminal and for documents."""

from __future__ import annotations

from collections.abc import Sequence

import pandas as pd

from emdpo.head_to_head.comparison import SEEN, Comparison, Measured
from emdpo.methods.registry import ADAPTER_METHODS, METHODS, MISSING

MEASURES = {
    "log_loss": "log-loss, nats a ranking; lower is better",
    "accuracy": "best answer named; higher is better",
    "tau": "Kendall's tau-b with the ranking; higher is better",
}

AMONG_BEST = "*"

NOTE = (
    "* not told apart from the best of its column: the 95% interval of the paired difference over "
    "users covers zero"
)


def wide_table(found: Comparison, measure: str, *, intervals: bool = False) -> pd.DataFrame:
    """Return one measure as text: a row for each method, a column for each part of the users."""
    digits = 3
    rows = {}
    for each in found.measures:
        if each.measure == measure:
            text = f"{each.mean:.{digits}f}"
            if intervals:
                low, high = each.interval
                text += f" [{low:.{digits}f}, {high:.{digits}f}]"
            mark = AMONG_BEST if each.is_among_best else ""
            rows.setdefault(each.method, {})[part_name(each)] = text + mark
    table = pd.DataFrame.from_dict(rows, orient="index")
    table.insert(0, "method", table.index)
    return table


def part_name(each: Measured) -> str:
    """Return what is known of the users of a measure, in a few words."""
    if each.users == SEEN:
        return "seen users"
    return f"new, {each.known} known"


def fact_table(found: Comparison) -> pd.DataFrame:
    """Return setting, costs, worst group and, in simulations, what the truth says, as text."""
    rows = []
    for each in found.facts:
        setting = ", ".join(f"{name}={value}" for name, value in each.setting.items())
        row = {
            "method": each.method,
            "setting": setting or "-",
            "tried": str(each.n_settings),
            "seconds": f"{each.seconds_in_all:.1f}",
            "parameters": f"{each.n_parameters:,}",
        }
        if each.worst_group is not None:
            name, gain, n = each.worst_group
            row["worst group gains"] = f"{gain:+.3f} ({name}, n = {n})"
        if each.worst_type is not None:
            row["worst type gains"] = f"{each.worst_type:+.3f}"
        if each.regret_worst is not None and each.regret_mean is not None:
            row["regret share, worst type"] = f"{each.regret_worst:.0%}"
            row["mean"] = f"{each.regret_mean:.0%}"
            row["worst, nats"] = "-" if each.regret_nats is None else f"{each.regret_nats:.2f}"
            row["ARI"] = "-" if each.ari is None else f"{each.ari:.2f}"
        rows.append(row)
    return pd.DataFrame(rows).fillna("-")


def assumptions(also: Sequence[str] = ()) -> pd.DataFrame:
    """Return what each method assumes, where it is from, and what was changed.

    Of those that are compared unnamed, and of adapters among the names in `also`.
    """
    adapters = {name: ADAPTER_METHODS[name] for name in also if name in ADAPTER_METHODS}
    rows = [
        {
            "method": name,
            "assumes": kind.assumes,
            "source": kind.source,
            "changed": kind.changed,
        }
        for name, kind in {**METHODS, **adapters}.items()
    ]
    return pd.DataFrame(rows)


def comparison_text(found: Comparison) -> str:
    """Return the tables of a comparison for the terminal."""
    n = found.n_rankings
    lines = [
        f"{found.n_users:,} users with {n['train']:,} training rankings, {n['validation']:,} for "
        f"validation, {n['test']:,} for the test; {found.n_new_users:,} of the users are new, with "
        f"{n['new_test']:,} rankings to predict (features: {found.features})"
    ]
    for measure, title in MEASURES.items():
        lines += ["", title, wide_table(found, measure).to_string(index=False)]
    lines += ["", NOTE, "", fact_table(found).to_string(index=False)]
    if found.adapters is not None:
        told = ", ".join(f"{name}={value}" for name, value in found.adapters.items())
        lines.append(f"adapters: {told}")
    lines += [
        "tried, seconds: settings, and the time of all; gains: nats a ranking above no tuning, of "
        "new users of whom up to 8 rankings are known"
    ]
    lines += [f"left out: {reason}" for reason in found.left_out.values()]
    lines += [f"missing: {reason}" for reason in MISSING.values()]
    return "\n".join(lines)


def markdown(table: pd.DataFrame, columns: Sequence[str] | None = None) -> str:
    """Return a table of text as Markdown."""
    table = table if columns is None else table.loc[:, list(columns)]
    lines = ["| " + " | ".join(map(str, table.columns)) + " |", "|" + " --- |" * table.shape[1]]
    for row in table.fillna("-").itertuples(index=False):
        lines.append("| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |")
    return "\n".join(lines)
