"""The Compare page without a browser: what its form asks, its events show, its tables say."""

from __future__ import annotations

import zipfile
from dataclasses import replace
from types import SimpleNamespace

import gradio as gr
import pytest
from comparisons import small_comparison

from emdpo.core.errors import EmdpoError
from emdpo.jobs import JobState
from emdpo.methods.registry import METHODS
from emdpo.ui.head_to_head import view
from emdpo.ui.head_to_head.events import CompareEvents
from emdpo.ui.head_to_head.form import MOST_DRAWS, methods_for, settings_of
from emdpo.ui.head_to_head.page import layout

FORM = {
    "source": "demo",
    "methods": ["dpo", "reference"],
    "features": "auto",
    "group": "",
    "cut": 0,
    "new_share": 0.25,
    "seed": 0,
    "draws": 100,
}


@pytest.fixture(scope="module")
def page():
    with gr.Blocks():
        return layout()


@pytest.fixture(scope="module")
def events(place, page):
    return CompareEvents(place, page)


def test_the_truth_is_offered_for_simulations_alone():
    assert set(methods_for("simulation")) == set(METHODS)
    assert set(METHODS) - set(methods_for("demo")) == {"known_types"}


def test_settings_are_those_of_the_form_in_the_order_of_the_registry():
    assert settings_of(**FORM) == {
        "methods": ["reference", "dpo"],
        "features": "auto",
        "new_share": 0.25,
        "n_bootstrap": 100,
        "seed": 0,
    }
    assert settings_of(**{**FORM, "group": "age"})["group"] == "age"
    assert settings_of(**{**FORM, "cut": 3.0})["cut"] == 3
    methods = ["dpo", "known_types"]
    assert settings_of(**{**FORM, "methods": methods})["methods"] == ["dpo"]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"methods": []}, "choose at least one method"),
        ({"methods": ["known_types"]}, "choose at least one method"),
        ({"cut": 1}, "cut must be at least 2"),
        ({"cut": None}, "answers of a list must be a whole number"),
        ({"new_share": 1.0}, "new_share must be between 0 and 1"),
        ({"new_share": None}, "share of new users must be a number"),
        ({"seed": 1.5}, "seed must be a whole number"),
        ({"seed": -1}, "seed must be a whole number, 0 or more"),
        ({"draws": None}, "draws of users must be a whole number"),
        ({"draws": 0}, "n_bootstrap must be at least 1"),
        ({"draws": MOST_DRAWS + 1}, "at most 5,000 on this page"),
    ],
)
def test_what_the_form_may_not_ask(wrong, message):
    with pytest.raises(EmdpoError, match=message):
        settings_of(**{**FORM, **wrong})


def test_a_source_shows_its_controls_methods_and_groups(events, page, place):
    shown = events.choose("simulation", {}, "", ["dpo"])
    assert shown[page.form.simulation].visible and not shown[page.form.files].visible
    assert shown[page.form.methods].value == ["dpo", "known_types"]
    shown = events.choose("demo", {}, "", ["dpo", "known_types"])
    assert shown[page.form.methods].value == ["dpo"]
    groups = [value for _, value in shown[page.form.group].choices]
    assert groups[0] == "" and "region" in groups
    assert "240 users" in shown[page.form.note].value
    assert shown[page.start].interactive
    shown = events.choose("workbench", {"data": "nothing"}, "", ["dpo"])
    assert not shown[page.start].interactive and "no longer here" in shown[page.form.note].value
    mine = {"data": place.add_demo("classroom.csv", "classroom")}
    assert "classroom" in events.choose("workbench", mine, "", ["dpo"])[page.form.note].value


def test_an_upload_goes_through_the_same_checks(events, page, tmp_path):
    users = events.load(None, str(tmp_path / "users.csv"), {}, "")
    assert "choose the rankings file" in users[page.form.note]
    bad = tmp_path / "bad.csv"
    bad.write_text("user_id,prompt\n1,<b>a</b>\n")
    shown = events.load(str(bad), None, {}, "")
    assert "no such column" in shown[page.form.note].value
    assert not shown[page.start].interactive
    refused = events.start("file", {}, shown[page.own_data], "", *list(FORM.values())[1:])
    assert "cannot be used yet" in refused[page.state]


