"""Audit four files of ../shared/data by group, with types found anew; write docs/audits.md.

python scripts/audits.py [NAME ...]   # the others' last results, in runs/audits, are kept
python scripts/audits.py --page       # only writes the page from what is kept
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import emdpo
from emdpo.core.audit import Audit
from emdpo.core.findings import findings, rule_label, worst_group
from emdpo.refitting import with_refits

ROOT = Path(__file__).parent.parent
DATA = ROOT.parent / "shared" / "data"
KEPT = ROOT / "runs" / "audits"
PAGE = ROOT / "docs" / "audits.md"
RULES = ("pooled", "prevalence", "mixture", "consensus")


class Study(NamedTuple):
    """What is audited of a file."""

    n_types: int
    """As chosen in docs/real-data.md."""
    groups: tuple[str, ...]
    n_refits: int
    words: str
    """What the file is."""


STUDIES = {
    "issp2000": Study(3, ("country", "residence"), 200, "six environmental risks, in order"),
    "gss_music": Study(6, ("age_band", "gender"), 40, "eighteen kinds of music"),
    "german_parties": Study(3, ("gender",), 200, "six voting options"),
    "carconf": Study(2, ("gender", "segment"), 200, "the order in which car parts are chosen"),
}


def run(name: str) -> dict[str, Any]:
    """Return what the audit of a file says, as JSON values."""
    study = STUDIES[name]
    rankings = emdpo.load(DATA / f"{name}.parquet", users=DATA / f"{name}_users.parquet")
    fit = emdpo.fit(rankings, study.n_types, restarts=20)
    audit = emdpo.audit(fit, groups=study.groups)
    refitted = with_refits(audit, fit, study.n_refits)
    assert refitted is not None and refitted.refit is not None  # noqa: S101, PT018
    about = {
        "users": fit.rankings.n_users,
        "starts": f"{fit.restarts.n_reached_best}/{fit.restarts.n_starts}",
        "agreement": refitted.refit.agreement,
        "n_fresh": refitted.refit.n_fresh,
        "cautions": audit.cautions,
        "findings": {rule: told(refitted, rule) for rule in RULES},
        "worst_type": {rule: worst_type(refitted, rule) for rule in RULES},
        "mean": {rule: refitted.mean("share")[rule] for rule in RULES},
        "worst_group": {rule: group_of(refitted, rule) for rule in RULES},
    }
    return about


def told(audit: Audit, rule: str) -> list[str]:
    """Return the findings about groups under a rule."""
    remedy = "consensus" if rule != "consensus" else "pooled"
    kinds = ("group", "uncertain", "cost", "no_difference")
    return [found.text for found in findings(audit, rule, remedy) if found.kind in kinds]


def worst_type(audit: Audit, rule: str) -> str:
    """Return the worst type's share with its refitted interval."""
    assert audit.refit is not None  # noqa: S101
    low, high = audit.refit.worst["share"][rule]
    return f"{audit.worst('share')[rule]:.0%} [{low:.0%}, {high:.0%}]"


def group_of(audit: Audit, rule: str) -> str:
    """Return the worst group by one attribute with its share and refitted interval."""
    assert audit.refit is not None  # noqa: S101
    worst = worst_group(audit, rule)
    if worst is None:
        return "none"
    again = audit.refit.group(worst.attribute, worst.value)
    assert again is not None  # noqa: S101
    low, high = again.interval["share"][rule]
    who = f"{worst.attribute} = {worst.value} (n = {worst.n:,})"
    return f"{who}: {worst.regret:.0%} [{low:.0%}, {high:.0%}]"


HEAD = """# Audits of real rankings

Made by `python scripts/audits.py`; every number is computed by it. K is what `emdpo select` chose
([real-data.md](real-data.md)); 20 starts. Shares: 0% = as good as the type's own model, 100% = no
better than the untuned one. Intervals in brackets are those of a bootstrap that draws users anew
and finds the types again in every draw (n draws beside the file's name), so that they count how
well the types were found; intervals inside the sentences hold the types fixed unless they say
otherwise. Findings are printed as the audit words them.
"""


