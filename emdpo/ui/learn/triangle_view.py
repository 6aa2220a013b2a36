"""Figure 3 in words and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.findings import rule_label
from emdpo.learn.triangle import Mark, marks, regrets
from emdpo.plots.learning_triangle import YOURS
from emdpo.plots.theme import type_colour, type_name
from emdpo.ui.audit_view import figure_text
from emdpo.ui.markup import text

if TYPE_CHECKING:
    from emdpo.core.regret import Floats
    from emdpo.learn.triangle import ThreeTypes

TYPE_COLUMNS = ("Type 1", "Type 2", "Type 3")
RULE_COLUMNS = ("rule", "made as", "weights", *TYPE_COLUMNS, "worst", "mean")


def types_html(types: ThreeTypes) -> str:
    """Return how each type's own policy answers."""
    head = "".join(f'<th scope="col">{text(answer)}</th>' for answer in types.answers)
    rows = "".join(
        f'<tr><th scope="row"><i style="background:{type_colour(k)}"></i>{type_name(k)}</th>'
        + "".join(f"<td>{chance:.0%}</td>" for chance in row)
        + "</tr>"
        for k, row in enumerate(np.exp(types.log_types).tolist())
    )
    return (
        '<div class="scrolled"><table class="losses own-policies"><caption>How do I sleep better? '
        "How often each type's own policy gives which answer</caption>"
        f'<thead><tr><th scope="col">type</th>{head}</tr></thead>'
        f"<tbody>{rows}</tbody></table></div>"
    )


def verdict_html(types: ThreeTypes, weights: Floats, form: str, kind: str) -> str:
    """Return one line: weights in effect, who is worst served, the mean."""
    found = getattr(regrets(types, form, weights), kind)[:, 0]
    worst = int(found.argmax())
    shares = ", ".join(f"{type_name(k)} {share:.1%}" for k, share in enumerate(weights))
    return (
        f'<p class="verdict">Your {form}: {shares}. Worst served: <b>{type_name(worst)}, '
        f"{figure_text(float(found[worst]), kind)}</b>. Mean over people: "
        f"<b>{figure_text(float(types.shares @ found), kind)}</b>.</p>"
    )


def rule_rows(types: ThreeTypes, weights: Floats, form: str, kind: str) -> pd.DataFrame:
    """Return weights and regrets of the policy chosen and of every rule, in its own form."""
    points = {YOURS: Mark(form, weights)}
    points |= {rule_label(rule): mark for rule, mark in marks(types).items()}
    rows = []
    for name, (made, point) in points.items():
        found = getattr(regrets(types, made, point), kind)[:, 0]
        figures = [*found, found.max(), types.shares @ found]
        shares = " / ".join(f"{share:.1%}" for share in point)
        rows.append([name, made, shares, *(figure_text(float(each), kind) for each in figures)])
    return pd.DataFrame(rows, columns=list(RULE_COLUMNS))
