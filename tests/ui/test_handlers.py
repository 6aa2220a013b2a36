"""The callbacks of the page, called as plain functions."""

from __future__ import annotations

import zipfile
from pathlib import Path

import gradio as gr
import pytest

from emdpo.bundles import unpack
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.tables.forms import ROLES
from emdpo.demo import demo_file
from emdpo.jobs import JobState
from emdpo.ui import audit_downloads, audit_tab, data_tab, fit_events, results, session, types_tab
from emdpo.ui.app import build_app, launch_settings
from emdpo.ui.faults import one_line
from emdpo.ui.fit_form import RESTARTS, config_of, preset
from emdpo.ui.markup import text
from emdpo.ui.strip import strip_html
from emdpo.ui.workplace import Recent

HOSTILE = "<img src=x onerror=alert(1)>${alert(1)}{{x}}`$\\href{javascript:alert(1)}{x}$"
FORM = ("auto", 0.1, 1.0, 2, 200, 0, False)


def write(path: Path, *rows: str) -> str:
    path.write_text("\n".join(["user_id,prompt,response,rank", *rows]) + "\n", "utf-8")
    return str(path)


def is_skip(value) -> bool:
    return isinstance(value, dict) and value == gr.skip()


def test_text_leaves_nothing_that_a_browser_or_template_reads():
    shown = text(HOSTILE)
    assert not any(sign in shown for sign in "<>${}`\\\"'")
    assert "&lt;img" in shown and "&#36;&#123;alert" in shown


def test_our_errors_are_one_line_and_others_only_a_log_id(caplog):
    assert one_line(EmdpoError("a\nb")) == "a b"
    told = one_line(KeyError("secret path"))
    log_id = told.split("log id ")[1].rstrip(").")
    assert "secret" not in told
    assert log_id in caplog.text and "secret path" in caplog.text


def test_the_demo_is_loaded_and_named_as_simulated(place):
    data_id, status = data_tab.load_demo(place)
    assert "simulated" in status and "line-good" in status
    report, figure, preview, form, apply, *roles = data_tab.show(place, data_id)
    assert "240" in report and "Can these rankings tell types apart?" in report
    assert figure.visible and apply.interactive
    assert "one row per candidate, ordered by rank" in form
    chosen = dict(zip(ROLES, (role.value for role in roles), strict=True))
    assert chosen["user_id"] == "user_id" and chosen["score"] == data_tab.AUTOMATIC


def test_the_same_demo_is_not_stored_twice(place):
    assert place.add_demo() == place.add_demo()


def test_a_bad_file_gives_the_one_line_and_no_fit(place, tmp_path):
    path = write(tmp_path / "bad.csv", "ann,p,a,first", "ann,p,b,2")
    data_id, status = data_tab.load_files(place, path, None)
    assert "bad.csv, row 2" in status and "line-error" in status
    note, demo, start, suggest, estimate = fit_events.allow_start(place, data_id)
    assert "cannot be used yet" in note and demo.visible
    assert not start.interactive and not suggest.interactive
    run, told = fit_events.start_fit(place, data_id, 2, *FORM)
    assert is_skip(run) and "line-error" in told


def test_a_file_that_is_no_table_gives_the_one_line(place, tmp_path):
    path = tmp_path / "binary.csv"
    path.write_bytes(b"\x1f\x8b\x00")
    data_id, status = data_tab.load_files(place, str(path), None)
    assert "compressed (gzip)" in status
    assert "cannot be used" in data_tab.show(place, data_id)[0]


def test_wrong_columns_can_be_corrected_and_the_fit_obeys(place, tmp_path, wait_for):
    path = tmp_path / "mine.csv"
    lines = ["who,prompt,answer,place,rank"]
    for user in range(4):
        lines += [f"u{user},p,a{i},{i + 1},junk" for i in range(3)]
    path.write_text("\n".join(lines) + "\n")
    data_id, status = data_tab.load_files(place, str(path), None)
    assert "line-error" in status
    named = {"user_id": "who", "response": "answer", "rank": "place"}
    choices = [named.get(role, data_tab.AUTOMATIC) for role in ROLES]
    corrected, status = data_tab.correct_columns(place, data_id, *choices)
    assert "line-good" in status and corrected != data_id
    run_id, _ = fit_events.start_fit(place, corrected, 1, *FORM)
    assert wait_for(place, run_id).state is JobState.DONE
    assert place.fit(run_id).rankings.n_users == 4


