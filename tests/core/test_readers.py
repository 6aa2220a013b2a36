"""Files that must load, strange but legal ones included."""

import json

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from reading import GOOD, rows_of, warned, written

from emdpo.core.readers import load, read_table


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
    with_null = frame.astype(object).where(frame.notna(), None)
    for rankings in (load(path), load(frame), load(written(with_null, tmp_path / "a.jsonl"))):
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


def test_read_table_shows_cells_as_they_are(write):
    raw = read_table(write(GOOD))
    assert list(raw.frame.columns) == ["user_id", "prompt", "response", "rank"]
    assert raw.frame["rank"].tolist() == ["1", "2", "3", "2", "1"]
    assert raw.file == "a.csv" and raw.rows([0, 4]) == {0: 2, 4: 6}
