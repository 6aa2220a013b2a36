"""Files of every form that must load, strange but legal ones included."""

import json
import string
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from emdpo.core.checks import check
from emdpo.core.errors import DataError
from emdpo.core.readers import Form, detect_columns, detect_form, load, read_table
from emdpo.core.tables import delimited

DATA = Path(__file__).parents[3] / "shared" / "data"

GOOD = """user_id,prompt,response,rank
ann,Tea?,Yes.,1
ann,Tea?,No.,2
ann,Tea?,Coffee!,3
bob,Tea?,Yes.,2
bob,Tea?,No.,1
"""


@pytest.fixture
def write(tmp_path):
    """Return a function that writes a file and returns its path."""

    def write_file(text, name="a.csv", encoding="utf-8"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write_file


def warned(rankings):
    return [str(problem) for problem in check(rankings).warnings]


def rows_of(rankings):
    """Return (user, prompt, response, rank) per candidate shown, in the panel's order."""
    candidates = rankings.candidates.iloc[rankings.candidate]
    ranking = rankings.ranking_of_row
    users = rankings.users.index.to_numpy()[rankings.user[ranking]]
    prompts = rankings.prompts["prompt"].to_numpy()[rankings.prompt[ranking]]
    responses = candidates["response"].to_numpy()
    return list(zip(users, prompts, responses, rankings.ranks.tolist(), strict=True))


def test_the_plain_file(write):
    rankings = load(write(GOOD))
    assert rankings.n_users == 2 and rankings.n_rankings == 2
    assert rankings.offsets.tolist() == [0, 3, 5]
    assert rankings.ranks.tolist() == [1, 2, 3, 2, 1]
    assert rankings.candidate.tolist() == [0, 1, 2, 0, 1]
    assert rankings.ranking_ids.tolist() == ["ann / Tea?", "bob / Tea?"]
    assert rankings.weight.tolist() == [1.0, 1.0] and not rankings.held_out.any()
    assert warned(rankings) == []


@pytest.mark.parametrize(
    "text",
    [
        GOOD.replace("\n", "\r\n"),
        GOOD.replace("\n", "\r"),
        GOOD.rstrip("\n"),
        "\n" + GOOD.replace("bob,Tea?,Yes.,2\n", "\n\nbob,Tea?,Yes.,2\n\n") + "\n\n",
        GOOD.replace(",", ";"),
        GOOD.replace(",", "\t"),
        GOOD.replace("user_id,prompt", '"user_id", prompt').replace("Tea?", '"Tea?"'),
        "﻿" + GOOD,
        GOOD.replace(",1\n", ",1.0\n").replace(",2\n", ",02\n").replace(",3\n", ", 3 \n"),
    ],
)
def test_spellings_of_the_same_file(write, text):
    assert rows_of(load(write(text))) == rows_of(load(write(GOOD)))


@pytest.mark.parametrize("name", ["A.CSV", "a.Csv", "a.tsv", "a.b.csv", "with space.csv", "ü.csv"])
def test_spellings_of_the_name(write, name):
    assert load(write(GOOD, name)).n_users == 2


def test_links_to_regular_files_are_followed(write, tmp_path):
    (tmp_path / "link.csv").symlink_to(write(GOOD))
    assert load(str(tmp_path / "link.csv")).n_users == 2


def test_a_semicolon_table_may_hold_commas_and_quotes(write):
    prompt = '"Tea; or, ""coffee""?"'
    text = f"user_id;prompt;response;rank\nann;{prompt};Yes, no;1\nann;{prompt};No;2\n"
    assert rows_of(load(write(text)))[0] == ("ann", 'Tea; or, "coffee"?', "Yes, no", 1)


def test_quoted_newlines_are_kept(write):
    prompt = '"Tea\r\nor\ncoffee?"'
    text = f'user_id,prompt,response,rank\nann,{prompt},"Yes\n",1\nann,{prompt},,2\n'
    rankings = load(write(text))
    assert rankings.prompts["prompt"].tolist() == ["Tea\r\nor\ncoffee?"]
    assert rankings.candidates["response"].tolist() == ["Yes\n", ""]
    assert "1 empty responses" in warned(rankings)[0]


def test_quotes_inside_bare_cells_are_text(write):
    """They send the file to the strict reader, which must agree with the fast one."""
    rankings = load(write(GOOD.replace("Coffee!", 'A 5" pipe')))
    assert rankings.candidates["response"].tolist() == ["Yes.", "No.", 'A 5" pipe']
    assert rows_of(rankings)[3:] == rows_of(load(write(GOOD)))[3:]


def test_ids_are_text_kept_exactly(write):
    ids = ["007", "7", "7.0", "NA", "None", "nan", "null", "True", " 7", "7 ", "1e3", "-", "0"]
    lines = [f"{i},Tea?,{r},{k}" for i in ids for k, r in enumerate(("Yes.", "No."), 1)]
    rankings = load(write("\n".join(["user_id,prompt,response,rank", *lines])))
    assert rankings.users.index.tolist() == ids


STRANGE = [
    "NA",
    "None",
    "null",
    "<img src=x onerror=alert(1)>",
    "=cmd|' /C calc'!A0",
    "{{constructor}} ${alert(1)} `x`",
    "$\\href{javascript:alert(1)}{x}$",
    "שלום‮abc",
    "🫖👩‍👩‍👧",
    "  spaced  ",
    "a\tb",
    "e\u0301",  # not the same text as the composed letter
    "é",
    "a'b",
    "\\n",
    "﻿mark",
    "x" * 1_000_000,
    "#REF!",
    "-1",
]


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test_any_text_is_data(tmp_path, ending):
    frame = pd.DataFrame(
        {
            "user_id": "ann",
            "prompt": "=1+1 <b>?</b>",
            "response": STRANGE,
            "rank": range(1, len(STRANGE) + 1),
        }
    )
    path = written(frame, tmp_path / f"a.{ending}")
    rankings = load(path)
    assert rankings.candidates["response"].tolist() == STRANGE
    assert rankings.prompts["prompt"].tolist() == ["=1+1 <b>?</b>"]


def written(frame, path):
    match path.suffix:
        case ".csv":
            frame.to_csv(path, index=False)
        case ".jsonl":
            lines = (json.dumps(record, ensure_ascii=False) for record in frame.to_dict("records"))
            path.write_text("\n".join(lines), encoding="utf-8")
        case ".parquet":
            frame.to_parquet(path)
    return path


def test_blank_ranks_and_gaps(write):
    text = GOOD.replace("Coffee!,3", "Coffee!,").replace("No.,2", "No.,900")
    assert load(write(text)).ranks.tolist() == [1, 900, 0, 2, 1]


def test_rankings_that_say_nothing_load_with_warnings(write):
    text = (
        "user_id,prompt,response,rank\n"
        "ann,Tea?,Yes.,1\nann,Tea?,No.,1\nbob,Tea?,Yes.,1\neve,Tea?,Yes.,\neve,Tea?,No.,\n"
    )
    assert [line.split(":")[0] for line in warned(load(write(text)))[:3]] == [
        "1 of 3 rankings show a single candidate",
        "1 of 3 rankings rank nothing",
        "1 of 3 rankings tie all their candidates",
    ]


def test_rows_of_a_ranking_need_not_be_adjacent(write):
    lines = GOOD.splitlines()
    mixed = "\n".join([lines[0], lines[4], lines[1], lines[5], lines[3], lines[2]])
    rankings = load(write(mixed))
    assert rows_of(rankings) == [
        ("bob", "Tea?", "Yes.", 2),
        ("bob", "Tea?", "No.", 1),
        ("ann", "Tea?", "Yes.", 1),
        ("ann", "Tea?", "Coffee!", 3),
        ("ann", "Tea?", "No.", 2),
    ]


def test_ids_and_split_and_weight_columns(write):
    text = (
        "ranking_id,user_id,prompt_id,prompt,response_id,response,rank,split,weight\n"
        "r1,ann,p,Tea?,a,Yes.,1,train,2\nr1,ann,p,Tea?,b,No.,2,train,2.0\n"
        "r2,ann,p,Tea?,a,Yes.,2,test,0\nr2,ann,p,Tea?,b,No.,1,test,0\n"
        "r3,ann,q,Tea?,a,Yes.,2,,1e-1\nr3,ann,q,Tea?,b,No.,1,,.1\n"
    )
    rankings = load(write(text))
    assert rankings.ranking_ids.tolist() == ["r1", "r2", "r3"]
    assert rankings.weight.tolist() == [2, 0, 0.1]
    assert rankings.held_out.tolist() == [False, True, False]
    assert rankings.prompts["prompt_id"].tolist() == ["p", "q"]
    assert rankings.candidates["response_id"].tolist() == ["a", "b", "a", "b"]
    assert rankings.fitted().n_rankings == 2


def test_optional_columns_left_empty_are_as_good_as_absent(write):
    lines = GOOD.splitlines()
    header = lines[0] + ",ranking_id,prompt_id,response_id,split,weight"
    rankings = load(write("\n".join([header, *(line + ",,,,," for line in lines[1:])])))
    assert rows_of(rankings) == rows_of(load(write(GOOD)))
    assert rankings.weight.tolist() == [1, 1]


def test_one_id_with_two_texts_is_warned_of(write):
    text = (
        "user_id,prompt_id,prompt,response_id,response,rank\n"
        "ann,p,Tea?,a,Yes.,1\nann,p,Tea?,b,No.,2\nbob,p,Tee?,a,Yes.,1\nbob,p,Tee?,b,Nope.,2\n"
    )
    rankings = load(write(text))
    assert rankings.n_prompts == 1 and rankings.n_candidates == 2
    first, second = warned(rankings)[:2]
    assert "row 4, column 'prompt'" in first and "row 5, column 'response'" in second


def test_features_are_numbers_and_variants_are_candidates(write):
    text = (
        "user_id,prompt,response,rank,x_len,x_b\n"
        "ann,Tea?,Yes.,1,1e-3,-4\nann,Tea?,No.,2,+.5,0\nbob,Tea?,Yes.,1,0.001,5.\nbob,Tea?,No.,2,0.5,0\n"
    )
    rankings = load(write(text))
    assert rankings.candidates["x_len"].tolist() == [0.001, 0.5, 0.001]
    assert rankings.candidates["x_b"].tolist() == [-4, 0, 5]
    assert rankings.candidate.tolist() == [0, 1, 2, 1]
    assert rankings.attributes == []
    assert "row 4, column 'x_b'" in warned(rankings)[0]


def test_scores_are_read_where_there_is_no_rank(write):
    """Higher is better, equal is tied, blank is not ranked."""
    text = GOOD.replace("rank", "rating").replace("Yes.,1", "Yes.,2.50").replace("No.,2", "No.,2.5")
    rankings = load(write(text.replace("bob,Tea?,Yes.,2", "bob,Tea?,Yes.,")))
    assert rankings.ranks.tolist() == [2, 2, 1, 0, 1]
    assert rankings.attributes == []


def test_a_score_beside_a_rank_is_neither_order_nor_group(write):
    lines = GOOD.splitlines()
    text = "\n".join([lines[0] + ",score,rating,chosen", *(f"{x},5,5,1" for x in lines[1:])])
    rankings = load(write(text))
    assert rankings.ranks.tolist() == [1, 2, 3, 2, 1]
    assert rankings.attributes == [] and warned(rankings) == []


def test_choices_are_flags(write):
    text = "user_id,prompt,response,chosen\n" + "".join(
        f"{user},Tea?,{response},{flag}\n"
        for user, flags in {"ann": "010", "bob": ("TRUE", "False", ""), "eve": "000"}.items()
        for response, flag in zip("abc", flags, strict=True)
    )
    assert load(write(text)).ranks.tolist() == [0, 1, 0, 1, 0, 0, 0, 0, 0]


def test_attributes_are_what_is_constant_per_user(write):
    text = (
        "user_id,prompt,response,rank,country,age,mood,empty,odd\n"
        "ann,Tea?,Yes.,1,NA,,good,,\nann,Tea?,No.,2,NA,007,bad,,\n"
        "bob,Tea?,Yes.,1,DE,,good,,\nbob,Tea?,No.,2,DE,,good,,x\n"
    )
    rankings = load(write(text))
    assert rankings.attributes == ["country", "age", "odd"]
    assert rankings.users["country"].tolist() == ["NA", "DE"]
    assert rankings.users["age"].tolist() == ["007", None]
    assert rankings.users["odd"].tolist() == [None, "x"]
    (warning,) = warned(rankings)[:1]
    assert "row 3, column 'mood'" in warning and "no group" in warning


def test_the_users_file_adds_attributes_and_wins(write):
    own = GOOD.splitlines()
    countries = ["country,age", "DE,30", "DE,30", "DE,30", "FR,", "FR,"]
    main = write("\n".join(f"{a},{b}" for a, b in zip(own, countries, strict=True)))
    users = write("user_id,country,job\nbob,,cook\nann,AT,\neve,US,spy\n", "people.csv")
    rankings = load(main, users=users)
    assert rankings.users["country"].tolist() == ["AT", "FR"]
    assert rankings.users["job"].tolist() == [None, "cook"]
    assert rankings.users["age"].tolist() == ["30", None]
    found = warned(rankings)
    assert any("people.csv" in line and "eve" in line for line in found)
    assert any("column 'country'" in line and "differs" in line for line in found)


def test_users_missing_from_the_users_file_are_warned_of(write):
    users = write("user_id,age\nann,30\n", "people.csv")
    rankings = load(write(GOOD), users=users)
    assert rankings.users["age"].tolist() == ["30", None]
    assert any("1 of 2 users have no row in people.csv: bob" in line for line in warned(rankings))


def test_numbers_as_ids_and_attributes_become_their_text(tmp_path):
    frame = pd.DataFrame(
        {
            "user_id": [7, 7, 2**60 + 1, 2**60 + 1],
            "prompt": "Tea?",
            "response": ["Yes.", "No."] * 2,
            "rank": [1.0, np.nan, 2, 1],
            "age": [40.0, 40.0, None, None],
            "height": [1.75, 1.75, 1.5, 1.5],
            "adult": [True, True, False, False],
        }
    )
    path = tmp_path / "a.parquet"
    frame.to_parquet(path)
    for rankings in (load(path), load(frame), load(written(frame, tmp_path / "a.jsonl"))):
        assert rankings.users.index.tolist() == ["7", str(2**60 + 1)]
        assert rankings.ranks.tolist() == [1, 0, 2, 1]
        assert rankings.users["age"].tolist() == ["40", None]
        assert rankings.users["height"].tolist() == ["1.75", "1.5"]
        assert rankings.users["adult"].tolist() == ["true", "false"]


def test_long_integer_ids_with_gaps_beside_them_stay_exact(tmp_path):
    path = tmp_path / "a.parquet"
    columns = {
        "user_id": ["ann", "bob"],
        "prompt": ["Tea?"] * 2,
        "response": ["Yes."] * 2,
        "rank": pa.array([1, None], pa.int64()),
        "badge": pa.array([2**62 + 1, None], pa.int64()),
    }
    pq.write_table(pa.table(columns), path)
    assert load(path).users["badge"].tolist() == [str(2**62 + 1), None]


CHAT = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Tea?"}]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_prompts_may_be_messages(tmp_path, ending):
    frame = pd.DataFrame(
        {
            "user_id": ["ann", "ann", "bob", "bob"],
            "prompt": [CHAT, CHAT, CHAT[1:], CHAT[1:]],
            "response": ["Yes.", "No."] * 2,
            "rank": [1, 2] * 2,
        }
    )
    rankings = load(written(frame, tmp_path / f"a.{ending}"))
    assert rankings.prompts["prompt"].tolist() == ["system: Be brief.\nuser: Tea?", "user: Tea?"]
    assert rankings.prompts["messages"].tolist() == [CHAT, CHAT[1:]]
    assert rankings.prompts["prompt_id"][1] == '[{"role":"user","content":"Tea?"}]'


def test_messages_and_texts_may_be_mixed_in_jsonl(write):
    records = [
        {"user_id": "ann", "prompt": prompt, "response": response, "rank": rank}
        for prompt in (CHAT, "user: Tea?", CHAT[1:])
        for rank, response in enumerate(("Yes.", "No."), 1)
    ]
    rankings = load(write("\n\n".join(map(json.dumps, records)), "a.jsonl"))
    assert rankings.n_prompts == 3
    assert rankings.prompts["messages"].tolist() == [CHAT, None, CHAT[1:]]


def test_jsonl_reads_missing_keys_as_null_and_extra_keys_as_attributes(write):
    lines = [
        '{"user_id": "ann", "prompt": "Tea?", "response": "Yes.", "rank": 1}',
        '  {"response": "No.", "prompt": "Tea?", "user_id": "ann", "age": 7, "tags": ["a"]}  ',
    ]
    rankings = load(write("﻿" + "\r\n".join(lines), "a.jsonl"))
    assert rankings.ranks.tolist() == [1, 0]
    assert rankings.users["age"].tolist() == ["7"]
    assert any("row 2, column 'tags'" in line for line in warned(rankings))


WIDE = [
    ("B>A=C", [2, 1, 2]),
    ("b > a = c", [2, 1, 2]),
    ("[1, [0, 2]]", [2, 1, 2]),
    ("[1,0,2]", [2, 1, 3]),
    ("C", [0, 0, 1]),
    ("[2]", [0, 0, 1]),
    ("", [0, 0, 0]),
    ("[]", [0, 0, 0]),
]


@pytest.mark.parametrize(("order", "ranks"), WIDE)
def test_wide_csv_orders(write, order, ranks):
    text = f'user_id,prompt,responses,ranking\nann,Tea?,"[""Yes."", ""No"", ""C""]","{order}"\n'
    rankings = load(write(text))
    assert rankings.ranks.tolist() == ranks
    assert rankings.candidates["response"].tolist() == ["Yes.", "No", "C"]


@pytest.mark.parametrize("ending", ["jsonl", "parquet"])
def test_wide_lists_need_no_json_text(tmp_path, ending):
    frame = pd.DataFrame(
        {
            "user_id": ["ann", "bob"],
            "prompt": "Tea?",
            "responses": [["Yes.", "No."], ["Yes.", "No.", "C"]],
            "ranking": [[1, 0], [2]],
            "age": ["30", "40"],
        }
    )
    rankings = load(written(frame, tmp_path / f"a.{ending}"))
    assert rankings.ranks.tolist() == [2, 1, 0, 0, 1]
    assert rankings.users["age"].tolist() == ["30", "40"]


@pytest.mark.parametrize("chosen", ["1", "No.", "B", "response_b"])
def test_wide_choices(write, chosen):
    text = f'user_id,prompt,responses,chosen\nann,Tea?,"[""Yes."", ""No.""]",{chosen}\n'
    assert load(write(text)).ranks.tolist() == [0, 1]


def test_wide_columns_by_letter_leave_out_blank_candidates(write):
    text = (
        "user_id,prompt,response_a,response_b,response_c,ranking\n"
        "ann,Tea?,Yes.,No.,C,C>A\nbob,Tea?,Yes.,,C,C>A\n"
    )
    rankings = load(write(text))
    assert rankings.ranks.tolist() == [2, 0, 1, 2, 1]
    assert rankings.candidates["response"].tolist() == ["Yes.", "No.", "C"]
    with pytest.raises(DataError, match="row 3, column 'ranking'"):
        load(write(text.replace(",C>A\nbob,Tea?,Yes.,,C,C>A", ",C>A\nbob,Tea?,Yes.,,C,B>A")))


def test_each_row_of_a_wide_table_is_a_ranking(write):
    """Two rows of one user and prompt must not run together."""
    header = "user_id,prompt,response_a,response_b,ranking"
    text = f"{header}\nann,Tea?,Yes.,No.,A>B\nann,Tea?,Yes.,No.,B>A\n"
    rankings = load(write(text))
    assert rankings.n_rankings == 2
    assert rankings.ranks.tolist() == [1, 2, 2, 1]


def test_columns_can_be_corrected(write):
    text = GOOD.replace("user_id", "annotator").replace("rank", "place")
    path = write(text)
    with pytest.raises(DataError, match="is it 'annotator'"):
        load(path)
    rankings = load(path, columns={"user_id": "annotator", "rank": "place"})
    assert rows_of(rankings) == rows_of(load(write(GOOD, "good.csv")))


def test_a_mapping_replaces_the_column_of_that_name(write):
    lines = [f"{a},{b}" for a, b in zip(GOOD.splitlines(), ["who", *"xxxyy"], strict=True)]
    rankings = load(write("\n".join(lines)), columns={"user_id": "who"})
    assert rankings.users.index.tolist() == ["x", "y"] and rankings.attributes == []


def test_a_role_can_be_taken_from_a_column(write):
    lines = [f"{a},{b}" for a, b in zip(GOOD.splitlines(), ["score", *"12345"], strict=True)]
    rankings = load(write("\n".join(lines)), columns={"rank": None})
    assert rankings.ranks.tolist() == [3, 2, 1, 2, 1]


def test_detection_names_form_roles_and_suggestions():
    names = ["annotator_id", "prompt", "response_b", "response_a", "preferred", "country", "x_n"]
    layout = detect_columns(names)
    assert layout.form is None and layout.missing == ("user_id", "ranking")
    assert layout.suggestions == {"user_id": "annotator_id"}
    assert layout.responses == ("response_a", "response_b") and layout.features == ("x_n",)
    layout = detect_columns(names, {"user_id": "annotator_id", "chosen": "preferred"})
    assert layout.form is Form.WIDE_CHOICE and not layout.missing
    assert layout.others == ("country",)
    assert detect_form(["response", "rank", "score"]) is Form.RANKS
    assert detect_form(["response", "chosen", "score"]) is Form.SCORES
    assert detect_form(["response", "chosen"]) is Form.CHOICE
    assert detect_form(["responses", "ranking"]) is Form.WIDE_RANKING


def test_read_table_shows_cells_as_they_are(write):
    raw = read_table(write(GOOD))
    assert list(raw.frame.columns) == ["user_id", "prompt", "response", "rank"]
    assert raw.frame["rank"].tolist() == ["1", "2", "3", "2", "1"]
    assert raw.file == "a.csv" and raw.rows([0, 4]) == {0: 2, 4: 6}


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
