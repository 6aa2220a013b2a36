"""The guided lessons and the glossary: where their texts lie, and how the page shows them."""

from __future__ import annotations

import re
import sys
from pathlib import Path

from emdpo.core.errors import EmdpoError

LESSONS = {
    "1": ("1-why-pairs-can-hide-types.md", "pairs"),
    "2": ("2-em-step-by-step.md", "em"),
    "3": ("3-from-types-to-one-policy.md", "triangle"),
    "4": ("4-whose-average.md", "average"),
}
"""File and figure of every lesson, by its number."""

GLOSSARY = "glossary"

MARK = re.compile(r"<!-- \w+ -->")
"""Behind a number: the name of the function of tests/lessons that computes it."""

_LINK = re.compile(r"\]\((?:\.\./)?(?:lessons/)?([\w-]+)\.md\)")


def lesson_file(name: str) -> Path:
    """Return the Markdown of a lesson, 1 to 4, or of the glossary.

    Raises
    ------
    EmdpoError
        There is no such lesson, or the package was installed without its lessons.
    """
    if name != GLOSSARY and name not in LESSONS:
        raise EmdpoError(f"lesson must be one of {', '.join(LESSONS)} or {GLOSSARY}, got {name!r}")
    within = "glossary.md" if name == GLOSSARY else f"lessons/{LESSONS[name][0]}"
    clone, installed = Path(__file__).parents[2] / "docs", Path(sys.prefix) / "share" / "emdpo"
    for folder in (clone, installed):
        if (folder / within).is_file():
            return folder / within
    raise EmdpoError(f"the lessons are not installed ({within}); run from a clone of the project")


def lesson_text(name: str) -> str:
    """Return the Markdown of a lesson or the glossary for the page: links lead to the page.

    >>> lesson_text("1").splitlines()[0]
    '# Lesson 1: Why pairs can hide types'
    """
    plain = MARK.sub("", lesson_file(name).read_text("utf-8"))
    return _LINK.sub(lambda found: f"](?lesson={_named(found[1])})", plain)


def lesson_title(name: str) -> str:
    """Return the heading of a lesson or the glossary.

    >>> lesson_title("glossary")
    'Glossary'
    """
    first = lesson_file(name).read_text("utf-8").splitlines()[0]
    return first.removeprefix("# ")


def _named(stem: str) -> str:
    """Return the name under which the page has a file of the lessons; the index is lesson 1."""
    known = {Path(file).stem: name for name, (file, _) in LESSONS.items()}
    return GLOSSARY if stem == GLOSSARY else known.get(stem, "1")
