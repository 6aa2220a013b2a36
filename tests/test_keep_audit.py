"""What takes long stays with a run's audit, however many are at work on it."""

from __future__ import annotations

import json
import threading
from dataclasses import replace

import pytest
from panels import planted

import emdpo
from emdpo.auditing import keep_audit, with_kept
from emdpo.refitting import with_refits


@pytest.fixture(scope="module")
def fit():
    return emdpo.fit(planted(n_users=30, answers=3), 2, features="columns", restarts=1)


@pytest.fixture(scope="module")
def audit(fit):
    return emdpo.audit(fit, n_bootstrap=5)


@pytest.fixture(scope="module")
def tested(fit, audit):
    return replace(audit, evidence=emdpo.evidence(fit, folds=2, n_bootstrap=5))


@pytest.fixture(scope="module")
def refitted(fit, audit):
    return with_refits(audit, fit, 2, n_workers=1)


@pytest.fixture
def run(fit, tmp_path):
    return fit.save(tmp_path / "run")


def told(run):
    return json.loads((run / "audit" / "audit.json").read_text())


def test_an_audit_is_written_with_what_the_run_has_kept(fit, audit, tested, refitted, run):
    keep_audit(tested, fit, run)
    written = keep_audit(refitted, fit, run)
    assert told(run)["evidence"] == tested.evidence.to_dict()
    assert told(run)["refit"] == refitted.refit.to_dict()
    assert written.evidence.to_dict() == tested.evidence.to_dict()
    assert (run / "audit" / "evidence.csv").exists()
    again = with_kept(audit, fit, run)
    assert (again.evidence is None, again.refit is None) == (False, False)


def test_what_was_found_just_now_replaces_what_was_kept(fit, audit, refitted, run):
    keep_audit(refitted, fit, run)
    more = with_refits(audit, fit, 3, n_workers=1)
    assert keep_audit(more, fit, run).refit.n_refits == 3
    assert told(run)["refit"]["n_refits"] == 3


def test_two_that_end_at_once_do_not_lose_each_other_s_results(fit, tested, refitted, run):
    """The first is held up between reading and writing; the second waits for it."""
    reading, going_on = threading.Event(), threading.Event()

    def held_up(kept):
        reading.set()
        assert going_on.wait(20)
        return "page"

    first = threading.Thread(target=keep_audit, args=(tested, fit, run, held_up))
    second = threading.Thread(target=keep_audit, args=(refitted, fit, run))
    first.start()
    assert reading.wait(20)
    second.start()
    second.join(0.5)
    assert second.is_alive()
    going_on.set()
    for thread in (first, second):
        thread.join(20)
    assert {"evidence", "refit"} <= told(run).keys()
    assert (run / "audit" / "report.html").read_text() == "page"