@pytest.mark.parametrize("suffix", [".jsonl", ".parquet", ".tsv"])
def test_corrected_columns_work_for_every_format(place, tmp_path, suffix):
    import pandas as pd

    table = pd.DataFrame(
        {"who": ["u1"] * 3, "prompt": ["p"] * 3, "response": list("abc"), "rank": [1, 2, 3]}
    )
    path = tmp_path / f"mine{suffix}"
    if suffix == ".parquet":
        table.to_parquet(path)
    elif suffix == ".jsonl":
        table.to_json(path, orient="records", lines=True)
    else:
        table.to_csv(path, sep="\t", index=False)
    data_id = place.add_data(path, columns={"user_id": "who"})
    data = place.data(data_id)
    assert data.rankings is not None, data.report.errors
    again = place.data(place.add_data(data.job_input.rankings))
    assert again.rankings.ranks.tolist() == data.rankings.ranks.tolist() == [1, 2, 3]


def test_a_users_file_adds_groups(place, tmp_path):
    rankings = write(tmp_path / "r.csv", "ann,p,a,1", "ann,p,b,2", "ann,p,c,3")
    users = tmp_path / "u.csv"
    users.write_text("user_id,age\nann,30\n")
    waiting, told = data_tab.load_files(place, None, str(users))
    assert is_skip(waiting) and "rankings file" in told
    data_id, _ = data_tab.load_files(place, rankings, str(users))
    assert place.data(data_id).rankings.attributes == ["age"]


@pytest.mark.parametrize("data_id", ["", "../../etc", "a" * 22, None])
def test_unknown_data_are_told_so(place, data_id):
    assert not place.has_data(data_id)
    with pytest.raises(RunError):
        place.data(data_id)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"n_types": 13}, "at most 12"),
        ({"restarts": 101}, "at most 100"),
        ({"n_types": 2.5}, "whole number"),
        ({"beta": 0}, "beta must be"),
        ({"beta": None}, "beta must be a number"),
        ({"l2": float("nan")}, "l2 must be"),
        ({"seed": float("inf")}, "seed"),
        ({"features": "--out"}, "features must be"),
    ],
)
def test_settings_out_of_range_are_refused(change, message):
    names = ("n_types", "features", "beta", "l2", "restarts", "max_iter", "seed")
    good = dict(zip(names, (2, *FORM[:-1]), strict=True))
    config_of(**good)
    with pytest.raises(EmdpoError, match=message):
        config_of(**(good | change))


def test_presets_are_what_the_page_says():
    assert list(RESTARTS.values()) == [3, 10, 30]
    assert preset("quick") == [3, 2, 0.25, 2e-3]
    assert preset("normal") == [10, 6, 0.5, 2e-3]
    assert preset("thorough") == [30, 6, 0, 1e-3]


def test_watching_skips_figures_that_have_not_changed(place, demo_run):
    _, run_id = demo_run
    first = fit_events.watch(place, None, run_id, "")
    again = fit_events.watch(place, first[0], run_id, "")
    assert first[4].visible and is_skip(again[4])
    assert first[1].startswith(run_id) and not first[2].active
    assert "pill-done" in first[3]


def test_the_settings_shown_are_those_of_the_run(place, demo_run):
    _, run_id = demo_run
    config = fit_events.watch(place, None, run_id, "")[6]
    assert "<span>restarts</span><b>3</b>" in config and f"?run={run_id}" in config


