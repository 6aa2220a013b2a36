"""What an audit is downloaded as: the report, all numbers, a publication, tables."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import gradio as gr

from emdpo import files
from emdpo.ui.downloads import write_on_press
from emdpo.ui.session import Session
from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.fitting import Fit


def build(place: Workplace, session: Session) -> None:
    """Lay the buttons out and connect them."""
    with gr.Row():
        report = gr.Button("Download the report (HTML)", variant="primary", elem_id="report")
        numbers = gr.Button("All numbers (JSON)")
        publication = gr.Button("For publication (zip, no rankings)", elem_id="publication")
        tables = gr.Button("Tables (CSV, zip)")
    note = gr.HTML(visible=False, elem_id="report-note")
    buttons = (report, numbers, publication, tables)
    for button, name in zip(buttons, WRITERS, strict=True):
        write_on_press(button, partial(written, place, name), [session.run_id], note)


def written(place: Workplace, name: str, run_id: str) -> Path:
    """Return the path of one of `WRITERS`, written unless it is there from the same audit."""
    from emdpo.jobs import folder_of

    audit = place.audit(run_id)  # may write the audit, and so change its version
    version = (place.chosen_version(run_id), place.audited_version(run_id))
    path = place.downloads(run_id) / name

    def make(fit: Fit) -> Path:
        run = folder_of(place.home, run_id)
        files.write_with(path, partial(WRITERS[name], audit, fit, run))
        return path

    return place.derived(run_id, (name, *version), make)


def _report(audit: Audit, fit: Fit, run: Path, path: Path) -> None:
    from emdpo.report import audit_page

    path.write_text(audit_page(audit, fit), "utf-8", "replace")


def _numbers(audit: Audit, fit: Fit, run: Path, path: Path) -> None:
    path.write_text(audit.to_json(), "utf-8", "replace")


def _publication(audit: Audit, fit: Fit, run: Path, path: Path) -> None:
    from emdpo.publication import publish

    publish(audit, fit, path, run=run)


def _tables(audit: Audit, fit: Fit, run: Path, path: Path) -> None:
    from emdpo.audit_files import audit_tables
    from emdpo.spreadsheets import spreadsheet_csv

    held = audit_tables(audit, fit).items()
    texts = {name: spreadsheet_csv(table).encode("utf-8", "replace") for name, table in held}
    path.write_bytes(files.zipped(texts))


WRITERS: dict[str, Callable[[Audit, Fit, Path, Path], None]] = {
    "report.html": _report,
    "audit.json": _numbers,
    "emdpo-publication.zip": _publication,
    "audit-tables.zip": _tables,
}
"""By name, what writes an audit of a fit, whose run folder is given, to a path."""
