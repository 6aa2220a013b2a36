"""The datasheet of the rankings as a section of the page."""

from __future__ import annotations

from collections.abc import Iterator

from emdpo.datasheet import NOT_STATED, Chapter, Question
from emdpo.report.markup import heading, paragraph, safe, table_html
from emdpo.report.sections import Part

BLANK = f'<p class="blank">{NOT_STATED}</p>'


def datasheet_section(chapters: tuple[Chapter, ...]) -> Iterator[Part]:
    """Yield a datasheet, blanks to fill in among it."""
    yield heading("Datasheet of the rankings", anchor="datasheet")
    yield paragraph(
        f"What the data can tell. Where it says “{NOT_STATED}”, those who collected them must.",
        "soft",
    )
    for chapter in chapters:
        yield heading(chapter.heading, 3)
        yield f"<dl>{''.join(map(_answered, chapter.questions))}</dl>"


def _answered(each: Question) -> str:
    words = "" if each.answer is None else paragraph(each.answer)
    table = "" if each.table is None else table_html(each.table, each.question)
    return f"<dt>{safe(each.question)}</dt><dd>{words + table or BLANK}</dd>"