def test_a_comparison_is_started_watched_shown_and_found_again(events, page, place, wait_for):
    mine = {"data": place.add_demo("classroom.csv", "classroom")}
    shown = events.start("workbench", mine, "", "", *list(FORM.values())[1:])
    job_id = shown[page.job_id]
    assert shown[page.kept] == {"job": job_id} and shown[page.clock].active
    assert not shown[page.start].interactive and shown[page.stop].interactive
    assert shown[page.shown] == ""
    status = wait_for(place, job_id, 150.0)
    assert status.state is JobState.DONE, status.message
    assert status.progress.steps == (2, 2)
    again = events.begin(mine, {"job": job_id}, "")
    assert again[page.shown] == job_id and not again[page.clock].active
    assert again[page.form.source] == "workbench"
    results = events.show(job_id, "log_loss", None)
    assert results[page.contents].visible
    assert "pooled DPO" in results[page.headline]
    assert "l2=" in results[page.facts]
    assert zipfile.is_zipfile(place.comparison_bundle(job_id))
    other = events.show_measure(job_id, "tau", "new 0")
    assert "tau-b" in other[page.headline] and len(other[page.differences].data) == 1
    hidden = events.show("", "log_loss", None)
    assert not hidden[page.contents].visible


def test_a_comparison_is_stopped_and_leaves_nothing(events, page, place, wait_for):
    started = events.start("simulation", {}, "", "five-types", list(METHODS), *[*FORM.values()][2:])
    job_id = started[page.job_id]
    events.stop(job_id)
    status = wait_for(place, job_id)
    assert status.state is JobState.STOPPED and not status.has_result
    shown = events.watch(job_id)
    assert shown[page.shown] == "" and shown[page.start].interactive
    assert "pill-stopped" in shown[page.state]


def test_an_id_of_something_else_is_no_comparison(events, page, demo_run):
    shown = events.begin({}, {"job": demo_run[1]}, "")
    assert shown[page.job_id] == "" and shown[page.shown] == ""


def test_a_table_has_means_intervals_ranks_and_the_sorting_column():
    found = small_comparison()
    html = view.measure_html(found, "log_loss", ("new", 2))
    row = found.of("log_loss", "new", 2)[1]
    assert f"{row.mean:.3f}" in html and f"{row.interval[0]:.3f} to {row.interval[1]:.3f}" in html
    assert html.count("New users, 2 known ▾") == 1
    rows = html.split("<tr>")[2:]
    assert len(rows) == len(found.methods)
    assert [r.split("</th>")[0].split(">")[-1] for r in rows] == [
        each.method for each in found.of("log_loss", "new", 2)
    ]
    assert "rank" not in next(r for r in rows if "known_types" in r)
    assert 'tabindex="0"' in html and "aria-label" in html


def test_the_part_chosen_or_the_last():
    found = small_comparison()
    assert view.chosen_part(found, "new 1") == ("new", 1)
    assert view.chosen_part(found, "seen") == ("seen", None)
    assert view.chosen_part(found, "new 8") == view.chosen_part(found, None) == ("new", 2)


def test_what_people_named_stays_text():
    found = small_comparison()
    facts = replace(found.facts[0], worst_group=("<img src=x>", 0.1, 12))
    html = view.facts_html(replace(found, facts=(facts,), left_out={"pal": "<script>"}))
    assert "<img" not in html and "<script>" not in html and "&lt;img" in html
    assert "Left out: &lt;script&gt;" in html


def test_what_each_method_assumes_is_told_and_what_is_missing():
    html = view.assumptions_html()
    assert all(f">{name}</th>" in html for name in METHODS)
    assert "Missing: VPL" in html and "arXiv" in html


def test_the_settings_of_a_comparison_are_told_with_it():
    config = {"new_share": 0.25, "seed": 3, "cut": 4, "group": "<age>"}
    told = view.settings_html(SimpleNamespace(name="my rankings", config=config))
    assert "Data: my rankings; new users: 25%; seed: 3" in told
    assert "long rankings cut into lists of: 4" in told and "&lt;age&gt;" in told
    del config["cut"]
    assert "cut" not in view.settings_html(SimpleNamespace(name="my rankings", config=config))
