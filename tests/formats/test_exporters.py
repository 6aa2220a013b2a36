"""What is written for other tools, against values derived by hand or by plain loops."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict

import pandas as pd
import pytest
from panels import planted_table

from emdpo import export_rankings, fit, load
from emdpo.core.errors import EmdpoError
from emdpo.formats.exporters.preflib import closest_ending

TEAS = pd.DataFrame(
    [
        ("ann", "Best tea?", "Assam", 1),
        ("ann", "Best tea?", "Sencha\nfrom Uji", 2),
        ("ann", "Best tea?", "Mint", None),
        ("bob", "Best tea?", "Assam", 1),
        ("bob", "Best tea?", "Sencha\nfrom Uji", 1),
        ("bob", "Best tea?", "Mint", 2),
        ("cem", "Best tea?", "Assam", 1),
        ("cem", "Best tea?", "Mint", 2),
        ("dan", "Best tea?", "Assam", 4),
        ("dan", "Best tea?", "Sencha\nfrom Uji", 7),
        ("dan", "Best tea?", "Mint", None),
    ],
    columns=["user_id", "prompt", "response", "rank"],
).astype({"rank": object})


@pytest.fixture(scope="module")
def fitted():
    """Return a fit of two types with text features over some prompts."""
    return fit(load(planted_table(n_users=24, seed=3)), 2, restarts=2)


def rows_of(path):
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_pairs_of_a_file_by_hand(tmp_path):
    """ann: A>S, A>M, S>M. bob ties A and S. cem never saw S. dan as ann."""
    written = export_rankings(load(TEAS), tmp_path / "pairs.jsonl", "trl")
    pairs = [(r["user_id"], r["chosen"][0], r["rejected"][0]) for r in rows_of(written.path)]
    expected = [("ann", *two) for two in ("AS", "AM", "SM")]
    expected += [("bob", *two) for two in ("AM", "SM")] + [("cem", "A", "M")]
    expected += [("dan", *two) for two in ("AS", "AM", "SM")]
    assert sorted(pairs) == sorted(expected)
    assert set(rows_of(written.path)[0]) == {"prompt", "chosen", "rejected", "user_id"}
    assert written.counts == {"pairs": 9} and "not independent" in written.notes[0]


def test_pairs_of_a_run_belong_to_the_likeliest_type(tmp_path, fitted):
    """Plain loops over the table; the weight is the user's responsibility."""
    path = export_rankings(fitted, tmp_path / "pairs.jsonl", "trl").path
    shares = fitted.responsibility_table().set_index("user_id")
    counted = Counter()
    for row in rows_of(path):
        mine = shares.loc[row["user_id"]]
        assert row["type"].replace("-", "_") == mine.idxmax()
        assert row["weight"] == pytest.approx(mine.max(), abs=1e-15)
        counted[row["user_id"]] += 1
    rankings, expected = fitted.rankings, Counter()
    for ranking in range(rankings.n_rankings):
        ranks = rankings.ranks[rankings.offsets[ranking] : rankings.offsets[ranking + 1]].tolist()
        user = rankings.users.index[rankings.user[ranking]]
        expected[user] += sum(x < y for x in ranks for y in ranks)
    assert counted == expected


def test_soft_pairs_have_every_type_and_weights_that_sum_to_one(tmp_path, fitted):
    hard = rows_of(export_rankings(fitted, tmp_path / "hard.jsonl", "trl").path)
    soft = rows_of(export_rankings(fitted, tmp_path / "soft.jsonl", "trl", soft=True).path)
    assert len(soft) == 2 * len(hard)
    total = defaultdict(float)
    for row in soft:
        total[row["user_id"], row["prompt"], row["chosen"], row["rejected"]] += row["weight"]
    assert len(total) == len(hard)
    assert all(value == pytest.approx(1) for value in total.values())


def test_pairs_of_one_type_are_a_file_of_their_own(tmp_path, fitted):
    everything = rows_of(export_rankings(fitted, tmp_path / "all.jsonl", "trl").path)
    second = export_rankings(fitted, tmp_path / "second.jsonl", "trl", types=[2])
    assert rows_of(second.path) == [row for row in everything if row["type"] == "type-2"]
    assert second.counts["pairs"] == second.counts["pairs of type-2"] > 0


