"""What the types want, and whose types they are."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from emdpo import plots
from emdpo.cards import reading_note
from emdpo.core.composition import composition
from emdpo.core.portraits import TypePortrait, type_portraits
from emdpo.core.tastes import style_profile
from emdpo.report.markup import details, heading, paragraph, quotation, safe
from emdpo.report.sections import SHOWN_ATTRIBUTES, Part

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.fitting import Fit


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
    audited = dict.fromkeys(group.attribute for group in audit.groups)
    attributes = [name for name in audited if name in fit.rankings.attributes]
    for attribute in attributes[:SHOWN_ATTRIBUTES]:
        values = fit.rankings.users[attribute].tolist()
        shares = composition(fit.responsibilities, values, attribute, audit.config)
        yield plots.composition_figure(shares)
        yield details(
            f"Table: share of each type by {attribute}",
            plots.composition_table(shares),
            "Mean responsibilities of each group's users; n: users.",
        )
