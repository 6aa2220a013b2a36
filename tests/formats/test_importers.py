"""Every importer on a stand-in with the real columns; expected orders are derived by hand."""

from __future__ import annotations

import json

import pandas as pd
import pytest
import stand_ins as data

from emdpo import import_rankings
from emdpo.core.errors import DataError, EmdpoError

CSV_CELLS = {"HELPSTEER3": data.HELPSTEER3, "MULTIPREF": data.MULTIPREF, "NECTAR": data.NECTAR}


@pytest.fixture
def imported(tmp_path):
    """Return a function that writes rows as JSONL, imports them and tells the orders."""

    def run(rows, **options):
        found = import_rankings(data.write_jsonl(tmp_path / "file.jsonl", rows), **options)
        return found, orders(found.table)

    return run


def orders(table):
    """Return {(user, prompt): [best, ..., (unranked answers)]}, tied answers joined by =."""
    found = {}
    for _, rows in table.groupby("ranking_id", sort=False):
        prompt = rows["prompt"].iloc[0]
        asked = prompt if isinstance(prompt, str) else prompt[-1]["content"]
        levels = {}
        for text, rank in zip(rows["response"], rows["rank"], strict=True):
            levels.setdefault(99 if rank is None else rank, []).append(text)
        told = ["=".join(levels[rank]) for rank in sorted(levels) if rank != 99]
        told += [f"({' '.join(levels[99])})"] if 99 in levels else []
        key = (rows["user_id"].iloc[0], asked)
        assert key not in found
        found[key] = told
    return found


PRISM_ORDERS = {
    ("user0", "Is tea good?"): ["Yes.", "Perhaps.=I cannot say.", "No."],
    ("user0", "Why?"): ["It wakes.", "It warms."],
}


@pytest.mark.parametrize("rows", [data.PRISM_UTTERANCES, data.PRISM_CONVERSATIONS])
def test_prism_ranks_each_turn_by_score_after_what_was_said(imported, rows):
    """Scores 80, 10, 45, 45 and 20, 70; the second turn follows the answer chosen, "Yes."."""
    found, told = imported(rows)
    assert told == PRISM_ORDERS
    assert found.left_out == {"one answer only": 1}
    assert found.table["prompt"].iloc[-1] == [
        {"role": "user", "content": "Is tea good?"},
        {"role": "assistant", "content": "Yes."},
        {"role": "user", "content": "Why?"},
    ]
    assert found.rankings.n_users == 1


def test_both_files_of_prism_tell_the_same(imported):
    tables = [imported(rows)[0].table for rows in (data.PRISM_UTTERANCES, data.PRISM_CONVERSATIONS)]
    pd.testing.assert_frame_equal(*tables)


def test_prism_without_a_chosen_answer_ends_there(imported):
    """Nobody knows what the next turn followed."""
    rows = [{**row, "if_chosen": False} for row in data.PRISM_UTTERANCES]
    found, told = imported(rows)
    assert list(told) == [("user0", "Is tea good?")]
    assert found.left_out["turns after one without a chosen answer"] == 1


def test_prism_people_come_from_the_survey(imported, tmp_path):
    survey = data.write_jsonl(tmp_path / "survey.jsonl", data.PRISM_SURVEY)
    assert any(
        "survey.jsonl tells who" in note for note in imported(data.PRISM_UTTERANCES)[0].notes
    )
    found, _ = imported(data.PRISM_UTTERANCES, users=survey)
    assert found.notes == ()
    person = found.rankings.users.loc["user0"]
    assert person["age"] == "25-34 years old" and person["religion"] == "No"
    assert person["birth_region"] == "Europe" and person["reside_region"] == "Americas"
    assert "self_description" not in person


