"""What the events of figure 1 return."""

from __future__ import annotations

import re

import pytest

pytest.importorskip("gradio")

import gradio as gr
import numpy as np

from emdpo.learn.designs import designs, love_and_hate
from emdpo.learn.opposed import Path
from emdpo.ui.learn import pairs
from emdpo.ui.learn.pairs_view import difference_html, em_html, heading


def test_what_is_exact_comes_at_once_and_em_later():
    shown = pairs.exactly(1.5, 2, 2, 400, 7, pairs.EXACT)
    headings, answers, told, surfaces, waiting = (shown[i : i + 3] for i in range(0, 15, 3))
    assert "Single pairs" in headings[0] and "known to be theirs" in headings[2]
    assert all(len(figure.data) == 2 for figure in answers)
    assert "no number of people" in told[0] and "flat valley" in told[0]
    assert all(re.search(r"about \d+ people", text) for text in told[1:])
    assert [figure.data[-1].name for figure in surfaces] == ["the truth"] * 3
    assert all("EM is working" in text for text in waiting)
    assert "n_answers=2" in shown[15] and "400, np.random.default_rng(7)" in shown[15]
    by_sample = pairs.exactly(1.5, 2, 2, 400, 7, pairs.ONE_SAMPLE)
    assert by_sample[9:12] == [gr.skip()] * 3


@pytest.mark.parametrize("surface", [pairs.EXACT, pairs.ONE_SAMPLE])
def test_em_s_ends_and_the_table_follow(surface):
    shown = pairs.by_em(1.5, 2, 2, 400, 0, surface)
    figures, found, table = shown[:3], shown[3:6], shown[6]
    assert all("EM ends" in [trace.name for trace in figure.data] for figure in figures)
    assert "line-warning" in found[0] and "0.0 to 4.0 or more open" in found[0]
    assert all("line-good" in text and "All 6 starts" in text for text in found[1:])
    rows = dict(re.findall(r'<th scope="row">([^<]+)</th>((?:<td>.*?</td>)+)', table))
    cells = {name: re.findall(r"<td>(.*?)</td>", row) for name, row in rows.items()}
    assert cells["Fox, Kim, Ryan, Bajari 2012"][1] == "<b>can tell</b>"
    assert cells["Two linked pairs"] == ["does not apply"] * 2 + ["<b>can tell</b>"]
    assert cells["Computed: smallest curvature"][0] == "<b>0: flat</b>"
    assert table.count("Premises:") == 5 and "necessity of ternary" in table


def test_the_evidence_told_is_the_divergence():
    """Best of three at theta = 2, one answer: log 20 over the nats told, rounded up."""
    told = difference_html(designs(1)[1], love_and_hate(2.0))
    nats, people = re.search(r"([\d.]+) nats a person: about (\d+) people", told).groups()
    assert int(people) == pytest.approx(np.log(20) / float(nats), abs=1.5)


def test_words_on_em_say_what_is_left_open_though_all_starts_agree():
    """All starts may end at one point of a valley: that does not make it known."""
    paths = (Path(((1.0, 0.5), (0.1, 0.6)), -5.0, "converged"),) * 2
    told = em_html(paths, 90, (0.0, 4.0))
    assert "All 2 starts of EM end at strength 0.10" in told
    assert "n = 90 people leave 0.0 to 4.0 or more open" in told and "line-warning" in told


def test_with_three_types_em_ends_among_the_strengths_left_open():
    """EM's shares are free, and so are those of the strengths that are not ruled out."""
    for told in pairs.by_em(1.5, 3, 4, 400, 0, pairs.EXACT)[4:6]:
        end, low, high = map(
            float, re.search(r"strength ([\d.]+)\..* leave ([\d.]+) to ([\d.]+)", told).groups()
        )
        assert low - 0.1 <= end <= high + 0.1


def test_one_answer_is_told_as_one():
    assert "one answer a person, the best of three" in heading(designs(1)[1])
    assert "3 answers a person, the better of two" in heading(designs(3)[0])
