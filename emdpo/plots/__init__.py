"""Figures of rankings, fits, types and audits: plotly figures made from data classes.

Every figure's title is the question that it answers and the line below says how to read it. Each
has a table with the same numbers: `*_table` here, on `Fit`, or in `audit_files`.
"""

from emdpo.plots.auditing import (
    DEFAULT_RULES,
    group_regret_figure,
    regret_by_rule_figure,
    regret_matrix_figure,
)
from emdpo.plots.comparing import movement_figure, regret_changes_figure
from emdpo.plots.evidence import (
    posterior_reliability_figure,
    prediction_figure,
    reliability_figure,
)
from emdpo.plots.fitting import (
    data_figure,
    data_table,
    rounds_figure,
    selection_figure,
    trace_figure,
    weights_figure,
)
from emdpo.plots.head_to_head import cost_figure, differences_figure
from emdpo.plots.refits import refit_groups_figure, refit_worst_figure
from emdpo.plots.theme import (
    TYPE_COLOURS,
    label_text,
    type_colour,
    type_name,
    type_symbol,
)
from emdpo.plots.tradeoff import tradeoff_figure, tradeoff_table
from emdpo.plots.types import (
    composition_figure,
    composition_table,
    posterior_figure,
    style_figure,
    style_table,
)
from emdpo.plots.what_if import what_if_figure
from emdpo.plots.who_am_i import course_figure

__all__ = [
    "DEFAULT_RULES",
    "TYPE_COLOURS",
    "composition_figure",
    "composition_table",
    "cost_figure",
    "course_figure",
    "data_figure",
    "data_table",
    "differences_figure",
    "group_regret_figure",
    "label_text",
    "movement_figure",
    "posterior_figure",
    "posterior_reliability_figure",
    "prediction_figure",
    "refit_groups_figure",
    "refit_worst_figure",
    "regret_by_rule_figure",
    "regret_changes_figure",
    "regret_matrix_figure",
    "reliability_figure",
    "rounds_figure",
    "selection_figure",
    "style_figure",
    "style_table",
    "trace_figure",
    "tradeoff_figure",
    "tradeoff_table",
    "type_colour",
    "type_name",
    "type_symbol",
    "weights_figure",
    "what_if_figure",
]
