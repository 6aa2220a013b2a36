"""The part on types found anew: a job is started, watched, found again, stopped, and shown."""

from __future__ import annotations

import json
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from panels import planted

pytest.importorskip("gradio")

import emdpo
from emdpo.chosen import Chosen, save_chosen
from emdpo.core.errors import EmdpoError
from emdpo.jobs import Jobs, JobState, folder_of
from emdpo.jobs import refits as child
from emdpo.jobs.folder import EVIDENCE, REFITS
from emdpo.jobs.refits import main
from emdpo.refitting import with_refits
from emdpo.ui import audit_downloads, audit_tab, evidence_events
from emdpo.ui import refit_events as events
from emdpo.ui.workplace import Workplace

KIND = "Share of its own gain lost"


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


@pytest.fixture
def few_draws(monkeypatch):
    """Offer fewer draws than people would want."""
    monkeypatch.setattr(events, "DRAWS", (4, 200))


def run_of(place, run_id):
    return folder_of(place.home, run_id)


def told(place, run_id):
    return json.loads((run_of(place, run_id) / "audit" / "audit.json").read_text())


def test_before_it_the_part_says_what_to_do(place, run_id):
    job_id, clock, note, start, stop = events.REFIT.attach(place, run_id)
    assert (job_id, clock.active, start.interactive, stop.interactive) == ("", False, True, False)
    assert events.NOT_FOUND_ANEW in note
    form, draws, contents, *_ = events.show(place, run_id, KIND, "age", None)
    assert form.visible and not contents.visible
    assert draws.choices == [("50 draws", 50), ("200 draws", 200), ("1,000 draws", 1000)]


@pytest.mark.usefixtures("few_draws")
def test_types_are_found_anew_by_a_job_and_the_audit_follows(place, run_id, wait_for):
    before = audit_tab.show(place, run_id)
    job_id, clock, _, start, stop = events.REFIT.start(place, run_id, 4)
    assert clock.active and stop.interactive and not start.interactive
    status = wait_for(place, job_id)
    assert (status.state, status.kind) == (JobState.DONE, "refits"), status.message
    assert (status.progress.steps, status.config["draws"]) == ((4, 4), 4)
    over, clock, note, start, _ = events.REFIT.watch(place, run_id, job_id)
    assert (over, clock.active, start.interactive) == ("", False, True)
    assert "n = 36 users drawn with replacement, 4 times (seed 0)" in note
    _, _, contents, words, by_rule, rule, by_group, groups, rules = events.show(
        place, run_id, KIND, "age", None
    )
    assert contents.visible and rule.value == "pooled" and by_group.visible
    assert "adjusted Rand index" in words
    assert by_rule.layout.title.text.startswith("<b>How sure is")
    assert set(groups["group"]) == {"old", "older", "young"}
    audit = place.audit(run_id)
    assert len(rules) == len(audit.rules)
    assert told(place, run_id)["refit"] == audit.refit.to_dict()
    assert "anew" not in before[3]
    chosen = (place, job_id, run_id, "age", KIND, ["pooled"])
    assert set(map(str, audit_tab.show_refitted(*chosen))) == {"{'__type__': 'update'}"}
    _, findings, *_, by_type, by_group, matrix = audit_tab.show_refitted(place, "", *chosen[2:])
    assert "interval, types found anew" in by_group.columns
    assert findings == audit_tab.findings_html(audit)
    tables = audit_downloads.written(place, "audit-tables.zip", run_id)
    with zipfile.ZipFile(tables) as archive:
        assert b"refitted_low" in archive.read("groups.csv")


def test_downloads_are_written_anew_once_the_audit_has_more(place, fit, run_id):
    numbers = audit_downloads.written(place, "audit.json", run_id)
    assert "refit" not in json.loads(numbers.read_text())
    emdpo.auditing.keep_audit(
        with_refits(place.audit(run_id), fit, 2, n_workers=1), fit, run_of(place, run_id)
    )
    audit_downloads.written(place, "audit.json", run_id)
    assert json.loads(numbers.read_text())["refit"]["n_refits"] == 2


def test_a_running_job_is_found_after_a_reload_and_by_another_server(place, run_id):
    job_id = events.REFIT.start(place, run_id, 1000)[0]
    assert events.REFIT.attach(place, run_id)[0] == job_id
    assert events.REFIT.start(place, run_id, 50)[0] == job_id  # one at a time
    until_it_draws(place, job_id)
    again = Workplace(place.home)
    try:
        found, clock, note, *_ = events.REFIT.attach(again, run_id)
        assert (found, clock.active) == (job_id, True)
        assert "of 1000 draws" in note
    finally:
        again.close()


def until_it_draws(place, job_id, seconds=60):
    limit = time.monotonic() + seconds
    while not (place.status(job_id).progress.steps or (0, 0))[0]:
        assert time.monotonic() < limit, place.status(job_id)
        time.sleep(0.05)


def test_it_stops_after_a_draw_keeps_nothing_and_may_be_begun_again(place, run_id, wait_for):
    job_id = events.REFIT.start(place, run_id, 1000)[0]
    until_it_draws(place, job_id)
    assert "Stopping" in events.REFIT.stop(place, job_id)
    status = wait_for(place, job_id, 30)
    assert (status.state, status.has_result) == (JobState.STOPPED, False)
    assert 0 < status.progress.steps[0] < 1000
    _, _, note, start, _ = events.REFIT.watch(place, run_id, job_id)
    assert "Stopped" in note and start.interactive
    assert place.audit(run_id).refit is None
    assert (folder_of(place.home, job_id) / "job" / "stderr").read_text() == ""
    assert events.REFIT.start(place, run_id, 50)[0] != job_id


