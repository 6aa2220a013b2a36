"""Numbers as readers see them, and figures as parts of the page."""

from __future__ import annotations

import re
from html import unescape

import numpy as np
import plotly.graph_objects as go

from emdpo.report.markup import safe

PERCENT_KINDS = ("share", "preference")
"""Kinds of regret that are shares; the others are in nats."""

ROUNDING = 5e-5

KIND_NAMES = {
    "share": "share of its own gain lost",
    "kl": "KL regret, nats",
    "plain": "plain regret, nats",
    "clipped": "plain regret clipped at 0, nats",
    "preference": "preference regret",
}


def figure_text(value: float, kind: str) -> str:
    """Return a regret: a percentage, or nats.

    >>> figure_text(0.123, "share"), figure_text(0.123, "kl"), figure_text(float("nan"), "share")
    ('12.3%', '0.123', 'not defined')
    """
    if not np.isfinite(value):
        return "not defined"
    value = 0.0 if abs(value) < ROUNDING else value  # never -0.000
    return f"{value:.1%}" if kind in PERCENT_KINDS else f"{value:.3f}"


def with_interval(value: float, low: float, high: float, kind: str) -> str:
    """Return a regret with the ends of its interval, where it has one.

    >>> with_interval(0.5, 0.4, 0.6, "share")
    '50.0% (40.0% to 60.0%)'
    """
    told = figure_text(value, kind)
    if not np.isfinite([value, low, high]).all():
        return told
    return f"{told} ({figure_text(low, kind)} to {figure_text(high, kind)})"


def figure_html(figure: go.Figure, number: int) -> str:
    """Return a place to draw a figure in, and the figure as JSON that no tag can end.

    Its title and subtitle are what those hear who do not see it.
    """
    data = str(figure.to_json()).replace("<", "\\u003c").replace(">", "\\u003e")
    layout = figure.to_dict()["layout"]
    title = layout["title"]
    label = safe(f"Figure {number}. {_spoken(title['text'])} {_spoken(title['subtitle']['text'])}")
    return (
        f'<figure><div class="figure" role="img" aria-label="{label}" '
        f'data-from="figure-{number}" style="height:{layout["height"]:.0f}px"></div></figure>'
        f'<script type="application/json" id="figure-{number}">{data}</script>'
    )


def _spoken(label: str) -> str:
    """Return a figure's label as plain text."""
    return unescape(re.sub("<[^<>]*>", " ", label)).strip()
