"""Which theorem covers which way of asking, with its premises, beside what is computed exactly."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from emdpo.core.identifiability import panel_identifiability
from emdpo.learn.surfaces import smallest_curvature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emdpo.core.identifiability import Theorem
    from emdpo.learn.designs import Design, Population
    from emdpo.learn.sampling import Sample


@dataclass(frozen=True)
class Coverage:
    """One statement, held against each way of asking."""

    name: str
    """Who says so."""
    source: str
    """Where it stands."""
    kind: str
    """hides: types cannot be told apart; tells: they can; bound: more types cannot be; generic: all
    but special ones can."""
    premises: tuple[str, ...]
    """What it assumes."""
    covers: tuple[bool, ...]
    """Whether it speaks of each design."""
    says: tuple[str, ...]
    """What it says of each design."""


def coverage(samples: Sequence[Sample]) -> tuple[Coverage, ...]:
    """Return the statements on the designs of some samples: the library's own and two lemmas."""
    designs = [sample.design for sample in samples]
    stated = [panel_identifiability(sample.rankings()).theorems for sample in samples]
    fox, items, generic = zip(*stated, strict=True)
    return (
        _single_pairs(designs),
        _from_library(fox, "tells"),
        _linked_pairs(designs),
        _generic(generic[0]),
        _from_library(items, "bound"),
    )


def curvatures(designs: Sequence[Design], population: Population) -> tuple[float, ...]:
    """Return the smallest curvature at a population under each design, nats a person; 0 = flat."""
    return tuple(smallest_curvature(design, population) for design in designs)


def _from_library(theorems: Sequence[Theorem], kind: str) -> Coverage:
    first = theorems[0]
    names = dict.fromkeys(theorem.name for theorem in theorems)
    sources = dict.fromkeys(theorem.source for theorem in theorems)
    return Coverage(
        name="; ".join(names),
        source="; ".join(sources),
        kind=kind,
        premises=first.premises,
        covers=tuple(theorem.applies for theorem in theorems),
        says=tuple(theorem.conclusion for theorem in theorems),
    )


def _single_pairs(designs: Sequence[Design]) -> Coverage:
    covers = tuple(_pairs(design) and design.n_linked == 1 for design in designs)
    yes = (
        "types cannot be told apart by any number of people: half theta and half -theta answers "
        "every pair 50/50, as if everybody were indifferent."
    )
    no = "nothing: it speaks of one unlinked answer between two."
    return Coverage(
        name="Chidambaram, Seetharaman, Syrgkanis 2026, on pairs",
        source="arXiv 2510.15716; the proof is one line, sigma(z) + sigma(-z) = 1",
        kind="hides",
        premises=(
            "each answer is between two candidates",
            "nobody knows which answers are one person's",
            "rewards are linear in the features",
        ),
        covers=covers,
        says=tuple(yes if each else no for each in covers),
    )


def _linked_pairs(designs: Sequence[Design]) -> Coverage:
    covers = tuple(_pairs(design) and design.n_linked >= 2 for design in designs)
    yes = (
        "two linked pairs tell strength from indifference: (sigma(a) - 1/2) (sigma(b) - 1/2) does "
        "not change when theta changes its sign, so that it does not average out."
    )
    no = "nothing: it speaks of two or more pairs known to be one person's."
    return Coverage(
        name="Two linked pairs",
        source="derived in docs/learn.md and checked by brute force in tests; not published",
        kind="tells",
        premises=(
            "it is known which pairs are one person's",
            "a person has one taste for all of them",
            "beyond two opposite types, the same regularity as for best of three",
        ),
        covers=covers,
        says=tuple(yes if each else no for each in covers),
    )


def _generic(theorem: Theorem) -> Coverage:
    """Return the statement on items compared in all combinations, which no design here has."""
    says = (
        "nothing here: each question has answers of its own, so that no item meets more than two "
        f"others. Elsewhere {theorem.conclusion}"
    )
    return Coverage(
        name=theorem.name,
        source=theorem.source,
        kind="generic",
        premises=theorem.premises,
        covers=(False,) * 3,
        says=(says,) * 3,
    )


def _pairs(design: Design) -> bool:
    return len(design.questions[0]) == 2
