"""What is said of an audit, and above all what is not said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emdpo.core.audit import KINDS, Audit, AuditConfig, GroupRegret, SuppressedGroup
from emdpo.core.findings import findings, rule_label, worst_group
from emdpo.core.refits import RefitAudit, RefitGroup


def group(value, pooled, consensus, *, n=50, attribute="age", above=(-0.1, 0.0, 0.1), p=0.5):
    """Return a group; `pooled` and `consensus` are (low, middle, high) of its regret share.

    `above` is how much more than everybody else it loses under either, and `p` the p-value of that.
    """
    ends = {"pooled": pooled, "consensus": consensus}

    def by_kind(by_rule):
        return {kind: dict(by_rule) for kind in KINDS}

    low, middle, high = above
    return GroupRegret(
        attribute,
        value,
        n,
        regret=by_kind({rule: middle for rule, (_, middle, _) in ends.items()}),
        interval=by_kind({rule: (low, high) for rule, (low, _, high) in ends.items()}),
        type_shares=(0.5, 0.5),
        above_rest=by_kind(dict.fromkeys(ends, middle)),
        above_rest_interval=by_kind(dict.fromkeys(ends, (low, high))),
        p_value=by_kind(dict.fromkeys(ends, p)),
    )


def audit_of(*groups, suppressed=(), matrix_low=1.0):
    """Return an audit of two types where type 2 loses 2 nats, twice its gain, under type 1's."""
    matrix = np.array([[0.0, 0.5], [2.0, 0.0]])
    interval = np.stack([matrix, matrix], axis=-1) + [-0.1, 0.1]
    interval[1, 0] = matrix_low, 3.0
    shares = {"type-1": np.array([0.0, 2.0]), "pooled": np.array([0.2, 1.5])}
    return Audit(
        rules=("type-1", "pooled", "consensus"),
        n_users=100,
        n_prompts=20,
        prevalence=np.array([0.7, 0.3]),
        regret={kind: shares | {"consensus": np.array([0.8, 0.8])} for kind in KINDS},
        regret_matrix=matrix,
        regret_matrix_interval=interval,
        weights={},
        duality_gap={},
        groups=groups,
        suppressed=suppressed,
        config=AuditConfig(),
        attributes=("age", "region"),
    )


MOST = {"above": (0.8, 0.9, 1.0), "p": 0.001}
MORE = {"above": (0.5, 0.6, 0.7), "p": 0.001}
OLD = group("60+", (1.1, 1.3, 1.45), (0.7, 0.8, 0.9), n=62, **MORE)
YOUNG = group("18-29", (0.2, 0.3, 0.4), (0.75, 0.8, 0.85), n=70)
MIDDLE = group("30-59", (0.9, 1.0, 1.2), (0.7, 0.8, 0.9))
IT = (0.4, 0.5, 0.6), (0.4, 0.5, 0.6)
"""Shares of a group that is like the others."""


def of_kind(audit, kind):
    return [finding for finding in findings(audit) if finding.kind == kind]


def refits(value, low, high):
    """Return an audit's refitted intervals, with one group's difference from the rest."""
    above = {kind: {"pooled": (low, high)} for kind in KINDS}
    groups = (RefitGroup("age", value, {}, above),)
    nothing = np.zeros((2, 2))
    return RefitAudit(200, 0, 0.95, 0.9, 0, nothing, {}, {}, groups)


def test_the_worst_group_and_the_remedy_in_words():
    (found,) = of_kind(audit_of(YOUNG, OLD), "group")
    assert found.text == (
        "Under pooled DPO, people with age 60+ (n = 62) are worse off than with the untuned model, "
        "at a regret share of 130% (95% interval 110 to 145%). That is 60 points (95% interval 50 "
        "to 70) more than everybody else (p = 0.001). Min-max consensus brings that loss to 80% "
        "(95% interval 70 to 90%)."
    )
    assert (found.value, found.low, found.high, found.n) == (0.6, 0.5, 0.7, 62)
    assert (found.p_value, found.refitted, found.group) == (0.001, None, ("age", "60+"))


def test_of_groups_that_lose_more_the_one_that_loses_most_is_named():
    less = group("30-59", (0.9, 1.0, 1.2), (0.7, 0.8, 0.9), above=(0.2, 0.3, 0.4), p=0.001)
    (found,) = of_kind(audit_of(YOUNG, less, OLD), "group")
    assert "60+" in found.text


def test_types_found_anew_can_take_a_finding_back():
    sure = replace(audit_of(YOUNG, OLD), refit=refits("60+", 0.2, 0.9))
    (found,) = of_kind(sure, "group")
    assert "(p = 0.001), also where types are found anew (20 to 90 points)." in found.text
    assert found.refitted == (0.2, 0.9)
    unsure = replace(audit_of(YOUNG, OLD), refit=refits("60+", -0.1, 0.9))
    assert of_kind(unsure, "group") == []
    (found,) = of_kind(unsure, "uncertain")
    assert "but where types are found anew it may be nothing (-10 to 90 points)." in found.text


