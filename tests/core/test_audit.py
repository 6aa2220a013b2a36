"""The audit: group regret by hand, suppression, honest intervals, relabelling, the JSON."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from emdpo.core.audit import KINDS, AuditConfig, audit_types
from emdpo.core.errors import EmdpoError
from emdpo.core.groups import NOT_KNOWN

BETA = 0.5
PROMPT = np.array([0, 0, 0, 1, 1])
SCORES = np.array([[1.0, 0.2, -0.4, 0.3, 0.0], [-0.5, 0.1, 0.9, 0.0, 0.6]])
POOLED = np.array([0.4, 0.1, 0.2, 0.2, 0.3])
SHARES = np.array([0.6, 0.4])
RULES = (
    *("type-1", "type-2", "pooled", "uniform", "prevalence", "maximin", "nash"),
    *("mixture", "consensus", "lottery"),
)
QUICK = AuditConfig(n_bootstrap=50)


def softmax_by_prompt(scores):
    """Return pi proportional to exp(score / beta) over each prompt's candidates."""
    policy = np.empty(len(scores))
    for prompt in np.unique(PROMPT):
        here = prompt == PROMPT
        weight = np.exp(scores[here] / BETA)
        policy[here] = weight / weight.sum()
    return policy


def mean_over_prompts(by_candidate):
    return np.mean([by_candidate[prompt == PROMPT].sum() for prompt in np.unique(PROMPT)])


def regret_by_hand(policy, k):
    """Return plain, KL and relative regret of type k, from the definitions of DESIGN section 3."""
    own, score = softmax_by_prompt(SCORES[k]), SCORES[k]
    reference = np.array([1 / 3, 1 / 3, 1 / 3, 1 / 2, 1 / 2])
    value = {name: mean_over_prompts(p * score) for name, p in
             (("own", own), ("policy", policy), ("reference", reference))}  # fmt: skip
    plain = value["own"] - value["policy"]
    wins = np.zeros(2)  # by prompt: the odds of each pair of answers, one of either policy
    for i, j in np.argwhere(PROMPT[:, None] == PROMPT):
        odds = 1 / (1 + np.exp(score[j] - score[i]))
        wins[PROMPT[i]] += own[i] * policy[j] * (odds - (1 - odds))
    return {
        "preference": wins.mean(),
        "plain": plain,
        "clipped": max(plain, 0.0),
        "kl": BETA * mean_over_prompts(policy * np.log(policy / own)),
        "share": plain / (value["own"] - value["reference"]),
    }


def responsibilities(n, seed=0):
    first = np.random.default_rng(seed).beta(0.5, 0.5, n)
    return np.column_stack([first, 1 - first])


def audited(attributes, resp=None, scores=SCORES, config=QUICK, prevalence=SHARES):
    resp = responsibilities(len(attributes)) if resp is None else resp
    return audit_types(scores, POOLED, PROMPT, resp, prevalence, BETA, attributes, config)


def ages(*sizes):
    """Return an attribute with groups a, b, .. of these sizes."""
    values = [name for name, n in zip("abcdef", sizes, strict=False) for _ in range(n)]
    return pd.DataFrame({"age": pd.Series(values, dtype=object)})


def named(groups):
    return [(group.attribute, group.value, group.n) for group in groups]


def test_regret_by_type_is_that_of_the_definitions():
    audit = audited(ages(20))
    policies = {
        "type-1": softmax_by_prompt(SCORES[0]),
        "type-2": softmax_by_prompt(SCORES[1]),
        "pooled": softmax_by_prompt(POOLED),
    }
    policies["uniform"] = (policies["type-1"] + policies["type-2"]) / 2
    policies["prevalence"] = 0.6 * policies["type-1"] + 0.4 * policies["type-2"]
    a = audit.weights["mixture"]
    policies["mixture"] = a[0] * policies["type-1"] + a[1] * policies["type-2"]
    policies["consensus"] = softmax_by_prompt(audit.weights["consensus"] @ SCORES)
    assert audit.rules == RULES
    for rule, policy in policies.items():
        for k in range(2):
            for kind, expected in regret_by_hand(policy, k).items():
                assert audit.regret[kind][rule][k] == pytest.approx(expected, abs=1e-9), (
                    rule,
                    kind,
                )


