"""The trade-off between mean and worst regret: every rule, and the best that can be done."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from emdpo.core.findings import rule_label
from emdpo.core.rules import GIVEN
from emdpo.core.tradeoff import audit_trade_off
from emdpo.plots.auditing import KIND_AXES, KIND_NOTES, RULE_LOOKS, rule_marker, rules_shown
from emdpo.plots.theme import INK, question_figure

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.core.tradeoff import TradeOff

CURVE_NAMES = {"mixture": "Best mixtures", "consensus": "Best policies of all"}
CURVE_OF = {"mixture": "mixture of the types' policies", "consensus": "policy whatever"}
"""What a trade-off curve is over."""


def tradeoff_table(audit: Audit, kind: str = "share") -> pd.DataFrame:
    """Return mean and worst regret of each rule, and whether another rule beats it on both."""
    mean, worst = audit.mean(kind), audit.worst(kind)
    rules = rules_shown(audit)
    means = np.array([mean[rule] for rule in rules])
    worsts = np.array([worst[rule] for rule in rules])
    no_worse = (means <= means[:, None]) & (worsts <= worsts[:, None])
    better = (means < means[:, None]) | (worsts < worsts[:, None])
    return pd.DataFrame(
        {
            "rule": rules,
            "mean": means,
            "worst": worsts,
            "dominated": (no_worse & better).any(axis=1),
        }
    )


def tradeoff_figure(
    audit: Audit,
    kind: str = "share",
    curve: TradeOff | None = None,
    chosen: tuple[float, float] | None = None,
) -> go.Figure:
    """Return mean against worst regret, one mark a rule, and the best that mixtures can do.

    Parameters
    ----------
    audit : Audit
    kind : str
        Of regret.
    curve : TradeOff, optional
        The least mean for each bound on the worst; by default that of `audit_trade_off`.
    chosen : (mean, worst), optional
        Of another policy, which stands out.
    """
    table = tradeoff_table(audit, kind)
    curve = curve or audit_trade_off(audit, kind)
    line = "" if curve is None else f" Line: no {CURVE_OF[curve.form]} lies below it."
    figure = question_figure(
        "What does protecting the worst-off cost?",
        f"Further down: the worst-served type loses less; further left: less is lost on average "
        f"over users (n = {audit.n_users:,}). {KIND_NOTES[kind].capitalize()}.{line}",
        height=320,
        legend=len(table) + (curve is not None) + (chosen is not None),
    )
    _, fmt = KIND_AXES[kind]
    if curve is not None:
        figure.add_scatter(
            x=curve.mean,
            y=curve.worst,
            mode="lines+markers",
            line={"color": INK, "width": 3},
            marker={"color": INK, "size": 5},
            name=CURVE_NAMES[curve.form],
            hovertemplate=f"{CURVE_NAMES[curve.form]}<br>mean %{{x:{fmt}}}<br>worst %{{y:{fmt}}}"
            "<extra></extra>",
        )
    marks = [
        (rule_label(rule), rule_marker(rule, 15), mean, worst)
        for rule, mean, worst in zip(table["rule"], table["mean"], table["worst"], strict=True)
    ]
    if chosen is not None:
        marks.append(("Your weights", _chosen_marker(), *chosen))
    for name, marker, mean, worst in marks:
        figure.add_scatter(
            x=[mean],
            y=[worst],
            mode="markers",
            marker=marker,
            name=name,
            hovertemplate=f"{name}<br>mean %{{x:{fmt}}}<br>worst %{{y:{fmt}}}<extra></extra>",
        )
    figure.update_xaxes(title_text="mean over users", tickformat=fmt)
    figure.update_yaxes(title_text="worst-served type", tickformat=fmt)
    return figure


def _chosen_marker() -> dict[str, object]:
    """Return the mark of what a visitor is choosing: a ring that hides nothing under it."""
    colour = RULE_LOOKS[GIVEN][0]
    return {"color": colour, "symbol": "circle-open", "size": 24, "line": {"width": 4}}
