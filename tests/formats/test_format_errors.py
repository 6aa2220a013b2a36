"""Wrong files: one clear line that names file, row and column, whatever the format."""

from __future__ import annotations

import copy

import pandas as pd
import pytest
import stand_ins as data

from emdpo import import_rankings
from emdpo.core.errors import DataError, EmdpoError
from emdpo.formats.registry import FORMATS, names

TABLES = {
    "prism": data.PRISM_UTTERANCES,
    "prism-conversations": data.PRISM_CONVERSATIONS,
    "coval": data.COVAL_COMPARISONS,
    "coval-world": data.COVAL_COMPARISONS,
    "community-alignment": data.COMMUNITY,
    "nectar": data.NECTAR,
    "ultrafeedback": data.ULTRAFEEDBACK,
    "multipref": data.MULTIPREF,
    "helpsteer3": data.HELPSTEER3,
    "helpsteer2-preference": data.HELPSTEER2,
    "helpsteer": data.HELPSTEER,
    "oasst": data.OASST,
    "trl": data.TRL,
    "argilla": data.ARGILLA_2,
}


def refused(path, **options):
    """Assert one short line, and return the error."""
    with pytest.raises(DataError) as caught:
        import_rankings(path, **options)
    told = str(caught.value)
    assert "\n" not in told and len(told) < 450, told
    assert path.name in told or path.parent.name in told, told
    return caught.value


@pytest.fixture
def file(tmp_path):
    return lambda rows: data.write_jsonl(tmp_path / "file.jsonl", rows)


def test_every_format_has_a_stand_in():
    assert set(TABLES) == {known.name for known in FORMATS}


@pytest.mark.parametrize("known", [f for f in FORMATS if not f.by_hand], ids=lambda f: f.name)
def test_every_format_is_told_by_its_columns_alone(file, known):
    assert import_rankings(file(TABLES[known.name])).format == known.name


def test_no_two_formats_claim_the_same_columns():
    for name, rows in TABLES.items():
        claimed = [f.name for f in FORMATS if not f.by_hand and f.matches(list(rows[0]))]
        assert claimed == [name.replace("-world", "")]


MISSING = [(known.name, name) for known in FORMATS for name in known.columns]


@pytest.mark.parametrize(("name", "column"), MISSING, ids="-".join)
def test_a_missing_column_is_named(file, name, column):
    rows = [{k: v for k, v in row.items() if k != column} for row in TABLES[name]]
    error = refused(file(rows), format=name)
    assert error.column == column
    assert f"has the columns {column}, and this table does not" in str(error)


def test_columns_that_tell_nothing(file):
    error = refused(file([{"colour": "red", "size": 3}]))
    assert str(error) == (
        "file.jsonl: no known format has these columns: colour, size; see docs/formats.md"
    )


def test_argilla_that_is_none(file):
    assert "not Argilla, ranking question" in str(refused(file(data.TRL), format="argilla"))


