"""What is written in a format and read back is what it was, for any panel of rankings."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emdpo import export_rankings, import_rankings, load
from emdpo.formats.importers import preflib
from emdpo.formats.judgements import gather

DATA = Path(__file__).parents[2] / "../shared/data"
"""Real judgements, where they are at hand."""

few = settings(deadline=None, max_examples=20, suppress_health_check=[HealthCheck.too_slow])

names = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=6)
answers = st.lists(names, min_size=2, max_size=4, unique=True)


@st.composite
def panels(draw, users=names, prompts=names, unranked=True):
    """Return a canonical table: rankings with ties, held-out ones, weights and an attribute."""
    shown = {prompt: draw(answers) for prompt in draw(st.sets(prompts, min_size=1, max_size=2))}
    people = draw(st.lists(users, min_size=1, max_size=3, unique=True))
    rows = []
    for person in people:
        for prompt, responses in shown.items():
            about = {
                "user_id": person,
                "prompt": prompt,
                "split": draw(st.sampled_from(["train", "test"])),
                "weight": draw(st.sampled_from([1.0, 0.1, 2.5])),
                "country": f"land {len(person)}",
            }
            ranks = draw(order(len(responses), unranked=unranked))
            for text, rank in zip(responses, ranks, strict=True):
                rows.append(about | {"response": text, "rank": rank, "x_length": len(text) / 3})
    return pd.DataFrame(rows).astype({"rank": object})


@st.composite
def order(draw, n, unranked=True):
    """Return ranks, None = not ranked, of which at least two differ."""
    least = 0 if unranked else 1
    ranks = draw(
        st.lists(st.integers(least, 3), min_size=n, max_size=n).filter(lambda r: len(set(r)) > 1)
    )
    return [rank or None for rank in ranks]


def told(rankings):
    """Return what a panel says, whatever numbers its rankings have: sorted tuples."""
    found = []
    for ranking in range(rankings.n_rankings):
        rows = slice(rankings.offsets[ranking], rankings.offsets[ranking + 1])
        answers = rankings.candidates.iloc[rankings.candidate[rows]]
        user = rankings.users.iloc[rankings.user[ranking]]
        found.append(
            (
                str(user.name),
                tuple(user),
                rankings.prompts["prompt"].iloc[rankings.prompt[ranking]],
                rankings.weight[ranking],
                bool(rankings.held_out[ranking]),
                tuple(sorted(zip(answers["response"], rankings.ranks[rows], strict=True))),
                tuple(answers["x_length"]) if "x_length" in answers else (),
            )
        )
    return sorted(found, key=repr)


@pytest.mark.parametrize("ending", [".jsonl", ".parquet", ".csv", ".tsv"])
@few
@given(table=panels())
def test_canonical_tables(ending, table):
    rankings = load(table)
    with tempfile.TemporaryDirectory() as folder:
        path = export_rankings(rankings, Path(folder) / f"out{ending}").path
        assert told(load(path)) == told(rankings)
        assert told(import_rankings(path).rankings) == told(rankings)


def levels(rankings):
    """Return each ranking's answers level by level, as sets: what pairs can tell."""
    found = []
    for user, _, prompt, _, _, ranked, _ in told(rankings):
        place = {rank or 99: set() for _, rank in ranked}
        for text, rank in ranked:
            place[rank or 99].add(text)
        found.append((user, prompt, [place[rank] for rank in sorted(place)]))
    return found


@few
@given(table=panels())
def test_pairs_of_a_ranking_are_that_ranking_again(table):
    """Whoever shares no more than a level is tied, and answers not ranked are the last level."""
    rankings = load(table)
    with tempfile.TemporaryDirectory() as folder:
        path = export_rankings(rankings, Path(folder) / "pairs.jsonl", "trl").path
        again = import_rankings(path).rankings
    assert levels(again) == levels(rankings)


def tidy(text):
    """Return text on one line, as a header holds it."""
    return " ".join(text.split())


