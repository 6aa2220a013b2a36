"""Figures and words of evidence: the numbers they show, intervals, n, and hostile text."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from panels import planted

import emdpo
from emdpo import plots
from emdpo.core.prediction import ACCURACY, LOG_LOSS, OWN, POOLED
from emdpo.core.tested import Evidence
from emdpo.evidence_words import evidence_findings, evidence_note, evidence_rows, evidence_text

HOSTILE = "<b>$x$</b>"


@pytest.fixture(scope="module")
def evidence():
    fit = emdpo.fit(planted(n_users=60, answers=3), 3, features="columns", restarts=2)
    return emdpo.evidence(fit, folds=3, n_bootstrap=100)


@pytest.fixture(scope="module")
def figures(evidence):
    return {
        "difference": plots.prediction_figure(evidence, "age"),
        "accuracy": plots.prediction_figure(evidence, "age", ACCURACY, above_pooled=False),
        "everybody": plots.prediction_figure(evidence),
        "reliability": plots.reliability_figure(evidence),
        "posterior": plots.posterior_reliability_figure(evidence),
    }


def test_every_figure_asks_a_question_and_shows_n_and_intervals(figures):
    for name, figure in figures.items():
        layout = figure.to_dict()["layout"]
        assert layout["title"]["text"].endswith("?</b>"), name
        assert layout["height"] >= 250, name
        assert "n = " in json.dumps(figure.to_dict(), default=str), name
        assert "95% bootstrap intervals" in layout["title"]["subtitle"]["text"].replace("<br>", " ")
        assert {trace["type"] for trace in figure.to_dict()["data"]} == {"scatter"}
        bars = [
            t for t in figure.data if t.error_x.array is not None or t.error_y.array is not None
        ]
        assert bars, name


def test_marks_stand_at_the_differences_with_their_intervals(evidence, figures):
    traces = {trace.name: trace for trace in figures["difference"].data}
    assert "Pooled DPO" not in traces
    own = traces["Users' own types"]
    rows = [evidence.everybody, *evidence.groups]
    assert list(own.x) == [row.above_pooled[LOG_LOSS][OWN] for row in rows]
    low, high = rows[1].above_pooled_interval[LOG_LOSS][OWN]
    assert np.isclose(own.x[1] - own.error_x.arrayminus[1], low)
    assert np.isclose(own.x[1] + own.error_x.array[1], high)
    ticks = figures["difference"].layout.yaxis.ticktext
    assert ticks[0] == "Everybody<br>n = 60"
    assert len(ticks) == 4


def test_measures_themselves_have_the_pooled_model_too(evidence, figures):
    traces = {trace.name: trace for trace in figures["accuracy"].data}
    assert traces["Pooled DPO"].x[0] == evidence.everybody.mean[ACCURACY][POOLED]
    assert len(figures["everybody"].layout.yaxis.ticktext) == 1


def test_what_has_no_log_loss_is_not_drawn(evidence):
    chosen = ("lottery", OWN, "nonsense")
    names = [t.name for t in plots.prediction_figure(evidence, None, LOG_LOSS, chosen).data]
    assert names == ["Users' own types"]
    names = [t.name for t in plots.prediction_figure(evidence, None, ACCURACY, chosen).data]
    assert names == ["Maximal lottery", "Users' own types"]


def test_reliability_shows_what_was_said_and_what_came(evidence, figures):
    _, own, *_ = figures["reliability"].data
    assert tuple(own.x) == evidence.top_choice[OWN].predicted
    assert tuple(own.y) == evidence.top_choice[OWN].observed
    _, posterior = figures["posterior"].data
    assert tuple(posterior.y) == evidence.posterior.observed
    one_type = replace(evidence, posterior=None)
    assert len(plots.posterior_reliability_figure(one_type).data) == 1


def test_group_names_are_shown_literally(evidence):
    groups = tuple(replace(group, value=HOSTILE, attribute=HOSTILE) for group in evidence.groups)
    figure = plots.prediction_figure(replace(evidence, groups=groups), HOSTILE)
    text = json.dumps(figure.to_dict(), default=str)
    assert "<b>$" not in text and "&lt;b&gt;&#36;x&#36;" in text


def test_words_have_number_interval_and_n(evidence):
    found = list(evidence_findings(evidence))
    mean = evidence.everybody.above_pooled[LOG_LOSS][OWN]
    assert f"{mean:+.3f} nats a ranking" in found[0]
    assert "Users' own types predict rankings better" in found[0]
    assert "(n = 180 rankings by 60 users)" in found[0]
    assert all("n = " in sentence for sentence in found if "Rules that" not in sentence)
    assert "seed 0" in evidence_note(evidence) and "3 folds" in evidence_note(evidence)
    assert "calibration error" in evidence_rows(evidence)
    assert "calibration error" not in evidence_rows(evidence, evidence.groups[0])


def changed(evidence, **policies):
    """Return the evidence with other differences of log-loss, (value, low, high) by policy."""
    told = evidence.to_dict()
    everybody = told["everybody"]
    for policy, (value, *ends) in policies.items():
        everybody["above_pooled"][LOG_LOSS][policy] = value
        everybody["above_pooled_interval"][LOG_LOSS][policy] = ends
    return Evidence.from_dict(told)


def test_words_claim_nothing_where_the_interval_covers_zero(evidence):
    found = list(evidence_findings(changed(evidence, own=(-0.1, -0.3, 0.1))))
    assert "no better or worse than pooled DPO, as far as can be told" in found[0]
    found = list(evidence_findings(changed(evidence, own=(0.2, 0.1, 0.3))))
    assert "predict rankings worse" in found[0]


def test_rules_that_are_no_worse_are_not_named(evidence):
    rules = {name: (0.1, -0.1, 0.3) for name in evidence.policies if name != POOLED}
    assert not any("Rules that" in each for each in evidence_findings(changed(evidence, **rules)))
    rules["mixture"] = (0.1, 0.05, 0.3)
    named = [each for each in evidence_findings(changed(evidence, **rules)) if "Rules" in each]
    assert named[0].startswith("Rules that predict worse than pooled DPO: Min-max mixture.")


def test_users_of_whom_nothing_is_known_are_not_called_known(evidence):
    unknown = replace(evidence, n_unknown=60)
    assert next(iter(evidence_findings(unknown))).startswith("Types mixed by their sizes predict")
    assert "Of 60 users no other ranking is known" in evidence_text(unknown)
