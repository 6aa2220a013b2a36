"""Which form a table has, and which column plays which role."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

from emdpo.core.errors import DataError
from emdpo.core.rankings import FEATURE_PREFIX
from emdpo.core.tables.problems import listing, show

ROLES = (
    "user_id",
    "prompt",
    "response",
    "rank",
    "ranking_id",
    "prompt_id",
    "response_id",
    "split",
    "weight",
    "score",
    "rating",
    "chosen",
    "responses",
    "ranking",
)
"""Column names with a meaning; with `x_*` and, in wide tables, response_a, response_b, ..."""

_LETTER_COLUMN = re.compile(r"response_[a-z]")


class Form(StrEnum):
    """How a table tells the order of the candidates."""

    RANKS = "one row per candidate, ordered by rank"
    SCORES = "one row per candidate, ordered by score"
    CHOICE = "one row per candidate, the chosen one flagged"
    WIDE_RANKING = "one row per ranking, with its order"
    WIDE_CHOICE = "one row per ranking, with the chosen candidate"

    @property
    def is_wide(self) -> bool:
        """Whether a row is a whole ranking."""
        return self in (Form.WIDE_RANKING, Form.WIDE_CHOICE)


@dataclass(frozen=True)
class Layout:
    """What was detected of a table: its form and the columns' roles."""

    form: Form | None
    """None where no column tells an order."""
    roles: dict[str, str]
    """From each role found (see `ROLES`) to the file's column name."""
    missing: tuple[str, ...]
    """Roles without which the table cannot be read."""
    suggestions: dict[str, str]
    """For missing roles, the column that probably means it."""
    features: tuple[str, ...]
    """Numeric feature columns, x_*."""
    responses: tuple[str, ...]
    """Columns with one candidate each: response_a, response_b, ..."""
    others: tuple[str, ...]
    """The other columns: group attributes where they are constant per user."""


_SYNONYMS = {
    "user_id": "user annotator_id annotator worker_id worker participant_id participant rater",
    "prompt": "user_prompt question instruction input query context",
    "response": "model_response completion answer output reply candidate text",
    "rank": "ranks position place order preference_rank",
    "score": "overall_score stars points",
    "chosen": "if_chosen is_chosen choice preferred_response preferred selected winner",
    "ranking_id": "interaction_id session_id",
    "prompt_id": "question_id conversation_id",
    "response_id": "answer_id completion_id model model_name item item_id",
    "responses": "completions answers candidates options",
    "ranking": "order preference",
}


def detect_columns(names: Iterable[str], columns: Mapping[str, str | None] | None = None) -> Layout:
    """Return the form of a table with these column names.

    Parameters
    ----------
    names
        The file's column names.
    columns
        Corrections: from a role to the file's column, or to None where no column has that role.

    Raises
    ------
    DataError
        Where `columns` names a role or a column that there is not.

    Examples
    --------
    >>> layout = detect_columns(["annotator", "prompt", "response", "rank", "country"])
    >>> layout.form.name, layout.missing, layout.suggestions
    ('RANKS', ('user_id',), {'user_id': 'annotator'})
    """
    names = list(names)
    roles = _assigned(names, columns or {})
    free = [name for name in names if name not in roles.values()]
    letters = tuple(sorted(name for name in free if _LETTER_COLUMN.fullmatch(name)))
    wide = "response" not in roles and ("responses" in roles or len(letters) > 1)
    letters = letters if wide and "responses" not in roles else ()
    form = _form(roles, wide)
    features = tuple(name for name in free if name.startswith(FEATURE_PREFIX))
    ignored = {*letters, *features}
    missing = _missing(roles, form, wide)
    return Layout(
        form=form,
        roles=roles,
        missing=missing,
        suggestions=_suggestions(missing, free),
        features=features,
        responses=letters,
        others=tuple(name for name in free if name not in ignored and name not in ROLES),
    )


def detect_form(names: Iterable[str]) -> Form | None:
    """Return the form of a table with these column names, None where there is no order in it.

    >>> detect_form(["user_id", "prompt", "responses", "ranking"]).name
    'WIDE_RANKING'
    """
    return detect_columns(names).form


def _assigned(names: list[str], columns: Mapping[str, str | None]) -> dict[str, str]:
    for role, column in columns.items():
        if role not in ROLES:
            raise DataError(f"{show(role)} is no column role; the roles are {', '.join(ROLES)}")
        if column is not None and column not in names:
            raise DataError(f"there is no such column; there are {listing(names)}", column=column)
    chosen = {role: column for role, column in columns.items() if column is not None}
    taken = set(chosen.values())
    plain = {r: r for r in ROLES if r in names and r not in columns and r not in taken}
    return {role: {**plain, **chosen}[role] for role in ROLES if role in plain or role in chosen}


def _form(roles: Mapping[str, str], wide: bool) -> Form | None:
    if wide:
        options = {"ranking": Form.WIDE_RANKING, "chosen": Form.WIDE_CHOICE}
    else:
        options = {
            "rank": Form.RANKS,
            "score": Form.SCORES,
            "rating": Form.SCORES,
            "chosen": Form.CHOICE,
        }
    return next((form for role, form in options.items() if role in roles), None)


def _missing(roles: Mapping[str, str], form: Form | None, wide: bool) -> tuple[str, ...]:
    needed = ["user_id", "prompt"] + ([] if wide else ["response"])
    missing = [role for role in needed if role not in roles]
    if form is None:
        missing.append("ranking" if wide else "rank")
    return tuple(missing)


def _suggestions(missing: Iterable[str], free: list[str]) -> dict[str, str]:
    plain = {name.strip().lower().replace(" ", "_").replace("-", "_"): name for name in free}
    found = {}
    for role in missing:
        wanted = [role, *_SYNONYMS.get(role, "").split()]
        match = next((plain[name] for name in wanted if name in plain), None)
        if match is not None:
            found[role] = match
    return found
