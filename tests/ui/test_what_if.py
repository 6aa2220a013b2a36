"""The events of the what-if, called as plain functions on the fitted demo."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace

import gradio as gr
import numpy as np
import pytest

import emdpo
from emdpo.chosen import Chosen, load_chosen
from emdpo.demo import demo_file
from emdpo.jobs import folder_of
from emdpo.ui import audit_downloads, audit_tab, fit_events
from emdpo.ui.app import build_app
from emdpo.ui.what_if_events import WhatIfEvents, WhatIfTab
from emdpo.ui.workplace import Workplace
from emdpo.what_if import what_if

SHARE, KL = "Share of its own gain lost", "KL regret"
HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}"


@pytest.fixture(scope="module")
def events(place):
    with gr.Blocks():
        parts = {name: gr.State() for name in WhatIfTab.__dataclass_fields__}
        parts["sliders"] = tuple(gr.State() for _ in range(8))
        return WhatIfEvents(place, WhatIfTab(**parts))


@pytest.fixture(scope="module")
def tab(events):
    return events._tab


@pytest.fixture
def own_run(place, demo_run):
    """A copy of the demo's run, to save policies in."""
    return place._copy(folder_of(place.home, demo_run[1]), "mine")


def cells(table):
    """Return the text of an HTML table's cells, row by row."""
    rows = re.findall(r"<tr>(.*?)</tr>", table)
    return [re.findall(r"<t[hd][^>]*>(?:<b>)?(.*?)(?:</b>)?</t[hd]>", row) for row in rows]


def test_the_part_starts_from_the_shares_of_the_types(events, tab, place, demo_run):
    shown = events.show(demo_run[1], SHARE, "region")
    audit = place.audit(demo_run[1])
    _, form, weights = shown[tab.blend]
    assert shown[tab.contents].visible and form == shown[tab.form] == "mixture"
    np.testing.assert_allclose(weights, audit.prevalence)
    visible = [shown[slider].visible for slider in tab.sliders]
    assert visible == [True] * 3 + [False] * 5
    assert shown[tab.sliders[0]].label == f"Type 1 ({audit.prevalence[0]:.0%})"
    assert shown[tab.start].value == "prevalence"
    offered = {rule for _, rule in shown[tab.start].choices}
    assert {"mixture", "consensus", "type-3"} < offered and "pooled" not in offered
    assert shown[tab.position].visible and shown[tab.saved] == ""


def test_a_move_shows_what_types_and_groups_lose_with_n_and_interval(events, tab, place, demo_run):
    """Weights 20, 20, 60 are made to sum to one; the figures are those of the audit's mixture."""
    shown = events.move(demo_run[1], SHARE, "region", "mixture", 20, 20, 60, 0, 0, 0, 0, 99)
    np.testing.assert_allclose(shown[tab.blend][2], [0.2, 0.2, 0.6])
    assert "Type 1 20.0%, Type 2 20.0%, Type 3 60.0%" in shown[tab.weights]
    audit = emdpo.audit(place.fit(demo_run[1]), n_bootstrap=5, weights=(0.2, 0.2, 0.6))
    rows = cells(shown[tab.losses])
    assert rows[0] == ["who", "users", "regret", "95% interval", "Pooled DPO", "change"]
    told = {row[0]: row for row in rows[1:] if len(row) == 6}
    for k in range(3):
        row = told[f"Type {k + 1} ({audit.prevalence[k]:.0%})"]
        assert row[2] == f"{audit.regret['share']['given'][k]:.1%}" and " to " in row[3]
        assert row[4] == f"{audit.regret['share']['pooled'][k]:.1%}"
    regions = [group for group in audit.groups if group.attribute == "region"]
    assert len(told) == 3 + len(regions)
    for group in regions:
        assert told[group.value][1:3] == [
            str(group.n), f"{group.regret['share']['given']:.1%}"
        ]  # fmt: skip
        change = group.regret["share"]["given"] - group.regret["share"]["pooled"]
        assert told[group.value][5] == f"{100 * change:+.1f} points"
    assert "n = 60 prompts" in shown[tab.losses]
    assert f"<b>{audit.worst('share')['given']:.1%}</b>" in shown[tab.summary]
    point = shown[tab.tradeoff].data[-1]
    assert point.y[0] == pytest.approx(audit.worst("share")["given"])
    assert shown[tab.start] is None


def test_the_consensus_of_a_rule_is_shown_as_in_the_audit(events, tab, place, demo_run):
    audit = place.audit(demo_run[1])
    shown = events.begin(demo_run[1], KL, None, "consensus")
    assert shown[tab.form] == "consensus" and shown[tab.blend][1] == "consensus"
    assert shown[tab.blend][2] == audit.weights["consensus"].tolist()  # in full precision
    assert f"<b>{audit.worst('kl')['consensus']:.3f}</b>" in shown[tab.summary]
    again = events.reshape(demo_run[1], KL, None, "mixture", shown[tab.blend])
    assert again[tab.blend] == (demo_run[1], "mixture", shown[tab.blend][2])
    assert again[tab.summary] != shown[tab.summary]


