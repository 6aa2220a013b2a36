"""What the events of the what-if do: every move of a slider shows what types and groups lose.

Every event returns only what changes, by component.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, NamedTuple

import gradio as gr
import numpy as np

from emdpo.chosen import Chosen, load_chosen
from emdpo.core.errors import EmdpoError
from emdpo.core.findings import rule_label
from emdpo.core.rules import GIVEN
from emdpo.jobs.folder import folder_of, new_id
from emdpo.ui.audit_view import KINDS
from emdpo.ui.faults import one_line
from emdpo.ui.markup import line
from emdpo.ui.results import missing, note_html
from emdpo.ui.what_if_view import (
    NO_CURVE,
    ONE_POINT,
    curve_rows,
    losses_html,
    saved_html,
    summary_html,
    weights_html,
)
from emdpo.ui.workplace import OWN_DEMO_NAME, Workplace

if TYPE_CHECKING:
    from emdpo.core.regret import Floats
    from emdpo.what_if import WhatIf

MOST_SLIDERS = 8
"""Types that can be blended on the page."""

FIRST = "prevalence"
"""The rule that the sliders start from."""

NOTHING_TO_BLEND = "What if? With one type there is nothing to blend."
TOO_MANY = (
    f"What if? The page blends up to {MOST_SLIDERS} types; of more, audit a mixture with "
    "emdpo audit RUN --weights."
)
Shown = dict[Any, Any]
"""New values, by component."""

Blend = tuple[str, str, list[float]]
"""Of what is on the screen: the run's id, form and weights (K,)."""


@dataclass(frozen=True, eq=False)
class WhatIfTab:
    """The components of the part that events write to."""

    blend: gr.State
    """What is on the screen, in full precision: the sliders are rounded."""
    note: gr.HTML
    contents: gr.Column
    start: gr.Dropdown
    form: gr.Radio
    position: gr.Slider
    off_curve: gr.HTML
    """Why there is no such slider; hidden where there is one."""
    sliders: tuple[gr.Slider, ...]
    weights: gr.HTML
    summary: gr.HTML
    tradeoff: gr.Plot
    losses: gr.HTML
    figure: gr.Plot
    curve: gr.Dataframe
    name: gr.Textbox
    save: gr.Button
    saved: gr.HTML

    @property
    def parts(self) -> list[Any]:
        """Every component."""
        parts = [getattr(self, each.name) for each in fields(self) if each.name != "sliders"]
        return [*parts, *self.sliders]


class Asked(NamedTuple):
    """What an event is about."""

    what: WhatIf
    run_id: str
    kind: str
    """Of regret: plain, kl, share or preference."""
    attribute: str | None
    """Whose groups are shown."""

    def kept(self, blend: Blend | None) -> tuple[str, Floats]:
        """Return what was on the screen; where that was another run's, the types' shares."""
        if blend is not None and blend[0] == self.run_id:
            return blend[1], np.array(blend[2])
        return self.what.starts()[FIRST]