def test_group_regret_is_the_mean_over_users_of_responsibility_times_regret():
    attributes, resp = ages(12, 15), responsibilities(27)
    audit = audited(attributes, resp)
    for group, members in zip(audit.groups, (resp[:12], resp[12:]), strict=True):
        for kind in KINDS:
            for rule in RULES:
                by_type = audit.regret[kind][rule]
                expected = sum(r[0] * by_type[0] + r[1] * by_type[1] for r in members)
                assert group.regret[kind][rule] == pytest.approx(expected / len(members), abs=1e-12)
        assert group.type_shares == pytest.approx(tuple(members.mean(axis=0)))
    assert [(g.attribute, g.value, g.n) for g in audit.groups] == [
        ("age", "a", 12),
        ("age", "b", 15),
    ]


def test_regret_matrix_is_plain_regret_under_each_type():
    audit = audited(ages(20))
    assert audit.regret_matrix[0] == pytest.approx([0, regret_by_hand(
        softmax_by_prompt(SCORES[1]), 0)["plain"]], abs=1e-12)  # fmt: skip
    assert audit.regret_matrix[1, 0] == pytest.approx(audit.regret["plain"]["type-1"][1])
    low, high = np.moveaxis(audit.regret_matrix_interval, -1, 0)
    assert (low <= audit.regret_matrix + 1e-12).all()
    assert (audit.regret_matrix <= high + 1e-12).all()


def test_prompt_interval_spans_the_two_prompts():
    """Two prompts drawn twice give the mean or, one time in four each, one of them alone.

    So the 2.5% and 97.5% quantiles are the two prompts' own regrets.
    """
    audit = audited(ages(20), config=AuditConfig(n_bootstrap=400))
    own, other = softmax_by_prompt(SCORES[0]), softmax_by_prompt(SCORES[1])
    lost = (own - other) * SCORES[0]
    each = sorted([lost[:3].sum(), lost[3:].sum()])
    assert audit.regret_matrix_interval[0, 1] == pytest.approx(each)


def test_worst_and_mean():
    audit = audited(ages(20))
    for kind in KINDS:
        for rule in RULES:
            first, second = audit.regret[kind][rule]
            assert audit.worst(kind)[rule] == max(first, second)
            assert audit.mean(kind)[rule] == pytest.approx(0.6 * first + 0.4 * second, abs=1e-15)


@pytest.mark.parametrize(("size", "shown"), [(9, False), (10, True)])
def test_groups_under_ten_are_suppressed_and_one_that_would_give_them_away(size, shown):
    audit = audited(ages(30, 20, size))
    assert [group.value for group in audit.groups] == (["a", "b", "c"] if shown else ["a"])
    hidden = [] if shown else [("b", 20), ("c", size)]
    assert [(group.value, group.n) for group in audit.suppressed] == hidden
    told = json.loads(audit.to_json())["suppressed"]
    assert told == [{"attribute": "age", "value": value, "n": n} for value, n in hidden]


def test_the_least_group_is_configurable():
    audit = audited(ages(20, 3), config=AuditConfig(min_group=3, n_bootstrap=20))
    assert [group.n for group in audit.groups] == [20, 3]


def test_users_without_a_value_are_a_group_of_their_own():
    attributes = pd.DataFrame({"age": pd.Series(["a"] * 12 + [None] * 11, dtype=object)})
    audit = audited(attributes)
    assert [(group.value, group.n) for group in audit.groups] == [("a", 12), (NOT_KNOWN, 11)]


def test_attributes_keep_their_order_and_groups_partition_the_users():
    attributes = ages(15, 10).assign(country=["x", "y"] * 12 + ["x"])
    audit = audited(attributes)
    by_age, by_country = named(audit.groups)[:2], named(audit.groups)[2:]
    assert by_age == [("age", "a", 15), ("age", "b", 10)]
    assert by_country == [("country", "x", 13), ("country", "y", 12)]


def test_no_attributes_no_groups():
    audit = audited(pd.DataFrame(index=range(20)))
    assert audit.groups == audit.suppressed == ()