def notes(read: dict[str, dict[str, Any]]) -> Iterator[str]:
    """Yield what the files say together: who is found, what stands, where min-max does not help."""
    yield "\n## What they say together\n"
    yield (
        "Groups that surely lose more than everybody else, also where types are found anew (and "
        "those that do so only while types are held fixed):\n"
    )
    for name, about in read.items():
        counts = [
            f"{rule_label(rule)} {_told(about, rule, 'also where types')} "
            f"({_told(about, rule, 'it may be nothing')})"
            for rule in RULES
        ]
        yield f"- *{name}*: {', '.join(counts)}"
    yield "\nWhat the rules do to the worst type's share, and at what mean:\n"
    for name, about in read.items():
        worst = {rule: share(about["worst_type"][rule]) for rule in RULES}
        helped = [rule for rule in ("mixture", "consensus") if worst[rule] < worst["pooled"]]
        changes = ", ".join(
            f"{rule_label(rule)} {about['worst_type'][rule]} at a mean of {about['mean'][rule]:.0%}"
            for rule in RULES[2:]
        )
        verdict = "min-max regret helps" if helped else "min-max regret does not help"
        yield (
            f"- *{name}*: {verdict} the worst type. "
            f"Pooled DPO {about['worst_type']['pooled']} at a mean of "
            f"{about['mean']['pooled']:.0%}; {changes}."
        )
    yield (
        "\nThe mixture minimises the worst regret in nats, the consensus the worst KL regret. If "
        "types differ in strength, the type with most to lose in nats is not the one with the "
        "largest share, and protecting it costs the others more of theirs: judged by share, such "
        "a rule should not be chosen for these people. Intervals of the rules mostly overlap once "
        "types are found anew: with one ranking a person, who is of which type stays uncertain."
    )


def _told(about: dict[str, Any], rule: str, words: str) -> int:
    return sum(words in text for text in about["findings"][rule])


def share(text: str) -> float:
    """Return the number in front of an interval."""
    return float(text.split("%")[0]) / 100


def section(name: str, about: dict[str, Any]) -> Iterator[str]:
    """Yield one file's part of the page."""
    study = STUDIES[name]
    yield f"\n## {name}: {study.words}\n"
    yield (
        f"{about['users']:,} users, K = {study.n_types}, {about['starts']} starts at the best; "
        f"{study.n_refits} draws of users, whose types agree with the fit's at an adjusted Rand "
        f"index of {about['agreement']:.2f} on average (in {about['n_fresh']} a start of its own "
        "was likelier than one from the fit).\n"
    )
    yield from (f"- Caution: {caution}" for caution in about["cautions"])
    yield "\n| rule | worst type | mean | worst group |\n| --- | --- | --- | --- |"
    for rule in RULES:
        mean = f"{about['mean'][rule]:.0%}"
        cells = (rule_label(rule), about["worst_type"][rule], mean, about["worst_group"][rule])
        yield f"| {' | '.join(cells)} |"
    yield ""
    yield from (f"- {text}" for text in about["findings"]["pooled"])


def main(names: list[str]) -> None:
    """Run the studies named, all by default, and write the page."""
    if not set(names) <= {"--page", *STUDIES}:
        sys.exit(f"known studies: {', '.join(STUDIES)}")
    KEPT.mkdir(parents=True, exist_ok=True)
    for name in [] if names == ["--page"] else names or STUDIES:
        (KEPT / f"{name}.json").write_text(json.dumps(run(name), indent=2), "utf-8")
    kept = {name: KEPT / f"{name}.json" for name in STUDIES}
    read = {name: json.loads(path.read_text("utf-8")) for name, path in kept.items()}
    parts = [HEAD, *notes(read), *(line for name in STUDIES for line in section(name, read[name]))]
    PAGE.write_text("\n".join(parts) + "\n", "utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
