"""The whole page, from its sections.

It forbids itself all requests (a content security policy), so that nothing in the data can make it
call out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from plotly.offline import get_plotlyjs

from emdpo.datasheet import Chapter, fit_datasheet
from emdpo.report.certainty import evidence_section, refit_section
from emdpo.report.datasheet import datasheet_section
from emdpo.report.figures import figure_html
from emdpo.report.markup import paragraph
from emdpo.report.methods import methods_section
from emdpo.report.people import people_section, types_section
from emdpo.report.sections import (
    Part,
    findings_section,
    groups_section,
    rules_section,
    sampled_section,
)

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.fitting import Fit

STYLE, SCRIPT = (
    Path(__file__).with_name(name).read_text("utf-8") for name in ("page.css", "page.js")
)

POLICY = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; "
    "img-src data: blob:; font-src data:; base-uri 'none'; form-action 'none'"
)

TITLE = "Who is served, and who is not?"


def audit_page(
    audit: Audit,
    fit: Fit | None = None,
    *,
    texts: bool = True,
    sheet: tuple[Chapter, ...] | None = None,
) -> str:
    """Return the audit as one self-contained HTML page.

    Parameters
    ----------
    audit : Audit
    fit : Fit, optional
        The fit audited; adds what the types want, who their people are, the datasheet of the
        rankings and the fit's settings.
    texts : bool
        Whether prompts and answers may be quoted.
    sheet : datasheet, optional
        Of the rankings; by default that of the fit's.

    Examples
    --------
    >>> import emdpo
    >>> found = emdpo.fit(emdpo.load("assets/demo/rankings.csv"), n_types=2, restarts=1)
    >>> page = audit_page(emdpo.audit(found, n_bootstrap=50), found)
    >>> page.startswith("<!doctype html>"), page.count("<h1>")
    (True, 1)
    """
    body = "\n".join(_as_html(_sections(audit, fit, sheet, texts=texts)))
    lead = paragraph(
        f"An audit by preference type (K = {audit.n_types}) and by group, from the rankings of "
        f"{audit.n_users:,} users over {audit.n_prompts:,} prompts.",
        "soft",
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Preference audit</title>\n<style>{STYLE}</style>\n"
        f"<script>{get_plotlyjs()}</script>\n</head>\n<body>\n"
        '<a class="skip" href="#main">Skip to the findings</a>\n'
        f"<header><h1>{TITLE}</h1>{lead}{_contents(body)}</header>\n"
        f'<main id="main">\n<noscript>{paragraph(NO_SCRIPT)}</noscript>\n{body}\n</main>\n'
        f"<script>{SCRIPT}</script>\n</body>\n</html>\n"
    )


NO_SCRIPT = "Figures need JavaScript; the table under each has the same numbers."


def _sections(
    audit: Audit, fit: Fit | None, sheet: tuple[Chapter, ...] | None, *, texts: bool
) -> Iterator[Part]:
    yield from findings_section(audit)
    yield from rules_section(audit)
    yield from sampled_section(audit)
    yield from groups_section(audit)
    yield from refit_section(audit)
    yield from evidence_section(audit)
    if fit is not None:
        yield from types_section(fit, texts=texts)
        yield from people_section(audit, fit)
        yield from datasheet_section(sheet or fit_datasheet(fit, audit.config.min_group))
    yield from methods_section(audit, fit)


def _as_html(parts: Iterable[Part]) -> Iterator[str]:
    """Yield the parts as HTML, figures numbered."""
    number = 0
    for part in parts:
        if isinstance(part, str):
            yield part
        else:
            number += 1
            yield figure_html(part, number)


def _contents(body: str) -> str:
    """Return links to the sections, whose headings have gone through `markup.heading`."""
    found = re.findall(r'<h2 id="([a-z-]+)">(.*?)</h2>', body)
    links = "".join(f'<li><a href="#{anchor}">{text}</a></li>' for anchor, text in found)
    return f'<nav aria-label="Contents"><ul>{links}</ul></nav>'
