"""A run for publication, as one zip file: everything but the rankings, with nobody's id in it.

    README.md  datasheet.md  report.html  fit.json  trace.csv  responsibilities.csv
    audit/     audit.json and its tables, policies.csv among them
    policy/    the types' policies with their cards

It restores no run: that is what `bundles` are for.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import pandas as pd

from emdpo import files
from emdpo.adapters.distilled import FOLDER, REPORT, distilled_folder
from emdpo.adapters.saved import Adapter, load_adapter, save_adapter
from emdpo.audit_files import audit_tables
from emdpo.cards import (
    CITATION,
    adapter_cards,
    base_model_name,
    cell_text,
    distilled_card,
    model_card,
)
from emdpo.datasheet import datasheet_markdown, fit_datasheet
from emdpo.masking import masked_fit, masked_json
from emdpo.policy_files import candidate_ids, theta_tables
from emdpo.report import audit_page
from emdpo.runs import summary
from emdpo.spreadsheets import spreadsheet_csv

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.fitting import Fit


def publish(
    result: Audit,
    fit: Fit,
    path: str | Path,
    *,
    run: str | Path | None = None,
    texts: bool = False,
) -> Path:
    """Write everything about a run but its rankings to a zip file and return its path.

    Parameters
    ----------
    result : Audit
        Of `fit`.
    fit : Fit
    path : path
        The zip file.
    run : path, optional
        The fit's folder: where it holds a distilled consensus, that is published too.
    texts : bool
        Whether prompts and answers, and their ids, are in it; otherwise they are numbered. Users
        are numbered always, and groups that the audit hides have no name.

    Examples
    --------
    >>> import emdpo, tempfile, zipfile
    >>> found = emdpo.fit(emdpo.load("assets/demo/rankings.csv"), n_types=2, restarts=1)
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     published = publish(emdpo.audit(found, n_bootstrap=50), found, f"{folder}/audit.zip")
    ...     "audit/policies.csv" in zipfile.ZipFile(published).namelist()
    True
    """
    with TemporaryDirectory(prefix="emdpo-publication-") as work:
        folder = Path(work)
        _write(result, fit, folder, None if run is None else Path(run), texts=texts)
        held = [each for each in folder.rglob("*") if each.is_file()]
        content = files.zipped(
            {each.relative_to(folder).as_posix(): each.read_bytes() for each in held}
        )
    files.write_bytes(Path(path), content)
    return Path(path)


def _write(result: Audit, fit: Fit, folder: Path, run: Path | None, *, texts: bool) -> None:
    sheet, masked = fit_datasheet(fit, result.config.min_group), masked_fit(fit, texts=texts)
    pages = {
        "README.md": _readme(masked, result, texts=texts),
        "datasheet.md": datasheet_markdown(sheet),
        "report.html": audit_page(result, masked, texts=texts, sheet=sheet),
        "policy/README.md": model_card(masked, published=True),
    }
    tables = {f"audit/{name}": table for name, table in audit_tables(result, masked).items()}
    tables["responsibilities.csv"] = masked.responsibility_table().rename(
        columns={"user_id": "user"}
    )
    tables["trace.csv"] = masked.trace_table()
    tables |= {f"policy/{name}": table for name, table in theta_tables(masked).items()}
    if texts:
        tables["answers.csv"] = _answers(masked)
    for name, text in pages.items():
        files.write_bytes(folder / name, text.encode("utf-8", "replace"))
    for name, table in tables.items():
        files.write_bytes(folder / name, spreadsheet_csv(table).encode("utf-8", "replace"))
    files.write_json(folder / "audit" / "audit.json", masked_json(result.to_dict()))
    files.write_json(folder / "fit.json", {**summary(masked), "publication": True})
    _write_adapters(masked, folder / "policy", run)


def _write_adapters(masked: Fit, folder: Path, run: Path | None) -> None:
    for name, card in adapter_cards(masked).items():
        save_adapter((masked.adapters or {})[name], folder / name, card)
    distilled = None if run is None else distilled_folder(run)
    if distilled is None or masked.base_model is None:
        return
    report = files.read_json(distilled / REPORT)
    adapter = _named_base(load_adapter(distilled), base_model_name(masked.base_model))
    save_adapter(adapter, folder / FOLDER, distilled_card(masked, report))
    files.write_json(folder / FOLDER / REPORT, report)


def _named_base(adapter: Adapter, name: str) -> Adapter:
    return replace(adapter, config={**adapter.config, "base_model_name_or_path": name})


def _answers(fit: Fit) -> pd.DataFrame:
    """Return prompts and answers with their ids, in the order of policies.csv."""
    table = candidate_ids(fit.rankings)
    texts = fit.rankings.prompts["prompt"].to_numpy(object)[fit.rankings.candidate_prompt]
    table.insert(1, "prompt", texts)
    return table.assign(response=fit.rankings.candidates["response"].to_numpy(object))


FILES: Mapping[str, str] = {
    "report.html": "the audit as a page that needs no network: findings, figures, tables, methods, "
    "settings, versions, datasheet",
    "datasheet.md": "what the rankings are; blanks are for their publisher to fill in",
    "audit/audit.json": "every number of the audit",
    "audit/*.csv": "its tables, for spreadsheets",
    "audit/policies.csv": "for each answer the DPO scores of the types and of the pooled model, "
    "and every rule's probability, at full precision: all regrets can be recomputed from them",
    "responsibilities.csv": "each user's posterior over types, users numbered",
    "fit.json": "settings, weights, why the fit ended, versions, SHA-256 of the rankings",
    "trace.csv": "log-likelihood and weights by iteration",
    "policy/": "the types' policies, and a card about each",
}
"""What is in a publication."""


def _readme(masked: Fit, result: Audit, *, texts: bool) -> str:
    data = masked.rankings
    version = cell_text(masked.versions.get("emdpo", "not known"))
    lines = [
        "# An audit of preference data",
        "",
        f"Who is served by a language model tuned on these rankings, and who is not: "
        f"{masked.n_types} preference types behind {data.n_rankings:,} rankings by "
        f"{data.n_users:,} users of {data.n_candidates:,} answers to {data.n_prompts:,} prompts, "
        f"audited under {len(result.rules)} rules. Made by emdpo {version}. Begin with "
        "`report.html`.",
        "",
        "| file | content |",
        "| --- | --- |",
        *(f"| `{name}` | {content} |" for name, content in FILES.items()),
        *(["| `answers.csv` | prompts and answers with their ids |"] if texts else []),
        "",
        "## What is not in it",
        "",
        *_absent(masked, result, texts=texts),
        "",
        "It cannot be opened as a run: for that, its owner keeps the run folder or its bundle.",
        "",
        "## How to read the tables",
        "",
        "Texts that a spreadsheet would run as a formula have an apostrophe in front. Regrets, "
        "rules and intervals are defined in `report.html`; emdpo's docs/audit.md recomputes every "
        "regret from `audit/audit.json`, `audit/policies.csv` and `responsibilities.csv` in thirty "
        "lines of NumPy and pandas.",
        "",
        "## How to cite",
        "",
        f"The method: {CITATION}",
        "",
        f"This audit: emdpo {version}, rankings with SHA-256 {cell_text(masked.data_sha256)}, seed "
        f"{masked.config.seed}. The rankings: by what their publisher says in `datasheet.md`.",
        "",
    ]
    return "\n".join(lines)


def _absent(masked: Fit, result: Audit, *, texts: bool) -> list[str]:
    lines = [
        "- No ranking, and no attribute of a single user.",
        "- No user's id: users are numbered in the order in which the file first names them, so "
        "that whoever has the file knows which is which, and nobody else.",
        f"- No name and no size of a group with fewer than {result.config.min_group} users, nor of "
        "one that would give such a group away.",
    ]
    if texts:
        lines.append("- Prompts and answers are in it, with their ids, as its owner asked.")
    else:
        lines.append(
            "- No text and no id of a prompt or an answer: they are numbered in the order of the "
            "file, and topics are numbered instead of named."
        )
    if masked.adapters is not None:
        lines.append(
            "- Adapters were trained on the texts. A language model can repeat what it was trained "
            "on: remove `policy/` if that must not happen."
        )
    return lines
