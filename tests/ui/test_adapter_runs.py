"""The page shows a run of adapters: their words as a reading, their base model, their warnings."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
from panels import planted
from trainers import ByHand, install

import emdpo
from emdpo.bundles import pack
from emdpo.core.evidence import user_evidence
from emdpo.jobs import JobState
from emdpo.jobs.progress import ProgressReader
from emdpo.ui import fit_events, types_tab
from emdpo.ui.fit_view import config_html, state_html
from emdpo.ui.strip import strip_html
from emdpo.ui.types_view import user_html


@pytest.fixture(scope="module")
def adapter_run(place, tmp_path_factory):
    """Return the id of a run of adapters that was uploaded."""
    folder = tmp_path_factory.mktemp("adapters")
    with pytest.MonkeyPatch.context() as patch:
        install(patch, ByHand())
        fit = emdpo.fit(planted(), 3, policy="adapters", base_model="a/<b>", restarts=1)
    return place.add_bundle(pack(fit.save(folder / "run"), folder / "run.zip"), "mine.zip")


def test_the_types_tab_says_that_words_are_a_reading(place, adapter_run, demo_run):
    cards = types_tab.show(place, adapter_run)[3]
    assert "not the adapters themselves" in cards and "A telling choice" in cards
    assert "not the adapters themselves" not in types_tab.show(place, demo_run[1])[3]
    user = place.fit(adapter_run).rankings.users.index[0]
    assert "together they give the probability above" in types_tab.show_user(
        place, adapter_run, user
    )


def test_the_strip_names_the_base_model(place, adapter_run, demo_run):
    assert "a/&lt;b&gt;" in strip_html(place, "", adapter_run)
    assert "none needed (log-linear)" in strip_html(place, *demo_run)


def test_the_fit_tab_shows_settings_and_warnings(place, adapter_run):
    assert "Warning: 2 of 7 answers were cut." in fit_events.certainty(place, adapter_run)
    shown = config_html(place.status(adapter_run))
    assert "a/&lt;b&gt;" in shown and "adapters" in shown


@pytest.mark.parametrize(
    ("event", "words", "percent"),
    [
        ({"event": "loading"}, "loading the base model", 0),
        ({"event": "trunk"}, "what all adapters share", 0),
        ({"event": "step", "round": 2, "rounds": 4, "done": 0.5}, "round 2 of at most 4, 50%", 34),
        ({"event": "scoring", "round": 2, "rounds": 4, "done": 0.5}, "the answers, 50%", 47),
        ({"event": "round", "round": 2}, "round 2 done", 50),
    ],
)
def test_training_under_way_is_told(place, adapter_run, tmp_path, event, words, percent):
    log = tmp_path / "progress.jsonl"
    started = {"event": "started", "time": 0.0}
    log.write_text("".join(f"{json.dumps(each)}\n" for each in (started, event)))
    progress = ProgressReader(log).read()
    assert progress.training == event and progress.steps is None
    config = {"restarts": 10, "adapters": {"rounds": 4}}
    told = {"state": JobState.RUNNING, "kind": "fit", "progress": progress, "config": config}
    shown = state_html(replace(place.status(adapter_run), **told))
    assert words in shown and f'aria-valuenow="{percent}"' in shown


def test_a_posterior_that_was_cross_fitted_is_told_as_such(place, adapter_run):
    fit = place.fit(adapter_run)
    softer = (fit.responsibilities + 0.1) / 1.3
    user = fit.rankings.users.index[0]
    evidence = user_evidence(fit.rankings, fit.policies, softer, fit.weights, user)
    assert "not been trained on the ranking" in user_html(evidence)
