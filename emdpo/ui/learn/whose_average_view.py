"""Figure 4 in words."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from emdpo.plots.learning_average import VERDICT_LABELS
from emdpo.ui.markup import fold, listing, text

if TYPE_CHECKING:
    from emdpo.learn.whose_average import Case, Verdict

PREMISES = fold(
    "When does one reward for all order by Borda counts?",
    listing(
        [
            "Premises: every pair is answered equally often, each answer has a free reward, and "
            "one reward is fitted to everybody by Bradley-Terry, as plain DPO does with pairs. "
            "Then an answer that wins more duels gets the higher reward (Siththaranjan et al. "
            "2024; Shirali et al. 2025, arXiv 2502.16320). The row <b>One reward, from all "
            "pairs</b> is this library's own fit.",
            "From full rankings (Plackett-Luce) it need not: see the third case. There an answer "
            "that is everybody's second choice can come first.",
            "Noise counts. A type that is nearly indifferent between two answers gives Borda less "
            "than a type that is sure; at noise 0 both give the same.",
            "Utilities are taken to be comparable between types. Preferences alone never show "
            "that: multiply a row by 10 and at noise 0 nobody ranks differently, but the mean "
            "moves.",
        ]
    ),
)


def told_html(given: Case, found: Mapping[str, Verdict]) -> str:
    """Return who wins under which rules, answer by answer."""
    items = []
    for place, answer in enumerate(given.answers):
        rules = [VERDICT_LABELS[rule] for rule, each in found.items() if place in each.winners]
        if rules:
            items.append(f"<b>{text(answer)}</b>: {text('; '.join(rules))}")
    if not found["majority"].winners:
        items.append("Nobody wins every duel: there is no majority winner.")
    return listing(items)
