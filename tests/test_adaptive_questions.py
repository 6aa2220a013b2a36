"""The simulation behind docs/which-type.md: its counting by hand, its people, and its outcome."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import numpy as np
import pytest

import emdpo
from emdpo.demo import DEMO_RUN, demo_file
from emdpo.who_am_i import Answer, answered, next_question, posterior, questions

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "which-type.md").read_text("utf-8")


@pytest.fixture(scope="module")
def script():
    return runpy.run_path(str(ROOT / "scripts" / "adaptive_questions.py"))


@pytest.fixture(scope="module")
def fit():
    return emdpo.load_fit(DEMO_RUN)


def test_rankings_needed_and_people_misled_by_hand(script):
    """Found at the third ranking or, in another order, first; misled before; never; misled only."""
    right, wrong = np.zeros((4, 2, 9)), np.zeros((4, 2, 9))
    right[0, 0, 3:], right[0, 1, 1:], right[1, :, 5:], right[2] = 0.9, 0.9, 0.95, 0.89
    wrong[1, :, 2], wrong[3, :, 8] = 0.91, 0.9
    found = script["Found"](right, wrong)
    assert found.needed.tolist() == [[3, 1], [5, 5], [9, 9], [9, 9]]
    assert found.misled[:, 0].tolist() == [False, True, False, True]
    by = script["reached_by"](found).mean(axis=0)
    assert by.tolist() == [0, 1 / 8, 1 / 8, 1 / 4, 1 / 4, 1 / 2, 1 / 2, 1 / 2, 1 / 2]
    one = script["Found"](right[:, :1], wrong[:, :1])
    saved = script["saved"]({"random": found, "adaptive": one})
    assert saved.tolist() == [[-1], [0], [0], [0]]  # (3 + 1) / 2 less 3
    assert found.of(2).needed.tolist() == [[3, 1], [5, 5]]


def test_people_are_of_the_types_in_their_shares(script, fit):
    """In each 200, whatever their order."""
    shares = np.array([0.5, 0.3, 0.2])
    setting = script["Setting"]("s", fit, fit.policies.candidate_scores(), shares)
    kind, felt = script["people"](setting, 400, np.random.default_rng(0))
    assert np.bincount(kind[:200]).tolist() == np.bincount(kind[200:]).tolist() == [100, 60, 40]
    # Gumbel noise has mean 0.5772; the standard error over 400 x 240 draws is 0.004.
    assert (felt - setting.utilities[kind]).mean() == pytest.approx(0.5772, abs=0.02)


def test_planted_utilities_are_those_that_made_the_demos_raters(script, fit):
    """Under them and the planted types the raters' rankings are likelier than under any other.

    Terse answers have 1.7 for the first type on average, warm ones -1.0 (assets/demo/README.md);
    60 draws of standard deviation 0.3 have a standard error of 0.04.
    """
    planted, shares = script["planted_types"](fit)
    assert shares.tolist() == [0.5, 0.3, 0.2]
    ids = fit.rankings.candidates["response_id"].str.split("-").str[1].to_numpy()
    assert planted[0, ids == "terse"].mean() == pytest.approx(1.7, abs=0.15)
    assert planted[2, ids == "warm"].mean() == pytest.approx(1.7, abs=0.15)
    scored = fit.policies.candidate_scores()
    for k in range(3):
        alike = [np.corrcoef(planted[k], scored[j])[0, 1] for j in range(3)]
        assert np.argmax(alike) == k
    from emdpo.core.plackett_luce import log_likelihoods

    rankings, truth = fit.rankings, fit.responsibilities.argmax(axis=1)
    log_lik = log_likelihoods(rankings.stages, planted[:, rankings.candidate])
    own = log_lik[truth[rankings.user], np.arange(rankings.n_rankings)].mean()
    shuffled = planted[:, np.random.default_rng(0).permutation(240)]
    other = log_likelihoods(rankings.stages, shuffled[:, rankings.candidate]).mean()
    assert own > -2.6 and other < -3.2  # a random order of four has -log 24 = -3.18


def test_questions_come_and_posteriors_go_as_on_the_page(script, fit):
    """The script's own bookkeeping against the library's, question by question."""
    pool, felt = questions(fit), np.random.default_rng(1).normal(size=240)
    log_lik = script["log_likelihoods_of"](fit, pool, felt)
    order = script["chosen_order"](fit, pool, log_lik, np.random.default_rng(3))
    course = script["course_of"](log_lik, np.array([order]), np.log(fit.weights))[0]
    answers = []
    for place, after in zip(order, course, strict=False):
        np.testing.assert_allclose(posterior(fit, answered(fit, answers)), after, atol=1e-9)
        question = next_question(fit, pool, answers, np.random.default_rng(3))
        assert question in (pool[place], None)
        best_first = sorted(pool[place].candidates, key=lambda candidate: -felt[candidate])
        answers.append(Answer(pool[place], tuple(best_first)))
    assert len(set(order)) == len(answers) == 8


def test_chosen_questions_need_fewer_rankings_than_random_ones(script):
    """200 people as planted, on a fit that knows only the noisy rankings; another seed than 0."""
    fit = emdpo.fit(emdpo.load(demo_file()), n_types=3, restarts=2)
    planted, shares = script["planted_types"](fit)
    found = script["simulate"](script["Setting"]("s", fit, planted, shares), 200, 7)
    _, low, _ = script["estimated"](script["saved"](found))
    assert low[0] > 0
    assert (found["adaptive"].needed <= 8).mean() > 0.95


def test_the_page_tells_what_the_script_made():
    """Four settings; the intervals of what chosen questions save leave out 0, in both samples."""
    rows = re.findall(r"^\| ((?:log-linear|adapters).*) \|$", PAGE, re.M)
    assert len(rows) == 8
    for adaptive, random in zip(rows[::2], rows[1::2], strict=True):
        told, compared = adaptive.split(" | "), random.split(" | ")
        assert told[0] == compared[0] and (told[1], compared[1]) == ("adaptive", "random")
        mean, low, _ = map(float, re.findall(r"[\d.]+", told[3]))
        assert low > 0 and float(re.findall(r"[\d.]+", told[4])[1]) > 0
        difference = float(compared[2].split()[0]) - float(told[2].split()[0])
        assert mean == pytest.approx(difference, abs=0.011)


def test_a_page_keeps_what_stands_around_its_table(script):
    page = f"before\n{script['BEGIN']}\nold\n{script['END']}\nafter\n"
    assert script["with_table"](page, "new") == page.replace("old", "new")


def test_the_figure_is_a_small_picture_of_both_ways(script):
    right = np.linspace(0, 1, 9)[None, None].repeat(200, axis=0)
    found = script["Found"](right, 1 - right)
    picture = script["figure"]({"adaptive": found, "random": found})
    assert picture.count("<polyline") == picture.count("<polygon") == 2
    assert picture.count("<circle") == 2 * 9 + 2
    shipped = (ROOT / "assets" / "which-type.svg").read_text("utf-8")
    assert len(shipped) < 10_000 and "200 simulated people" in shipped
