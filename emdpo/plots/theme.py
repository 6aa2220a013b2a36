"""How every figure looks: colours, symbols, safe labels, titles that ask a question."""

from __future__ import annotations

import textwrap
import unicodedata
from collections.abc import Sequence

import plotly.graph_objects as go

from emdpo.core.groups import TIMES

TYPE_COLOURS = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#CC79A7",
    "#D55E00",
    "#56B4E9",
    "#B8A800",
    "#8A8A8A",
)
"""Okabe and Ito's colours for people with any colour vision, largest type first; yellow is darkened
and black greyed, so that both show on light and on dark pages."""

TYPE_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "x", "star", "cross", "pentagon")
TYPE_PATTERNS = ("", "/", ".", "x", "-", "\\", "+", "|")
TYPE_DASHES = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")

INK = "#7a7a7a"
"""Text grey with a contrast of 4 to 1 or more on white and on near-black."""

GRID = "rgba(128,128,128,0.28)"
CLEAR = "rgba(0,0,0,0)"
OUTLINE = "rgba(128,128,128,0.9)"

CLUTTER = ["zoom", "pan", "select", "lasso", "zoomIn", "zoomOut", "autoScale"]
"""Buttons left out: on a phone they would cover the title."""

MAX_GROUPS = 40
"""Groups drawn in one figure; the table has all."""

LABEL_LIMIT = 80
"""Characters of user text on a figure."""

TITLE_WIDTH = 40
HOW_TO_READ_WIDTH = 48
"""Characters a line, so that a figure 400 pixels wide cuts nothing."""

AXIS = {
    "gridcolor": GRID,
    "zerolinecolor": OUTLINE,
    "linecolor": OUTLINE,
    "automargin": True,
    "title": {"standoff": 8},
}
"""Settings of every axis."""

LAYOUT = {
    "font": {"color": INK, "size": 12.5},
    "paper_bgcolor": CLEAR,
    "plot_bgcolor": CLEAR,
    "legend": {
        "orientation": "h",
        "yref": "container",
        "y": 0.0,
        "yanchor": "bottom",
        "xref": "container",
        "x": 0.02,
        "bgcolor": CLEAR,
    },
    "hoverlabel": {"align": "left", "namelength": -1},
    "modebar": {"bgcolor": CLEAR, "color": GRID, "activecolor": INK, "remove": CLUTTER},
}
"""Settings of every figure: nothing painted behind it, so that it suits light and dark pages."""

TITLE = {
    "font": {"size": 16},
    "x": 0,
    "xanchor": "left",
    "xref": "container",
    "y": 1,
    "yanchor": "top",
    "yref": "container",
}

_MARKUP = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "$": "&#36;", "`": "&#96;"}


def label_text(text: object, limit: int = LABEL_LIMIT) -> str:
    """Return user text as plotly shows it literally, on one line of at most `limit` characters.

    Plotly reads pseudo-HTML, entities and MathJax between dollar signs in every label; here they
    become entities, which it decodes only when it draws. Control and direction characters go.

    >>> label_text("<b>$x$</b>")
    '&lt;b&gt;&#36;x&#36;&lt;/b&gt;'
    """
    visible = (" " if unicodedata.category(char)[0] in "CZ" else char for char in str(text))
    line = " ".join("".join(visible).split()) or "(empty)"
    if len(line) > limit:
        line = line[: limit - 1].rstrip() + "…"
    return "".join(_MARKUP.get(char, char) for char in line)


def type_name(k: int) -> str:
    """Return the label of the type at position k: "Type 1" for 0."""
    return f"Type {k + 1}"


def type_colour(k: int) -> str:
    """Return the colour of the type at position k on every figure."""
    return TYPE_COLOURS[k % len(TYPE_COLOURS)]


def type_symbol(k: int) -> str:
    """Return the marker of the type at position k; differs where colours repeat."""
    return TYPE_SYMBOLS[(k + k // len(TYPE_COLOURS)) % len(TYPE_SYMBOLS)]


def type_marker(k: int, size: int = 11) -> dict[str, object]:
    """Return marker settings of the type at position k."""
    return {
        "color": type_colour(k),
        "symbol": type_symbol(k),
        "size": size,
        "line": {"color": OUTLINE, "width": 1},
    }


def text_on(colour: str) -> str:
    """Return black or white, whichever reads better on a "#rrggbb" colour."""
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return "#000000" if 0.299 * red + 0.587 * green + 0.114 * blue > 100 else "#ffffff"


def wrapped_label(text: object, limit: int, width: int) -> str:
    """Return `label_text` broken into lines of about `width` characters."""
    line = " ".join(str(text).split())
    lines = textwrap.wrap(line[:limit] + "…" if len(line) > limit else line, width) or [""]
    return "<br>".join(label_text(part) for part in lines)


def group_label(value: str, n: int) -> str:
    """Return a group's name, on two lines at most, above its number of users.

    Of a group by two attributes each value has a line.
    """
    parts = value.split(TIMES)
    name = wrapped_label(value, 44, 22)
    if len(parts) == 2 and all(parts):
        name = f"{label_text(parts[0], 24)}<br>\u00d7 {label_text(parts[1], 22)}"
    return f"{name}<br>n = {n:,}"


def row_height(labels: Sequence[str], least: int) -> int:
    """Return pixels a row, so that labels of several lines keep apart."""
    lines = max((label.count("<br>") + 1 for label in labels), default=1)
    return max(least, 17 * lines + 6)


def question_figure(
    title: str, how_to_read: str, height: int, *, legend: int = 4, headroom: int = 0
) -> go.Figure:
    """Return an empty figure whose title asks a question and whose subtitle says how to read it.

    Parameters
    ----------
    title, how_to_read
        Text whose user parts have gone through `label_text`.
    height
        Of the plotting area, pixels; the title's lines come on top.
    legend
        Entries for which there is room under the plot, two a line; 0 = no legend.
    headroom
        Pixels between title and plot.
    """
    titles = textwrap.wrap(title, TITLE_WIDTH, break_long_words=False)
    notes = textwrap.wrap(how_to_read, HOW_TO_READ_WIDTH, break_long_words=False)
    top = 24 + 22 * len(titles) + 17 * len(notes) + headroom
    bottom = 56 + 20 * -(-legend // 2)
    title_text = "<br>".join(f"<b>{line}</b>" for line in titles)
    subtitle = {"text": "<br>".join(notes), "font": {"size": 12.5}}
    pad = {"t": 14 + 21 * (len(titles) - 1), "l": 12}
    figure = go.Figure(layout=LAYOUT)
    figure.update_layout(
        title=TITLE | {"text": title_text, "subtitle": subtitle, "pad": pad},
        height=height + top + bottom,
        margin={"t": top, "b": bottom, "l": 60, "r": 20},
        showlegend=legend > 0,
    )
    figure.update_xaxes(AXIS)
    figure.update_yaxes(AXIS)
    return figure
