"""Small pieces of HTML in which whatever people typed stays text."""

from __future__ import annotations

import html
from collections.abc import Iterable

_TEMPLATE_SIGNS = {"$": "&#36;", "{": "&#123;", "}": "&#125;", "`": "&#96;", "\\": "&#92;"}
"""Signs that a template or MathJax would read; as entities they are only ever shown."""


def text(value: object) -> str:
    """Return a value as HTML that shows it literally.

    >>> text("<b>${x}</b>")
    '&lt;b&gt;&#36;&#123;x&#125;&lt;/b&gt;'
    """
    escaped = html.escape(str(value), quote=True)
    return "".join(_TEMPLATE_SIGNS.get(char, char) for char in escaped)


def shortened(value: object, limit: int) -> str:
    """Return a value on at most `limit` characters, as HTML."""
    shown = str(value)
    return text(shown if len(shown) <= limit else shown[: limit - 1].rstrip() + "…")


def line(message: str, kind: str = "note") -> str:
    """Return one line to the reader; `kind` is note, good, warning or error."""
    role = "alert" if kind == "error" else "status"
    return f'<p class="line line-{kind}" role="{role}">{text(message)}</p>' if message else ""


def listing(items: Iterable[str], kind: str = "") -> str:
    """Return pieces of HTML as a list."""
    return f'<ul class="list {kind}">' + "".join(f"<li>{item}</li>" for item in items) + "</ul>"


def facts(pairs: Iterable[tuple[str, object]]) -> str:
    """Return names and values side by side."""
    cells = (
        f'<div class="fact"><span>{text(name)}</span><b>{text(value)}</b></div>'
        for name, value in pairs
    )
    return f'<div class="facts">{"".join(cells)}</div>'


def pill(word: str) -> str:
    """Return a state as a coloured word."""
    return f'<span class="pill pill-{text(word)}">{text(word)}</span>'


def fold(title: str, body: str) -> str:
    """Return a part that the reader may open."""
    return f'<details class="fold"><summary>{text(title)}</summary>{body}</details>'
