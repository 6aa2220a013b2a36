"""Every method on simulations and real rankings: makes the tables of docs/comparison.md.

`python scripts/comparison.py DATA --out OUT.md` takes a folder of files NAME.parquet with
NAME_users.parquet; without it only simulations are run. What is done is kept beside OUT.md, so that
a run that was ended goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from answers_and_types import answers_and_types
from joblib import Memory

import emdpo
from emdpo.core.rankings import Rankings
from emdpo.head_to_head.comparison import NEW, SEEN, Comparison
from emdpo.head_to_head.replications import mean_facts, replicated
from emdpo.head_to_head.simulations import PRESETS, simulate, simulation_text
from emdpo.head_to_head.telling import (
    assumptions,
    fact_table,
    markdown,
    wide_table,
)
from emdpo.methods.em_dpo import EMDPO
from emdpo.methods.known_types import KnownTypes

SEEDS = range(5)

POOLED_OR_MIN_MAX = ("dpo", EMDPO.name, KnownTypes.name)

LEAST_GAP = 0.02
"""Nats between pooled DPO and the true types, below which nats are told, not their share."""


class RealData(NamedTuple):
    """A file of real rankings, and how it is made ready."""

    cut: int | None
    """Answers of the pieces that long lists are cut into."""
    n_users: int | None = None
    """Users drawn at random; None = all."""


REAL = {
    "issp2000": RealData(3),
    "gss_music": RealData(3),
    "german_parties": RealData(3),
    "carconf": RealData(3),
    "cems": RealData(3),
    "chatbot_personalization": RealData(2),
    "ccai": RealData(5, 500),
    "polis": RealData(5, 500),
    "jester5k": RealData(8, 500),
    "ukpconvarg": RealData(None, 500),
}

WHOLE = ("issp2000", "gss_music", "german_parties", "carconf", "cems")
"""Files that are compared uncut too: one list of each person, so that nothing is known of new
ones."""


HEAD = """# Head to head: all tables

Made by `python scripts/comparison.py DATA --out FILE`; what they say is in
[comparison.md](comparison.md). Log-loss in nats a ranking.

## EM-DPO by answers, lengths and number of types fitted

