"""The panel as arrays: built from a table, cut down, and grouped."""

import numpy as np
import pandas as pd
import pytest
from em_panels import random_panel

from emdpo.core.rankings import rankings_from_table


def table(**changes):
    """Return three rankings by two users; the rows of the first are not adjacent."""
    columns = {
        "user_id": ["ann", "bob", "ann", "ann", "bob", "ann"],
        "prompt": ["Tea?", "Tea?", "Tea?", "Cake?", "Tea?", "Cake?"],
        "response": ["yes", "no", "no", "yes", "yes", "no"],
        "rank": [1, 1, 2, 0, 1, 1],
    }
    return pd.DataFrame(columns | changes)


def test_rankings_follow_the_order_of_appearance():
    """Rankings: ann on tea (rows 0, 2), bob on tea (1, 4), ann on cake (3, 5)."""
    rankings = rankings_from_table(table())
    assert rankings.offsets.tolist() == [0, 2, 4, 6]
    assert rankings.ranks.tolist() == [1, 2, 1, 1, 0, 1]
    assert rankings.user.tolist() == [0, 1, 0]
    assert rankings.prompt.tolist() == [0, 0, 1]
    assert rankings.candidate.tolist() == [0, 1, 1, 0, 2, 3]
    assert rankings.lengths.tolist() == [2, 2, 2]
    assert rankings.ranking_of_row.tolist() == [0, 0, 1, 1, 2, 2]
    assert rankings.candidate_prompt.tolist() == [0, 0, 1, 1]
    sizes = (rankings.n_users, rankings.n_rankings, rankings.n_rows, rankings.n_prompts)
    assert (*sizes, rankings.n_candidates) == (2, 3, 6, 2, 4)


def test_types_of_the_arrays():
    rankings = rankings_from_table(table())
    assert rankings.offsets.dtype == np.int64
    assert {rankings.ranks.dtype, rankings.candidate.dtype, rankings.user.dtype} == {np.dtype("i4")}
    assert rankings.weight.dtype == np.float64 and rankings.held_out.dtype == bool


def test_defaults_where_columns_are_absent():
    rankings = rankings_from_table(table())
    assert rankings.weight.tolist() == [1, 1, 1]
    assert rankings.held_out.tolist() == [False] * 3
    assert rankings.ranking_ids.tolist() == ["ann / Tea?", "bob / Tea?", "ann / Cake?"]
    assert rankings.prompts["prompt_id"].tolist() == ["Tea?", "Cake?"]
    assert rankings.candidates["response_id"].tolist() == ["yes", "no", "yes", "no"]
    assert rankings.prompts["messages"].tolist() == [None, None]
    assert rankings.attributes == [] and rankings.notes == ()


def test_categorical_columns_give_the_same_panel():
    plain = rankings_from_table(table())
    packed = rankings_from_table(
        table().astype(dict.fromkeys(("user_id", "prompt", "response"), "category"))
    )
    for name in ("offsets", "ranks", "candidate", "user", "prompt", "ranking_ids"):
        assert getattr(plain, name).tolist() == getattr(packed, name).tolist()
    pd.testing.assert_frame_equal(plain.candidates, packed.candidates)
    pd.testing.assert_frame_equal(plain.prompts, packed.prompts)


def test_ranking_ids_separate_answers_of_one_user_to_one_prompt():
    rankings = rankings_from_table(table(ranking_id=["a", "b", "c", "d", "b", "d"]))
    assert rankings.ranking_ids.tolist() == ["a", "b", "c", "d"]
    assert rankings.lengths.tolist() == [1, 2, 1, 2]


def test_response_ids_are_local_to_their_prompt():
    rankings = rankings_from_table(table(response_id=["1", "2", "2", "1", "1", "2"]))
    assert rankings.candidates["response_id"].tolist() == ["1", "2", "1", "2"]
    assert rankings.candidates["prompt"].tolist() == [0, 0, 1, 1]


def test_variants_in_features_are_candidates_of_their_own():
    rankings = rankings_from_table(table(x_a=[1.0, 2.0, 2.0, 5.0, 3.0, 6.0]))
    assert rankings.candidate.tolist() == [0, 1, 1, 3, 2, 4]
    assert rankings.candidates["x_a"].tolist() == [1, 2, 5, 3, 6]


def test_attributes_are_kept_for_the_users_who_ranked():
    attributes = pd.DataFrame({"age": ["30", "40"]}, index=["eve", "bob"])
    rankings = rankings_from_table(table(), attributes)
    assert rankings.users.index.tolist() == ["ann", "bob"]
    assert rankings.users["age"].tolist() == [None, "40"]
    assert rankings.attributes == ["age"]


def test_select_keeps_codes_and_drops_users_only_when_asked():
    rankings = rankings_from_table(table())
    part = rankings.select(np.array([False, True, False]))
    assert part.offsets.tolist() == [0, 2] and part.ranks.tolist() == [1, 1]
    assert part.user.tolist() == [1] and part.n_users == 2
    assert part.candidate.tolist() == [1, 0] and part.n_candidates == 4
    part = rankings.select(np.array([False, True, False]), drop_users=True)
    assert part.user.tolist() == [0] and part.users.index.tolist() == ["bob"]


def test_select_nothing():
    part = rankings_from_table(table()).select(np.zeros(3, bool), drop_users=True)
    assert part.offsets.tolist() == [0] and part.n_rows == part.n_users == 0


@pytest.mark.parametrize(
    ("split", "kept"), [("train", 3), ("", 3), ("test", 1), ("valid", 1), ("Train", 1)]
)
def test_only_train_and_blank_splits_are_fitted(split, kept):
    rankings = rankings_from_table(table(split=[split, "", split, split, "", split]))
    assert rankings.fitted().n_rankings == kept
    assert rankings.fitted().n_users == (2 if kept == 3 else 1)


def test_weights_are_per_ranking():
    rankings = rankings_from_table(table(weight=[2.0, 0.0, 2.0, 3.0, 0.0, 3.0]))
    assert rankings.weight.tolist() == [2, 0, 3]


def test_users_drawn_again_bring_their_rankings_along():
    """Users 2, 0, 2 of a panel are three users with the rankings of these, in this order."""
    panel = random_panel(0)
    drawn = panel.resample_users(np.array([2, 0, 2]))
    expected = [panel.select(panel.user == user) for user in (2, 0, 2)]
    assert drawn.n_users == 3
    assert drawn.users.index.tolist() == panel.users.index[[2, 0, 2]].tolist()
    assert drawn.user.tolist() == sum(([i] * e.n_rankings for i, e in enumerate(expected)), [])
    for name in ("ranks", "candidate", "prompt", "weight", "held_out", "ranking_ids", "lengths"):
        parts = [getattr(part, name) for part in expected]
        assert getattr(drawn, name).tolist() == np.concatenate(parts).tolist()