def test_coval_personal_and_world_rankings(imported, tmp_path):
    people = data.write_jsonl(tmp_path / "annotators.jsonl", data.COVAL_ANNOTATORS)
    found, told = imported(data.COVAL_COMPARISONS, users=people)
    assert found.format == "coval"
    assert told == {
        ("ann", "May I lie?"): ["Never.", "At times.", "Ask.=Do."],
        ("bob", "May I lie?"): ["Do.", "Never.=Ask.", "(At times.)"],
    }
    assert found.left_out == {"no personal ranking": 1}
    assert found.rankings.users.loc["ann", "country_of_residence"] == "Kenya"
    assert "ideal-model-behavior" not in found.rankings.users
    _, world = imported(data.COVAL_COMPARISONS, format="coval-world")
    assert world == {
        ("ann", "May I lie?"): ["At times.", "Never.", "Ask.", "Do."],
        ("cem", "May I lie?"): ["Never.", "At times.=Ask.", "Do."],
    }


@pytest.mark.parametrize("order", ["A>B>E", "A>B>A", "A>>B", "A>B>"])
def test_coval_rankings_that_are_no_order_are_counted(imported, order):
    rows = json.loads(json.dumps(data.COVAL_COMPARISONS))
    block = rows[0]["metadata"]["assessments"][0]["ranking_blocks"]["personal"]
    block[0]["ranking"] = order
    found, told = imported(rows)
    assert [user for user, _ in told] == ["bob"]
    assert found.left_out["rankings that are no order of the answers, such as A>B>A"] == 1


def test_coval_merged_file_says_which_file_to_take(imported):
    with pytest.raises(DataError, match=r"import comparisons\.jsonl"):
        imported(data.COVAL_MERGED)


def test_community_alignment_is_choices_turn_by_turn(imported):
    found, told = imported(data.COMMUNITY)
    assert told == {
        ("p1", "Dinner?"): ["Soup", "(Rice Bread Nothing)"],
        ("p1", "Which soup?"): ["Fish", "(Leek Pea Bean)"],
        ("p2", "Dinner?"): ["Rice", "(Soup Bread Nothing)"],
    }
    assert found.left_out == {"turns without a choice": 1}
    assert found.rankings.users.loc["p2"].to_dict() == {
        "age": "18-34",
        "gender": "female",
        "political": "left",
        "country": "india",
        "language": "en",
    }


def test_community_alignment_answers_are_one_wherever_they_stand(imported):
    """Two people saw the same four answers in another order: 4 answers, not 8; 4 more later."""
    found, _ = imported(data.COMMUNITY)
    assert found.rankings.n_candidates == 8 and found.rankings.n_prompts == 2


def test_argilla_1_and_2_count_submitted_responses_only(imported):
    found, told = imported(data.ARGILLA_1)
    assert told == {("u1", "Name a tea."): ["Sencha", "Assam=Mint"]}
    assert found.left_out == {"responses that were not submitted": 1}
    assert found.rankings.prompts["prompt_id"].tolist() == ["rec-7"]
    found, told = imported(data.ARGILLA_2)
    assert told == {("u1", "Name a tea."): ["Mint", "Assam", "Sencha"]}
    assert found.left_out == {"responses that were not submitted": 1}


def test_argilla_1_as_lists_of_objects_and_answers_not_ranked(imported):
    row = dict(data.ARGILLA_1[0])
    ranked = [{"rank": 1, "value": "reply-3"}]
    row["reply-ranking"] = [{"user_id": "u1", "value": ranked, "status": "submitted"}]
    _, told = imported([row])
    assert told == {("u1", "Name a tea."): ["Mint", "(Assam Sencha)"]}


def test_nectar_is_nobodys(imported):
    found, told = imported(data.NECTAR)
    assert told == {("unknown-1", "Another?"): ["Sencha", "Oolong", "Mint"]}
    assert [part["role"] for part in found.table["prompt"][0]] == ["user", "assistant", "user"]
    assert any("does not say who ranked" in note for note in found.notes)
    assert any("GPT-4" in note for note in found.notes)


def test_a_column_may_name_the_rankers_that_a_format_lacks(imported):
    rows = [{**data.NECTAR[0], "judge": "judge-1"}]
    found, told = imported(rows, user="judge")
    assert list(told) == [("judge-1", "Another?")]
    assert not any("does not say who ranked" in note for note in found.notes)