class WhatIfEvents:
    """The events over a workplace; the page itself remembers the weights."""

    def __init__(self, place: Workplace, tab: WhatIfTab) -> None:
        self._place, self._tab = place, tab

    def show(self, run_id: str, kind: str, attribute: str | None) -> Shown:
        """Return the part for a run, from the policy saved for it or the types' shares on."""
        tab = self._tab
        hidden = {tab.contents: gr.Column(visible=False), tab.note: note_html("")}
        if missing(self._place, run_id):
            return hidden
        try:
            asked = self._asked(run_id, kind, attribute)
            if told := _cannot(asked.what):
                return hidden | {tab.note: note_html(told)}
            starts = asked.what.starts()
            rule = GIVEN if GIVEN in starts else FIRST
            return {
                tab.note: note_html(""),
                tab.contents: gr.Column(visible=True),
                tab.start: _rules(asked.what, rule),
                tab.saved: self._saved(asked),
                **self._set(asked, *starts[rule]),
            }
        except Exception as error:  # noqa: BLE001 - shown as one line
            return hidden | {tab.note: note_html(one_line(error), "error")}

    def move(self, run_id: str, kind: str, attribute: str | None, form: str, *moved: Any) -> Shown:
        """Return what follows from the sliders, whose values are made to sum to one."""

        def follow(asked: Asked) -> Shown:
            weights = _weights(moved, asked.what)
            return {self._tab.start: None, **self._seen(asked, form, weights)}

        return self._safely(follow, run_id, kind, attribute)

    def slide(self, run_id: str, kind: str, attribute: str | None, position: float) -> Shown:
        """Return a policy of the trade-off curve: 0 = least mean, 100 = least worst regret."""

        def follow(asked: Asked) -> Shown:
            curve = asked.what.curve(asked.kind)
            if curve is None:
                raise EmdpoError(NO_CURVE)
            weights = curve.at(min(max(position / 100, 0.0), 1.0))
            return {self._tab.start: None, **self._set(asked, curve.form, weights)}

        return self._safely(follow, run_id, kind, attribute)

    def begin(self, run_id: str, kind: str, attribute: str | None, rule: str | None) -> Shown:
        """Return the blend that a rule is."""

        def follow(asked: Asked) -> Shown:
            starts = asked.what.starts()
            if rule not in starts:
                raise EmdpoError("choose a rule of this run to start from")
            return self._set(asked, *starts[rule])

        return self._safely(follow, run_id, kind, attribute)

    def reshape(
        self, run_id: str, kind: str, attribute: str | None, form: str, blend: Blend | None
    ) -> Shown:
        """Return the same weights blended in another form."""

        def follow(asked: Asked) -> Shown:
            return {self._tab.start: None, **self._seen(asked, form, asked.kept(blend)[1])}

        return self._safely(follow, run_id, kind, attribute)

    def look(self, run_id: str, kind: str, attribute: str | None, blend: Blend | None) -> Shown:
        """Return the same blend by another kind of regret or other groups."""

        def follow(asked: Asked) -> Shown:
            return self._seen(asked, *asked.kept(blend))

        return self._safely(follow, run_id, kind, attribute)

    def renew(self, run_id: str, kind: str, attribute: str | None, blend: Blend | None) -> Shown:
        """Return the same blend among the rules of an audit that now has the policy saved."""

        def follow(asked: Asked) -> Shown:
            seen = self._seen(asked, *asked.kept(blend))
            return {**seen, self._tab.start: _rules(asked.what, GIVEN)}

        return self._safely(follow, run_id, kind, attribute)

    def save(self, run_id: str, blend: Blend | None, name: str | None) -> tuple[Any, Any, str]:
        """Save the blend for the run: the run's id, a mark that something was saved, one line."""
        try:
            if blend is None or blend[0] != run_id:
                raise EmdpoError("the page still shows another run: try again in a moment")
            chosen = Chosen(blend[1], tuple(blend[2]), name or "")
            return self._place.choose(run_id, chosen), new_id(), saved_html(chosen)
        except Exception as error:  # noqa: BLE001 - shown as one line
            return gr.skip(), gr.skip(), line(one_line(error), "error")

    def _asked(self, run_id: str, kind: str, attribute: str | None) -> Asked:
        from emdpo.what_if import what_if

        place = self._place
        made = ("what-if", place.chosen_version(run_id))
        what = place.derived(run_id, made, lambda fit: what_if(fit, place.audit(run_id)))
        return Asked(what, run_id, KINDS.get(kind, "share"), attribute)

    def _safely(self, follow: Callable[[Asked], Shown], *about: Any) -> Shown:
        """Return what follows, or one line about what went wrong."""
        try:
            return {self._tab.note: note_html(""), **follow(self._asked(*about))}
        except Exception as error:  # noqa: BLE001 - shown as one line
            return {self._tab.note: note_html(one_line(error), "error")}

    def _saved(self, asked: Asked) -> str:
        chosen = load_chosen(folder_of(self._place.home, asked.run_id), asked.what.audit.n_types)
        return saved_html(chosen, own_copy=self._place.status(asked.run_id).name == OWN_DEMO_NAME)

    def _set(self, asked: Asked, form: str, weights: Floats) -> Shown:
        """Return a blend with the sliders set to it."""
        tab, audit = self._tab, asked.what.audit
        seen = self._seen(asked, form, weights)
        for k, slider in enumerate(tab.sliders):
            seen[slider] = gr.Slider(visible=False)
            if k < audit.n_types and audit.occupied[k]:
                label = f"Type {k + 1} ({audit.prevalence[k]:.0%})"
                value = round(100 * float(weights[k]), 1)
                seen[slider] = gr.Slider(value=value, label=label, visible=True)
        return {**seen, tab.form: form}

    def _seen(self, asked: Asked, form: str, weights: Floats) -> Shown:
        """Return the weights in effect, and what types and groups lose under them."""
        from emdpo import plots

        tab, (what, run_id, kind, attribute) = self._tab, asked
        audit, found, curve = what.audit, what.regret(form, weights), what.curve(kind)
        slides = curve is not None and len(curve.worst) > 1
        why_not = NO_CURVE if curve is None else ONE_POINT
        chosen = (found.mean[kind], found.worst[kind])
        return {
            tab.blend: (run_id, form, weights.tolist()),
            tab.position: gr.Slider(visible=slides),
            tab.off_curve: note_html("" if slides else why_not),
            tab.weights: weights_html(weights),
            tab.summary: summary_html(audit, found, kind),
            tab.tradeoff: plots.tradeoff_figure(audit, kind, curve, chosen),
            tab.losses: losses_html(audit, found, kind, attribute),
            tab.figure: plots.what_if_figure(audit, found, kind, attribute),
            tab.curve: curve_rows(curve, kind),
        }


def _cannot(what: WhatIf) -> str:
    """Return why the page offers no sliders; empty where it does."""
    if what.audit.occupied.sum() < 2:
        return NOTHING_TO_BLEND
    return TOO_MANY if what.audit.n_types > MOST_SLIDERS else ""


def _rules(what: WhatIf, chosen: str) -> gr.Dropdown:
    choices = [(rule_label(rule), rule) for rule in what.starts()]
    return gr.Dropdown(choices=choices, value=chosen)


def _weights(moved: Sequence[Any], what: WhatIf) -> Floats:
    """Return the sliders' values as (K,) weights; 0 for types without users."""
    audit = what.audit
    values = np.array([value or 0.0 for value in moved[: audit.n_types]], np.float64)
    values = np.where(audit.occupied, np.maximum(values, 0.0), 0.0)
    if not (np.isfinite(values).all() and values.any()):
        raise EmdpoError("give at least one type some weight")
    return values / values.sum()
