"""Sentences and ranks of a comparison follow from its numbers."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from comparisons import small_comparison

from emdpo.head_to_head.comparison import Comparison
from emdpo.head_to_head.engine import _ranks
from emdpo.head_to_head.export import rank_text
from emdpo.head_to_head.findings import findings, verdict, whom


def told(rows, baseline="dpo"):
    """Return a comparison of log-losses: method, mean, among the best, paired difference."""
    first = small_comparison()
    row = first.of("log_loss", "new", 2)[0]
    measures = [
        replace(row, method=name, mean=mean, is_among_best=best, above=above, above_interval=ends)
        for name, mean, best, above, ends in rows
    ]
    facts = [replace(first.facts[0], method=name) for name, *_ in rows]
    return replace(first, measures=tuple(measures), facts=tuple(facts), baseline=baseline)


BASE = ("dpo", 2.0, False, 0.0, (0.0, 0.0))


def test_who_is_best_and_who_beats_the_baseline():
    lines = findings(
        told(
            [
                ("pal", 1.5, True, -0.5, (-0.7, -0.3)),
                ("lore", 1.6, True, -0.4, (-0.9, 0.1)),
                ("em_dpo", 1.7, False, -0.3, (-0.4, -0.2)),
                BASE,
                ("known_types", 1.4, True, -0.6, (-0.8, -0.4)),
            ]
        )
    )
    assert lines[0] == (
        "For new users of whom up to 2 rankings are known, by log-loss: pal has the best mean; "
        "lore is not told apart from it."
    )
    assert lines[1] == (
        "There 2 methods beat pooled DPO with an interval clear of zero: pal and em_dpo. The first "
        "gains 0.500 nats a ranking (0.300 to 0.700)."
    )
    assert "would predict there 0.100 nats a ranking better than pal" in lines[2]


def test_where_nothing_is_told_apart_that_is_said():
    lines = findings(told([("pal", 1.9, True, -0.1, (-0.3, 0.1)), (*BASE[:2], True, *BASE[3:])]))
    assert lines[0].endswith("by log-loss: no method is told apart from the best, pal.")
    assert lines[1] == "There no method beats pooled DPO with an interval clear of zero."


def test_a_winner_is_named_and_so_is_another_baseline():
    lines = findings(
        told(
            [
                ("pal", 1.5, True, -0.5, (-0.7, -0.3)),
                ("reference", 2.0, False, 0.0, (0.0, 0.0)),
            ],
            "reference",
        )
    )
    assert "pal is best, and told apart from every other method" in lines[0]
    assert "There one method beats reference" in lines[1]


@pytest.mark.parametrize(
    ("measure", "ends", "expected"),
    [
        ("log_loss", (-0.2, -0.1), "better"),
        ("log_loss", (0.1, 0.2), "worse"),
        ("accuracy", (0.1, 0.2), "better"),
        ("tau", (-0.2, -0.1), "worse"),
        ("tau", (-0.2, 0.0), "open"),
    ],
)
def test_what_an_interval_says(measure, ends, expected):
    row = replace(small_comparison().measures[0], measure=measure, above_interval=ends)
    assert verdict(row) == expected


def test_whom_a_part_is_about():
    assert whom("seen", None) == "users seen in training"
    assert whom("new", 0) == "new users of whom nothing is known"
    assert whom("new", 1) == "new users of whom up to 1 ranking is known"


def test_ranks_by_hand():
    """b is clearly worse than a, c than a; b and c are not told apart, d from nobody."""
    names = ["a", "b", "c", "d", "known_types"]
    worse = np.zeros((5, 5), bool)
    worse[[1, 2], 0] = True
    worse[:4, 4] = True  # the truth is better than all, and takes nobody's place
    ranks = _ranks(names, worse)
    assert ranks == [(1, 2), (2, 4), (2, 4), (1, 4), None]
    assert [rank_text(rank) for rank in (*ranks, (3, 3))] == ["1-2", "2-4", "2-4", "1-4", "-", "3"]


def test_ranks_agree_with_the_intervals_of_differences():
    """Clearly worse than the baseline: behind it; clearly better: before it."""
    found = small_comparison()
    for part in found.parts():
        for measure in ("log_loss", "accuracy", "tau"):
            rows = found.of(measure, *part)
            base = next(each for each in rows if each.method == "dpo")
            fair = [each for each in rows if each.rank is not None and each is not base]
            better = sum(verdict(each) == "better" for each in fair)
            worse = sum(verdict(each) == "worse" for each in fair)
            assert base.rank == (1 + better, 3 - worse)
    assert next(e for e in found.measures if e.method == "known_types").rank is None


def test_a_comparison_is_read_back_as_it_was():
    found = small_comparison()
    assert Comparison.from_dict(found.to_dict()) == found
