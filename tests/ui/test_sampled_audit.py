"""The Audit tab where answers were drawn: what stands behind the figures is said beside them."""

from __future__ import annotations

import zipfile
from dataclasses import replace

import numpy as np
import pytest

pytest.importorskip("gradio")

import emdpo
from emdpo.audit_files import save_audit
from emdpo.core.sampled_regret import SampledRegret
from emdpo.demo import demo_file
from emdpo.jobs import folder_of
from emdpo.ui import audit_downloads, audit_tab
from emdpo.ui.workplace import Workplace


def drawn():
    table = {kind: {"consensus": np.array([0.25, 1.0])} for kind in ("kl", "plain")}
    error = {kind: {"consensus": np.array([0.01, np.nan])} for kind in ("kl", "plain")}
    return SampledRegret(1, 9, 4, 64, 0, table, error, {})


@pytest.fixture
def place(tmp_path):
    place = Workplace(tmp_path / "home")
    yield place
    place.close()


def test_the_table_is_shown_with_answers_prompts_and_errors(place, tmp_path):
    """The audit that the tab makes keeps what `emdpo audit --sampled` had drawn for this run."""
    fit = emdpo.fit(emdpo.load(demo_file("classroom.csv")), 2, restarts=1)
    run_id = place.jobs.add_upload(fit.save(tmp_path / "run"), "run", fit.config.to_dict())
    audit = emdpo.audit(fit, n_bootstrap=5)
    save_audit(replace(audit, sampled=drawn()), folder_of(place.home, run_id))
    column, note, table = audit_tab.show(place, run_id)[-3:]
    assert column.visible
    assert "S = 4 answers of each policy to n = 1 of 9 prompts, cut at 64 tokens" in note
    assert table.iloc[0].tolist() == [
        "Min-max consensus", "0.250 +/- 0.010", "1.000 +/- ?", "0.250 +/- 0.010", "1.000 +/- ?",
    ]  # fmt: skip
    tables = audit_downloads.written(place, "audit-tables.zip", run_id)
    with zipfile.ZipFile(tables) as archive:
        assert "sampled.csv" in archive.namelist()


def test_answers_drawn_while_the_page_is_open_are_shown(place, tmp_path):
    fit = emdpo.fit(emdpo.load(demo_file("classroom.csv")), 2, restarts=1)
    run_id = place.jobs.add_upload(fit.save(tmp_path / "run"), "run", fit.config.to_dict())
    before = place.audit(run_id)
    assert before.sampled is None
    save_audit(replace(before, sampled=drawn()), folder_of(place.home, run_id))
    assert place.audit(run_id).sampled.to_dict() == drawn().to_dict()