@st.composite
def ballots(draw):
    """Return rankings of the same answers to one prompt, one line each."""
    line = st.text("abc xyz:#{},é", min_size=1, max_size=8).map(str.strip).filter(bool)
    shown = draw(st.lists(line, min_size=2, max_size=4, unique_by=tidy))
    rows = []
    for person in range(draw(st.integers(1, 5))):
        ranks = draw(order(len(shown)))
        for text, rank in zip(shown, ranks, strict=True):
            rows.append({"user_id": str(person), "prompt": "Best?", "response": text, "rank": rank})
    return pd.DataFrame(rows).astype({"rank": object})


def orders(rankings):
    """Return the levels of every ranking by the answers' text without extra blanks."""
    return sorted([sorted(map(tidy, level)) for level in order] for _, _, order in levels(rankings))


@pytest.mark.parametrize("ending", [".toi", ".toc"])
@few
@given(table=ballots())
def test_preflib_orders(ending, table):
    """Answers not ranked are shown and last in both readings."""
    rankings = load(table)
    with tempfile.TemporaryDirectory() as folder:
        path = export_rankings(rankings, Path(folder) / f"best{ending}", "preflib").path
        again = import_rankings(path).rankings
    assert orders(again) == orders(rankings)
    assert again.n_users == rankings.n_rankings


def test_conversations_come_back_as_conversations(tmp_path):
    asked = [{"role": "user", "content": "Tea?"}, {"role": "assistant", "content": "Which?"}]
    table = pd.DataFrame(
        {
            "user_id": ["ann"] * 3 + ["bob"] * 2,
            "prompt": pd.Series([asked] * 3 + ["Plain?"] * 2, dtype=object),
            "response": list("abcab"),
            "rank": [1, 2, 3, 2, 1],
        }
    )
    rankings = load(table)
    for name in ("out.jsonl", "out.parquet", "pairs.jsonl"):
        form = "trl" if name == "pairs.jsonl" else "canonical"
        path = export_rankings(rankings, tmp_path / name, form).path
        again = import_rankings(path).rankings
        assert again.prompts["messages"].iloc[0] == asked
        assert again.prompts["prompt"].iloc[1].endswith("Plain?")
        assert again.ranks.tolist() == ([1, 2, 3, 1, 2] if form == "trl" else [1, 2, 3, 2, 1])


def test_the_demo_survives_every_table_format(tmp_path):
    rankings = load("assets/demo/rankings.csv")
    for ending in (".jsonl", ".parquet", ".csv"):
        again = load(export_rankings(rankings, tmp_path / f"demo{ending}").path)
        assert np.array_equal(again.ranks, rankings.ranks)
        assert again.candidates["response"].tolist() == rankings.candidates["response"].tolist()
        assert again.users.equals(rankings.users)


@pytest.mark.skipif(not DATA.exists(), reason="real judgements are not in this checkout")
def test_real_files_survive_preflib(tmp_path):
    """issp2000: 1,595 people order six dangers, with ties; PrefLib keeps all but the names.

    161 of them tie all six and are left out on the way back: one first place less for each danger.
    """
    rankings = load(DATA / "issp2000.parquet")
    path = export_rankings(rankings, tmp_path / "dangers.toc", "preflib").path
    again = gather(preflib.read(path), {})
    assert again.left_out == {"all answers tied: nothing is ordered": 161}
    assert again.n_judgements + 161 == rankings.n_rankings == 1595
    firsts = pd.Series(rankings.candidates["response_id"].to_numpy()[rankings.candidate])
    expected = firsts[rankings.ranks == 1].value_counts()
    text = dict(
        zip(rankings.candidates["response_id"], rankings.candidates["response"], strict=True)
    )
    table = again.table
    found = table.loc[[rank == 1 for rank in table["rank"]], "response"].value_counts()
    assert {text[name]: n - 161 for name, n in expected.items()} == found.to_dict()
    header = [line for line in path.read_text().splitlines() if line.startswith("#")]
    assert f"# NUMBER VOTERS: {rankings.n_rankings}" in header


def test_lines_of_jsonl_are_json_without_nan(tmp_path):
    table = pd.DataFrame(
        {"user_id": "a", "prompt": "p", "response": list("xyz"), "rank": [1, 2, None]}
    )
    lines = export_rankings(load(table), tmp_path / "out.jsonl").path.read_text().splitlines()
    assert [json.loads(line)["rank"] for line in lines] == [1, 2, None]