@pytest.mark.parametrize(("kind", "form"), [(SHARE, "mixture"), (KL, "consensus")])
def test_the_position_moves_from_least_mean_to_least_worst(
    events, tab, place, demo_run, kind, form
):
    shown = [events.slide(demo_run[1], kind, None, position) for position in (0, 50, 100)]
    ends = [each[tab.tradeoff].data[-1] for each in shown]
    means, worsts = [end.x[0] for end in ends], [end.y[0] for end in ends]
    assert means == sorted(means) and worsts == sorted(worsts, reverse=True)
    last = shown[-1]
    assert last[tab.form] == last[tab.blend][1] == form
    if form == "consensus":
        best = place.audit(demo_run[1]).worst("kl")["consensus"]
        assert worsts[-1] == pytest.approx(best, rel=1e-5)
    weights = [last[slider].value for slider in tab.sliders[:3]]
    assert weights == pytest.approx([100 * a for a in last[tab.blend][2]], abs=0.051)


def test_another_kind_or_other_groups_show_the_same_blend(events, tab, demo_run):
    blend = (demo_run[1], "mixture", [0.5, 0.25, 0.25])
    by_region = events.look(demo_run[1], SHARE, "region", blend)
    by_age = events.look(demo_run[1], KL, "age_band", blend)
    assert by_region[tab.blend] == by_age[tab.blend] == blend
    assert "Groups by region" in by_region[tab.losses] and "18-29" in by_age[tab.losses]
    assert "points" in by_region[tab.losses] and "points" not in by_age[tab.losses]
    crossed = events.look(demo_run[1], SHARE, "age_band \u00d7 region", blend)
    assert "Groups by age_band" in crossed[tab.losses]


def test_all_sliders_at_zero_are_told_so_and_nothing_moves(events, tab, demo_run):
    for values in ([0] * 8, [None] * 8, [float("nan"), 0, 0], [-5, 0, 0]):
        shown = events.move(demo_run[1], SHARE, "region", "mixture", *values)
        assert "give at least one type some weight" in shown[tab.note].value
        assert set(shown) == {tab.note}


@pytest.mark.parametrize("run_id", ["", "a" * 22, "../x"])
def test_without_a_run_nothing_is_shown(events, tab, run_id):
    assert not events.show(run_id, SHARE, None)[tab.contents].visible
    assert "line-error" in events.move(run_id, SHARE, None, "mixture", 1)[tab.note].value
    kept, mark, told = events.save(run_id, (run_id, "mixture", [1.0]), "")
    assert kept == mark == gr.skip() and "line-error" in told


def test_strange_input_is_one_line(events, tab, place, demo_run):
    for shown in (
        events.begin(demo_run[1], SHARE, None, "pooled"),
        events.begin(demo_run[1], SHARE, None, None),
        events.move(demo_run[1], SHARE, None, "median", 1, 1, 1),
    ):
        assert "line-error" in shown[tab.note].value
    odd = events.slide(demo_run[1], "no such kind", HOSTILE, 1e9)
    assert odd[tab.blend][1] == "mixture" and HOSTILE not in odd[tab.losses]
    assert events.look(demo_run[1], SHARE, None, ("mixture", [0.5, 0.5]))[tab.blend][1] != [
        0.5,
        0.5,
    ]


def test_a_saved_policy_is_in_the_audit_at_once_and_in_the_downloads(events, tab, place, own_run):
    before = place.audit(own_run)
    assert "given" not in before.rules
    blend = (own_run, "consensus", [0.2, 0.3, 0.5])
    run_id, mark, told = events.save(own_run, blend, f"Ours {HOSTILE[:20]}")
    assert run_id == own_run and len(mark) == 22
    assert "Type 1 20.0%, Type 2 30.0%, Type 3 50.0%" in told and "<img" not in told
    assert load_chosen(folder_of(place.home, own_run), 3).name.startswith("Ours <img")
    audit = place.audit(own_run)
    assert audit.rules[-1] == "given" and audit.config.weights_form == "consensus"
    note, findings, rules, *figures = audit_tab.show_chosen(
        place, own_run, "region", KL, ["pooled"]
    )
    assert not note.visible and "report" in findings and len(figures) == 7
    assert rules.value == ["pooled", "given"] and ("Given weights", "given") in rules.choices
    assert "Given weights" in figures[4]["rule"].tolist()
    renewed = events.renew(own_run, KL, "region", blend)
    assert renewed[tab.start].value == "given" and renewed[tab.blend] == blend
    assert "Given weights" in [trace.name for trace in renewed[tab.tradeoff].data]
    numbers = audit_downloads.written(place, "audit.json", own_run)
    assert json.loads(numbers.read_text())["weights"]["given"] == [0.2, 0.3, 0.5]
    again = events.show(own_run, KL, "region")
    assert again[tab.blend] == blend and "Saved “Ours" in again[tab.saved]


