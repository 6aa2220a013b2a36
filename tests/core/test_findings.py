"""What is said of an audit, and above all what is not said."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from emdpo.core.audit import KINDS, Audit, AuditConfig, GroupRegret, SuppressedGroup
from emdpo.core.findings import findings, rule_label, worst_group


def group(value, pooled, consensus, *, n=50, attribute="age"):
    """Return a group; `pooled` and `consensus` are (low, middle, high) of its regret share."""
    ends = {"pooled": pooled, "consensus": consensus}
    regret = dict.fromkeys(KINDS, {rule: middle for rule, (_, middle, _) in ends.items()})
    interval = {
        kind: {rule: (low, high) for rule, (low, _, high) in ends.items()} for kind in KINDS
    }
    return GroupRegret(attribute, value, n, regret, interval, (0.5, 0.5))


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
    )


OLD = group("60+", (1.1, 1.3, 1.45), (0.7, 0.8, 0.9), n=62)
YOUNG = group("18-29", (0.2, 0.3, 0.4), (0.75, 0.8, 0.85), n=70)
MIDDLE = group("30-59", (0.9, 1.0, 1.2), (0.7, 0.8, 0.9))


def of_kind(audit, kind):
    return [finding for finding in findings(audit) if finding.kind == kind]


def test_the_worst_group_and_the_remedy_in_words():
    """130% (110 to 145) lies wholly above 30% (20 to 40), and 80% (70 to 90) wholly below it."""
    (found,) = of_kind(audit_of(YOUNG, OLD), "group")
    assert found.text == (
        "Under pooled DPO, people with age 60+ (n = 62) are worse off than with the "
        "untuned model, at a regret share of 130% (95% interval 110 to 145%), the most of any age. "
        "Min-max consensus brings this to 80% (95% interval 70 to 90%)."
    )
    assert (found.value, found.low, found.high, found.n) == (1.3, 1.1, 1.45, 62)


def test_most_of_any_is_not_said_where_a_runner_up_overlaps():
    """30-59 reaches up to 120%, above the 110% where the interval of 60+ starts."""
    (found,) = of_kind(audit_of(YOUNG, OLD, MIDDLE), "group")
    assert "the most of any" not in found.text
    assert "more than age 18-29 lose, while other differences are uncertain" in found.text


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
    same = group("60+", (1.1, 1.3, 1.45), (0.7, 1.0, 1.2))
    (found,) = of_kind(audit_of(YOUNG, same), "group")
    assert "Min-max consensus makes no difference that the intervals support" in found.text


def test_overlapping_groups_are_neither_different_nor_equal():
    """90 to 120% and 110 to 145% overlap; the gap of 0.3 may be anything in -0.1 to 0.55."""
    audit = audit_of(MIDDLE, OLD)
    assert of_kind(audit, "group") == [] and of_kind(audit, "cost") == []
    (found,) = of_kind(audit, "no_difference")
    assert found.text.startswith("No difference by age is supported under pooled DPO: intervals")
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


def test_of_many_groups_a_pair_apart_by_chance_is_no_difference():
    """Two intervals that just part among 3 groups do not among 50.

    The standard error is 0.1; ends are 0.196 away. Middles 0.4 apart part by 0.008, that is z =
    0.4 / 0.1414 = 2.83. Three groups have 3 pairs, z at 0.05 / 3 two-sided is 2.39; fifty have
    1225, z 4.09, and the intervals are widened by 4.09 / 2.77 = 1.48.
    """

    def people(value, middle):
        return group(value, (middle - 0.196, middle, middle + 0.196), (0.8, 0.8, 0.8))

    ends = [people("low", 0.3), people("high", 0.7)]
    few, many = (audit_of(*ends, *[people(f"g{i}", 0.5) for i in range(n)]) for n in (1, 48))
    assert len(of_kind(few, "group")) == 1
    assert of_kind(many, "group") == [] and len(of_kind(many, "no_difference")) == 1


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
    assert found.value == 1.3


def test_who_is_harmed_comes_first_then_types_costs_and_what_is_hidden():
    region = [
        group("north", (1.6, 1.7, 1.8), (0.7, 0.8, 0.9), attribute="region"),
        group("south", (0.2, 0.3, 0.4), (0.2, 0.3, 0.4), attribute="region"),
    ]
    small = [SuppressedGroup("age", "x", 3)]
    found = findings(audit_of(YOUNG, OLD, *region, suppressed=small))
    assert [one.kind for one in found] == ["group", "group", "type", "cost", "suppressed"]
    harmed, less_harmed, _, cost, _ = found
    assert [harmed.value, less_harmed.value, cost.value] == [1.7, 1.3, 0.8]


def test_every_number_that_is_stated_has_an_interval_and_n():
    for one in findings(audit_of(YOUNG, OLD, MIDDLE)):
        assert one.low is not None and one.high is not None
        assert one.low <= one.value <= one.high and one.n > 0
        assert "interval" in one.text


def test_small_differences_keep_a_decimal():
    """0.821 to 0.829 would both read 82% and 83% without one."""
    narrow = group("60+", (1.1, 1.3, 1.45), (0.821, 0.825, 0.829))
    (found,) = of_kind(audit_of(YOUNG, narrow), "group")
    assert "82.5% (95% interval 82.1 to 82.9%)" in found.text


def test_group_names_are_kept_on_one_short_line():
    long = group("a\n" + "b" * 100, (1.1, 1.3, 1.45), (0.7, 0.8, 0.9))
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
    unsure = group("60+", (0.9, 1.3, 1.45), (0.7, 0.8, 0.85))
    (found,) = of_kind(audit_of(YOUNG, unsure), "group")
    assert "are no better off than with the untuned model" in found.text
    (found,) = of_kind(audit_of(group("60+", (0.9, 1.0, 1.1), (0.1, 0.2, 0.3)), YOUNG), "group")
    assert "lose 100% (95% interval 90 to 110%) of what their own type's model" in found.text


def test_a_type_worse_off_under_anothers_model_is_called_so():
    (found,) = of_kind(audit_of(), "type")
    assert found.text.endswith(
        "200% of its own model's gain: it is worse off than with the untuned model."
    )
