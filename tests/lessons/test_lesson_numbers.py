"""Every number in a lesson is what the library computes, and none stands there unmarked.

A result is written `**0.192**<!-- linked_nats -->`; `linked_nats()` of `lesson_1.py` beside this
file returns the number itself (a share where the text has a percentage) or a word. What is shown
must be it, rounded to the decimals shown.
"""

from __future__ import annotations

import importlib
import re
from pathlib import Path

import pytest

from emdpo.learn.lessons import LESSONS, lesson_file

RESULT = re.compile(r"\*\*([^*\n]+)\*\*<!-- (\w+) -->")

NO_RESULTS = re.compile(
    r"```.*?```|`[^`]*`"  # settings: what is typed on the page
    r"|^#.*$|^\d+\. |^\| \d+ \||<[^>]*>|\]\([^)]*\)"  # headings, numerals, minutes, tags, links
    r"|\*\*\d [A-Z][^*]*\*\*"  # names of tabs
    r"|\b(?:[Tt]ypes?|[Ff]igure|[Ll]esson|[Qq]uestion) \d"
    r"|arXiv \d+\.\d+|\b(?:19|20)\d\d\b",
    re.M | re.S,
)


def written(value, pattern):
    """Return a value in the form of what a lesson shows: its decimals, percent, thousands."""
    if isinstance(value, str):
        return value
    decimals = len(pattern.rstrip("%").partition(".")[2])
    scaled = 100 * value if pattern.endswith("%") else value
    return f"{scaled + 0.0:,.{decimals}f}" + ("%" if pattern.endswith("%") else "")


def results(text):
    return [(shown, name) for shown, name in RESULT.findall(text)]


def unmarked(text):
    """Return the numbers that are neither results with a name nor settings."""
    return re.findall(r"\d[\d.,]*%?", NO_RESULTS.sub(" ", RESULT.sub(" ", text)))


def answers(text):
    return re.findall(r"<summary>Answer</summary>(.*?)</details>", text, re.S)


def lesson(number):
    module = importlib.import_module(f"lesson_{number}")
    return lesson_file(number).read_text("utf-8"), module


def cases():
    for number in LESSONS:
        found = results(lesson_file(number).read_text("utf-8"))
        yield from ((number, shown, name) for shown, name in found)


@pytest.mark.parametrize(("number", "shown", "name"), list(dict.fromkeys(cases())))
def test_a_number_is_what_the_library_computes(number, shown, name):
    function = getattr(lesson(number)[1], name, None)
    assert function is not None, f"lesson_{number}.py has no function {name}"
    assert written(function(), shown) == shown


@pytest.mark.parametrize("number", LESSONS)
def test_no_number_is_unmarked(number):
    text, _ = lesson(number)
    assert len(answers(text)) >= 6
    assert unmarked(text) == []


@pytest.mark.parametrize("number", LESSONS)
def test_a_lesson_takes_45_minutes_and_has_all_its_parts(number):
    text, _ = lesson(number)
    assert sum(int(n) for n in re.findall(r"^\| (\d+) \|", text, re.M)) == 45
    for part in ("Aims", "What is needed", "Minutes"):
        assert re.search(rf"^## {part}$", text, re.M), part
    questions = re.findall(r"^#### Question (\d+)$", text, re.M)
    assert questions == [str(i + 1) for i in range(len(answers(text)))]


@pytest.mark.parametrize("number", LESSONS)
def test_links_lead_to_files_that_exist(number):
    text, folder = lesson_file(number).read_text("utf-8"), lesson_file(number).parent
    targets = re.findall(r"\]\(([^)]+)\)", text)
    assert targets and all((folder / Path(target)).is_file() for target in targets), targets


def test_the_checks_themselves_can_fail():
    """A wrong number, a number without a mark and a mark without digits are all seen."""
    assert written(0.1918330, "0.192") == "0.192" and written(0.1918330, "0.191") != "0.191"
    assert written(0.759, "75.9%") == "75.9%" and written(1391, "1,391") == "1,391"
    assert written(-0.0, "0") == "0" and written("A", "B") == "A"
    assert unmarked("**3.5**<!-- x --> and 4.5, of `7` people, 12% in Type 2") == ["4.5,", "12%"]
