"""One panel, written in any format and form, loads as the same arrays; and the real files load."""

import json
import string
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from reading import rows_of, written

from emdpo.core.errors import DataError
from emdpo.core.readers import load
from emdpo.core.tables import delimited

DATA = Path(__file__).parents[3] / "shared" / "data"


TEXT = st.text(
    st.characters(codec="utf-8", exclude_characters="\0\r", exclude_categories=["Cs"]), max_size=8
)


@st.composite
def panels(draw):
    """Return a long table of random rankings, not necessarily sorted."""
    responses = draw(st.lists(TEXT, min_size=1, max_size=5, unique=True))
    ids = st.text(string.ascii_letters + " .é7", min_size=1, max_size=4)
    users = draw(st.lists(ids, min_size=1, max_size=4, unique=True))
    prompts = draw(st.lists(TEXT, min_size=1, max_size=3, unique=True))
    rows = []
    for user in users:
        for prompt in draw(st.lists(st.sampled_from(prompts), min_size=1, unique=True)):
            shown = draw(st.lists(st.sampled_from(responses), min_size=1, unique=True))
            ranks = draw(st.lists(st.none() | st.integers(1, 4), min_size=len(shown)))
            rows += [
                (user, prompt, response, rank) for response, rank in zip(shown, ranks, strict=False)
            ]
    frame = pd.DataFrame(rows, columns=["user_id", "prompt", "response", "rank"], dtype=object)
    frame["x_size"] = [draw(st.floats(-1e9, 1e9)) for _ in range(len(frame))]
    return frame


def assert_same(a, b, ids=True):
    for name in ("offsets", "ranks", "candidate", "user", "prompt", "weight", "held_out"):
        np.testing.assert_array_equal(getattr(a, name), getattr(b, name), err_msg=name)
    if ids:
        assert a.ranking_ids.tolist() == b.ranking_ids.tolist()
    pd.testing.assert_frame_equal(a.users, b.users)
    pd.testing.assert_frame_equal(a.prompts, b.prompts)
    pd.testing.assert_frame_equal(a.candidates, b.candidates)


RELAXED = settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@RELAXED
@given(frame=panels())
def test_all_formats_give_identical_panels(tmp_path, frame):
    parquet = tmp_path / "a.parquet"
    frame.assign(rank=frame["rank"].astype("Int64")).to_parquet(parquet)
    expected = load(parquet)
    assert rows_of(expected) == _expected_rows(frame)
    for path in (tmp_path / "a.csv", tmp_path / "a.jsonl"):
        assert_same(load(written(frame, path)), expected)
    frame.to_csv(tmp_path / "b.TSV", index=False, sep="\t", lineterminator="\r\n")
    assert_same(load(tmp_path / "b.TSV"), expected)
    assert_same(load(frame), expected)


def _expected_rows(frame):
    """Return the rows grouped by ranking in order of appearance, by plain Python."""
    grouped = {}
    for user, prompt, response, rank, _ in frame.itertuples(index=False):
        grouped.setdefault((user, prompt), []).append((user, prompt, response, rank or 0))
    return [row for rows in grouped.values() for row in rows]


@RELAXED
@given(frame=panels())
def test_wide_and_long_tables_give_identical_panels(tmp_path, frame):
    """Gaps in ranks do not survive the wide form, so they are closed first."""
    frame = frame.drop(columns="x_size")
    ranks = frame["rank"].astype("Float64")
    dense = ranks.groupby([frame["user_id"], frame["prompt"]]).rank("dense")
    frame["rank"] = [None if pd.isna(rank) else int(rank) for rank in dense]
    records = []
    for (user, prompt), part in frame.groupby(["user_id", "prompt"], sort=False):
        order = [
            [i for i, rank in enumerate(part["rank"]) if rank == level]
            for level in range(1, len(part) + 1)
        ]
        records.append(
            {
                "user_id": user,
                "prompt": prompt,
                "responses": part["response"].tolist(),
                "ranking": [group for group in order if group],
            }
        )
    expected = load(frame)
    listed = pd.DataFrame(records)
    assert_same(load(written(listed, tmp_path / "a.jsonl")), expected)
    letters = listed.assign(
        responses=listed["responses"].map(json.dumps),
        ranking=[">".join("=".join("ABCDE"[i] for i in g) for g in r) for r in listed["ranking"]],
    )
    assert_same(load(written(letters, tmp_path / "a.csv")), expected)


@RELAXED
@given(
    cells=st.lists(
        st.lists(st.text('ab",;\n\r é', max_size=4), min_size=2, max_size=2), max_size=6
    ),
    delimiter=st.sampled_from(",;"),
)
def test_fast_and_strict_csv_readers_agree(cells, delimiter):
    """Whatever the fast reader takes, it reads as the strict one does."""
    text = f"p{delimiter}q\n" + "\n".join(delimiter.join(row) for row in cells) + "\n"
    data = text.encode()
    if not delimited._quotes_are_regular(data, delimiter):
        return
    fast = delimited._read_fast(data, delimiter, ["p", "q"])
    try:
        strict = delimited._read_strict(data, delimiter, ["p", "q"], "a.csv")
    except DataError:
        assert fast is None
        return
    if fast is not None:
        assert fast.to_pydict() == strict.to_pydict()


REAL = {
    "chatbot_personalization": (200, 200),
    "ukpconvarg": (3_815, 84_445),
    "polis": (2_437, 2_437),
    "ccai": (1_002, 1_002),
    "jester5k": (5_000, 5_000),
    "issp2000": (1_595, 1_595),
    "gss_music": (1_584, 1_584),
    "carconf": (434, 434),
    "cems": (303, 303),
    "german_parties": (192, 192),
}


@pytest.mark.parametrize("name", REAL)
def test_real_judgements_load(name):
    if not DATA.is_dir():
        pytest.skip("the folder of real judgements is absent")
    users = DATA / f"{name}_users.parquet"
    rankings = load(DATA / f"{name}.parquet", users=users if users.exists() else None)
    assert (rankings.n_users, rankings.n_rankings) == REAL[name]
    table = pd.read_parquet(DATA / f"{name}.parquet")
    assert rankings.n_rows == len(table)
    assert rankings.ranks.sum() == table["rank"].sum()
    assert not set(rankings.attributes) & {"rank", "score"}
    if users.exists():
        assert rankings.attributes == list(pd.read_parquet(users).columns.drop("user_id"))