def test_intervals_cover_the_population_value_as_often_as_they_say():
    """200 groups of 60 users whose responsibility for type 1 is Beta(2, 1), of mean 2/3.

    The population's regret is then 2/3 R_1 + 1/3 R_2. A 95% percentile interval with n = 60 should
    cover it in 200 x 0.95 = 190 +- 3 groups; 90% to 99% is over three standard errors either way.
    """
    n_groups, n = 200, 60
    first = np.random.default_rng(7).beta(2, 1, n_groups * n)
    resp = np.column_stack([first, 1 - first])
    names = pd.DataFrame({"g": np.repeat([f"{g:03d}" for g in range(n_groups)], n).astype(object)})
    audit = audited(names, resp, config=AuditConfig(n_bootstrap=300, seed=1))
    assert len(audit.groups) == n_groups
    for rule in ("type-1", "pooled"):
        truth = np.array([2 / 3, 1 / 3]) @ audit.regret["plain"][rule]
        covered = [
            low <= truth <= high
            for low, high in (group.interval["plain"][rule] for group in audit.groups)
        ]
        assert 0.90 <= np.mean(covered) <= 0.99


def test_a_narrower_confidence_gives_narrower_intervals():
    wide = audited(ages(40)).groups[0].interval["kl"]["pooled"]
    narrow = audited(ages(40), config=replace(QUICK, confidence=0.5)).groups[0]
    low, high = narrow.interval["kl"]["pooled"]
    assert wide[0] < low < narrow.regret["kl"]["pooled"] < high < wide[1]


def test_identical_groups_get_the_same_regret_and_overlapping_intervals():
    half = responsibilities(30)
    first, second = audited(ages(30, 30), np.vstack([half, half])).groups
    for kind in KINDS:
        for rule in RULES:
            assert first.regret[kind][rule] == pytest.approx(second.regret[kind][rule], abs=1e-15)
            (low, high), (low_2, high_2) = first.interval[kind][rule], second.interval[kind][rule]
            assert max(low, low_2) <= min(high, high_2)
            assert high - low == pytest.approx(high_2 - low_2, rel=0.5, abs=1e-9)


def test_users_who_are_all_alike_have_an_interval_of_no_width():
    resp = np.tile([0.25, 0.75], (20, 1))
    group = audited(ages(20), resp).groups[0]
    low, high = group.interval["plain"]["pooled"]
    assert low == pytest.approx(high) == pytest.approx(group.regret["plain"]["pooled"])


def test_renumbering_types_changes_their_names_only():
    attributes, resp = ages(14, 16), responsibilities(30)
    audit = audited(attributes, resp)
    swapped = audited(attributes, resp[:, ::-1], SCORES[::-1], prevalence=SHARES[::-1])
    partner = {"type-1": "type-2", "type-2": "type-1"}
    for kind in KINDS:
        for rule in RULES:
            other = partner.get(rule, rule)
            expected = swapped.regret[kind][other][::-1]
            assert audit.regret[kind][rule] == pytest.approx(expected, abs=1e-7)
            for group, again in zip(audit.groups, swapped.groups, strict=True):
                assert group.regret[kind][rule] == pytest.approx(
                    again.regret[kind][other], abs=1e-7
                )
                assert group.interval[kind][rule] == pytest.approx(
                    again.interval[kind][other], abs=1e-7
                )


def test_the_same_seed_gives_the_same_bytes_and_another_does_not():
    texts = [audited(ages(30), config=replace(QUICK, seed=s)).to_json() for s in (0, 0, 1)]
    assert texts[0] == texts[1] != texts[2]


def test_json_has_the_keys_of_the_contract():
    """DESIGN section 5, `audit.json`: names, shapes, and no others at the levels it lists."""
    told = json.loads(audited(ages(20)).to_json(), parse_constant=pytest.fail)
    assert set(told) >= {
        "regret", "regret_matrix", "weights", "worst", "mean", "duality_gap", "groups"
    }  # fmt: skip
    assert list(told["regret"]) == list(KINDS)
    for kind in told["regret"]:
        assert tuple(told["regret"][kind]) == RULES
        assert all(len(values) == 2 for values in told["regret"][kind].values())
        for summary in (told["worst"], told["mean"]):
            assert list(summary) == list(KINDS)
            assert tuple(summary[kind]) == RULES
            assert all(isinstance(value, float) for value in summary[kind].values())
    assert np.shape(told["regret_matrix"]) == (2, 2)
    assert set(told["weights"]) == set(RULES)
    assert told["weights"]["pooled"] is None  # one policy of its own, no weights on the types
    assert told["weights"]["type-2"] == [0.0, 1.0]
    assert told["weights"]["prevalence"] == SHARES.tolist()
    assert all(sum(w) == pytest.approx(1) for w in told["weights"].values() if w)
    assert set(told["duality_gap"]) == {"maximin", "nash", "mixture", "consensus"}
    assert all(0 <= gap < 1e-6 for gap in told["duality_gap"].values())
    (group,) = told["groups"]
    assert set(group) >= {"attribute", "value", "n", "regret", "interval"}
    assert (group["attribute"], group["value"], group["n"]) == ("age", "a", 20)
    for kind in KINDS:
        assert tuple(group["regret"][kind]) == tuple(group["interval"][kind]) == RULES
        for rule in RULES:
            low, high = group["interval"][kind][rule]
            assert low <= group["regret"][kind][rule] <= high


