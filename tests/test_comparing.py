"""Two fits side by side: equal ones, renumbered ones, a planted split, other users and answers."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from panels import planted_table
from sklearn.metrics import adjusted_rand_score

import emdpo
from emdpo.comparison_text import comparison_text
from emdpo.core.em import StopReason
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.scored import ScoredPolicies
from emdpo.fitting import Restarts

QUICK = {"restarts": 2, "features": "columns"}
DRAW = {"n_bootstrap": 50}


@pytest.fixture(scope="module")
def table():
    return planted_table(n_users=60, answers=6)


@pytest.fixture(scope="module")
def two(table):
    return emdpo.fit(emdpo.load(table), 2, **QUICK)


@pytest.fixture(scope="module")
def three(table):
    return emdpo.fit(emdpo.load(table), 3, **QUICK)


@pytest.fixture(scope="module")
def told(two, three):
    return emdpo.compare_runs(two, three, **DRAW)


def planted_types(fit):
    """Return each user's planted type, which their id tells."""
    return np.array([int(user[1:]) % 3 for user in fit.rankings.users.index])


def parsed(text):
    """Return JSON that holds no NaN."""
    return json.loads(text, parse_constant=pytest.fail)


def test_a_run_beside_itself_is_the_same(three):
    same = emdpo.compare_runs(three, three, **DRAW)
    assert same.pairs == ((1, 1), (2, 2), (3, 3)) and same.same_data
    assert same.splits == same.merges == () and same.n_moved == 0
    assert same.adjusted_rand == same.staying == (1, 1, 1, 60)
    assert (same.types[["kendall", "same_top"]] == 1).all(axis=None)
    assert same.types["in_common"].tolist() == pytest.approx([1, 1, 1])
    assert same.log_likelihood.difference == (0, 0, 0, 60)
    for changes in (same.regret, same.regret_by_type, same.regret_by_group):
        assert len(changes) and (changes["difference"] == 0).all()
    assert len(same.settings) == 0 and same.notes == ()


def test_types_with_other_numbers_are_matched(three):
    order = [2, 0, 1]
    renumbered = replace(
        three,
        policies=ScoredPolicies(three.policies.candidate_scores()[order]),
        weights=three.weights[order],
        responsibilities=three.responsibilities[:, order],
    )
    same = emdpo.compare_runs(three, renumbered, **DRAW)
    assert same.pairs == ((1, 2), (2, 3), (3, 1)) and same.n_moved == 0
    assert same.staying.value == same.adjusted_rand.value == 1
    assert same.regret["difference"].abs().max() < 1e-4
    assert abs(same.log_likelihood.difference.value) < 1e-9


def test_a_planted_split_is_found(two, three, told):
    """Two types cannot hold three; the one that held two of them falls apart, the other stays."""
    planted = planted_types(two)
    held = [set(planted[two.responsibilities.argmax(axis=1) == k]) for k in range(2)]
    whole, joined = sorted(range(2), key=lambda k: len(held[k]))
    assert [len(held[whole]), len(held[joined])] == [1, 2]
    (split,) = told.splits
    assert split.one == joined + 1 and len(split.many) == 2 and told.merges == ()
    assert {m for k, m in told.pairs if k == whole + 1}.isdisjoint(split.many)
    back = emdpo.compare_runs(three, two, **DRAW)
    assert back.merges == told.splits and back.splits == ()


def test_who_moved_is_who_was_planted_so(two, three, told):
    """Everybody of the part that found no partner moved, and they are the planted type."""
    alone = told.types[told.types["type_a"].isna()]["type_b"].item()
    moved = set(told.moved["user_id"])
    expected = three.rankings.users.index[three.responsibilities.argmax(axis=1) == alone - 1]
    assert moved == set(expected) and told.n_moved == round(60 * (1 - told.staying.value))
    assert len({int(user[1:]) % 3 for user in moved}) == 1
    assert told.moved["chance_moved"].is_monotonic_decreasing


def test_users_agree_as_scikit_learn_says(two, three, told):
    labels = [fit.responsibilities.argmax(axis=1) for fit in (two, three)]
    assert told.adjusted_rand.value == pytest.approx(adjusted_rand_score(*labels))
    assert told.contingency.sum() == 60 and told.contingency.shape == (2, 3)


