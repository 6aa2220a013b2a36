"""The audit as one page of HTML: findings, figures, tables, settings, methods. It needs no network.

Every text that came from a person is escaped. The page forbids itself all requests (a content
security policy), so that nothing in the data can make it call out.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from html import escape
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.offline import get_plotlyjs

from emdpo import plots
from emdpo.audit_files import group_table, matrix_table, type_table
from emdpo.cards import CITATION, base_model_name, ending, reading_note
from emdpo.core.composition import composition
from emdpo.core.findings import CAVEAT, findings, rule_label
from emdpo.core.portraits import TypePortrait, type_portraits
from emdpo.core.rules import rule_note
from emdpo.core.tastes import style_profile
from emdpo.settings import flat_settings
from emdpo.telling import sampled_note, sampled_rows

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.fitting import Fit

METHODS = (
    "Users' rankings are explained by a mixture of preference types: each type is a DPO policy "
    "whose scores give the Plackett-Luce probability of a ranking, and expectation-maximisation "
    "finds the types and each user's posterior over them. The regret of a type under a rule is "
    "what it loses when the rule's policy answers in place of its own; the share divides this by "
    "what its own policy gains over the untuned reference, so 0% is as good as its own and 100% "
    "no better than the reference. KL regret keeps the price of leaving the reference inside the "
    "value. A group's regret is the mean over its users of their posterior-weighted regret. "
    "Intervals are percentile bootstraps over users (groups) and prompts (regret matrix), with "
    "the fitted types held fixed."
)

STYLE = """
:root { color-scheme: light dark; --page: #ffffff; --ink: #1c1c1f; --soft: #5b5b63;
  --line: #d9d9de; --panel: #f6f6f8; }
@media (prefers-color-scheme: dark) { :root { --page: #17171a; --ink: #ececf0; --soft: #a9a9b3;
  --line: #3a3a41; --panel: #202024; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1.5rem 1rem 4rem; max-width: 60rem; background: var(--page);
  color: var(--ink); font: 16px/1.55 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; }
h2 { font-size: 1.25rem; margin: 2.2rem 0 .6rem; }
h3 { font-size: 1.05rem; margin: 1.4rem 0 .3rem; }
.soft { color: var(--soft); }
ul { padding-left: 1.2rem; } li { margin: .4rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { padding: .3rem .7rem; border-bottom: 1px solid var(--line); text-align: left; }
td.number, th.number { text-align: right; overflow-wrap: normal; white-space: nowrap; }
details { margin: .3rem 0 1rem; } summary { cursor: pointer; color: var(--soft); }
.figure { width: 100%; }
blockquote { margin: .4rem 0; padding: .5rem .9rem; background: var(--panel); border-radius: 6px;
  white-space: pre-wrap; }
.figure :is(.gtitle, .gtitle-subtitle, .xtitle, .ytitle, .legendtext, .xtick text, .ytick text,
  .atitle, .btitle, .ctitle, .aaxis text, .baxis text, .caxis text, .cbaxis text,
  .cbtitle text) { fill: var(--ink) !important; }
@media print { :root { --page: #ffffff; --ink: #000000; --soft: #444444; --line: #bbbbbb;
  --panel: #f3f3f3; color-scheme: light; } body { max-width: none; padding: 0; font-size: 11pt; }
  .figure, blockquote, tr, li { break-inside: avoid; } h2, h3 { break-after: avoid; }
  .modebar-container, summary { display: none; } }
"""

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:"
)

DRAW = """
document.querySelectorAll(".figure").forEach((place) => {
  const figure = JSON.parse(document.getElementById(place.dataset.from).textContent);
  Plotly.newPlot(place, figure.data, figure.layout, {responsive: true, displaylogo: false});
});
addEventListener("beforeprint", () => {
  document.querySelectorAll("details").forEach((part) => { part.open = true; });
  document.querySelectorAll(".figure").forEach((place) => Plotly.relayout(place, {width: 660}));
});
addEventListener("afterprint", () => document.querySelectorAll(".figure").forEach(
  (place) => Plotly.relayout(place, {width: null, autosize: true})));
"""

SHOWN_ROWS = 200  # of a table; the run folder's CSVs have all
SHOWN_ATTRIBUTES = 12  # with figures; the table has all


def audit_page(audit: Audit, fit: Fit | None = None) -> str:
    """Return the audit as one self-contained HTML page.

    Parameters
    ----------
    audit : Audit
    fit : Fit, optional
        The fit audited; adds what the types want, who their people are, and the fit's settings.
        Answers' texts are then on the page.

    Examples
    --------
    >>> import emdpo
    >>> found = emdpo.fit(emdpo.load("assets/demo/rankings.csv"), n_types=2, restarts=1)
    >>> page = audit_page(emdpo.audit(found, n_bootstrap=50), found)
    >>> page.startswith("<!doctype html>"), page.count("<h1>")
    (True, 1)
    """
    body = "\n".join(_number_figures(_sections(audit, fit)))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Preference audit</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n{body}\n"
        f"<script>{DRAW}</script>\n</body>\n</html>\n"
    )


Part = str | go.Figure


def _sections(audit: Audit, fit: Fit | None) -> Iterator[Part]:
    yield "<h1>Who is served, and who is not?</h1>"
    yield _paragraph(
        f"An audit by preference type (K = {audit.n_types}) and by group, from the rankings of "
        f"{audit.n_users:,} users over {audit.n_prompts:,} prompts.",
        "soft",
    )
    yield from _findings(audit)
    yield from _rules(audit)
    yield from _sampled(audit)
    yield from _groups(audit)
    if fit is not None:
        yield from _types(fit)
        yield from _people(audit, fit)
    yield from _settings(audit, fit)
    yield _heading("How this was made")
    yield _paragraph(METHODS)
    yield _paragraph(f"Please cite: {CITATION}")


def _number_figures(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the parts as HTML; each figure is a place to draw in and JSON that no tag can end."""
    for number, part in enumerate(parts):
        if isinstance(part, str):
            yield part
            continue
        data = str(part.to_json()).replace("<", "\\u003c").replace(">", "\\u003e")
        height = part.to_dict()["layout"]["height"]
        yield (
            f'<div class="figure" data-from="figure-{number}" style="height:{height:.0f}px"></div>'
            f'<script type="application/json" id="figure-{number}">{data}</script>'
        )


def _findings(audit: Audit) -> Iterator[Part]:
    found = findings(audit)
    yield _heading("What the audit found")
    if found:
        yield "<ul>" + "".join(f"<li>{escape(one.text)}</li>" for one in found) + "</ul>"
    else:
        yield _paragraph("Nothing that the intervals support.")
    yield _paragraph(CAVEAT, "soft")


def _rules(audit: Audit) -> Iterator[Part]:
    yield _heading("By rule and type")
    yield plots.regret_by_rule_figure(audit, "share")
    yield plots.tradeoff_figure(audit, "share")
    wide = type_table(audit).pivot_table(
        index=["kind", "rule"], columns="type", values="regret", sort=False, dropna=False
    )
    yield _details("Regret by kind, rule and type (share, or nats)", wide.reset_index())
    yield _details("Mean and worst regret (share)", plots.tradeoff_table(audit, "share"))
    notes = [(rule_label(name), rule_note(name)) for name in audit.rules]
    yield _details(
        "What each rule does, whom it protects and whom it can hurt",
        pd.DataFrame(notes, columns=["rule", "note"]),
    )
    shares = {rule_label(name): w for name, w in audit.weights.items() if w is not None}
    names = [f"type_{k + 1}" for k in range(audit.n_types)]
    weights = pd.DataFrame.from_dict(shares, orient="index", columns=names)
    yield _details("Weights of the types in each rule", weights.reset_index(names="rule"))
    if audit.n_types > 1:
        yield plots.regret_matrix_figure(audit)
        yield _details("Regret matrix (plain, nats)", matrix_table(audit))


def _sampled(audit: Audit) -> Iterator[Part]:
    if audit.sampled is None:
        return
    yield _heading("By the answers that policies write")
    yield _paragraph(sampled_note(audit.sampled))
    yield _table(sampled_rows(audit.sampled))


def _groups(audit: Audit) -> Iterator[Part]:
    attributes = list(dict.fromkeys(group.attribute for group in audit.groups))
    if not attributes:
        return
    yield _heading("By group")
    for attribute in attributes[:SHOWN_ATTRIBUTES]:
        yield plots.group_regret_figure(audit, attribute, "share")
    if len(attributes) > SHOWN_ATTRIBUTES:
        yield _paragraph(f"{len(attributes) - SHOWN_ATTRIBUTES} more attributes are in the table.")
    table = group_table(audit)
    shown = table.query("kind == 'share' and rule in @plots.DEFAULT_RULES")
    yield _details("Regret share by group, with intervals", shown.drop(columns="kind"))


def _types(fit: Fit) -> Iterator[Part]:
    yield _heading("What the types want")
    if fit.adapters is not None:
        yield _paragraph(reading_note(fit), "soft")
    parts = (fit.rankings, fit.reading, fit.responsibilities, fit.weights)
    scores = fit.policies.candidate_scores()
    for portrait in type_portraits(*parts, n_pairs=1, scores=scores):
        yield from _portrait(portrait)
    profile = style_profile(*parts, types_given=fit.adapters is not None)
    yield plots.style_figure(profile)
    if profile.note:
        yield _paragraph(profile.note, "soft")
    yield _details("Strength of each preference (nats)", plots.style_table(profile))


def _portrait(portrait: TypePortrait) -> Iterator[str]:
    yield f"<h3>Type {portrait.number}: {portrait.weight:.0%} of users</h3>"
    wishes = "; ".join(phrase for phrase, _ in portrait.wishes) or "no preference stands out"
    yield _paragraph(
        f"{wishes[0].upper()}{wishes[1:]}. Most likely type of {portrait.n_most_likely:,} users."
    )
    for pair in portrait.pairs:
        picks = ", ".join(f"Type {k + 1} {p:.0%}" for k, p in enumerate(pair.probabilities))
        yield (
            f"<details><summary>A telling pair of answers</summary>{_paragraph(pair.prompt)}"
            f"<blockquote>{escape(pair.preferred)}</blockquote>"
            f"{_paragraph('is preferred to', 'soft')}<blockquote>{escape(pair.other)}</blockquote>"
            f"{_paragraph(f'Chance of picking the first: {picks}.')}</details>"
        )


def _people(audit: Audit, fit: Fit) -> Iterator[Part]:
    yield _heading("Whose types these are")
    figure = plots.posterior_figure(fit.responsibilities)
    if figure is not None:
        yield figure
    attributes = list(dict.fromkeys(group.attribute for group in audit.groups))
    for attribute in attributes[:SHOWN_ATTRIBUTES]:
        values = fit.rankings.users[attribute].tolist()
        shares = composition(fit.responsibilities, values, attribute, audit.config)
        yield plots.composition_figure(shares)
        yield _details("Share of each type by group", plots.composition_table(shares))


def _settings(audit: Audit, fit: Fit | None) -> Iterator[Part]:
    yield _heading("Settings")
    settings: dict[str, object] = {f"audit: {key}": v for key, v in vars(audit.config).items()}
    if fit is not None:
        chosen = flat_settings(fit.config.to_dict())
        settings |= {f"fit: {key}": value for key, value in chosen.items()}
        settings |= _base_model(fit)
        settings |= {
            "features used": f"{fit.features.kind} ({fit.features.reason})",
            "ended": ending(fit),
            "log-likelihood": f"{fit.log_likelihood:,.3f}",
            "starts that reached the best": f"{fit.restarts.n_reached_best} of "
            f"{fit.restarts.n_starts}",
            "data (SHA-256)": fit.data_sha256,
        }
        settings |= {f"warning {n + 1}": text for n, text in enumerate(fit.warnings)}
        settings |= {f"version of {name}": number for name, number in fit.versions.items()}
    gaps = {f"duality gap, {rule} (nats)": gap for rule, gap in audit.duality_gap.items()}
    rows = [(name, str(value)) for name, value in (settings | gaps).items()]
    yield _table(pd.DataFrame(rows, columns=["setting", "value"]))


def _base_model(fit: Fit) -> dict[str, object]:
    base = fit.base_model
    if base is None:
        return {}
    return {
        "base model": f"{base_model_name(base)} ({base.n_parameters:,} parameters)",
        "base model's fingerprint": base.fingerprint,
    }


def _heading(text: str) -> str:
    return f"<h2>{escape(text)}</h2>"


def _paragraph(text: str, style: str = "") -> str:
    return f'<p class="{style}">{escape(text)}</p>' if style else f"<p>{escape(text)}</p>"


def _details(title: str, table: pd.DataFrame) -> str:
    return f"<details><summary>{escape(title)}</summary>{_table(table)}</details>"


def _table(table: pd.DataFrame) -> str:
    """Return a table as HTML with every cell escaped, at most SHOWN_ROWS rows."""
    numeric = [pd.api.types.is_numeric_dtype(kind) for kind in table.dtypes]
    head = "".join(_cell("th", name, n) for name, n in zip(table.columns, numeric, strict=True))
    rows = "".join(
        "<tr>" + "".join(map(_cell, ["td"] * len(row), row, numeric)) + "</tr>"
        for row in table.head(SHOWN_ROWS).itertuples(index=False, name=None)
    )
    rest = len(table) - SHOWN_ROWS
    more = _paragraph(f"{rest:,} more rows are not shown.", "soft") if rest > 0 else ""
    return f'<div class="scroll"><table><tr>{head}</tr>{rows}</table></div>{more}'


def _cell(tag: str, value: object, numeric: bool) -> str:
    style = ' class="number"' if numeric else ""
    return f"<{tag}{style}>{escape(_value_text(value))}</{tag}>"


def _value_text(value: object) -> str:
    if isinstance(value, bool | np.bool_):
        return "yes" if value else "no"
    if isinstance(value, float | np.floating):
        return f"{value:.3f}" if np.isfinite(value) else "not defined"
    return str(value)