def test_the_ratio_of_worst_to_mean():
    audit = audited(ages(20))
    for kind in KINDS:
        worst, mean, ratio = audit.worst(kind), audit.mean(kind), audit.worst_to_mean(kind)
        assert ratio["uniform"] == pytest.approx(worst["uniform"] / mean["uniform"])
    only = np.array([1.0, 0.0])
    alone = audited(ages(20), np.tile(only, (20, 1)), prevalence=only)
    assert np.isnan(alone.worst_to_mean("kl")["consensus"])  # nobody loses anything
    assert json.loads(alone.to_json())["worst_to_mean"]["kl"]["consensus"] is None


def test_an_indifferent_type_has_no_share_and_null_in_json():
    """A type without preferences gains nothing from its own policy: 0/0, never a number."""
    scores = np.array([SCORES[0], np.zeros(5)])
    audit = audited(ages(20), scores=scores)
    text = audit.to_json()
    told = json.loads(text, parse_constant=pytest.fail)
    assert "NaN" not in text
    first, second = told["regret"]["share"]["pooled"]
    assert isinstance(first, float)
    assert second is None
    assert told["worst"]["share"]["pooled"] is None
    assert told["mean"]["share"]["pooled"] is None
    assert told["groups"][0]["regret"]["share"]["pooled"] is None
    assert told["groups"][0]["interval"]["share"]["pooled"] == [None, None]
    assert told["regret"]["plain"]["pooled"][1] == pytest.approx(0)
    assert isinstance(told["worst"]["kl"]["pooled"], float)


def test_a_type_without_users_bends_no_rule():
    """0.4 of 20 users: left out of mixture, consensus, worst, mean and groups; shown in its row."""
    shares = np.array([0.98, 0.02])
    resp = np.tile(shares, (20, 1))
    audit = audited(ages(20), resp, prevalence=shares)
    alone = np.array([1.0, 0.0])
    for rule in ("uniform", "prevalence", "mixture", "consensus"):
        assert audit.weights[rule] == pytest.approx(alone)
        assert audit.regret["kl"][rule][0] == pytest.approx(0, abs=1e-12)
        assert audit.worst("kl")[rule] == pytest.approx(0, abs=1e-12)
        assert audit.groups[0].regret["kl"][rule] == pytest.approx(0, abs=1e-12)
    assert audit.regret["kl"]["mixture"][1] > 0.1


def test_one_prompt_has_no_interval_over_prompts():
    one = np.zeros(3, int)
    audit = audit_types(
        SCORES[:, :3], POOLED[:3], one, responsibilities(20), SHARES, BETA, ages(20), QUICK
    )
    assert audit.regret_matrix_interval is None
    assert json.loads(audit.to_json())["regret_matrix_interval"] is None


@pytest.mark.parametrize(
    "setting", [{"min_group": 0}, {"n_bootstrap": 0}, {"confidence": 1.0}, {"confidence": 0.0},
                {"confidence": np.nan}, {"seed": -1}]
)  # fmt: skip
def test_settings_out_of_range_are_refused(setting):
    with pytest.raises(EmdpoError, match=next(iter(setting))):
        AuditConfig(**setting)


def test_a_consensus_of_weights_of_one_s_own_is_judged_as_one():
    """With the exponents of the min-max consensus it is the min-max consensus."""
    weights = tuple(audited(ages(20)).weights["consensus"].tolist())
    config = replace(QUICK, weights=weights, weights_form="consensus")
    audit = audited(ages(20), config=config)
    for kind in KINDS:
        np.testing.assert_allclose(audit.regret[kind]["given"], audit.regret[kind]["consensus"])
    assert audit.to_dict()["config"]["weights_form"] == "consensus"
    with pytest.raises(EmdpoError, match="weights_form must be mixture or consensus, got 'best'"):
        AuditConfig(weights_form="best")