How far EM goes from pooled DPO to the true types, in log-loss: mean, least and most over five
populations. People rank lists of so many answers; new people, of whom eight lists of eight are
known, are judged. The last table: 400 people, eight lists of four, three true types."""


def of_simulation(name: str, seed: int) -> Comparison:
    """Return the comparison on one drawn population."""
    drawn = simulate(PRESETS[name], seed)
    return emdpo.compare(drawn.panel, planted=drawn, seed=seed, n_bootstrap=1)


def of_file(folder: Path, name: str) -> Comparison:
    """Return the comparison on real rankings."""
    how, panel = REAL[name], _panel(folder, name)
    if how.n_users is not None:
        keep = np.zeros(panel.n_users, bool)
        keep[np.random.default_rng(0).permutation(panel.n_users)[: how.n_users]] = True
        panel = panel.select(keep[panel.user], drop_users=True)
    return emdpo.compare(panel, cut=how.cut)


def of_whole_lists(folder: Path, name: str) -> Comparison:
    """Return the comparison on real rankings as they are."""
    return emdpo.compare(_panel(folder, name))


def _panel(folder: Path, name: str) -> Rankings:
    users = folder / f"{name}_users.parquet"
    return emdpo.load(folder / f"{name}.parquet", users=users if users.exists() else None)


def winners(real: Mapping[str, Comparison]) -> pd.DataFrame:
    """Return, for each file, the methods that are not told apart from the best."""
    rows = []
    for name, found in real.items():
        table = found.table()
        of_new = table[table.users == NEW]
        most = of_new[(of_new.known == of_new.known.max()) & (of_new.known > 0)]
        row = {
            "rankings": name,
            "seen users": _best(table[table.users == SEEN]),
            "new users, nothing known": _best(of_new[of_new.known == 0]),
            "new users, most known": _best(most),
        }
        rows.append(row)
    return pd.DataFrame(rows)


def _best(part: pd.DataFrame) -> str:
    """Return the methods among the best, the best first; one named alone is told apart."""
    return ", ".join(part[part.is_among_best].sort_values("mean").method) or "-"


def ways(simulated: Mapping[str, Sequence[Comparison]]) -> pd.DataFrame:
    """Return how far each method goes from pooled DPO to the true types, in log-loss.

    Of new users of whom most is known; mean, least and most over the populations. Where tastes are
    no types, nats below pooled DPO.
    """
    return pd.DataFrame([{"simulation": name, **_way(found)} for name, found in simulated.items()])


def _way(found: Sequence[Comparison]) -> dict[str, str]:
    tables = [each.table() for each in found]
    last = [table[(table.users == NEW) & (table.known == table.known.max())] for table in tables]
    means = pd.concat([part.set_index("method")["mean"] for part in last], axis=1)
    gap = means.loc["dpo"] - means.loc[KnownTypes.name]
    told = {"known": f"{last[0].known.iloc[0]:.0f}", "nats to go": f"{gap.mean():.2f}"}
    shares = (means.loc["dpo"] - means) / gap
    for name in means.index.drop(["dpo", KnownTypes.name]):
        if gap.min() > LEAST_GAP:
            share = shares.loc[name]
            told[name] = f"{share.mean():.0%} ({share.min():.0%} to {share.max():.0%})"
        else:
            told[name] = f"{(means.loc['dpo'] - means.loc[name]).mean():+.3f} nats"
    return told


def one_policy(simulated: Mapping[str, Sequence[Comparison]]) -> pd.DataFrame:
    """Return what the one policy for everybody costs the planted types: pooled or min-max."""
    rows = []
    for name, found in simulated.items():
        facts = mean_facts(found).set_index("method")
        row = {"simulation": name}
        for title, field, form in (
            ("worst type, nats", "regret_nats", "{:.2f}"),
            ("worst type, share", "regret_worst", "{:.0%}"),
            ("mean, share", "regret_mean", "{:.0%}"),
        ):
            told = [form.format(facts.loc[method, field]) for method in POOLED_OR_MIN_MAX]
            row[title] = " / ".join(told)
        rows.append(row)
    return pd.DataFrame(rows)


def simulated_section(name: str, found: Sequence[Comparison]) -> str:
    """Return the comparisons of one kind of population as Markdown."""
    table = replicated(found)
    cells = [f"{mean:.3f}" for mean in table["mean"]]
    part = ["seen users" if users == SEEN else f"new, {int(known)} known"
            for users, known in zip(table.users, table.known, strict=True)]  # fmt: skip
    wide = table.assign(cell=cells, part=part).pivot(index="method", columns="part", values="cell")
    wide = wide.loc[table.method.unique(), list(dict.fromkeys(part))]
    last = table[(table.users == NEW) & (np.array(part) == part[-1])].set_index("method")
    wide["last, less dpo"] = [
        f"{row.above:+.3f} [{row.above_low:+.3f}, {row.above_high:+.3f}]"
        for row in last.loc[wide.index].itertuples()
    ]
    facts = mean_facts(found).set_index("method").loc[wide.index]
    wide["worst type gains"] = facts.worst_type.map("{:+.2f}".format)
    wide["regret share: worst"] = facts.regret_worst.map("{:.0%}".format)
    wide["mean"] = facts.regret_mean.map("{:.0%}".format)
    wide["worst, nats"] = facts.regret_nats.map("{:.1f}".format)
    wide["ARI"] = facts.ari.map("{:.2f}".format).replace("nan", "-")
    wide["seconds"] = facts.seconds_in_all.map("{:.1f}".format)
    about = (
        f"{simulation_text(PRESETS[name])}; means over {len(found)} populations. Less dpo: with "
    )
    about += "Student's t interval over populations."
    told = [f"### {name}", about]
    return "\n\n".join([*told, markdown(wide.reset_index())])


def real_section(name: str, found: Comparison) -> str:
    """Return the comparison on one file as Markdown."""
    n = found.n_rankings
    return "\n\n".join(
        [
            f"### {name}",
            f"{found.n_users:,} users; {n['train']:,} rankings fitted, {n['test']:,} of seen users "
            f"and {n['new_test']:,} of {found.n_new_users:,} new users predicted; features: "
            f"{found.features}. `*`: not told apart from the best of its column.",
            markdown(wide_table(found, "log_loss", intervals=True)),
            markdown(fact_table(found)),
        ]
    )


def page(simulated: Mapping[str, Sequence[Comparison]], real: Mapping[str, Comparison]) -> str:
    """Return all tables."""
    told = {name: found for name, found in simulated.items() if len(found) > 1}
    return "\n\n".join(
        [
            "## Simulations: the way from pooled DPO to the true types",
            markdown(ways(told)),
            "## Simulations: regret of one policy for everybody",
            "Pooled DPO / min-max KL-regret consensus of EM-DPO's types / of the true types.",
            markdown(one_policy(told)),
            "## Public data: methods not told apart from the best",
            markdown(winners(real)) if real else "Not run.",
            "## Every simulation",
            *(simulated_section(name, found) for name, found in told.items()),
            "## Every file",
            *(real_section(name, found) for name, found in real.items()),
            "## What each method assumes",
            markdown(assumptions()),
        ]
    )


def main() -> None:
    """Write the page's tables, again after every set of rankings."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder of real rankings")
    parser.add_argument("--out", type=Path, required=True, help="file to write")
    options = parser.parse_args()
    kept = Memory(options.out.with_suffix(".kept"), verbose=0)
    tables = kept.cache(answers_and_types)()
    simulated: dict[str, list[Comparison]] = {name: [] for name in PRESETS}
    real: dict[str, Comparison] = {}

    def write() -> None:
        text = f"{HEAD}\n\n{tables}\n\n{page(simulated, real)}\n"
        options.out.write_text(text, encoding="utf-8")

    for name in REAL if options.data else ():
        real[name] = kept.cache(of_file)(options.data, name)
        write()
    for name in WHOLE if options.data else ():
        real[f"{name}, whole lists"] = kept.cache(of_whole_lists)(options.data, name)
        write()
    for seed in SEEDS:
        for name in PRESETS:
            simulated[name].append(kept.cache(of_simulation)(name, seed))
            write()


if __name__ == "__main__":
    main()
