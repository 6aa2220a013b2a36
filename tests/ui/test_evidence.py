"""The part on rankings that nobody fitted: a job is started, watched, found again, and shown."""

from __future__ import annotations

import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from panels import planted, planted_table

pytest.importorskip("gradio")

import emdpo
from emdpo.audit_files import save_audit
from emdpo.core.errors import RunError
from emdpo.jobs import JobState, folder_of
from emdpo.jobs.evidence import main
from emdpo.refitting import with_refits
from emdpo.ui import audit_downloads
from emdpo.ui import evidence_events as events
from emdpo.ui.workplace import Workplace


@pytest.fixture
def place(tmp_path):
    place = Workplace(tmp_path / "home")
    yield place
    place.close()


@pytest.fixture(scope="module")
def fit():
    return emdpo.fit(planted(n_users=36, answers=3), 2, features="columns", restarts=1)


@pytest.fixture
def run_id(place, fit, tmp_path):
    return place.jobs.add_upload(fit.save(tmp_path / "run"), "run", fit.config.to_dict())


def test_before_a_test_the_part_says_what_to_do(place, run_id):
    job_id, clock, note, start, stop = events.TEST.attach(place, run_id)
    assert (job_id, clock.active, start.interactive, stop.interactive) == ("", False, True, False)
    assert events.NOT_TESTED in note
    way, contents, *_ = events.show(place, run_id)
    assert way.value == "Rankings"
    assert not contents.visible


def test_a_test_runs_as_a_job_and_its_evidence_is_shown_and_kept(place, run_id, wait_for):
    before = place.audit(run_id)
    job_id, clock, _, start, stop = events.TEST.start(place, run_id, "Users")
    assert clock.active and stop.interactive and not start.interactive
    assert events.TEST.attach(place, run_id)[0] in (job_id, "")
    status = wait_for(place, job_id)
    assert (status.state, status.kind) == (JobState.DONE, "evidence"), status.message
    assert status.progress.steps == (5, 5)
    over, clock, note, start, _ = events.TEST.watch(place, run_id, job_id)
    assert (over, clock.active, start.interactive) == ("", False, True)
    assert "36 users that nobody fitted: whole users" in note
    _, contents, words, attribute, _, figure, *_, table, groups = events.show(place, run_id)
    assert contents.visible and attribute.value == "age"
    assert "predict rankings" in words
    assert figure.layout.title.text.startswith("<b>Who is predicted well")
    assert len(table) == len(place.audit(run_id).evidence.policies)
    assert set(groups["group"]) == {"old", "older", "young"}
    assert before.evidence is None
    told = json.loads((folder_of(place.home, run_id) / "audit" / "audit.json").read_text())
    assert told["evidence"] == place.audit(run_id).evidence.to_dict()
    tables = audit_downloads.written(place, "audit-tables.zip", run_id)
    with zipfile.ZipFile(tables) as archive:
        assert "evidence.csv" in archive.namelist()
    figure, rows = events.show_choice(place, run_id, None, "Top choice right")
    assert figure.layout.xaxis.title.text == "top choice right"
    assert rows.empty


def test_opening_the_page_keeps_what_took_long(place, fit, run_id):
    """The audit that the page computes has the evidence and the refits of the command line."""
    folder = folder_of(place.home, run_id)
    audit = with_refits(emdpo.audit(fit, n_bootstrap=5), fit, n_refits=2, n_workers=1)
    tested = emdpo.evidence(fit, folds=2, n_bootstrap=5)
    save_audit(replace(audit, evidence=tested), folder)
    shown = place.audit(run_id)
    assert shown.evidence.to_dict() == tested.to_dict()
    assert shown.refit.n_refits == 2
    told = json.loads((folder / "audit" / "audit.json").read_text())
    assert {"evidence", "refit"} <= told.keys()
    assert place.audit(run_id) is shown  # not read again


def test_one_test_of_a_run_at_a_time(place, run_id):
    first = events.TEST.start(place, run_id, "Rankings")[0]
    again = events.TEST.start(place, run_id, "Users")[0]
    assert again == first
    assert events.TEST.attach(place, run_id)[0] == first


def test_a_stopped_test_says_so_and_may_be_begun_again(place, run_id, wait_for):
    job_id = events.TEST.start(place, run_id, "Rankings")[0]
    assert "Stopping" in events.TEST.stop(place, job_id)
    assert wait_for(place, job_id).state is JobState.STOPPED
    _, _, note, start, _ = events.TEST.watch(place, run_id, job_id)
    assert "Stopped" in note and start.interactive
    assert events.TEST.start(place, run_id, "Rankings")[0] != job_id


def test_one_ranking_a_user_is_held_out_by_candidates(place, tmp_path):
    fit = emdpo.fit(planted(n_users=20, answers=1), 1, features="columns")
    run_id = place.jobs.add_upload(fit.save(tmp_path / "one"), "run", fit.config.to_dict())
    assert events.show(place, run_id)[0].value == "Candidates"


def test_adapters_are_tested_on_what_the_file_held_out(fit):
    assert events._ways(replace(fit, adapters={})).choices == [
        ("What the file held out", "What the file held out")
    ]


def test_a_run_that_came_without_its_file_says_how_else(place, run_id, tmp_path, capsys):
    run = folder_of(place.home, run_id)
    assert main([str(run), "--by", "split", "--out", str(tmp_path / "job")]) == 2
    assert "--rankings FILE" in capsys.readouterr().err


def test_what_the_file_held_out_is_tested_with_the_run_s_own_copy(place, tmp_path):
    table = planted_table(n_users=24, answers=3)
    late = table["ranking_id"].str.endswith("-2")
    table = table.assign(split=np.where(late, "test", "train"))
    fit = emdpo.fit(emdpo.load(table), 2, features="columns", restarts=1)
    run_id = place.jobs.add_upload(fit.save(tmp_path / "split"), "run", fit.config.to_dict())
    run = folder_of(place.home, run_id)
    table.to_csv(run / "job" / "rankings.csv", index=False)
    assert main([str(run), "--by", "split", "--out", str(tmp_path / "job")]) == 0
    assert place.audit(run_id).evidence.everybody.n_rankings == 24


def test_a_test_that_fails_says_why(place, run_id, wait_for):
    (folder_of(place.home, run_id) / "responsibilities.csv").write_text("damaged")
    job_id = events.TEST.start(place, run_id, "Rankings")[0]
    assert wait_for(place, job_id).state is JobState.FAILED
    note = events.TEST.watch(place, run_id, job_id)[2]
    assert "Failed: this run: responsibilities.csv is damaged" in note
    assert str(place.home) not in note


def test_no_run_no_test(place):
    assert "No fitted run yet" in events.TEST.start(place, "", "Rankings")[2]
    assert events.TEST.attach(place, "")[3].interactive is False
    assert not events.show(place, "")[1].visible
    with pytest.raises(RunError):
        place.jobs.start_about("nonsense", "evidence", by="ranking")


def test_the_child_refuses_what_is_no_run_in_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "nowhere"), "--by", "user", "--out", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert '"failed"' in (tmp_path / "progress.jsonl").read_text()