def test_where_a_rule_was_not_judged_with_types_found_anew_nothing_is_said_of_it():
    nowhere = replace(audit_of(YOUNG, OLD), refit=refits("60+", np.nan, np.nan))
    (found,) = of_kind(nowhere, "group")
    assert found.refitted is None
    assert "anew" not in found.text


@pytest.mark.parametrize(("p", "low", "told"), [(0.05, 0.1, 1), (0.06, 0.1, 0), (0.05, -0.1, 0)])
def test_a_difference_needs_both_its_test_and_its_interval(p, low, told):
    high = group("60+", (1.1, 1.3, 1.45), (0.7, 0.8, 0.9), above=(low, 0.6, 0.7), p=p)
    assert len(of_kind(audit_of(YOUNG, high), "group")) == told


def test_the_level_is_shared_by_attributes_and_by_pairs():
    """One attribute has 0.05; two have 0.025 each; with pairs these have half, singles the rest."""

    def found(p, *others):
        one = group("60+", (1.1, 1.3, 1.45), (0.7, 0.8, 0.9), above=(0.1, 0.6, 0.7), p=p)
        pairs = [group(f"{v} \u00d7 n", *IT, attribute="age \u00d7 region") for v in "ab"]
        regions = [group(v, *IT, attribute="region") for v in ("n", "s")]
        extra = [*(regions if "region" in others else []), *(pairs if "pairs" in others else [])]
        return len(of_kind(audit_of(YOUNG, one, *extra), "group"))

    assert (found(0.05), found(0.051)) == (1, 0)
    assert (found(0.025, "region"), found(0.026, "region")) == (1, 0)
    assert (found(0.0125, "region", "pairs"), found(0.013, "region", "pairs")) == (1, 0)


def test_two_attributes_are_told_of_only_where_they_say_more_than_one():
    regions = [group(v, *IT, attribute="region") for v in ("n", "s")]

    def pair(above):
        low, high = above - 0.05, above + 0.05
        name = {"attribute": "age \u00d7 region", "above": (low, above, high), "p": 0.0001}
        return group("60+ \u00d7 n", *IT, **name)

    other = group("18-29 \u00d7 n", *IT, attribute="age \u00d7 region")
    told = of_kind(audit_of(YOUNG, OLD, *regions, pair(0.8), other), "group")
    assert [one.value for one in told] == [0.8, 0.6]
    assert "people with age 60+ and region n (n = 50)" in told[0].text
    told = of_kind(audit_of(YOUNG, OLD, *regions, pair(0.59), other), "group")
    assert [one.value for one in told] == [0.6]
    assert len(of_kind(audit_of(YOUNG, MIDDLE, *regions, other, other), "no_difference")) == 2


def test_the_price_of_the_remedy_is_told():
    """18-29 goes from 30% (20 to 40) up to 80% (75 to 85)."""
    (found,) = of_kind(audit_of(YOUNG, OLD), "cost")
    assert found.text.startswith("Min-max consensus has a price: under it people with age 18-29 ")
    assert (found.value, found.low, found.high) == (0.8, 0.75, 0.85)


def test_no_price_where_intervals_overlap():
    unsure = group("18-29", (0.2, 0.6, 0.9), (0.7, 0.8, 0.9))
    assert of_kind(audit_of(unsure, OLD), "cost") == []


def test_a_remedy_that_makes_no_clear_difference_is_said_to_make_none():
    """60+ at 110 to 145% before and 70 to 120% after: the intervals overlap."""
    same = group("60+", (1.1, 1.3, 1.45), (0.7, 1.0, 1.2), **MORE)
    (found,) = of_kind(audit_of(YOUNG, same), "group")
    assert "Min-max consensus makes no difference that the intervals support" in found.text


def test_groups_that_do_not_surely_differ_are_not_called_equal():
    """The gap of 0.3 between 90 to 120% and 110 to 145% may be anything in -0.1 to 0.55."""
    audit = audit_of(MIDDLE, group("60+", (1.1, 1.3, 1.45), (0.7, 0.8, 0.9), n=62))
    assert of_kind(audit, "group") == [] and of_kind(audit, "cost") == []
    (found,) = of_kind(audit, "no_difference")
    assert found.text.startswith("Under pooled DPO, no group by age surely loses more than")
    assert found.text.endswith("This does not show that they are equal.")
    assert (found.value, found.low, found.high) == pytest.approx((0.3, -0.1, 0.55))
    assert found.n == 112


def test_between_types():
    """Type 2 under type 1's model loses 2 nats of an interval 1 to 3, a share of 200%."""
    (found,) = of_kind(audit_of(), "type")
    assert "served by Type 1's model, Type 2 (30% of users) loses 2.00 nats" in found.text
    assert "200% of its own model's gain" in found.text
    assert (found.value, found.low, found.high, found.n) == (2.0, 1.0, 3.0, 20)


def test_nothing_is_said_between_types_that_may_want_the_same():
    assert of_kind(audit_of(matrix_low=-0.1), "type") == []