def test_regrets_are_those_of_the_audits(two, three, told):
    for fit, column in ((two, "value_a"), (three, "value_b")):
        audit = emdpo.audit(fit, n_bootstrap=10)
        own = told.regret.query("judged_by == 'own' and kind == 'share' and statistic == 'worst'")
        expected = [audit.worst("share")[rule] for rule in own["rule"]]
        assert own[column].tolist() == pytest.approx(expected)
        groups = told.regret_by_group.query(
            "judged_by == 'own' and kind == 'kl' and rule == 'pooled' and attribute == 'age'"
        )
        shown = {group.value: group.regret["kl"]["pooled"] for group in audit.groups}
        assert dict(zip(groups["value"], groups[column], strict=True)) == pytest.approx(
            {value: shown[value] for value in groups["value"]}
        )


def test_the_same_policy_has_the_same_regret_for_one_judge(told):
    """Pooled DPO does not know types: only each run's own judges see it differ."""
    pooled = told.regret.query("rule == 'pooled' and kind == 'share' and statistic == 'mean'")
    by_judge = pooled.set_index("judged_by")["difference"]
    assert by_judge["a"] == by_judge["b"] == 0 and by_judge["own"] > 0.02


def test_what_differs_and_what_to_know_is_told(told):
    assert told.settings.to_dict("records") == [{"setting": "n_types", "a": 2, "b": 3}]
    assert any("more types fit" in note for note in told.notes)
    assert told.a.label == "A" and told.b.n_types == 3


def test_folders_are_compared_like_fits(two, three, told, tmp_path):
    folders = [fit.save(tmp_path / name) for fit, name in ((two, "two"), (three, "three"))]
    again = emdpo.compare_runs(str(folders[0]), folders[1], **DRAW)
    assert again.a.label == str(folders[0])
    assert again.pairs == told.pairs and again.adjusted_rand == told.adjusted_rand
    assert again.moved["user_id"].tolist() == told.moved["user_id"].tolist()
    close = {"check_exact": False, "atol": 1e-4}  # theta on disk is on the file's scale
    pd.testing.assert_frame_equal(again.regret, told.regret, **close)
    with pytest.raises(RunError, match="no such run folder"):
        emdpo.compare_runs(two, tmp_path / "nothing")


def test_the_same_seed_draws_the_same(two, three, told):
    assert emdpo.compare_runs(two, three, **DRAW).to_json() == told.to_json()
    assert emdpo.compare_runs(two, three, **DRAW, seed=1).to_json() != told.to_json()


def test_other_data_are_compared_on_what_they_share(table):
    """Users 20 to 39 of sixty, and the five prompts that both files have."""
    number = table["user_id"].str[1:].astype(int)
    left = table[(number < 40) & (table["prompt_id"] != "p0")]
    right = table[(number >= 20) & (table["prompt_id"] != "p1")]
    fits = [
        emdpo.fit(emdpo.load(part.reset_index(drop=True)), 3, **QUICK) for part in (left, right)
    ]
    told = emdpo.compare_runs(*fits, **DRAW)
    assert not told.same_data and told.log_likelihood is None
    assert (told.n_users, told.n_prompts, told.n_candidates) == (20, 4, 16)
    assert told.contingency.sum() == told.staying.n == 20 and set(told.regret["n"]) == {20}
    assert told.adjusted_rand.value > 0.8
    assert "20 users (40 in A, 40 in B) and 16 answers" in told.notes[0]
    assert "data_sha256" in told.settings["setting"].tolist()
    assert set(told.regret_by_group["n"]) <= set(range(10, 21))


def test_nobody_in_common_is_refused(table, three):
    others = table.assign(user_id="v" + table["user_id"])
    fit = emdpo.fit(emdpo.load(others), 3, **QUICK)
    with pytest.raises(EmdpoError, match=r"no user in common \(60 and 60 users\)"):
        emdpo.compare_runs(three, fit)


def test_users_without_answers_in_common_are_compared_by_type_alone(table, three):
    other = table.assign(prompt_id="q" + table["prompt_id"])
    told = emdpo.compare_runs(three, emdpo.fit(emdpo.load(other), 3, **QUICK), **DRAW)
    assert told.adjusted_rand.value == 1 and told.n_candidates == told.n_prompts == 0
    assert len(told.regret) == len(told.regret_by_type) == 0 and told.types["kendall"].isna().all()
    assert "0 answers" in comparison_text(told)
    parsed(told.to_json())


def test_ids_that_stand_for_several_answers_are_left_out(table, three):
    """One answer of each prompt gets another x_a in half of its rankings: its id tells nothing."""
    changed = table.copy()
    first = changed["response_id"].str.endswith("-0") & (changed["ranking_id"].str[-1] == "0")
    changed.loc[first, "x_a"] += 0.5
    told = emdpo.compare_runs(three, emdpo.fit(emdpo.load(changed), 3, **QUICK), **DRAW)
    assert told.n_candidates == 6 * 3


