"""The part of the Audit tab that sets two runs side by side: its handlers, called as functions."""

from __future__ import annotations

import json
from pathlib import Path

import gradio as gr
import pytest
from panels import planted_table

import emdpo
from emdpo.comparison_tables import figure
from emdpo.jobs.folder import SELECTION
from emdpo.ui import compare_events as events
from emdpo.ui import compare_view as view
from emdpo.ui import session
from emdpo.ui.audit_view import KINDS
from emdpo.ui.fit_events import start_selection

SHARE, A = "Share of its own gain lost", "A's types"
HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}{{x}}`$"


def is_skip(value) -> bool:
    return isinstance(value, dict) and value == gr.skip()


def upload(place, folder, fit, name):
    return place.jobs.add_upload(fit.save(folder / name), name, fit.config.to_dict())


@pytest.fixture(scope="module")
def runs(place, tmp_path_factory):
    """Return ids of two runs of the same people, of two and three types, whose ids are hostile."""
    table = planted_table(n_users=45, answers=4)
    table["user_id"] = HOSTILE + table["user_id"]
    table["age"] = HOSTILE + table["age"]
    rankings, home = emdpo.load(table), tmp_path_factory.mktemp("uploads")
    fits = [emdpo.fit(rankings, k, restarts=2, features="columns") for k in (2, 3)]
    return [upload(place, home, fit, f"{HOSTILE} {fit.n_types}") for fit in fits]


def known(*runs):
    return {"data": "", "run": "", "choice": "", "runs": list(runs)}


def choices(dropdown):
    return [value for _, value in dropdown.choices]


def test_only_finished_runs_of_this_browser_are_offered(place, runs, demo_run):
    """The run on the page is none of them, nor are ids that are no runs, nor strangers' runs."""
    mine = known(runs[0], runs[1], "../../etc", "a" * 22, 7, None)
    offered, contents = events.offer(place, mine, runs[0], None)
    assert choices(offered) == [runs[1]] and offered.value is None and not contents.visible
    assert demo_run[1] not in choices(offered)
    for nobody in (None, {}, {"runs": "x"}, []):
        assert choices(events.offer(place, nobody, runs[0], None)[0]) == []


def test_a_choice_of_the_number_of_types_is_no_run(place, wait_for, runs):
    data_id = place.add_demo("classroom.csv", "classroom")
    job, _ = start_selection(place, data_id, 2, "auto", 0.1, 1.0, 1, 50, 0, False)
    assert wait_for(place, job).kind == SELECTION and place.status(job).has_result
    assert choices(events.offer(place, known(job, runs[1]), runs[0], None)[0]) == [runs[1]]


def test_what_is_compared_stays_while_it_can(place, runs):
    offered, contents = events.offer(place, known(*runs), runs[0], runs[1])
    assert offered.value == runs[1] and is_skip(contents)
    offered, contents = events.offer(place, known(*runs), runs[1], runs[1])
    assert offered.value is None and not contents.visible


def test_two_runs_are_shown_side_by_side(place, runs):
    note, contents, *parts = events.show(place, runs[0], runs[1], SHARE, A)
    assert not note.visible and contents.visible
    assert len(parts) == events.N_FIXED + events.N_CHOSEN
    words, movement, types, settings, moved, download = parts[: events.N_FIXED]
    assert "falls apart into" in words and "stay with their type" in words
    assert len(movement.data) == 1 and movement.data[0].type == "heatmap"
    assert len(types) == 3 and settings.to_numpy().tolist() == [["n_types", "2", "3"]]
    found = emdpo.compare_runs(place.fit(runs[0]), place.fit(runs[1]))
    assert len(moved) == found.n_moved > 0
    told = json.loads(Path(download.value["path"]).read_text("utf-8"))
    assert told == found.to_dict()
    changes, regrets, by_type, groups = parts[events.N_FIXED :]
    assert changes.visible and len(regrets) == found.regret["rule"].nunique()
    assert len(by_type) == 2 * len(regrets) and len(groups)


def test_what_people_typed_stays_text(place, runs):
    words = events.show(place, runs[0], runs[1], SHARE, A)[2]
    assert "<img" not in words and "${" not in words and "&lt;img" in words


def test_the_page_tells_no_folders_of_the_server(place, runs):
    shown = events.show(place, runs[0], runs[1], SHARE, A)
    assert str(place.home) not in shown[2]
    assert str(place.home) not in Path(shown[7].value["path"]).read_text("utf-8")


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("judge", view.JUDGES)
def test_every_kind_and_judge_can_be_chosen(place, runs, kind, judge):
    note, changes, regrets, by_type, _ = events.show_choice(place, *runs, kind, judge)
    assert not note.visible and changes.visible and len(regrets) and len(by_type)
    found = events.comparison(place, *runs)
    row = found.regret.query(
        f"kind == {KINDS[kind]!r} and judged_by == {view.JUDGES[judge]!r} "
        "and rule == 'pooled' and statistic == 'mean'"
    )
    shown = figure(row["value_a"].item(), KINDS[kind])
    assert dict(zip(regrets["rule"], regrets["mean A"], strict=True))["Pooled DPO"] == shown


def test_nothing_chosen_shows_nothing(place, runs):
    note, contents, *rest = events.show(place, runs[0], None, SHARE, A)
    assert is_skip(note) and not contents.visible and all(map(is_skip, rest))
    assert all(map(is_skip, events.show_choice(place, runs[0], "", SHARE, A)))
    note, contents = events.wait(None)
    assert not note.visible and not contents.visible
    note, _ = events.wait(runs[1])
    assert note.visible and "Comparing" in note.value


def test_runs_of_other_people_are_told_so_in_one_line(place, runs, demo_run):
    note, contents, *_ = events.show(place, runs[0], demo_run[1], SHARE, A)
    assert "no user in common (45 and 240 users)" in note.value and not contents.visible


@pytest.mark.parametrize("other", ["../../etc", "a" * 22])
def test_a_run_that_is_gone_is_told_so_in_one_line(place, runs, other):
    note, contents, *_ = events.show(place, runs[0], other, SHARE, A)
    assert "one of the two runs is gone" in note.value and not contents.visible
    assert "is gone" in events.show_choice(place, other, runs[0], SHARE, A)[0].value


def test_a_bundle_is_taken_in_chosen_and_remembered_by_this_browser_alone(place, runs):
    mine = known(runs[0])
    other, kept, note = events.take_in(place, str(place.bundle(runs[1])), mine, runs[0])
    assert other.value not in runs and choices(other) == [other.value]
    assert kept == {**mine, "runs": [other.value, runs[0]]} and mine == known(runs[0])
    assert note.visible
    note, contents, *_ = events.show(place, runs[0], other.value, SHARE, A)
    assert contents.visible and not note.visible


def test_a_file_that_is_no_run_is_refused_and_nothing_stays_chosen(place, runs, tmp_path):
    path = tmp_path / "no.zip"
    path.write_bytes(b"PK nonsense")
    other, kept, note = events.take_in(place, str(path), known(), runs[0])
    assert other.value is None and is_skip(kept) and "not a sound zip" in note.value
    assert is_skip(events.show(place, runs[0], None, SHARE, A)[0])


def test_a_browser_knows_a_run_once():
    mine = session.with_run({"runs": ["b" * 22, "../x"], "data": "d"}, "a" * 22)
    assert mine == {"runs": ["a" * 22, "b" * 22], "data": "d"}
    assert session.with_run(mine, "b" * 22)["runs"] == mine["runs"]
    assert session.with_run("nonsense", "")["runs"] == []


def test_long_cells_are_cut():
    assert view._cut("x" * 500) == "x" * 199 + "…" and view._cut("x" * 200) == "x" * 200