def test_a_saved_policy_leaves_with_the_run_and_comes_back(events, place, own_run):
    events.save(own_run, (own_run, "mixture", [0.2, 0.3, 0.5]), "Ours")
    run_id, told = fit_events.open_bundle(place, str(place.bundle(own_run)))
    assert "line-good" in told
    assert place.audit(run_id).weights["given"].tolist() == [0.2, 0.3, 0.5]


def test_another_save_replaces_the_first(events, place, own_run):
    events.save(own_run, (own_run, "mixture", [0.2, 0.3, 0.5]), "")
    place.audit(own_run)
    time.sleep(0.01)
    events.save(own_run, (own_run, "mixture", [0.5, 0.3, 0.2]), "")
    assert place.audit(own_run).weights["given"].tolist() == [0.5, 0.3, 0.2]


def test_what_cannot_be_saved_is_one_line(events, demo_run):
    """Nothing, another run's, too few weights, no weights, a name that is too long."""
    here = demo_run[1]
    for blend, name in (
        (None, ""),
        (("a" * 22, "mixture", [1, 0, 0]), ""),
        ((here, "mixture", [0.5, 0.5]), ""),
        ((here, "mixture", [0.5, 0.3, 0.0]), ""),
        ((here, "mixture", [1, 0, 0]), "x" * 99),
    ):
        kept, mark, told = events.save(here, blend, name)
        assert kept == mark == gr.skip() and "line-error" in told and "log id" not in told


def test_a_damaged_choice_is_one_line_without_its_path(events, tab, place, own_run):
    path = folder_of(place.home, own_run) / "audit" / "chosen.json"
    path.write_text("{}")
    told = audit_tab.show(place, own_run)[0].value
    assert "chosen.json" in told and str(place.home) not in told
    shown = events.show(own_run, SHARE, None)[tab.note].value
    assert "chosen.json" in shown and str(place.home) not in shown


def test_one_type_has_nothing_to_blend_and_many_are_sent_to_the_command_line(events, tab, tmp_path):
    place = Workplace(tmp_path / "home")
    other = WhatIfEvents(place, tab)
    rankings = emdpo.load(demo_file("classroom.csv"))
    for n_types, words in ((1, "nothing to blend"), (9, "emdpo audit RUN --weights")):
        fit = emdpo.fit(rankings, n_types, restarts=1, force=True)
        run = fit.save(tmp_path / f"run{n_types}")
        run_id = place.jobs.add_upload(run, "run", fit.config.to_dict())
        shown = other.show(run_id, SHARE, None)
        assert words in shown[tab.note].value and not shown[tab.contents].visible
    place.close()


def test_groups_that_the_audit_hides_are_nowhere(events, tab, place, tmp_path):
    """Region "tiny" has 4 users: neither table nor figure nor JSON of the page names it."""
    from panels import planted_table

    table = planted_table(n_users=48)
    number = table["user_id"].str[1:].astype(int)
    table["region"] = np.where(number < 4, "tiny", np.where(number < 26, "north", "south"))
    fit = emdpo.fit(emdpo.load(table), 3, restarts=1)
    home = Workplace(tmp_path / "home")
    run_id = home.jobs.add_upload(fit.save(tmp_path / "run"), "run", fit.config.to_dict())
    shown = WhatIfEvents(home, tab).show(run_id, SHARE, "region")
    told = shown[tab.losses] + shown[tab.figure].to_json() + shown[tab.tradeoff].to_json()
    assert "tiny" not in told
    home.close()


def test_sliders_follow_at_once_and_only_the_last_move_counts(place):
    app = build_app(place)
    moved = [fn for fn in app.fns.values() if fn.name in ("move", "slide", "look")]
    assert {fn.name for fn in moved} == {"move", "slide", "look"}
    assert all(fn.trigger_mode == "always_last" for fn in moved)
    assert all(fn.show_progress == "hidden" for fn in moved)
    assert {fn.api_visibility for fn in moved} == {"private"}


def test_the_types_of_a_run_without_users_have_no_slider(events, tab, place, demo_run, monkeypatch):
    what = what_if(place.fit(demo_run[1]), place.audit(demo_run[1]))
    prevalence = np.array([0.6, 0.399, 0.001])
    emptied = replace(what, audit=replace(what.audit, prevalence=prevalence))
    monkeypatch.setattr(place, "derived", lambda *_: emptied)
    shown = events.move(demo_run[1], SHARE, None, "mixture", 10, 10, 80)
    assert shown[tab.blend][2] == [0.5, 0.5, 0.0]
    assert "Type 3" not in shown[tab.losses] + shown[tab.weights]
    assert not events.begin(demo_run[1], SHARE, None, "type-1")[tab.sliders[2]].visible


def test_a_choice_is_sound_json(place, own_run):
    place.choose(own_run, Chosen("mixture", (0.2, 0.3, 0.5), HOSTILE))
    path = folder_of(place.home, own_run) / "audit" / "chosen.json"
    assert json.loads(path.read_text())["name"] == HOSTILE
