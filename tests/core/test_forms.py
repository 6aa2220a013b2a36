"""Every way to tell an order: scores, choices, wide tables; and columns found or corrected."""

import pandas as pd
import pytest
from reading import GOOD, rows_of, warned, written

from emdpo.core.errors import DataError
from emdpo.core.readers import Form, detect_columns, detect_form, load


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