def test_ultrafeedback_by_overall_score(imported):
    """7.5, 9, 7.5, 2."""
    _, told = imported(data.ULTRAFEEDBACK)
    assert told == {("unknown-1", "Name a tea."): ["Sencha", "Assam=Mint", "Oolong"]}


def test_multipref_has_people_of_two_kinds(imported):
    found, told = imported(data.MULTIPREF)
    assert told == {
        ("w1", "Name a tea."): ["Assam", "Sencha"],
        ("e1", "Name a tea."): ["Sencha", "Assam"],
    }
    assert found.left_out == {"all answers tied: nothing is ordered": 1}
    assert found.rankings.users["worker"].tolist() == ["normal", "expert"]


def test_helpsteer_preferences_and_ratings(imported):
    """Negative: the first is better. -100: neither. 0: nothing ordered."""
    _, told = imported(data.HELPSTEER3)
    assert list(told.values()) == [["Assam", "Sencha"], ["Sencha", "Assam"]]
    found, told = imported(data.HELPSTEER2)
    assert found.format == "helpsteer2-preference"
    assert list(told.values()) == [["Sencha", "Assam"]]
    assert found.left_out == {
        "neither answer was valid": 1,
        "all answers tied: nothing is ordered": 1,
    }
    found, told = imported(data.HELPSTEER)
    assert found.format == "helpsteer"
    assert list(told.values()) == [["Sencha", "Assam=Mint"]]


def test_judgements_that_are_missing_are_counted(imported):
    rows = json.loads(json.dumps(data.MULTIPREF))
    rows[0]["expert_worker_annotations"][0]["overall_pref"] = None
    assert imported(rows)[0].left_out["annotations without an overall preference"] == 1
    rated = [*data.HELPSTEER, {**data.HELPSTEER[0], "response": "Chai", "helpfulness": None}]
    found, told = imported(rated)
    assert found.left_out == {"answers without a rating": 1}
    assert list(told.values()) == [["Sencha", "Assam=Mint"]]
    rows = [data.ARGILLA_2[0] | {"ranking.responses": [["response3", "response1"], None]}]
    assert imported(rows)[1] == {("u1", "Name a tea."): ["Mint", "Assam", "(Sencha)"]}


def test_openassistant_orders_siblings_and_its_authors_are_no_rankers(imported):
    """m3 was deleted and m8 has no rank; the second prompt follows m2, not the best answer m1."""
    found, told = imported(data.OASST)
    assert told == {
        ("unknown-1", "Name a tea."): ["Sencha", "Assam"],
        ("unknown-2", "Another?"): ["Chai", "Oolong"],
    }
    assert found.left_out == {"messages with fewer than two ranked answers": 1}
    assert [part["content"] for part in found.table["prompt"].iloc[-1]] == [
        "Name a tea.",
        "Sencha",
        "Another?",
    ]
    assert any("who wrote a message, not who ranked it" in note for note in found.notes)
    assert "author" not in found.table["user_id"].tolist()


def test_openassistant_refuses_its_authors_as_rankers(imported):
    with pytest.raises(DataError) as caught:
        imported(data.OASST, user="user_id")
    assert str(caught.value).startswith("file.jsonl, column 'user_id': user_id names who wrote")
    assert "\n" not in str(caught.value)


def test_openassistant_threads_that_are_cut_are_left_out(imported):
    """Without m0 the thread of m4 has no beginning; that of m0 itself is missing."""
    rows = [row for row in data.OASST if row["message_id"] != "m0"]
    with pytest.raises(DataError, match="2 answers whose thread is not whole in the file"):
        imported(rows)


def test_trl_pairs_of_one_person_are_one_ranking(imported):
    _, told = imported(data.TRL)
    assert told == {("ann", "Tea?"): ["a", "b", "c"], ("bob", "Tea?"): ["b", "a"]}


def test_trl_pairs_in_a_circle_stay_pairs():
    rows = [data.pair("ann", "Tea?", *two) for two in (("a", "b"), ("b", "c"), ("c", "a"))]
    found = import_rankings(pd.DataFrame([*rows, rows[0]]))
    assert found.rankings.lengths.tolist() == [2, 2, 2] and found.rankings.n_users == 1
    assert found.left_out == {"pairs said before by the same person": 1}