CHANGES = {
    "score": ("prism", 2, ("score",), "high", "score"),
    "flag": ("prism", 1, ("if_chosen",), "perhaps", "if_chosen"),
    "no user": ("prism", 3, ("user_id",), "", "user_id"),
    "null prompt": ("prism", 0, ("user_prompt",), None, "user_prompt"),
    "history": ("prism-conversations", 1, ("conversation_history",), "x", "conversation_history"),
    "answer first": (
        "prism-conversations",
        0,
        ("conversation_history", 0, "role"),
        "model",
        "conversation_history.turn",
    ),
    "no messages": ("coval", 0, ("prompt", "messages"), [], "prompt.messages"),
    "choice": (
        "community-alignment",
        1,
        ("first_turn_preferred_response",),
        "response_e",
        "first_turn_preferred_response",
    ),
    "rank": ("nectar", 0, ("answers", 1, "rank"), "first", "answers.rank"),
    "answers": ("nectar", 0, ("answers",), [1, 2], "answers"),
    "likert": (
        "multipref",
        0,
        ("normal_worker_annotations", 0, "overall_pref"),
        "C-is-better",
        "normal_worker_annotations.overall_pref",
    ),
    "strength": (
        "helpsteer3",
        0,
        ("individual_preference", 0, "score"),
        True,
        "individual_preference.score",
    ),
    "helpful": ("helpsteer", 2, ("helpfulness",), "very", "helpfulness"),
    "role": ("oasst", 0, ("role",), "bystander", "role"),
    "text": ("trl", 1, ("chosen",), 7, "chosen"),
    "prompt": ("trl", 2, ("prompt",), None, "prompt"),
    "options": ("argilla", 0, ("ranking.responses",), [["other"], []], "ranking"),
    "lists": ("argilla", 0, ("ranking.responses.users",), ["u1"], "ranking.responses"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_a_wrong_cell_is_found(file, what):
    name, position, path, value, column = CHANGES[what]
    rows = copy.deepcopy(TABLES[name])
    place = rows[position]
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    error = refused(file(rows), format=name)
    assert (error.row, error.column) == (position + 1, column), error


def test_rows_of_a_csv_are_its_lines(tmp_path):
    """The header is line 1 and the second pair, two lines long, begins at line 3."""
    path = tmp_path / "pairs.csv"
    path.write_text('user_id,prompt,chosen,rejected\na,p,x,y\n"","two\nlines",x,y\n', "utf-8")
    error = refused(path)
    assert (error.row, error.column) == (3, "user_id")


PREFLIB = {
    "old format": ("3\n1,Assam\n", 1, "old format"),
    "no ballots": ("# NUMBER ALTERNATIVES: 0\n", None, "no ballots"),
    "unknown": (data.PREFLIB_TOI.replace("1: 3", "1: 4"), 13, "no alternative '4'"),
    "twice": (data.PREFLIB_TOI.replace("1: 3", "1: 3,3"), 13, "stands twice"),
    "count": (data.PREFLIB_TOI.replace("2: 2", "two: 2"), 11, "whole number, got 'two'"),
    "no colon": (data.PREFLIB_TOI.replace("1: 3", "1 3"), 13, "expected `count: 1,2,{3,4}`"),
    "braces": (data.PREFLIB_TOI.replace("{1,3}", "{1,3"), 11, "expected `count: 1,2,{3,4}`"),
    "voters": (data.PREFLIB_TOI.replace("VOTERS: 4", "VOTERS: 5"), None, "5, but 4 are counted"),
    "named twice": (data.PREFLIB_TOI.replace("NAME 3", "NAME 2"), 10, "named twice"),
    "huge": (data.PREFLIB_TOI.replace("2: 2", "900000000: 2"), None, "NUMBER VOTERS"),
}


@pytest.mark.parametrize("what", PREFLIB)
def test_wrong_preflib_files(tmp_path, what):
    text, row, told = PREFLIB[what]
    path = tmp_path / "tea.toi"
    path.write_text(text, "utf-8")
    error = refused(path)
    assert error.row == row and told in str(error), error


@pytest.mark.parametrize(
    ("ending", "row", "told"),
    [
        (".soi", 11, "a tie, where files of this ending have none"),
        (".toc", 12, "2 of 3 alternatives, where files of this ending rank all"),
    ],
)
def test_preflib_endings_promise_something(tmp_path, ending, row, told):
    path = tmp_path / f"tea{ending}"
    path.write_text(data.PREFLIB_TOI, "utf-8")
    error = refused(path)
    assert error.row == row and told in str(error)


def test_preflib_files_too_large_for_memory(tmp_path):
    path = tmp_path / "tea.toi"
    text = data.PREFLIB_TOI.replace("# NUMBER VOTERS: 4\n", "").replace("2: 2", "900000000: 2")
    path.write_text(text, "utf-8")
    assert "at most 3,000,000 are read" in str(refused(path))


def test_files_that_are_none(tmp_path):
    for name in ("absent.jsonl", "absent.soc"):
        refused(tmp_path / name)
    (tmp_path / "folder.toi").mkdir()
    assert "not a regular file" in str(refused(tmp_path / "folder.toi"))
    (tmp_path / "notes.txt").write_text("hello")
    assert "must end in one of" in str(refused(tmp_path / "notes.txt"))


def test_unknown_formats_and_options_that_do_not_fit(file, tmp_path):
    table = file(data.PRISM_UTTERANCES)
    assert f"the formats are {', '.join(names())}" in str(
        pytest.raises(DataError, import_rankings, table, format="nonsense").value
    )
    assert "leave --user out" in str(refused(table, user="model_name"))
    assert "a PrefLib file ends in" in str(refused(table, format="preflib"))
    nectar = data.write_jsonl(tmp_path / "nectar.jsonl", data.NECTAR)
    assert "there is no such column" in str(refused(nectar, user="judge"))
    with pytest.raises(EmdpoError, match="no second file about people"):
        import_rankings(nectar, users=table)
    survey = data.write_jsonl(tmp_path / "survey.jsonl", [{"age": "20"}])
    with pytest.raises(DataError) as caught:
        import_rankings(table, users=survey)
    assert (caught.value.file, caught.value.column) == ("survey.jsonl", "user_id")
    data.write_jsonl(survey, [{"user_id": "user0", "city": "Rome"}])
    with pytest.raises(DataError, match=r"^survey\.jsonl: tells nothing of people"):
        import_rankings(table, users=survey)
    ballots = tmp_path / "tea.toi"
    ballots.write_text(data.PREFLIB_TOI, "utf-8")
    assert "of nobody known" in str(refused(ballots, users=survey))
    assert "is read whole" in str(refused(ballots, limit=2))
    with pytest.raises(EmdpoError, match="could cut a ranking"):
        import_rankings("assets/demo/classroom.csv", limit=5)
    with pytest.raises(EmdpoError, match="a configuration is of a data set of the hub"):
        import_rankings(table, config="survey")
    assert "a PrefLib file is not 'trl'" in str(refused(ballots, format="trl"))


def test_nothing_usable_says_why():
    rows = [data.pair("ann", "Tea?", "same", "same")]
    with pytest.raises(DataError, match=r"no ranking can be used \(1 "):
        import_rankings(pd.DataFrame(rows))


def test_a_small_file_cannot_fill_the_disk(file, monkeypatch):
    """1,000 characters in each of four rows and 22 of answers a person: 746 are over 3 million."""
    monkeypatch.setattr("emdpo.formats.judgements.MAX_FILE_BYTES", 3_000_000)
    rows = copy.deepcopy(data.COVAL_COMPARISONS)
    rows[0]["prompt"]["messages"][0]["content"] = "x" * 1000
    one = rows[0]["metadata"]["assessments"][0]
    rows[0]["metadata"]["assessments"] = [{**one, "annotator_id": f"p{i}"} for i in range(745)]
    assert import_rankings(file(rows)).rankings.n_users == 745
    rows[0]["metadata"]["assessments"] += [{**one, "annotator_id": "last"}]
    assert "as one row per answer the rankings are over 3 MB" in str(refused(file(rows)))


def test_threads_in_a_circle_end(file):
    """m0 answers m4 and m4 follows m2, which answers m0."""
    rows = [{**row, "parent_id": row["parent_id"] or "m4"} for row in data.OASST]
    with pytest.raises(DataError, match="2 answers whose thread is not whole in the file"):
        import_rankings(file(rows))