def test_a_failed_run_says_why_and_shows_nothing(place, tmp_path, wait_for):
    rows = [f"u{i},p,{answer},{rank}" for i in range(3) for rank, answer in enumerate("ab", 1)]
    data_id, _ = data_tab.load_files(place, write(tmp_path / "pairs.csv", *rows), None)
    run_id, _ = fit_events.start_fit(place, data_id, 2, *FORM)
    assert wait_for(place, run_id).state is JobState.FAILED
    state = fit_events.watch(place, None, run_id, "")[3]
    assert "one pair per user cannot tell types apart" in state
    assert "ended without a result" in results.missing(place, run_id)


def test_types_without_a_run_say_what_is_missing(place):
    note, offer, contents, *_ = types_tab.show(place, "")
    assert "No fitted run yet" in note.value
    assert offer.visible and not contents.visible


def test_types_show_cards_figures_and_groups(place, demo_run):
    note, offer, contents, cards, posterior, style, _, attribute, composition, *_ = types_tab.show(
        place, demo_run[1]
    )
    assert not note.visible and not offer.visible and contents.visible
    assert cards.count('class="card"') == 3 and "A telling choice" in cards
    assert [name for name, _ in attribute.choices] == ["age_band", "region"] and composition.visible
    assert posterior.visible and len(style.data) == 3


def test_one_user_is_looked_up_and_explained(place, demo_run):
    assert "most likely Type" in types_tab.show_user(place, demo_run[1], "u001")
    assert "no user &#x27;nobody&#x27;" in types_tab.show_user(place, demo_run[1], "nobody")
    assert "Type a user id first" in types_tab.show_user(place, demo_run[1], "")


def test_the_audit_has_findings_figures_and_tables(place, demo_run):
    shown = audit_tab.show(place, demo_run[1])
    assert len(shown) == 17 and "finding" in shown[3]
    rules = shown[6]
    assert rules.value == ["pooled", "consensus"]
    share, groups, matrix, drawn = shown[-6:-2]
    assert not drawn.visible
    assert "%" in share.iloc[0, 1] and len(groups) and len(matrix) == 3


@pytest.mark.parametrize("kind", audit_tab.KINDS)
def test_every_kind_of_regret_can_be_shown(place, demo_run, kind):
    note, *figures = audit_tab.show_choice(place, demo_run[1], "region", kind, ["mixture"])
    assert not note.visible and len(figures) == 7


def test_no_rules_chosen_hides_the_group_figure(place, demo_run):
    figures = audit_tab.show_choice(place, demo_run[1], "region", "Share", [])
    assert not figures[2].visible


def test_downloads_are_files_of_our_own(place, demo_run):
    paths = [audit_downloads.written(place, name, demo_run[1]) for name in audit_downloads.WRITERS]
    report, numbers, published, tables = paths
    assert report.read_text("utf-8").lstrip().startswith("<!")
    assert '"regret_matrix"' in numbers.read_text("utf-8")
    names = ["groups.csv", "policies.csv", "regret_matrix.csv", "types.csv"]
    with zipfile.ZipFile(tables) as archive:
        assert archive.namelist() == names
    with zipfile.ZipFile(published) as archive:
        assert {f"audit/{name}" for name in names} < set(archive.namelist())
    assert all(path.parent == place.downloads(demo_run[1]) for path in paths)


def test_a_publication_brought_back_is_named_in_one_line(place, demo_run):
    published = audit_downloads.written(place, "emdpo-publication.zip", demo_run[1])
    run_id, told = fit_events.open_bundle(place, str(published))
    assert "line-error" in told and "publication of a run" in told and "rankings" in told
    assert run_id == gr.skip()


def test_a_run_leaves_as_a_bundle_and_comes_back(place, demo_run, tmp_path):
    bundle = place.bundle(demo_run[1])
    run_id, told = fit_events.open_bundle(place, str(bundle))
    assert "line-good" in told and run_id != demo_run[1]
    assert place.fit(run_id).log_likelihood == place.fit(demo_run[1]).log_likelihood
    assert place.status(run_id).state is JobState.DONE
    assert unpack(bundle, tmp_path / "run").n_types == 3


def test_the_history_knows_only_the_ids_of_this_browser(place, demo_run):
    rows, runs = fit_events.show_history(place, {"runs": [demo_run[1], "a" * 22]}, demo_run[1])
    assert [row[5] for row in rows] == [demo_run[1]] and runs.value == demo_run[1]
    assert fit_events.show_history(place, None, "")[0] == []