def test_the_same_ids_with_other_texts_are_told(table, three):
    other = table.assign(response=table["response"].str.upper())
    told = emdpo.compare_runs(three, emdpo.fit(emdpo.load(other), 3, **QUICK), **DRAW)
    assert told.n_candidates == 24
    assert any("24 of these answers" in note and "another text" in note for note in told.notes)


def test_only_attributes_on_which_both_agree_make_groups(table, three):
    other = emdpo.fit(emdpo.load(table.assign(age="all", town="x")), 3, **QUICK)
    told = emdpo.compare_runs(three, other, **DRAW)
    assert len(told.regret_by_group) == 0
    with pytest.raises(EmdpoError, match=r"'age' that both runs know alike \(there is: none\)"):
        emdpo.compare_runs(three, other, groups=["age"])


@pytest.mark.parametrize(
    "settings", [{"n_bootstrap": 0}, {"min_group": 0}, {"confidence": 1.0}, {"seed": -1}]
)
def test_settings_out_of_range_are_refused(three, settings):
    with pytest.raises(EmdpoError):
        emdpo.compare_runs(three, three, **settings)


def test_one_type_can_be_compared_with_several(table, three):
    one = emdpo.fit(emdpo.load(table), 1, **QUICK)
    told = emdpo.compare_runs(one, three, **DRAW)
    assert told.adjusted_rand.value == 0 and len(told.pairs) == 1
    assert told.staying.value == pytest.approx(20 / 60, abs=0.02)
    assert len(told.splits[0].many) == 3


HOSTILE = ("=1+1", "<b>x</b>", "a\nb", "\x1b[31mred", "\u202egnp")


def test_hostile_ids_and_groups_change_nothing_and_stay_on_their_line(table):
    names = {f"u{i:03d}": f"{HOSTILE[i % 5]}{i}" for i in range(60)}
    hostile = table.assign(
        user_id=table["user_id"].map(names), age="<img src=x onerror=alert(1)>\nold"
    )
    rankings = emdpo.load(hostile)
    told = emdpo.compare_runs(
        emdpo.fit(rankings, 2, **QUICK), emdpo.fit(rankings, 3, **QUICK), **DRAW
    )
    assert set(told.moved["user_id"]) <= set(names.values())
    held = parsed(told.to_json())
    assert {row["user_id"] for row in held["moved"]} == set(told.moved["user_id"])
    lines = comparison_text(told).split("\n")
    assert sum("onerror" in line for line in lines) == len(
        told.regret_by_group.query("judged_by == 'a' and kind == 'share' and rule == 'consensus'")
    )


def test_what_json_holds_is_what_python_holds(told):
    held = parsed(told.to_json())
    assert held["pairs"] == [list(pair) for pair in told.pairs]
    assert held["adjusted_rand"]["value"] == told.adjusted_rand.value
    assert held["a"]["n_types"] == 2 and held["log_likelihood"]["difference"]["n"] == 60
    assert held["contingency"] == told.contingency.tolist()
    assert [row["user_id"] for row in held["moved"]] == told.moved["user_id"].tolist()
    worst = [row for row in held["regret"] if row["statistic"] == "worst"]
    assert {row["low"] for row in worst} == {None}
    alone = [row for row in held["types"] if row["type_a"] is None]
    assert len(alone) == 1 and alone[0]["kendall"] is None
    pd.testing.assert_frame_equal(pd.DataFrame(held["settings"]), told.settings, check_dtype=False)


@pytest.mark.parametrize("way", ["ranking", "user", "candidates"])
def test_rankings_that_neither_was_fitted_to_are_predicted_by_both(two, three, way):
    """Each run's figure is that of its own evidence; three planted types are predicted better."""
    settings, steps = {"folds": 2, "n_bootstrap": 50}, []
    told = emdpo.compare_runs(
        two, three, evidence=way, progress=lambda *step: steps.append(step), **settings
    )
    assert told.held_out_by == way and steps == [(1, 4), (2, 4), (3, 4), (4, 4)]
    for fit, column in ((two, "value_a"), (three, "value_b")):
        everybody = emdpo.evidence(fit, way, **settings).everybody
        for row in told.held_out.query("policy in ('own', 'consensus', 'pooled')").itertuples():
            mean = everybody.mean[row.measure][row.policy]
            assert getattr(row, column) == pytest.approx(mean)
            assert (row.n, row.n_rankings) == (everybody.n, everybody.n_rankings)
    own = told.held_out.query("policy == 'own' and measure == 'log_loss'")
    assert own["high"].item() < 0
    assert "Held-out rankings (n = " in comparison_text(told)
    parsed(told.to_json())