def test_held_out_and_weighted_rankings_say_so(tmp_path):
    table = TEAS.assign(
        split=["test" if user == "cem" else "train" for user in TEAS["user_id"]],
        weight=[2.5 if user == "cem" else 1 for user in TEAS["user_id"]],
    )
    rows = rows_of(export_rankings(load(table), tmp_path / "pairs.jsonl", "trl").path)
    told = {(row["user_id"], row["split"], row["weight"]) for row in rows}
    assert told == {(u, "train", 1.0) for u in ("ann", "bob", "dan")} | {("cem", "test", 2.5)}


PREFLIB_TOC = """# TITLE: Best tea?
# DATA TYPE: toc
# MODIFICATION TYPE: original
# NUMBER ALTERNATIVES: 3
# NUMBER VOTERS: 3
# NUMBER UNIQUE ORDERS: 2
# ALTERNATIVE NAME 1: Assam
# ALTERNATIVE NAME 2: Sencha from Uji
# ALTERNATIVE NAME 3: Mint
2: 1,2,3
1: {1,2},3
"""


def test_preflib_by_hand(tmp_path):
    """Without cem, who did not see all: ann and dan agree, though their ranks differ."""
    rankings = load(TEAS[TEAS["user_id"] != "cem"])
    path = export_rankings(rankings, tmp_path / "tea.toc", "preflib").path
    assert path.read_text("utf-8") == PREFLIB_TOC
    partial = export_rankings(load(TEAS), tmp_path / "tea.toi", "preflib")
    body = [line for line in partial.path.read_text().splitlines() if line[0] != "#"]
    assert body == ["2: 1,2", "1: {1,2},3", "1: 1,3"]
    assert any("cannot be told apart" in note for note in partial.notes)


@pytest.mark.parametrize(
    ("ending", "told"),
    [(".toc", "of all alternatives, which ranking 'cem / Best tea?' is not; try .toi"),
     (".soi", "without ties, which ranking 'bob / Best tea?' is not; try .toi")],
)  # fmt: skip
def test_preflib_refuses_what_its_ending_cannot_hold(tmp_path, ending, told):
    path = tmp_path / f"tea{ending}"
    with pytest.raises(EmdpoError) as caught:
        export_rankings(load(TEAS), path, "preflib")
    assert told in str(caught.value) and not path.exists()


def test_the_closest_ending_says_most_and_holds_all():
    saw_all = TEAS[TEAS["user_id"] != "cem"]
    without_ties = TEAS[TEAS["user_id"].isin(["ann", "cem"])]
    panels = {".toi": TEAS, ".toc": saw_all, ".soi": without_ties}
    for ending, rows in panels.items():
        assert closest_ending(load(rows), None) == ending
    every = load("assets/demo/rankings.csv")
    assert closest_ending(every, every.prompts["prompt_id"].iloc[7]) == ".soc"
    with pytest.raises(EmdpoError, match="no prompt 'q99'"):
        closest_ending(every, "q99")


def test_preflib_of_one_of_many_prompts(tmp_path):
    rankings = load("assets/demo/rankings.csv")
    with pytest.raises(EmdpoError, match=r"which prompt\? Give --prompt ID, one of 60, such as 'q"):
        export_rankings(rankings, tmp_path / "one.soc", "preflib")
    prompt = rankings.prompts["prompt_id"].iloc[7]
    path = export_rankings(rankings, tmp_path / "one.soc", "preflib", prompt=prompt).path
    n = int((rankings.prompt == 7).sum())
    assert f"# NUMBER VOTERS: {n}\n" in path.read_text("utf-8")
    with pytest.raises(EmdpoError, match="no prompt 'q99'"):
        export_rankings(rankings, tmp_path / "two.soc", "preflib", prompt="q99")


