"""Tab 5, Audit: the regret of every type and group under every rule, in words and figures."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import gradio as gr

from emdpo.core.rules import GIVEN
from emdpo.ui import audit_downloads, compare_part, evidence_part, refit_part, what_if_tab
from emdpo.ui.audit_view import (
    KINDS,
    findings_html,
    group_rows,
    matrix_rows,
    rule_notes_html,
    type_rows,
)
from emdpo.ui.faults import one_line
from emdpo.ui.markup import line
from emdpo.ui.results import (
    fit_demo,
    folded_table,
    missing,
    missing_part,
    missing_view,
    note_html,
    present_view,
)
from emdpo.ui.session import Session
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.core.audit import Audit

PRIVATE: dict[str, Any] = {"api_visibility": "private"}

DEFAULT_RULES = ("pooled", "consensus")


@dataclass(frozen=True)
class AuditTab:
    """The components that show an audit."""

    attribute: gr.Dropdown
    kind: gr.Radio
    rules: gr.CheckboxGroup
    findings: gr.HTML
    by_rule: gr.Plot
    by_group: gr.Plot
    matrix: gr.Plot
    tradeoff: gr.Plot
    tables: list[gr.Dataframe]
    drawn: list[Any]
    """Regrets of drawn answers: the column that is shown where there are any, note and table."""

    @property
    def controls(self) -> list[Any]:
        """What a visitor chooses."""
        return [self.attribute, self.kind, self.rules]

    @property
    def figures(self) -> list[Any]:
        """What depends on the choices: figures and tables."""
        return [self.by_rule, self.by_group, self.matrix, self.tradeoff, *self.tables]


def build(place: Workplace, session: Session) -> None:
    """Lay the tab out and connect it."""
    note, demo = missing_part()
    with gr.Column(visible=False) as contents:
        tab = _lay_out(place, session)
        refits = refit_part.build()
        what_if = what_if_tab.build()
        evidence_part.build(place, session)
        compare_part.build(place, session)
    run_id = session.run_id
    shown = [note, demo, contents, tab.findings, *tab.controls, *tab.figures, *tab.drawn]
    made = session.milestone.change(partial(show, place), run_id, shown, **PRIVATE)
    chosen = [run_id, *tab.controls]
    changed = [note, tab.findings, tab.rules, *tab.figures]
    renewed = session.chosen.change(partial(show_chosen, place), chosen, changed, **PRIVATE)
    refits.controls.job_id.change(
        partial(show_refitted, place),
        [refits.controls.job_id, *chosen],
        changed,
        show_progress="hidden",
        **PRIVATE,
    )
    of_regret = [tab.kind, tab.attribute]
    refit_part.connect(place, session, refits, of_regret, made.then, renewed.then)
    what_if_tab.connect(place, session, what_if, of_regret, made, renewed)
    changes = [control.input for control in tab.controls]
    gr.on(changes, partial(show_choice, place), chosen, [note, *tab.figures], **PRIVATE)
    started = [session.data_id, run_id, note]
    demo.click(partial(fit_demo, place), outputs=started, **PRIVATE)


def _lay_out(place: Workplace, session: Session) -> AuditTab:
    findings = gr.HTML()
    audit_downloads.build(place, session)
    controls = _controls()
    with gr.Row(equal_height=False):
        by_rule = gr.Plot(label="Regret by rule", show_label=False, min_width=320)
        by_group = gr.Plot(label="Regret by group", show_label=False, min_width=320)
    with gr.Row(equal_height=False):
        matrix = gr.Plot(label="Regret matrix", show_label=False, min_width=320)
        tradeoff = gr.Plot(label="Trade-off", show_label=False, min_width=320)
    tables = [
        folded_table("Table: regret of each type under each rule"),
        folded_table("Table: regret of each group, with interval and number of users"),
        folded_table("Table: plain regret of each type with each type's model"),
    ]
    with gr.Accordion("What each rule does, whom it protects and whom it can hurt", open=False):
        gr.HTML(rule_notes_html())
    with gr.Column(visible=False) as sampled:
        sampled_note = gr.HTML()
        sampled_table = folded_table("Table: regret by the answers that policies write")
    drawn = [sampled, sampled_note, sampled_table]
    figures = (by_rule, by_group, matrix, tradeoff)
    return AuditTab(*controls, findings, *figures, tables, drawn)


def _controls() -> tuple[gr.Dropdown, gr.Radio, gr.CheckboxGroup]:
    with gr.Row(equal_height=True):
        attribute = gr.Dropdown(
            choices=[],
            label="Groups",
            info="The column by which people are grouped.",
            min_width=200,
        )
        kind = gr.Radio(
            list(KINDS),
            value=next(iter(KINDS)),
            label="Kind of regret",
            info="Share: 0% = as good as its own model, 100% = no better than the untuned model. "
            "Plain regret may be negative; clipped, as in the paper's code, that counts as 0.",
            min_width=280,
        )
    rules = gr.CheckboxGroup(
        choices=[],
        label="Rules compared by group",
        info="Ways to make one policy for everybody; pooled is plain DPO.",
    )
    return attribute, kind, rules


def show(place: Workplace, run_id: str) -> list[Any]:
    """Return the audit of a run, or what is missing."""
    if message := missing(place, run_id):
        return [*missing_view(message), *[gr.skip()] * 14]
    try:
        audit = place.audit(run_id)
        return [*present_view(), *_contents(audit)]
    except Exception as error:  # noqa: BLE001 - shown as one line
        return [note_html(one_line(error), "error"), *[gr.skip()] * 16]


def _contents(audit: Audit) -> list[Any]:
    from emdpo.core.findings import rule_label

    names = list(dict.fromkeys(group.attribute for group in audit.groups))
    first = names[0] if names else None
    rules = [rule for rule in DEFAULT_RULES if rule in audit.rules]
    return [
        findings_html(audit),
        gr.Dropdown(choices=names, value=first, visible=bool(names)),
        gr.Radio(value=next(iter(KINDS))),
        gr.CheckboxGroup(choices=[(rule_label(rule), rule) for rule in audit.rules], value=rules),
        *_figures(audit, first, "share", rules),
        *_drawn(audit),
    ]


def _drawn(audit: Audit) -> list[Any]:
    from emdpo.telling import sampled_note, sampled_rows

    if audit.sampled is None:
        return [gr.Column(visible=False), gr.skip(), gr.skip()]
    note = line(sampled_note(audit.sampled))
    return [gr.Column(visible=True), note, sampled_rows(audit.sampled)]


def show_choice(
    place: Workplace, run_id: str, attribute: str | None, kind: str, rules: list[str]
) -> list[Any]:
    """Return figures and tables for the visitor's choices."""
    try:
        audit = place.audit(run_id)
        chosen = [rule for rule in audit.rules if rule in rules]
        return [note_html(""), *_figures(audit, attribute, KINDS.get(kind, "share"), chosen)]
    except Exception as error:  # noqa: BLE001 - shown as one line
        return [note_html(one_line(error), "error"), *[gr.skip()] * 7]


