"""What the events of the part on types found anew do, and what they show."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import gradio as gr

from emdpo.core.findings import rule_label
from emdpo.jobs.folder import REFITS
from emdpo.refit_words import refit_findings, refit_group_rows, refit_note, refit_rule_rows
from emdpo.settings import ADAPTERS
from emdpo.telling import duration
from emdpo.ui.audit_view import KINDS
from emdpo.ui.markup import listing, text
from emdpo.ui.results import missing
from emdpo.ui.run_jobs import RunJob, audit_or_none
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.core.audit import Audit

DRAWS = (50, 200, 1000)
"""Numbers of draws that are offered: for a first look, to report, and to report to the point."""

USUAL_DRAWS = 200

FIRST_RULE = "pooled"

NOT_FOUND_ANEW = "Not done yet: choose how many draws, and press Find them anew."

NOT_FOR_ADAPTERS = (
    "Only log-linear types are found anew: training adapters again for every draw would take days."
)


def refusal(place: Workplace, run_id: str) -> str:
    """Return why the types of a run cannot be found anew; empty where they can."""
    if message := missing(place, run_id):
        return message
    policy = place.status(run_id).config.get("policy")
    return NOT_FOR_ADAPTERS if policy == ADAPTERS else ""


def _outcome(audit: Audit | None) -> str:
    return NOT_FOUND_ANEW if audit is None or audit.refit is None else refit_note(audit)


REFIT = RunJob(
    REFITS, lambda draws: {"draws": draws if draws in DRAWS else USUAL_DRAWS}, _outcome, refusal
)
"""Of all types in draws of the users."""


def show(
    place: Workplace, run_id: str, kind: str, attribute: str | None, rule: str | None
) -> list[Any]:
    """Return updates of `shown`: form, contents, words, figures and tables of a run."""
    from emdpo import plots

    refused = bool(refusal(place, run_id))
    form = [gr.Row(visible=not refused), gr.skip() if refused else _draws(place, run_id)]
    audit = None if refused else audit_or_none(place, run_id)
    if audit is None or audit.refit is None:
        return [*form, gr.Column(visible=False), *[gr.skip()] * 6]
    items = (f'<span class="finding">{text(found)}</span>' for found in refit_findings(audit))
    rules = [(rule_label(name), name) for name in audit.rules]
    chosen = rule if rule in audit.rules else FIRST_RULE
    by_kind = KINDS.get(kind, "share")
    return [
        *form,
        gr.Column(visible=True),
        f'<div class="report">{listing(items, "findings")}</div>',
        plots.refit_worst_figure(audit, by_kind),
        gr.Dropdown(choices=rules, value=chosen, visible=bool(audit.groups)),
        *_groups(audit, by_kind, attribute, chosen),
        refit_rule_rows(audit, by_kind),
    ]


def show_rule(
    place: Workplace, run_id: str, kind: str, attribute: str | None, rule: str
) -> list[Any]:
    """Return figure and table of groups for another rule."""
    audit = audit_or_none(place, run_id)
    if audit is None or audit.refit is None or rule not in audit.rules:
        return [gr.skip(), gr.skip()]
    return _groups(audit, KINDS.get(kind, "share"), attribute, rule)


def _groups(audit: Audit, kind: str, attribute: str | None, rule: str) -> list[Any]:
    """Return the figure of groups, hidden where none is compared, and its table."""
    from emdpo import plots

    rows = refit_group_rows(audit, attribute, kind, rule)
    if rows.empty:
        return [gr.Plot(visible=False), rows]
    figure = plots.refit_groups_figure(audit, str(attribute), kind, rule)
    return [gr.Plot(value=figure, visible=True), rows]


def _draws(place: Workplace, run_id: str) -> gr.Radio:
    """Return the numbers of draws, each with about how long it takes, where that can be told."""
    seconds = seconds_per_draw(place, run_id)
    return gr.Radio(choices=[(_label(draws, seconds), draws) for draws in DRAWS])


def _label(draws: int, seconds: float | None) -> str:
    told = "" if seconds is None else f" (about {duration(max(draws * seconds, 1.0))})"
    return f"{draws:,} draws{told}"


def seconds_per_draw(place: Workplace, run_id: str) -> float | None:
    """Return about how long a draw takes: at most a start of the fit, by the fit's own log."""
    progress = place.status(run_id).progress
    seconds, starts = (progress.ended or {}).get("seconds"), progress.restarts_done
    if not isinstance(seconds, int | float) or not math.isfinite(seconds) or not starts:
        return None
    return seconds / starts