def test_llm_comparator_scores_are_shares_of_people(tmp_path, fitted):
    """Each number again by plain loops: sigmoid of score differences, weighted by the types."""
    path = export_rankings(fitted, tmp_path / "two.json", "llm-comparator").path
    found = json.loads(path.read_text("utf-8"))
    assert [model["name"] for model in found["models"]] == ["Type 1", "Type 2"]
    rankings, scores = fitted.rankings, fitted.policies.candidate_scores()
    assert len(found["examples"]) == rankings.n_prompts
    for prompt, example in enumerate(found["examples"]):
        mine = [a for a in range(rankings.n_candidates) if rankings.candidate_prompt[a] == prompt]
        a, b = (max(mine, key=lambda each, k=k: scores[k][each]) for k in (0, 1))
        texts = rankings.candidates["response"]
        assert (example["output_text_a"], example["output_text_b"]) == (texts[a], texts[b])
        share = [1 / (1 + math.exp(scores[k][b] - scores[k][a])) for k in (0, 1)]
        expected = 2 * sum(w * p for w, p in zip(fitted.weights, share, strict=True)) - 1
        assert example["score"] == pytest.approx(expected, abs=1e-12)
        assert example["input_text"] == rankings.prompts["prompt"][prompt]
        assert example["tags"] == ["the same answer" if a == b else "different answers"]


def test_llm_comparator_raters_are_those_who_ranked_both(tmp_path, fitted):
    path = export_rankings(fitted, tmp_path / "two.json", "llm-comparator", types=[2, 1]).path
    table = planted_table(n_users=24, seed=3)
    n_told = 0
    for example in json.loads(path.read_text("utf-8"))["examples"]:
        if example["tags"] == ["the same answer"]:
            assert example["individual_rater_scores"] == [] and example["score"] == 0
            continue
        rows = table[table["prompt"] == example["input_text"]]
        expected = []
        for _, mine in rows.groupby("user_id", sort=False):
            place = dict(zip(mine["response"], mine["rank"], strict=True))
            pair = [place.get(example[f"output_text_{side}"]) for side in "ab"]
            if None not in pair:
                expected.append((pair[0] < pair[1]) - (pair[0] > pair[1]))
        told = example["individual_rater_scores"]
        assert sorted(rater["score"] for rater in told) == sorted(expected)
        assert all(set(rater) >= {"score", "rating_label", "is_flipped"} for rater in told)
        n_told += len(told)
    assert n_told > 0


@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("out.xlsx", {}, "must end in one of"),
        ("out.csv", {"format": "trl"}, "must end in .jsonl"),
        ("out.json", {"format": "llm-comparator"}, "give its folder"),
        ("out.json", {"format": "preflib"}, "must end in .soc or .soi"),
        ("out.jsonl", {"format": "nonsense"}, "the formats are canonical, trl"),
        ("out.jsonl", {"format": "trl", "types": [1]}, "types are told by a run"),
        ("out.jsonl", {"format": "trl", "prompt": "q1"}, "trl does not take --prompt"),
        ("out.jsonl", {"soft": True}, "canonical does not take --soft"),
    ],
)
def test_what_a_format_does_not_take(tmp_path, name, options, told):
    with pytest.raises(EmdpoError) as caught:
        export_rankings(load(TEAS), tmp_path / name, **options)
    assert told in str(caught.value) and list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"format": "trl", "types": [3]}, "types from 1 to 2, got [3]"),
        ({"format": "llm-comparator", "types": [1, 1]}, "got 1 and 1"),
        ({"format": "llm-comparator", "types": [1]}, "compares two types, got 1"),
    ],
)
def test_types_that_a_run_does_not_have(tmp_path, fitted, options, told):
    name = "out.jsonl" if options["format"] == "trl" else "out.json"
    with pytest.raises(EmdpoError) as caught:
        export_rankings(fitted, tmp_path / name, **options)
    assert told in str(caught.value)


def test_conversations_do_not_fit_into_a_csv(tmp_path):
    asked = [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Which?"}]
    table = pd.DataFrame(
        {"user_id": "ann", "prompt": [asked, asked], "response": ["a", "b"], "rank": [1, 2]}
    )
    with pytest.raises(EmdpoError, match=r"^out\.csv: prompts are conversations"):
        export_rankings(load(table), tmp_path / "out.csv")