def test_suppressed_groups_are_counted_and_not_named():
    small = [SuppressedGroup("age", f"name-{n}", n) for n in (3, 7, 18)]
    (found,) = of_kind(audit_of(suppressed=small), "suppressed")
    assert found.text == (
        "Nothing is said about 3 groups by age: each has fewer than 10 users, or would give away "
        "one that has."
    )
    assert (found.value, found.low, found.high) == (None, None, None)


def test_nothing_is_said_of_types_with_next_to_no_users():
    """1% of 100 users is 1, below the 10 of the least group."""
    audit = replace(audit_of(), prevalence=np.array([0.99, 0.01]))
    assert of_kind(audit, "type") == []


def test_people_whose_group_is_not_known_are_not_compared():
    unknown = replace(group("not known", (3.0, 3.1, 3.2), (0.7, 0.8, 0.9)), known=False)
    assert of_kind(audit_of(unknown, YOUNG), "group") == []
    found = worst_group(audit_of(unknown, YOUNG), "pooled")
    assert found is not None and found.value == "18-29"


def test_undefined_shares_are_not_compared():
    nowhere = (np.nan, np.nan, np.nan)
    audit = audit_of(group("60+", nowhere, nowhere), YOUNG, OLD)
    (found,) = of_kind(audit, "group")
    assert found.value == 0.6


def test_who_is_harmed_comes_first_then_types_costs_and_what_is_hidden():
    region = [
        group("north", (1.6, 1.7, 1.8), (0.7, 0.8, 0.9), attribute="region", **MOST),
        group("south", (0.2, 0.3, 0.4), (0.2, 0.3, 0.4), attribute="region"),
    ]
    small = [SuppressedGroup("age", "x", 3)]
    found = findings(audit_of(YOUNG, OLD, *region, suppressed=small))
    assert [one.kind for one in found] == ["group", "group", "type", "cost", "suppressed"]
    harmed, less_harmed, _, cost, _ = found
    assert [harmed.value, less_harmed.value, cost.value] == [0.9, 0.6, 0.8]


def test_every_number_that_is_stated_has_an_interval_and_n():
    for one in findings(audit_of(YOUNG, OLD, MIDDLE)):
        assert one.low is not None and one.high is not None
        assert one.low <= one.value <= one.high and one.n > 0
        assert "interval" in one.text


def test_small_differences_keep_a_decimal():
    """0.821 to 0.829 would both read 82% and 83% without one."""
    narrow = group("60+", (1.1, 1.3, 1.45), (0.821, 0.825, 0.829), **MORE)
    (found,) = of_kind(audit_of(YOUNG, narrow), "group")
    assert "82.5% (95% interval 82.1 to 82.9%)" in found.text


def test_group_names_are_kept_on_one_short_line():
    long = group("a\n" + "b" * 100, (1.1, 1.3, 1.45), (0.7, 0.8, 0.9), **MORE)
    (found,) = of_kind(audit_of(YOUNG, long), "group")
    assert "\n" not in found.text and "b" * 70 not in found.text


def test_an_audit_without_groups_or_types_has_no_worst_group():
    assert worst_group(audit_of(), "pooled") is None


def test_worst_group_of_an_attribute():
    north = group("north", (1.6, 1.7, 1.8), (0.7, 0.8, 0.9), attribute="region")
    audit = audit_of(YOUNG, OLD, north)
    anywhere, by_age = worst_group(audit, "pooled"), worst_group(audit, "pooled", attribute="age")
    assert anywhere is not None and (anywhere.attribute, anywhere.regret) == ("region", 1.7)
    assert by_age is not None
    assert (by_age.value, by_age.n, by_age.low, by_age.high) == ("60+", 62, 1.1, 1.45)


def test_every_rule_has_a_name():
    assert rule_label("prevalence") == "Prevalence mixture"
    assert rule_label("type-12") == "Type 12 for all"
    assert rule_label("something new") == "something new"


def test_beyond_all_there_is_to_lose_it_says_worse_off():
    """60+ at 130% (110 to 145): surely above 100%; at 130% (90 to 145): not surely."""
    (found,) = of_kind(audit_of(YOUNG, OLD), "group")
    assert "are worse off than with the untuned model, at a regret share of 130%" in found.text
    unsure = group("60+", (0.9, 1.3, 1.45), (0.7, 0.8, 0.85), **MORE)
    (found,) = of_kind(audit_of(YOUNG, unsure), "group")
    assert "are no better off than with the untuned model" in found.text
    (found,) = of_kind(
        audit_of(group("60+", (0.9, 1.0, 1.1), (0.1, 0.2, 0.3), **MORE), YOUNG), "group"
    )
    assert "lose 100% (95% interval 90 to 110%) of what their own type's model" in found.text


def test_a_type_worse_off_under_anothers_model_is_called_so():
    (found,) = of_kind(audit_of(), "type")
    assert found.text.endswith(
        "200% of its own model's gain: it is worse off than with the untuned model."
    )