def show_chosen(
    place: Workplace, run_id: str, attribute: str | None, kind: str, rules: list[str]
) -> list[Any]:
    """Return the audit that has the policy saved just now, for the same choices."""
    from emdpo.core.findings import rule_label

    try:
        audit = place.audit(run_id)
    except Exception as error:  # noqa: BLE001 - shown as one line
        return [note_html(one_line(error), "error"), *[gr.skip()] * 9]
    rules = [rule for rule in audit.rules if rule in [*rules, GIVEN]]
    choices = [(rule_label(rule), rule) for rule in audit.rules]
    offered = gr.CheckboxGroup(choices=choices, value=rules)
    note, *figures = show_choice(place, run_id, attribute, kind, rules)
    return [note, findings_html(audit), offered, *figures]


def show_refitted(place: Workplace, job_id: str, *chosen: Any) -> list[Any]:
    """Return the audit once a job that finds its types anew is over, for the same choices."""
    return [gr.skip()] * 10 if job_id else show_chosen(place, *chosen)


def _figures(audit: Audit, attribute: str | None, kind: str, rules: list[str]) -> list[Any]:
    from emdpo import plots

    grouped = attribute is not None and any(g.attribute == attribute for g in audit.groups)
    by_group = (
        plots.group_regret_figure(audit, str(attribute), kind, rules) if grouped and rules else None
    )
    return [
        plots.regret_by_rule_figure(audit, kind),
        gr.Plot(value=by_group, visible=by_group is not None),
        plots.regret_matrix_figure(audit),
        plots.tradeoff_figure(audit, kind),
        type_rows(audit, kind),
        group_rows(audit, attribute, kind),
        matrix_rows(audit),
    ]