def test_what_the_file_held_out_is_predicted_without_a_new_fit(table):
    held = table.assign(split=np.where(table["ranking_id"].str.endswith("-5"), "test", "train"))
    rankings = emdpo.load(held)
    fits = [emdpo.fit(rankings, k, **QUICK) for k in (2, 3)]
    told = emdpo.compare_runs(*fits, evidence="split", rankings=rankings, **DRAW)
    own = told.held_out.query("policy == 'own' and measure == 'log_loss'").iloc[0]
    expected = emdpo.evidence(fits[1], "split", rankings=rankings).everybody
    assert own["value_b"] == pytest.approx(expected.mean["log_loss"]["own"])
    assert own["n_rankings"] == 60 and told.log_likelihood.n_rankings == 300
    with pytest.raises(EmdpoError, match="give the file too"):
        emdpo.compare_runs(*fits, evidence="split")


def test_without_evidence_nothing_is_said_of_it(told):
    assert told.held_out_by is None and len(told.held_out) == 0
    assert "Held-out" not in comparison_text(told)


def test_evidence_on_other_data_is_refused(table, three):
    fewer = emdpo.fit(emdpo.load(table[table["user_id"] < "u040"]), 3, **QUICK)
    with pytest.raises(EmdpoError, match="runs of the same data alone"):
        emdpo.compare_runs(three, fewer, evidence="ranking", **DRAW)


def guarded(fit, *places, **facts):
    kept = {"cross_fitted": False, "guarding_rankings": list(places), **facts}
    return replace(fit, evidence=kept)


def test_adapters_kept_from_the_same_rankings_are_tested_on_them(two, three):
    """As the file's own held-out rankings would be: the types are told from the user's others."""
    told = emdpo.compare_runs(guarded(two, 0, 7, 8), guarded(three, 0, 7, 8), **DRAW)
    assert told.held_out_by == "guard"
    own = told.held_out.query("policy == 'own' and measure == 'log_loss'").iloc[0]
    assert own["n_rankings"] == 3 and own["n"] == 2
    assert "the adapters of both were kept from them" in comparison_text(told)


@pytest.mark.parametrize(
    ("places", "facts"),
    [([0, 8], {}), ([], {}), ([0, 7], {"cross_fitted": True}), ([9999], {}), (["x"], {})],
)
def test_what_only_one_was_kept_from_tests_nobody(two, three, places, facts):
    told = emdpo.compare_runs(guarded(two, 0, 7), guarded(three, *places, **facts), **DRAW)
    assert told.held_out_by is None
    damaged = replace(three, evidence={"cross_fitted": False, "guarding_rankings": "no list"})
    assert emdpo.compare_runs(damaged, damaged, **DRAW).held_out_by is None


def test_types_without_users_and_fits_that_did_not_end_are_noted(three):
    weights = np.array([0.6, 0.3999, 0.0001])
    odd = replace(three, weights=weights, stop_reason=StopReason.MAX_ITER)
    notes = emdpo.compare_runs(three, odd, **DRAW).notes
    assert any("1 of 3 types of run B have no users" in note for note in notes)
    assert any("run B did not converge (it ended with max_iter)" in note for note in notes)
    lone = replace(three, restarts=Restarts(10, 1, 0.4))
    notes = emdpo.compare_runs(lone, three, **DRAW).notes
    assert notes == (
        "only one of 10 starts of run A reached its optimum: another seed may move as many users",
    )


def test_another_beta_is_noted(table, three):
    other = emdpo.fit(emdpo.load(table), 3, beta=0.5, **QUICK)
    told = emdpo.compare_runs(three, other, **DRAW)
    assert told.n_moved == 0 and told.types["kendall"].tolist() == pytest.approx([1, 1, 1])
    assert (told.types["in_common"] < 1).all()
    assert any("beta is 0.1 in A and 0.5 in B" in note for note in told.notes)


def test_what_else_is_asked_changes_no_interval(two, three, told):
    """Neither groups nor evidence move the intervals of other parts."""
    more = emdpo.compare_runs(two, three, groups=[], evidence="ranking", folds=2, **DRAW)
    assert more.log_likelihood == told.log_likelihood
    assert more.adjusted_rand == told.adjusted_rand
    pd.testing.assert_frame_equal(more.regret, told.regret)
    pd.testing.assert_frame_equal(more.types, told.types)
