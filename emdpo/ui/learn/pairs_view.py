"""Figure 1 of the Learn page in words, as a table, and as code."""

from __future__ import annotations

from math import ceil, log
from typing import TYPE_CHECKING

from emdpo.learn.designs import INDIFFERENT, divergence
from emdpo.learn.surfaces import MAX_THETA
from emdpo.learn.theorems import curvatures
from emdpo.ui.markup import fold, line, listing, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emdpo.learn.designs import Design, Population
    from emdpo.learn.opposed import Path
    from emdpo.learn.theorems import Coverage

NAMES = {
    "pair": "Single pairs",
    "three": "Best of three",
    "linked": "Linked pairs",
}

SURE = log(20)
"""Nats of evidence, in the mean, at which one population is 20 times as likely as the other."""

SAME_END = 0.05
"""Of strength and leaning: ends of EM nearer than this are one point."""


def heading(design: Design) -> str:
    """Return the name of a design and what each person is asked."""
    each = design.n_linked * design.n_panels
    many = "one answer" if each == 1 else f"{each} answers"
    named = "known to be theirs" if design.key == "linked" else "nobody knows whose"
    what = {"pair": "two", "three": "three", "linked": "two"}[design.key]
    return (
        f'<h3 class="asked">{NAMES[design.key]}</h3><p class="caveat">{many} a person, the better '
        f"of {what}; {named}</p>".replace("the better of three", "the best of three")
    )


def difference_html(design: Design, truth: Population) -> str:
    """Return how far the answers tell the two populations apart."""
    nats = divergence(design, truth, INDIFFERENT)
    if nats < 1e-12:
        return line(
            "0 nats a person: no number of people tells the two apart, and a flat valley "
            "joins them below.",
            "warning",
        )
    people = f"{ceil(SURE / nats):,}"
    return line(
        f"{nats:.3g} nats a person: about {people} people make one population 20 times as likely "
        "as the other.",
        "good",
    )


def em_html(paths: Sequence[Path], n_people: int, left_open: tuple[float, float]) -> str:
    """Return where EM ended, and which strengths its sample leaves open."""
    ends = [path.points[-1] for path in paths]
    spread = max(path.log_likelihood for path in paths) - min(p.log_likelihood for p in paths)
    low, high = min(x for x, _ in ends), max(x for x, _ in ends)
    lean = max(y for _, y in ends) - min(y for _, y in ends)
    told = f"All {len(paths)} starts of EM end at strength {high:.2f}."
    if max(high - low, lean) >= SAME_END:
        told = (
            f"{len(paths)} starts of EM end at strengths from {low:.2f} to {high:.2f}, "
            f"{spread:.2f} nats apart at most."
        )
    least, most = left_open
    beyond = " or more" if most >= MAX_THETA else ""
    return line(
        f"{told} These n = {n_people:,} people leave {least:.1f} to {most:.1f}{beyond} open.",
        "warning" if beyond or least <= 0 else "good",
    )


def coverage_html(
    statements: Sequence[Coverage], designs: Sequence[Design], truth: Population
) -> str:
    """Return the table of theorems by design, what each says, and the computed curvature."""
    head = "".join(f'<th scope="col">{NAMES[design.key]}</th>' for design in designs)
    rows = "".join(_row(statement) for statement in statements)
    return (
        '<div class="scrolled"><table class="losses cover"><thead><tr><th scope="col">statement'
        f"</th>{head}</tr></thead><tbody>{rows}{_computed(designs, truth)}</tbody></table></div>"
        f'<p class="caveat">{CURVATURE_NOTE}</p>'
        + fold("What each statement says, and its premises", _details(statements, designs))
    )


CURVATURE_NOTE = (
    "The paper's title, the necessity of ternary preferences, is about single answers: where it is "
    "known which pairs are one person's, two of them tell types apart as well. "
    "Smallest curvature: of the expected log-likelihood over all tastes and shares at these "
    "settings, computed exactly; 0 means that types can change without any change of the answers. "
    "Four differences in jokes stand for the open set that the theorem asks for."
)

WORDS = {
    "hides": "hides types",
    "tells": "can tell",
    "bound": "hides, without features",
    "generic": "almost always",
}


def _row(statement: Coverage) -> str:
    cells = "".join(
        f"<td><b>{WORDS[statement.kind]}</b></td>" if covered else "<td>does not apply</td>"
        for covered in statement.covers
    )
    return f'<tr><th scope="row">{text(statement.name)}</th>{cells}</tr>'


def _computed(designs: Sequence[Design], truth: Population) -> str:
    cells = "".join(
        f"<td><b>{'0: flat' if value == 0 else f'{value:.2g}'}</b></td>"
        for value in curvatures(designs, truth)
    )
    return f'<tr><th scope="row">Computed: smallest curvature</th>{cells}</tr>'


def _said(statement: Coverage, designs: Sequence[Design]) -> list[str]:
    """Return what a statement says of each design that it covers, or once why of none."""
    if not any(statement.covers):
        return [text(said) for said in dict.fromkeys(statement.says)]
    return [
        f"<b>{NAMES[design.key]}</b>: {text(said)}"
        for design, covered, said in zip(designs, statement.covers, statement.says, strict=True)
        if covered
    ]


def _details(statements: Sequence[Coverage], designs: Sequence[Design]) -> str:
    return "".join(
        f"<h4>{text(statement.name)}</h4><p class='caveat'>{text(statement.source)}</p>"
        + listing(_said(statement, designs))
        + f'<p class="caveat">Premises: {text("; ".join(statement.premises))}.</p>'
        for statement in statements
    )