def test_trl_without_a_user_column_merges_nothing(imported):
    rows = [{k: v for k, v in row.items() if k != "user_id"} for row in data.TRL]
    found, _ = imported(rows)
    assert found.rankings.n_users == 3
    assert any("does not say who ranked" in note for note in found.notes)


ASKED = [{"role": "user", "content": "Tea?"}]
SAID = {text: [{"role": "assistant", "content": text}] for text in "ab"}


@pytest.mark.parametrize(
    "row",
    [
        {"prompt": ASKED, "chosen": SAID["a"], "rejected": SAID["b"]},
        {"prompt": "Tea?", "chosen": SAID["a"], "rejected": SAID["b"]},
        {"prompt": ASKED, "chosen": "a", "rejected": "b"},
        {"chosen": ASKED + SAID["a"], "rejected": ASKED + SAID["b"]},
    ],
    ids=["conversational", "text prompt", "text answers", "implicit prompt"],
)
def test_trl_in_all_its_forms(imported, row):
    _, told = imported([row | {"user_id": "ann"}])
    assert told == {("ann", "Tea?"): ["a", "b"]}


def test_preflib_ballots_and_what_they_leave_out(tmp_path):
    """Four ballots: Sencha above the two others twice, Assam = Sencha, Mint alone."""
    path = tmp_path / "tea.toi"
    path.write_text(data.PREFLIB_TOI, "utf-8")
    found = import_rankings(path)
    assert orders(found.table) == {
        ("voter-1", "Best tea"): ["Sencha", "Assam=Mint: fresh"],
        ("voter-2", "Best tea"): ["Sencha", "Assam=Mint: fresh"],
        ("voter-3", "Best tea"): ["Assam=Sencha", "(Mint: fresh)"],
        ("voter-4", "Best tea"): ["Mint: fresh", "(Assam Sencha)"],
    }
    assert any("preflib-subsets" in note for note in found.notes)
    path.write_text(data.PREFLIB_TOI.replace(",", ", "), "utf-8")
    assert orders(import_rankings(path).table) == orders(found.table)  # as preflibtools writes
    subsets = import_rankings(path, format="preflib-subsets")
    assert list(orders(subsets.table)) == [("voter-1", "Best tea"), ("voter-2", "Best tea")]
    assert subsets.left_out == {
        "all answers tied: nothing is ordered": 1,
        "one answer only": 1,
    }


@pytest.mark.parametrize("name", CSV_CELLS)
@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_nested_cells_are_read_from_parquet_and_as_json_from_csv(tmp_path, imported, name, ending):
    rows = CSV_CELLS[name]
    path = tmp_path / f"cells{ending}"
    if ending == ".csv":
        cells = [
            {k: json.dumps(v) if isinstance(v, list) else v for k, v in row.items()} for row in rows
        ]
        pd.DataFrame(cells).to_csv(path, index=False)
    else:
        pd.DataFrame(rows).to_parquet(path)
    assert orders(import_rankings(path).table) == imported(rows)[1]


def test_equal_answers_in_one_ranking_are_one(imported):
    """The duplicate of the best answer is not below itself."""
    rows = [data.community_row("p1", ("Dinner?", ["Soup", "Rice", "Soup", "Bread"], "c"))]
    _, told = imported(rows)
    assert told == {("p1", "Dinner?"): ["Soup", "(Rice Bread)"]}


def test_limit_reads_the_first_rows(imported):
    found, told = imported(data.COMMUNITY, limit=1)
    assert {user for user, _ in told} == {"p1"}
    with pytest.raises(EmdpoError, match="limit must be at least 1, got 0"):
        imported(data.COMMUNITY, limit=0)


def test_our_own_tables_come_out_in_their_long_form(tmp_path):
    found = import_rankings("assets/demo/classroom.csv")
    assert found.format == "canonical" and found.rankings.n_rankings == 72
    again = import_rankings(found.save(tmp_path / "long.csv"))
    assert again.rankings.ranks.tolist() == found.rankings.ranks.tolist()
