"""The what-if in words and as a table; whatever people named stays text."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

from emdpo.core.findings import rule_label
from emdpo.plots.theme import type_colour
from emdpo.plots.what_if import COMPARED, Loss, group_losses, type_losses
from emdpo.ui.audit_view import figure_text
from emdpo.ui.markup import line, text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from emdpo.chosen import Chosen
    from emdpo.core.audit import Audit
    from emdpo.core.blends import BlendRegret
    from emdpo.core.regret import Floats
    from emdpo.core.tradeoff import TradeOff

FORM_LABELS = {
    "mixture": "Mixture: one type answers, drawn by weight",
    "consensus": "Consensus: all types' policies multiplied",
}

NO_CURVE = (
    "There is no trade-off curve by this kind of regret: it is clipped, or a share where a type "
    "gains nothing from its own policy."
)

ONE_POINT = "One policy has both the least mean and the least worst regret: there is no trade-off."


def weights_html(weights: Floats) -> str:
    """Return the weights in effect as one bar, in the types' colours, and in words."""
    shares = [(k, float(share)) for k, share in enumerate(weights) if share > 0]
    bar = "".join(
        f'<i style="width:{share:.2%};background:{type_colour(k)}"></i>' for k, share in shares
    )
    words = ", ".join(f"Type {k + 1} {share:.1%}" for k, share in shares)
    return f'<div class="made"><div>{bar}</div><p>In effect: {words}</p></div>'


def summary_html(audit: Audit, found: BlendRegret, kind: str) -> str:
    """Return worst and mean regret, beside those of the rule compared with."""
    before = audit.worst(kind)[COMPARED], audit.mean(kind)[COMPARED]
    worst, mean, worst_before, mean_before = (
        figure_text(value, kind) for value in (found.worst[kind], found.mean[kind], *before)
    )
    label = text(rule_label(COMPARED))
    return (
        f'<p class="verdict">Worst-served type: <b>{worst}</b> ({label} {worst_before}). '
        f"Mean over users: <b>{mean}</b> ({label} {mean_before}).</p>"
    )


def losses_html(audit: Audit, found: BlendRegret, kind: str, attribute: str | None) -> str:
    """Return a table of what types and the groups of an attribute lose, with intervals and n."""
    types, groups = type_losses(audit, found, kind), group_losses(audit, found, kind, attribute)
    label = text(rule_label(COMPARED))
    level = f"{audit.config.confidence:.0%}"
    parts = [_rows(f"Types (over n = {audit.n_prompts:,} prompts)", types, kind)]
    if groups:
        parts.append(_rows(f"Groups by {attribute} (over their users)", groups, kind))
    return (
        '<div class="scrolled"><table class="losses"><thead><tr><th scope="col">who</th>'
        f'<th scope="col">users</th><th scope="col">regret</th><th scope="col">{level} interval'
        f'</th><th scope="col">{label}</th><th scope="col">change</th></tr></thead>'
        f"{''.join(parts)}</table></div>"
    )


def _rows(title: str, losses: Sequence[Loss], kind: str) -> str:
    rows = "".join(_row(loss, kind) for loss in losses)
    return f'<tbody><tr><th colspan="6" scope="rowgroup">{text(title)}</th></tr>{rows}</tbody>'


def _row(loss: Loss, kind: str) -> str:
    change = loss.regret - loss.compared
    points = " points" if kind in ("share", "preference") else ""
    ends = " to ".join(figure_text(end, kind) for end in (loss.low, loss.high))
    sign = "+" if change > 0 else ""
    mood = "worse" if change > 0 else "better"
    users = "" if loss.n is None else f"{loss.n:,}"
    return (
        f'<tr><th scope="row">{text(loss.label)}</th><td>{users}</td>'
        f"<td><b>{figure_text(loss.regret, kind)}</b></td><td>{ends}</td>"
        f"<td>{figure_text(loss.compared, kind)}</td>"
        f'<td class="{mood}">{sign}{figure_text(change, kind).replace("%", points)}</td></tr>'
    )


def curve_rows(curve: TradeOff | None, kind: str) -> pd.DataFrame:
    """Return the break points of the trade-off curve: worst and mean regret, and the weights."""
    if curve is None:
        return pd.DataFrame(columns=["bound on the worst", "least mean"])
    types = [f"Type {k + 1}" for k in range(curve.weights.shape[1])]
    rows = [
        [figure_text(worst, kind), figure_text(mean, kind), *(f"{a:.1%}" for a in weights)]
        for worst, mean, weights in zip(curve.worst, curve.mean, curve.weights, strict=True)
    ]
    return pd.DataFrame(rows, columns=["bound on the worst", "least mean", *types])


def saved_html(chosen: Chosen | None, *, own_copy: bool = False) -> str:
    """Return one line about the policy that is saved for the run; nothing where there is none."""
    if chosen is None:
        return ""
    shares = (f"Type {k + 1} {share:.1%}" for k, share in enumerate(chosen.weights) if share > 0)
    name = f" “{chosen.name}”" if chosen.name else ""
    copy = " It is kept in a copy of the demo that is yours." if own_copy else ""
    return line(f"Saved{name}: {chosen.form} of {', '.join(shares)}.{copy}", "good")