@pytest.mark.usefixtures("few_draws")
def test_jobs_of_both_kinds_at_once_keep_each_other_s_results(place, fit, run_id, wait_for):
    """Two slots: both run at the same time, and both write the run's audit."""
    jobs = Jobs(place.home, slots=2)
    place.jobs.close()
    place.jobs = jobs
    drawn = events.REFIT.start(place, run_id, 4)[0]
    tested = evidence_events.TEST.start(place, run_id, "Rankings")[0]
    assert drawn != tested
    assert events.REFIT.attach(place, run_id)[0] == drawn
    assert evidence_events.TEST.attach(place, run_id)[0] == tested
    assert {place.status(job).state for job in (drawn, tested)} == {JobState.RUNNING}
    for job in (drawn, tested):
        assert wait_for(place, job).state is JobState.DONE
    assert {"refit", "evidence"} <= told(place, run_id).keys()
    audit = place.audit(run_id)
    assert audit.refit.n_refits == 4 and audit.evidence is not None


def test_a_policy_saved_meanwhile_is_in_the_audit_that_is_kept(
    place, fit, run_id, tmp_path, monkeypatch
):
    """The intervals are those of the rules that were there at the start; `given` has none yet."""
    run = run_of(place, run_id)

    def and_choose(*given, **options):
        found = with_refits(*given, n_workers=1, **options)
        save_chosen(run, Chosen("mixture", (0.25, 0.75), "Mine"))
        return found

    monkeypatch.setattr(child, "with_refits", and_choose)
    assert main([str(run), "--draws", "2", "--out", str(tmp_path / "job")]) == 0
    assert "given" in told(place, run_id)["weights"]
    refit = place.audit(run_id).refit
    assert np.isnan(refit.worst["share"]["given"]).all()
    assert np.isfinite(refit.worst["share"]["pooled"]).all()
    *_, groups, rules = events.show(place, run_id, KIND, "age", "given")
    assert groups.empty
    assert rules.set_index("rule").loc["Given weights", "types found anew"] == "-"


def test_how_long_it_takes_is_told_by_the_fit_s_own_log(place, run_id):
    """Ten starts in 20 s: a draw takes 2 s at most."""
    log = run_of(place, run_id) / "progress.jsonl"
    starts = [{"event": "restart", "restart": number} for number in range(10)]
    lines = [*starts, {"event": "finished", "seconds": 20.0, "log_likelihood": -1.0}]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    _, draws, *_ = events.show(place, run_id, KIND, None, None)
    assert [label for label, _ in draws.choices] == [
        "50 draws (about 2 min)",
        "200 draws (about 7 min)",
        "1,000 draws (about 33 min)",
    ]


@pytest.mark.parametrize("seconds", ["long", None, float("inf")])
def test_a_log_that_came_from_anybody_is_not_believed_blindly(place, run_id, seconds):
    log = run_of(place, run_id) / "progress.jsonl"
    lines = [{"event": "restart", "restart": 0}, {"event": "finished", "seconds": seconds}]
    log.write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    assert events.seconds_per_draw(place, run_id) is None


def test_adapters_are_not_for_it_in_one_line(place, fit, tmp_path):
    config = replace(fit.config, policy="adapters").to_dict()
    run_id = place.jobs.add_upload(fit.save(tmp_path / "run"), "run", config)
    job_id, _, note, start, _ = events.REFIT.attach(place, run_id)
    assert (job_id, start.interactive) == ("", False)
    assert events.NOT_FOR_ADAPTERS in note
    assert events.NOT_FOR_ADAPTERS in events.REFIT.start(place, run_id, 50)[2]
    form, _, contents, *_ = events.show(place, run_id, KIND, None, None)
    assert not form.visible and not contents.visible
    assert place.jobs.active_about(run_id, REFITS) is None


def test_a_job_that_fails_says_why(place, run_id, wait_for):
    (run_of(place, run_id) / "responsibilities.csv").write_text("damaged")
    job_id = place.jobs.start_about(run_id, REFITS, draws=2)
    assert wait_for(place, job_id).state is JobState.FAILED
    assert (
        "Failed: this run: responsibilities.csv is damaged"
        in (events.REFIT.watch(place, run_id, job_id)[2])
    )


def test_no_run_nothing_to_find_anew(place):
    assert "No fitted run yet" in events.REFIT.start(place, "", 50)[2]
    assert events.REFIT.attach(place, "")[3].interactive is False
    assert not events.show(place, "", KIND, None, None)[2].visible
    assert place.jobs.active_about("nonsense", EVIDENCE) is None


def test_a_number_of_draws_that_is_not_offered_is_not_taken():
    assert events.REFIT.settings(10**9) == {"draws": events.USUAL_DRAWS}
    assert events.REFIT.settings(50) == {"draws": 50}


def test_the_child_refuses_what_it_cannot_do_in_one_line(tmp_path, capsys, run_id, place):
    out = str(tmp_path / "job")
    assert main([str(tmp_path / "nowhere"), "--draws", "2", "--out", out]) == 2
    assert capsys.readouterr().err.startswith("error: ")
    assert main([str(run_of(place, run_id)), "--draws", "1", "--out", out]) == 2
    assert "refits must be from 2 to 10,000" in capsys.readouterr().err


def test_an_unfinished_run_cannot_be_asked(place):
    with pytest.raises(EmdpoError, match="no such run"):
        place.jobs.start_about("a" * 22, REFITS, draws=2)
