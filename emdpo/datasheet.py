"""A datasheet of the rankings: what the data can answer, and blanks for what only people know.

Headings and questions follow Gebru et al. 2021, *Datasheets for Datasets*, Communications of the
ACM 64(12). No text, no id and no small group is in it. `report.datasheet` shows it as HTML.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.cards import cell_text
from emdpo.core.checks import Summary, check
from emdpo.core.groups import Grouping, groupings
from emdpo.core.identifiability import is_informative
from emdpo.core.rankings import Rankings, feature_columns

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.fitting import Fit

NOT_STATED = "not stated in the file"
"""The answer to what the publisher has to fill in."""

QUANTILES = (0.0, 0.05, 0.25, 0.5, 0.75, 0.95, 1.0)
QUANTILE_NAMES = ("least", "5%", "25%", "median", "75%", "95%", "most")

CELL_LENGTH = 300
"""Characters shown of a name."""

MOST_VALUES = 50
"""Groups of an attribute that are listed, the largest first."""


@dataclass(frozen=True, eq=False)
class Question:
    """A question of the datasheet and its answer."""

    question: str
    answer: str | None = None
    """None where the file does not say: the publisher has to."""
    table: pd.DataFrame | None = None
    """Figures behind the answer; its texts may come from the data: escape them."""


@dataclass(frozen=True, eq=False)
class Chapter:
    """One heading of the datasheet."""

    heading: str
    questions: tuple[Question, ...]


def datasheet(
    rankings: Rankings, *, min_group: int = 10, sha256: str | None = None
) -> tuple[Chapter, ...]:
    """Return the datasheet of rankings.

    Parameters
    ----------
    rankings : Rankings
        Those of a file, or those that a fit has kept of it.
    min_group : int
        Groups with fewer users are not counted out, nor are any that would give these away.
    sha256 : str, optional
        The fingerprint of the rankings (`fitting.data_fingerprint`).

    Examples
    --------
    >>> import emdpo
    >>> sheet = datasheet(emdpo.load("assets/demo/rankings.csv"))
    >>> [chapter.heading for chapter in sheet][:2]
    ['Motivation', 'Composition']
    >>> sheet[1].questions[0].answer
    "One user's order over the answers shown for one prompt: a ranking."
    """
    return (
        _blank(
            "Motivation",
            "For what purpose was the data set created?",
            "Who created it, on whose behalf, and who paid for it?",
        ),
        Chapter("Composition", tuple(_composition(rankings, min_group))),
        _blank(
            "Collection process",
            "How were the rankings collected, and by what interface or procedure?",
            "Who took part, how were people found, and how were they paid?",
            "Who or what wrote the prompts and the answers, and in which languages?",
            "Over what time were they collected?",
            "Was there an ethical review?",
            "Did the people consent to collection, use and publication, and can they withdraw?",
        ),
        Chapter("Preprocessing, cleaning, labelling", tuple(_preprocessing(rankings, sha256))),
        Chapter("Uses", tuple(_uses())),
        _blank(
            "Distribution",
            "Under which licence or terms are the rankings, the prompts and the answers available?",
            "Where can they be had, and who may have them?",
        ),
        _blank(
            "Maintenance",
            "Who keeps the data set, and how can they be reached?",
            "Will it be corrected or extended, and will older versions be kept?",
        ),
    )


def fit_datasheet(fit: Fit, min_group: int) -> tuple[Chapter, ...]:
    """Return the datasheet of the rankings fitted."""
    return datasheet(fit.rankings, min_group=min_group, sha256=fit.data_sha256)


def _blank(heading: str, *questions: str) -> Chapter:
    return Chapter(heading, tuple(map(Question, questions)))


def _composition(rankings: Rankings, min_group: int) -> Iterator[Question]:
    about = check(rankings).summary
    assert about is not None  # noqa: S101 - a panel has no errors
    yield Question(
        "What is an instance?", "One user's order over the answers shown for one prompt: a ranking."
    )
    yield Question("How many are there?", table=_sizes(about, rankings))
    yield Question("Are they all there are, or a sample, and of whom?")
    yield Question("What does an instance consist of?", _contents(rankings, about))
    yield Question("How large are they?", table=_spreads(rankings))
    yield Question("Are there ties, partial rankings, weights?", _shapes(rankings, about))
    known = rankings.attributes
    attributes = [g for g in groupings(rankings.users, min_group) if g.attribute in known]
    yield Question("Which people are there?", *_people(attributes, min_group))
    yield Question("Is anything missing?", _missing(attributes))
    yield Question("How are instances linked?", _links(about))
    yield Question("Are some held out?", _held_out(rankings, about))
    yield Question(
        "Can people be identified?",
        "Users have ids. Whether an id, a text or a combination of attributes names somebody is "
        f"{NOT_STATED}.",
    )
    yield Question("Is anything confidential, offensive or distressing?")


def _sizes(about: Summary, rankings: Rankings) -> pd.DataFrame:
    rows = {
        "users": about.n_users,
        "rankings": about.n_rankings,
        "prompts": about.n_prompts,
        "distinct answers (candidates)": about.n_candidates,
        "answers shown, over all rankings": rankings.n_rows,
    }
    return pd.DataFrame([(name, f"{n:,}") for name, n in rows.items()], columns=["what", "n"])


def _contents(rankings: Rankings, about: Summary) -> str:
    parts = [
        "A user's id, a prompt, the answers shown, and the rank that the user gave to each (best "
        "= 1, equal = tied, none = shown but not ranked)"
    ]
    if any(messages is not None for messages in rankings.prompts["messages"]):
        parts.append("prompts that are conversations")
    features = feature_columns(rankings.candidates)
    if features:
        parts.append(f"{_count(len(features), 'number')} about each answer")
    if about.groups:
        parts.append(f"{_count(len(about.groups), 'attribute')} of each user")
    return "; ".join(parts) + "."


def _spreads(rankings: Rankings) -> pd.DataFrame:
    """Return the quantiles of list lengths, answers per user and prompt, and lengths of texts."""
    users = np.bincount(rankings.user, minlength=rankings.n_users)
    prompts = np.bincount(rankings.prompt, minlength=rankings.n_prompts)
    counts = {
        "answers shown per ranking": rankings.lengths,
        "rankings per user": users,
        "rankings per prompt": prompts,
        "words per prompt": _words(rankings.prompts["prompt"].tolist()),
        "words per answer": _words(rankings.candidates["response"].tolist()),
    }
    rows = [
        [name, f"{len(each):,}", *map(_figure, np.quantile(each, QUANTILES))]
        for name, each in counts.items()
    ]
    return pd.DataFrame(rows, columns=["what", "n", *QUANTILE_NAMES])


def _words(texts: Iterable[object]) -> NDArray[np.int64]:
    return np.array([len(str(text).split()) for text in texts], np.int64)


def _shapes(rankings: Rankings, about: Summary) -> str:
    silent = int((~is_informative(rankings)).sum())
    weights = rankings.weight
    if np.ptp(weights) == 0:
        weighted = f"every ranking has weight {weights[0]:g}"
    else:
        low, middle, high = np.quantile(weights, (0, 0.5, 1))
        weighted = f"weights from {low:g} over a median of {middle:g} to {high:g}"
    return (
        f"Of n = {about.n_rankings:,} rankings, {about.tied_share:.1%} have ties among ranked "
        f"answers, {about.partial_share:.1%} leave answers unranked, {about.pairs_share:.1%} are "
        f"of two answers; {silent:,} put no answer above another and so say nothing; {weighted}."
    )


def _people(attributes: list[Grouping], min_group: int) -> tuple[str, pd.DataFrame | None]:
    """Return what is said of groups, and how many users each has, small ones apart."""
    if not attributes:
        return "The file has no attributes of users.", None
    rows: list[tuple[str, str, str]] = []
    for each in attributes:
        shown = [g for g in np.argsort(-each.n, kind="stable") if not each.hidden[g]]
        listed = shown[:MOST_VALUES]
        rows += [(each.attribute, each.labels[g], f"{each.n[g]:,}") for g in listed]
        if len(shown) > len(listed):
            rest = f"({_groups(len(shown) - len(listed))} more)"
            rows.append((each.attribute, rest, "not listed"))
        if each.hidden.any():
            rows.append((each.attribute, f"({_groups(int(each.hidden.sum()))})", "suppressed"))
    return (
        f"Users by {_count(len(attributes), 'attribute')} of the file. Groups with fewer than "
        f"{min_group} users are not shown, nor are others that would give them away.",
        pd.DataFrame(rows, columns=["attribute", "group", "users"]),
    )


def _groups(number: int) -> str:
    return _count(number, "group")


def _count(number: int, noun: str) -> str:
    return f"1 {noun}" if number == 1 else f"{number:,} {noun}s"


def _missing(attributes: list[Grouping]) -> str:
    """Return how many values of attributes are missing; small numbers are not told."""
    blanks = []
    for each in attributes:
        for g in np.flatnonzero(~each.known):
            users = "a number of users that is suppressed" if each.hidden[g] else f"{each.n[g]:,}"
            blanks.append(f"{each.attribute}: {users}")
    if blanks:
        return f"Users whose attribute is blank: {'; '.join(blanks)}."
    return "No attribute of a user is blank." if attributes else "There are no attributes of users."


def _links(about: Summary) -> str:
    return (
        "All rankings of a user bear the same id. "
        f"{about.shared_prompts:,} of {about.n_prompts:,} prompts were answered by two users or "
        "more."
    )


def _held_out(rankings: Rankings, about: Summary) -> str:
    if about.held_out:
        return f"{about.held_out:,} of {about.n_rankings:,} rankings, by the file's column split."
    never = rankings.n_candidates - len(np.unique(rankings.candidate))
    if never:
        return (
            "These are the rankings fitted. The file held others out by its column split: "
            f"{never:,} of its {rankings.n_candidates:,} answers are shown in none of those here."
        )
    return "None of these. Rankings that the file's column split holds out would not be here."


def _preprocessing(rankings: Rankings, sha256: str | None) -> Iterator[Question]:
    yield Question("What was done to the data before they came into this file?")
    yield Question(
        "What was done since?",
        "emdpo read ids and texts exactly as they are; scores, choices and lists became ranks. "
        "Rankings that the file's column split holds out were not fitted.",
    )
    if sha256:
        yield Question(
            "How can these rankings be told from others?",
            f"SHA-256 of their canonical content, whatever file they came in: {sha256}",
        )


def _uses() -> Iterator[Question]:
    yield Question(
        "What have they been used for?",
        "To find preference types and to audit who is badly served (this report). Other uses are "
        f"{NOT_STATED}.",
    )
    yield Question(
        "What should they not be used for?",
        "Types are patterns in these rankings. They say nothing about people who are not in the "
        "data, and are no ground for decisions about single persons.",
    )


def datasheet_markdown(chapters: tuple[Chapter, ...]) -> str:
    """Return a datasheet as Markdown; blanks to fill in say so."""
    lines = ["# Datasheet of the rankings", ""]
    lines += [
        f"What the data can tell was filled in by emdpo. Where it says *{NOT_STATED}*, please "
        "answer the question before you publish.",
        "",
    ]
    for chapter in chapters:
        lines += [f"## {chapter.heading}", ""]
        for each in chapter.questions:
            lines += [f"**{each.question}**", ""]
            if each.answer is not None:
                lines += [cell_text(each.answer), ""]
            elif each.table is None:
                lines += [f"*{NOT_STATED}*", ""]
            if each.table is not None:
                lines += [*_markdown_table(each.table), ""]
    return "\n".join(lines)


def _markdown_table(table: pd.DataFrame) -> Iterator[str]:
    yield _markdown_row(table.columns)
    yield f"|{' --- |' * table.shape[1]}"
    yield from (_markdown_row(row) for row in table.itertuples(index=False, name=None))


def _markdown_row(cells: Iterable[object]) -> str:
    return f"| {' | '.join(cell_text(cell, CELL_LENGTH) for cell in cells)} |"


def _figure(value: float) -> str:
    return f"{value:,.1f}".removesuffix(".0")