def test_a_browser_remembers_ids_and_nothing_else(demo_run):
    data_id, run_id = demo_run
    mine = session.remember({"runs": ["../x", 7]}, data_id, run_id, "")
    assert mine == {"data": data_id, "run": run_id, "choice": "", "runs": [run_id]}


@pytest.mark.parametrize("wanted", [None, "../..", "a" * 22])
def test_a_page_attaches_to_its_last_run(place, demo_run, wanted):
    data_id, run_id = demo_run
    mine = {"data": data_id, "run": run_id, "runs": [run_id]}
    data, run, choice = session.attach(place, mine, ("", "", ""), wanted)
    assert data == data_id and is_skip(choice)
    assert run == run_id if wanted is None else is_skip(run)
    assert all(map(is_skip, session.attach(place, "nonsense", ("", "", ""), wanted)))


def test_a_page_that_attaches_late_keeps_what_was_loaded_meanwhile(place, demo_run):
    data_id, run_id = demo_run
    mine = {"data": data_id, "run": run_id}
    assert all(map(is_skip, session.attach(place, mine, ("x", "y", "z"), run_id)))


def test_the_strip_names_data_and_run(place, demo_run):
    strip = strip_html(place, *demo_run)
    assert "demo (simulated raters)" in strip and "pill-done" in strip and "log-linear" in strip


def test_recent_forgets_the_longest_unused():
    recent, made = Recent(2), []
    for key in ("a", "b", "a", "c", "a", "b"):
        recent.get(key, lambda key=key: made.append(key))
    assert made == ["a", "b", "c", "b"]


def test_the_page_is_launched_with_the_promised_limits(place):
    app = build_app(place)
    settings = launch_settings(place)
    assert app.delete_cache == (3600, 21600) and not app.analytics_enabled
    assert app._queue.max_size == 32 and not app.api_open
    assert app.default_concurrency_limit == 4 if hasattr(app, "default_concurrency_limit") else True
    assert settings["max_file_size"] == "50mb" and settings["allowed_paths"] == []
    assert settings["run_history"] is False and settings["ssr_mode"] is False


def test_every_control_says_what_it_does(place):
    app = build_app(place)
    kinds = (gr.Dropdown, gr.Slider, gr.Number, gr.Radio, gr.Checkbox, gr.CheckboxGroup, gr.Textbox)
    controls = [block for block in app.blocks.values() if isinstance(block, kinds)]
    assert len(controls) > 20
    assert [control.label for control in controls if not control.info] == []


def test_the_classroom_example_is_read_in_its_wide_form(place):
    data = place.data(place.add_demo("classroom.csv", "classroom"))
    assert data.layout.form.is_wide and data.rankings.n_users == 24
    assert demo_file("classroom.csv").exists()


def test_a_suggestion_sets_the_number_of_types_and_shows_why(place, wait_for):
    data_id = place.add_demo("classroom.csv", "classroom")
    choice_id, told = fit_events.start_selection(place, data_id, 3, *FORM[:3], 1, 200, 0, False)
    assert "line-good" in told
    assert wait_for(place, choice_id).state is JobState.DONE
    words, figure, table, n_types = fit_events.watch(place, None, "", choice_id)[-5:-1]
    assert words.count("Suggested:") == 1 and f"{n_types} types" in words
    assert figure.visible and table.visible and n_types == place.selection(choice_id).n_types


def test_going_on_with_what_cannot_is_one_line(place, demo_run):
    assert "only an interrupted or stopped fit" in fit_events.resume(place, demo_run[1])
    assert not fit_events.watch(place, None, demo_run[1], "")[9].visible


def test_the_fit_tab_says_how_sure_a_fit_is(place, demo_run):
    from emdpo.ui import fit_events

    said = fit_events.certainty(place, demo_run[1])
    for part in ("starts at the best optimum", "smallest eigenvalue", "Premises:", "<details"):
        assert part in said
    assert fit_events.certainty(place, "") == ""
