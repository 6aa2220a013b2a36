"""The main job from Python: what it refuses, what it leaves alone, and that it can be repeated."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from panels import planted, planted_table

import emdpo
from emdpo.core.errors import EmdpoError, NotIdentifiableError
from emdpo.fitting import FitConfig, data_fingerprint

QUICK = {"features": "columns", "restarts": 2}


@pytest.fixture(scope="module")
def rankings():
    return planted()


@pytest.fixture(scope="module")
def fit(rankings):
    return emdpo.fit(rankings, 3, **QUICK)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"n_types": 0}, "n_types must be a whole number of at least 1, got 0"),
        ({"n_types": -1}, "n_types must be a whole number of at least 1, got -1"),
        ({"n_types": 2.0}, "n_types must be a whole number of at least 1, got 2.0"),
        ({"n_types": True}, "n_types must be a whole number of at least 1, got True"),
        ({"n_types": "2"}, "n_types must be a whole number of at least 1, got 2"),
        ({"restarts": 0}, "restarts must be a whole number of at least 1, got 0"),
        ({"max_iter": -1}, "max_iter must be a whole number of at least 0, got -1"),
        ({"seed": -1}, "seed must be a whole number of at least 0, got -1"),
        ({"beta": 0.0}, "beta must be .*, got 0.0"),
        ({"beta": np.inf}, "beta must be .*, got inf"),
        ({"beta": np.nan}, "beta must be .*, got nan"),
        ({"l2": -0.1}, "l2 must be a number of at least 0, got -0.1"),
        ({"l2": np.nan}, "l2 must be a number of at least 0, got nan"),
        ({"policy": "pickle"}, "policy must be loglinear or adapters, got 'pickle'"),
    ],
)
def test_a_setting_out_of_range_is_named(settings, message):
    with pytest.raises(EmdpoError, match=f"^{message}$"):
        FitConfig(**{"n_types": 2, **settings})


def test_limits_themselves_are_allowed():
    FitConfig(n_types=np.int64(1), restarts=1, max_iter=0, seed=0, l2=0.0)


def test_unknown_features_and_settings(rankings):
    with pytest.raises(EmdpoError, match="features must be auto, items, text or columns"):
        emdpo.fit(rankings, 2, features="magic")
    with pytest.raises(TypeError, match="speed"):
        emdpo.fit(rankings, 2, speed=11)


@pytest.mark.parametrize("n_types", [5, 400])
def test_more_types_than_users_are_refused(n_types):
    with pytest.raises(EmdpoError, match=rf"^n_types must be in \[1, 4 users\], got {n_types}$"):
        emdpo.fit(planted(n_users=4), n_types, **QUICK)


def test_as_many_types_as_users_are_fitted():
    found = emdpo.fit(planted(n_users=4), 4, **QUICK)
    assert found.weights.sum() == pytest.approx(1)


@pytest.fixture(scope="module")
def single_pairs():
    return planted(n_users=40, answers=1, n_candidates=2)


def test_one_pair_per_user_is_refused_with_the_reason(single_pairs):
    with pytest.raises(NotIdentifiableError, match="50/50") as caught:
        emdpo.fit(single_pairs, 2, **QUICK)
    assert "--force" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_force_and_one_type_fit_pairs(single_pairs):
    assert emdpo.fit(single_pairs, 2, force=True, **QUICK).n_types == 2
    assert emdpo.fit(single_pairs, 1, **QUICK).n_types == 1


@pytest.mark.parametrize("shape", [{"answers": 2, "n_candidates": 2}, {"answers": 1}])
def test_linked_pairs_and_single_lists_are_not_refused(shape):
    assert emdpo.fit(planted(n_users=30, **shape), 2, **QUICK).n_types == 2


def test_split_is_held_out():
    """What `split` keeps out changes nothing, and is not counted: as if it were not in the file.

    It changes only the features' centring, which no likelihood sees, so figures agree to rounding.
    """
    table = planted_table()
    table["split"] = np.where(table["ranking_id"].str.endswith("-2"), "test", "train")
    whole = emdpo.load(table)
    part = emdpo.load(table[table["split"] == "train"].drop(columns="split"))
    found, alone = (emdpo.fit(panel, 2, **QUICK) for panel in (whole, part))
    assert found.rankings.n_rankings == alone.rankings.n_rankings == 72
    assert not found.rankings.held_out.any()
    assert found.log_likelihood == pytest.approx(alone.log_likelihood, abs=1e-6)
    np.testing.assert_allclose(found.responsibilities, alone.responsibilities, atol=1e-5)
    assert emdpo.fit(planted(), 2, **QUICK).log_likelihood < found.log_likelihood - 10


def test_users_whose_every_ranking_is_held_out_are_not_fitted():
    table = planted_table()
    table["split"] = np.where(table["user_id"] == "u000", "validation", "")
    found = emdpo.fit(emdpo.load(table), 2, **QUICK)
    assert len(found.responsibilities) == found.rankings.n_users == 35
    assert "u000" not in found.rankings.users.index


def test_nothing_left_to_fit_is_refused():
    table = planted_table(n_users=3).assign(split="test")
    with pytest.raises(EmdpoError, match="held out"):
        emdpo.fit(emdpo.load(table), 1, **QUICK)


def test_one_type_is_the_pooled_policy(rankings, fit):
    """K = 1 has responsibilities 1 and is what every fit calls pooled: plain DPO."""
    one = emdpo.fit(rankings, 1, **QUICK)
    assert one.pooled is one.policies
    assert (one.responsibilities == 1).all()
    assert one.weights.tolist() == [1]
    assert one.restarts.n_starts == 1
    np.testing.assert_array_equal(fit.pooled.theta, one.policies.theta)
    assert one.log_likelihood < fit.log_likelihood


def test_types_are_found_numbered_by_falling_weight(rankings, fit):
    assert (np.diff(fit.weights) <= 0).all()
    assert fit.weights.sum() == pytest.approx(1)
    np.testing.assert_allclose(fit.responsibilities.sum(axis=1), 1)
    planted_type = np.arange(36) % 3
    found = fit.responsibilities.argmax(axis=1)
    for k in range(3):
        assert np.bincount(found[planted_type == k]).max() >= 11  # of twelve
    assert len({np.bincount(found[planted_type == k]).argmax() for k in range(3)}) == 3


def test_weights_are_mean_responsibilities_at_the_optimum(fit):
    """The M-step of the weights has their fixed point there; the fit stops a thousandth short."""
    np.testing.assert_allclose(fit.weights, fit.responsibilities.mean(axis=0), atol=1e-3)


def test_max_iter_zero_says_so(rankings):
    found = emdpo.fit(rankings, 2, features="columns", restarts=1, max_iter=0)
    assert found.stop_reason == "max_iter"
    assert found.n_iter == 0


def every_file(folder):
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def test_the_same_seed_gives_the_same_bytes(tmp_path):
    for name in ("a", "b"):
        emdpo.fit(planted(), 3, seed=4, **QUICK).save(tmp_path / name)
    first, second = every_file(tmp_path / "a"), every_file(tmp_path / "b")
    assert len(first) >= 12
    assert first == second


def test_another_seed_starts_elsewhere(rankings, fit):
    assert emdpo.fit(rankings, 3, seed=1, **QUICK).trace != fit.trace


def arrays_of(rankings):
    names = ("offsets", "ranks", "candidate", "user", "prompt", "weight", "held_out", "ranking_ids")
    return {name: getattr(rankings, name) for name in names}


def test_fit_changes_none_of_its_inputs():
    """Read-only arrays prove it for the arrays, copies for the tables."""
    rankings = planted()
    before = {name: array.copy() for name, array in arrays_of(rankings).items()}
    tables = {name: getattr(rankings, name).copy() for name in ("users", "prompts", "candidates")}
    for array in arrays_of(rankings).values():
        array.flags.writeable = False
    found = emdpo.fit(rankings, 2, **QUICK)
    emdpo.audit(found, n_bootstrap=10)
    for name, array in arrays_of(rankings).items():
        np.testing.assert_array_equal(array, before[name])
    for name, table in tables.items():
        pd.testing.assert_frame_equal(getattr(rankings, name), table)


def test_a_table_given_by_the_user_is_left_as_it_was():
    table = planted_table(n_users=6)
    before = table.copy()
    emdpo.fit(emdpo.load(table), 2, **QUICK)
    pd.testing.assert_frame_equal(table, before)


def write_as(table, path):
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    elif path.suffix == ".jsonl":
        lines = (json.dumps(row) for row in table.to_dict("records"))
        path.write_text("\n".join(lines), "utf-8")
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return path


def test_the_fingerprint_does_not_depend_on_the_file_format(tmp_path):
    table = planted_table(n_users=5)
    table["age"] = table["age"].where(table["user_id"] != "u001", None)
    digests = {
        data_fingerprint(emdpo.load(write_as(table, tmp_path / f"data{suffix}")))
        for suffix in (".csv", ".tsv", ".jsonl", ".parquet")
    }
    digests.add(data_fingerprint(emdpo.load(table)))
    assert len(digests) == 1
    assert len(digests.pop()) == 64


def other_user(table):
    return table.assign(user_id=table["user_id"].replace("u001", "u1"))


def swapped_ranks(table):
    first = table.index[table["ranking_id"] == "r2-1"][:2]
    table.loc[first, "rank"] = table.loc[first[::-1], "rank"].to_numpy()
    return table


def changed(column, value):
    def change(table):
        first = table["response_id"] == "p1-1" if column[:2] in ("x_", "re") else table.index == 0
        if column in ("prompt", "prompt_id"):
            first = table["prompt_id"] == "p1"
        if column in ("age", "weight"):
            first = table["user_id"] == "u001"
        table.loc[first, column] = value
        return table

    return change


CHANGES = {
    "user id": other_user,
    "ranks": swapped_ranks,
    "prompt": changed("prompt", "Question 1 ?"),
    "prompt_id": changed("prompt_id", "P1"),
    "response": changed("response", "Answer 1 to 1!"),
    "response_id": changed("response_id", "p1-1b"),
    "feature": changed("x_a", 0.123457),
    "attribute": changed("age", "OLD"),
    "attribute unknown": changed("age", None),
    "weight": changed("weight", 0.5),
    "feature's name": lambda table: table.rename(columns={"x_a": "x_c"}),
    "attribute's name": lambda table: table.rename(columns={"age": "Age"}),
    "a user less": lambda table: table[table["user_id"] != "u004"],
    "a ranking less": lambda table: table[table["ranking_id"] != "r4-2"],
    "a candidate less": lambda table: table.drop(
        table.index[(table["ranking_id"] == "r4-2") & (table["rank"] == 4)]
    ),
    "not ranked": lambda table: table.assign(rank=table["rank"].where(table["rank"] < 4)),
    "held out": lambda table: table.assign(
        split=np.where(table["ranking_id"] == "r4-2", "test", "train")
    ),
}


@pytest.mark.parametrize("change", CHANGES)
def test_every_change_of_content_changes_the_fingerprint(change):
    table = planted_table(n_users=5).assign(weight=1.0)
    rankings = emdpo.load(CHANGES[change](table.copy())).fitted()
    assert data_fingerprint(rankings) != data_fingerprint(emdpo.load(table))


def test_the_fingerprint_does_not_run_values_together():
    """Text moved over the border of two cells is another content."""
    table = planted_table(n_users=5)
    moved = table.assign(
        prompt=table["prompt"] + "\x01", response=table["response"].str.removeprefix("A")
    )
    other = table.assign(prompt=table["prompt"], response="\x01" + table["response"].str[1:])
    digests = {data_fingerprint(emdpo.load(panel)) for panel in (table, moved, other)}
    assert len(digests) == 3


def test_the_fingerprint_of_a_fit_is_that_of_what_was_fitted(fit, rankings):
    assert fit.data_sha256 == data_fingerprint(rankings)


def test_a_monitor_cancels_and_sees_every_iteration(rankings):
    seen = []
    found = emdpo.fit(rankings, 2, monitor=lambda row: seen.append(row) or len(seen) == 3, **QUICK)
    assert found.stop_reason == "cancelled"
    assert [row[:3] for row in seen] == [row[:3] for row in found.trace]
    for live, kept in zip(seen, found.trace, strict=True):  # types are renumbered at the end
        assert sorted(live.weights) == sorted(kept.weights)
    assert len(found.trace) == 3
    assert found.log_likelihood == found.trace[-1].log_likelihood


def test_settings_are_frozen(fit):
    with pytest.raises(AttributeError):
        fit.config.seed = 3
    assert replace(fit.config, seed=3).seed == 3
