"""What the types want, and whose types they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pandas as pd

from emdpo import plots
from emdpo.cards import reading_note
from emdpo.core.composition import Composition, composition
from emdpo.core.portraits import TypePortrait, type_portraits
from emdpo.core.tastes import style_profile
from emdpo.report.figures import with_interval
from emdpo.report.markup import details, heading, paragraph, quotation, safe
from emdpo.report.sections import SHOWN_ATTRIBUTES, Part

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.fitting import Fit

SURE = (0.5, 0.9, 0.99)
"""Posterior probabilities from which users are counted."""


def types_section(fit: Fit, *, texts: bool) -> Iterator[Part]:
    """Yield what each type wants; with `texts`, also a telling pair of answers each."""
    yield heading("What the types want", anchor="types")
    if fit.adapters is not None:
        yield paragraph(reading_note(fit), "soft")
    parts = (fit.rankings, fit.reading, fit.responsibilities, fit.weights)
    scores = fit.policies.candidate_scores()
    for portrait in type_portraits(*parts, n_pairs=1 if texts else 0, scores=scores):
        yield from _portrait(portrait)
    profile = style_profile(*parts, types_given=fit.adapters is not None)
    yield plots.style_figure(profile)
    if profile.note:
        yield paragraph(profile.note, "soft")
    yield details(
        "Table: strength of each preference, nats",
        plots.style_table(profile),
        f"low and high: {profile.confidence:.0%} intervals; n: expected users of the type.",
    )


def _portrait(portrait: TypePortrait) -> Iterator[str]:
    yield heading(f"Type {portrait.number}: {portrait.weight:.0%} of users", 3)
    wishes = "; ".join(phrase for phrase, _ in portrait.wishes) or "no preference stands out"
    yield paragraph(
        f"{wishes[0].upper()}{wishes[1:]}. n = {portrait.n_expected:,.1f} users expected; most "
        f"likely type of {portrait.n_most_likely:,}."
    )
    for pair in portrait.pairs:
        picks = ", ".join(f"Type {k + 1} {p:.0%}" for k, p in enumerate(pair.probabilities))
        yield (
            f"<details><summary>A telling pair of answers for Type {portrait.number}</summary>"
            f'<p dir="auto">{safe(pair.prompt)}</p>{quotation(pair.preferred)}'
            f"{paragraph('is preferred to', 'soft')}{quotation(pair.other)}"
            f"{paragraph(f'Chance of picking the first: {picks}.')}</details>"
        )


def people_section(audit: Audit, fit: Fit) -> Iterator[Part]:
    """Yield how sure types are, and the types of the people of each group."""
    yield heading("Whose types these are", anchor="people")
    figure = plots.posterior_figure(fit.responsibilities)
    if figure is not None:
        yield figure
        yield details("Table: how sure types are", _certainty(fit))
    groups = pd.DataFrame(
        [(group.attribute, group.value) for group in audit.groups], columns=["attribute", "value"]
    )
    audited = dict.fromkeys(groups["attribute"])
    attributes = [name for name in audited if name in fit.rankings.attributes]
    for attribute in attributes[:SHOWN_ATTRIBUTES]:
        values = fit.rankings.users[attribute].tolist()
        shown = groups.loc[groups["attribute"] == attribute, "value"].tolist()
        shares = composition(fit.responsibilities, values, attribute, audit.config, shown)
        yield plots.composition_figure(shares)
        yield details(
            f"Table: share of each type by {attribute}",
            _composition(shares),
            f"Mean responsibilities of the group's n users; in brackets {shares.confidence:.0%} "
            "bootstrap intervals over them.",
        )


def _certainty(fit: Fit) -> pd.DataFrame:
    """Return how many users are of each type, and how many of them surely."""
    surest, likely = fit.responsibilities.max(axis=1), fit.responsibilities.argmax(axis=1)
    rows = [
        [
            f"Type {k + 1}",
            float(fit.responsibilities[:, k].sum()),
            int((likely == k).sum()),
            *(int((surest[likely == k] >= bound).sum()) for bound in SURE),
        ]
        for k in range(fit.n_types)
    ]
    bounds = [f"of these with a posterior of {bound:.0%} or more" for bound in SURE]
    columns = ["type", "users expected", "users most likely of it", *bounds]
    return pd.DataFrame(rows, columns=columns)


def _composition(found: Composition) -> pd.DataFrame:
    ends = zip(found.shares, found.low, found.high, strict=True)
    shares = [[with_interval(*each, "share") for each in zip(*row, strict=True)] for row in ends]
    rows = [[*group, *row] for *group, row in zip(found.values, found.n, shares, strict=True)]
    n_types = found.shares.shape[1]
    return pd.DataFrame(rows, columns=["group", "n", *(f"Type {k + 1}" for k in range(n_types))])
