"""What the events of figure 2 return."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("gradio")

import numpy as np

from emdpo.learn.half_steps import begin, draw_crowd, walk
from emdpo.ui.learn import em_steps
from emdpo.ui.learn.em_view import state_html, verdict_html

SETTINGS = (3, 0, "random", 1)


def pressable(shown):
    """Whether M, E, to the end and back can be pressed."""
    return [button.interactive for button in shown[1:5]]


def test_only_what_would_change_something_can_be_pressed():
    assert pressable(em_steps._show(0, *SETTINGS)) == [True, False, True, False]
    assert pressable(em_steps._further(0, *SETTINGS)) == [False, True, True, True]
    assert pressable(em_steps._further(1, *SETTINGS)) == [True, False, True, True]
    assert pressable(em_steps._to_end(*SETTINGS)[1:]) == [True, False, False, True]


def test_words_are_true_of_the_half_step_shown():
    crowd = draw_crowd(3, np.random.default_rng(0))
    halves = walk(crowd, begin(crowd, "random", np.random.default_rng(1)), 2)
    start, after_m, after_e = (state_html(halves[: n + 1]) for n in range(3))
    assert "given by the start" in start and "Gained" not in start
    assert "still the old ones" in after_m and "1, last an M step" in after_m
    assert "match the policies again" in after_e
    assert re.search(r"Gained by this half-step</span><b>0.000<", after_e)
    shares = re.findall(r"([\d.]+)%", after_m)
    np.testing.assert_allclose(
        np.array(shares, float), 100 * halves[0].resp.mean(axis=0), atol=0.051
    )


def test_steps_go_on_and_back_and_the_code_follows():
    third = em_steps._further(2, *SETTINGS)
    assert third[0] == 3 and "range(3)" in third[-1]
    assert em_steps._back(3, *SETTINGS)[0] == 2
    assert em_steps._back(0, *SETTINGS)[0] == 0


def test_good_starts_reach_the_best_and_bad_ones_are_said_to_be_stuck():
    """The torn start ends some 35 nats short, the start that is alike some 56."""
    *_, good, _, _, climb, _ = em_steps._to_end(*SETTINGS)
    assert "at the best that 5 starts" in good and "line-good" in good
    assert "best of five starts" in [trace.name for trace in climb.data]
    told = [em_steps._to_end(3, 0, start, 1)[7] for start in ("torn", "alike")]
    short = [float(re.search(r"([\d.]+) nats below the best", words).group(1)) for words in told]
    assert 30 < short[0] < 40 < short[1] < 60
    assert all("stuck" in words and "Restart" in words for words in told)
    assert "one and the same policy" in told[1] and "one and the same" not in told[0]


def test_no_verdict_before_em_stands_still():
    assert em_steps._show(4, *SETTINGS)[6] == ""


def test_one_ranking_a_person_is_said_to_be_too_little():
    """Of three answers, rankings without links are too few for two types: 3 <= 2 x 2 - 1."""
    crowd = draw_crowd(1, np.random.default_rng(0))
    halves = walk(crowd, begin(crowd, "alike", np.random.default_rng(0)), 0)
    told = verdict_html(crowd, halves, None)
    assert "Zhao, Piech, Xia 2016" in told and "2 or more types are not identifiable" in told


def test_restart_takes_the_next_random_start():
    assert em_steps._restart(1) == ("random", 2)
    assert em_steps._restart(99) == ("random", 1)
