"""A room as HTML: the way in, how far it has come, question by question."""

from __future__ import annotations

from collections.abc import Sequence

from emdpo.collect.rooms import Counts, QuestionCounts, Room
from emdpo.ui.collect.links import is_only_here, qr_svg, room_link
from emdpo.ui.markup import facts, line, pill, shortened, text

KEY_WARNING = (
    "This is the only key to the room, and this is the only time it is shown: nobody can look it "
    "up or make another. Whoever has it can read, export and delete all answers. Keep it where "
    "you keep passwords."
)

ONLY_HERE = (
    "Phones cannot reach this address: it means this very computer. Start the page with emdpo app "
    "--host 0.0.0.0, and write the computer's own address on the network below."
)


def head_html(room: Room) -> str:
    """Return the room's title and state."""
    state = "closed" if room.closed else "open"
    return f'<div class="room-head"><h2>{text(room.title)}</h2>{pill(state)}</div>'


def way_in_html(room: Room, site: str) -> str:
    """Return picture, link and code, large enough for a wall."""
    link = room_link(site, room.code)
    shown = text(link.removeprefix("https://").removeprefix("http://"))
    closed = line("The room is closed: it takes neither people nor answers.", "warning")
    return (
        '<div class="way-in"><div class="qr" role="img" aria-label="QR picture of the link">'
        f'{qr_svg(link)}</div><div class="spelled"><p class="step">Point a phone\'s camera at the '
        f'picture, or open</p><p class="link"><a href="{text(link)}" target="_blank" '
        f'rel="noopener">{shown}</a></p><p class="step">Code</p><p class="code">'
        f"{text(room.code)}</p></div></div>"
        f"{closed if room.closed else ''}{line(ONLY_HERE, 'warning') if is_only_here(site) else ''}"
    )


def counts_html(room: Room, counts: Counts) -> str:
    """Return how many people there are, and what came of their questions."""
    given = counts.people * room.per_person
    done = counts.answers + counts.cannot_say + counts.skipped
    share = done / given if given else 0.0
    told = (
        ("people", f"{counts.people:,}"),
        ("of these finished", f"{counts.finished:,}"),
        ("rankings", f"{counts.answers:,}"),
        ("cannot say", f"{counts.cannot_say:,}"),
        ("skipped", f"{counts.skipped:,}"),
    )
    bar = (
        '<div class="bar" role="progressbar" aria-label="questions dealt with" aria-valuemin="0" '
        f'aria-valuemax="100" aria-valuenow="{100 * share:.0f}">'
        f'<i style="width:{share:.0%}"></i></div>'
    )
    words = f"{done:,} of {given:,} questions dealt with; skipped ones may still be answered."
    return f'{facts(told)}{bar}<p class="caveat">{text(words)}</p>'


def questions_html(questions: Sequence[QuestionCounts]) -> str:
    """Return a table of the questions."""
    rows = "".join(map(_question_row, questions))
    names = ("Given to", "Ranked", "Cannot say", "Skipped")
    heads = "".join(f'<th scope="col">{name}</th>' for name in names)
    return (
        '<div class="scrolled"><table class="losses by-question"><thead><tr>'
        f'<th scope="col">Question</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>'
    )


def _question_row(question: QuestionCounts) -> str:
    numbers = (question.shown, question.answers, question.cannot_say, question.skipped)
    cells = "".join(f"<td>{number:,}</td>" for number in numbers)
    return f'<tr><th scope="row">{shortened(question.prompt, 160)}</th>{cells}</tr>'
