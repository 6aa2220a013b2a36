"""Fits of adapters: settings, what is made of what training found, and the words told of it."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from trainers import ADAPTERS, BASE, THREE_TYPES

import emdpo
from emdpo.adapters.config import AdapterConfig
from emdpo.core.em import StopReason
from emdpo.core.errors import EmdpoError
from emdpo.core.evidence import user_evidence
from emdpo.core.loglinear import untrained
from emdpo.core.portraits import type_portraits
from emdpo.report import audit_page
from emdpo.settings import FitConfig, adapter_config
from emdpo.telling import fit_text


def test_settings_that_only_adapters_have():
    config = FitConfig(n_types=2, policy="adapters")
    assert (config.base_model, config.adapters) == ("embedded", AdapterConfig())
    again = FitConfig(**json.loads(json.dumps(config.to_dict())))
    assert again == config
    named = FitConfig(n_types=2, policy="adapters", adapters={"rank": 4}, base_model="a/b")
    assert (named.adapters.rank, named.base_model) == (4, "a/b")
    assert not {"adapters", "base_model"} & FitConfig(n_types=2).to_dict().keys()


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"base_model": "a/b"}, "--base-model"),
        ({"adapters": AdapterConfig()}, "policy adapters"),
        ({"policy": "adapters", "base_model": " "}, "base_model"),
        ({"policy": "adapters", "base_model": 3}, "base_model"),
        ({"policy": "adapters", "adapters": {"evil": 1}}, "no setting 'evil'"),
        ({"policy": "adapters", "adapters": {"rank": 0}}, "rank"),
        ({"policy": "adapters", "adapters": {"top_layers": 1.5}}, "or a share below 1, got 1.5"),
        ({"policy": "adapters", "adapters": {"top_layers": 0}}, "top_layers must be"),
        ({"policy": "adapters", "adapters": {"top_layers": True}}, "top_layers must be"),
        ({"policy": "adapters", "adapters": {"alpha": "x"}}, "wrong kind"),
    ],
)
def test_settings_that_do_not_go_together(settings, words):
    with pytest.raises(EmdpoError, match=words):
        FitConfig(n_types=2, **settings)


def test_presets_set_several_settings_at_once():
    quick = adapter_config({"preset": "quick", "rank": 4})
    assert (quick.top_layers, quick.rounds, quick.rank) == (0.25, 2, 4)
    assert adapter_config({"preset": "quick", "rounds": 5}).rounds == 5
    assert adapter_config({"preset": "normal"}) == AdapterConfig()
    with pytest.raises(EmdpoError, match="quick, normal, thorough, got 'best'"):
        adapter_config({"preset": "best"})


def test_types_are_renumbered_everywhere(fit, loglinear):
    """The trainer found the log-linear types in reverse: put in order they are these again."""
    for name in ("weights", "responsibilities"):
        np.testing.assert_allclose(getattr(fit, name), getattr(loglinear, name), rtol=1e-12)
    scores = loglinear.policies.candidate_scores()
    np.testing.assert_array_equal(fit.policies.candidate_scores(), scores)
    assert fit.trace[-1].weights == pytest.approx(loglinear.weights.tolist())
    assert list(fit.adapters) == ["type-1", "type-2", "type-3", "pooled"]
    for name, value in zip(fit.adapters, (1, 2, 3, 9), strict=True):
        held = fit.adapters[name]
        assert held.name == name
        assert {float(entry) for each in held.tensors.values() for entry in each.flat} == {value}


def test_what_a_fit_of_adapters_says(fit, loglinear):
    assert fit.log_likelihood == loglinear.log_likelihood
    assert fit.restarts == loglinear.restarts
    assert fit.base_model == BASE
    assert fit.information.smallest_eigenvalue is None
    assert "adapters" in fit.information.note
    assert fit.evidence == {"held_out": [-2.5, -2.25]}
    assert fit.warnings == ("2 of 7 answers were cut",)
    assert {"torch", "peft"} <= fit.versions.keys()
    assert "torch" not in loglinear.versions
    assert loglinear.reading is loglinear.policies
    assert (loglinear.adapters, loglinear.base_model, loglinear.warnings) == (None, None, ())


def test_the_reading_is_one_exact_m_step(fit, loglinear):
    """At the optimum of EM, an M-step from its own responsibilities leads nowhere else."""
    blank = untrained(fit.features, 3, fit.config.l2)
    again = blank.update(fit.rankings, fit.responsibilities)
    np.testing.assert_allclose(fit.reading.theta, again.theta, atol=1e-6)
    np.testing.assert_allclose(fit.reading.theta, loglinear.policies.theta, atol=0.02)


def test_the_trainer_is_given_the_best_log_linear_fit(rankings, loglinear, by_hand):
    rows, told = [], []
    emdpo.fit(
        rankings,
        3,
        **ADAPTERS,
        monitor=lambda row: bool(rows.append(row)),
        folder=Path("x"),
        on_progress=lambda event, **facts: told.append((event, facts)),
    )
    (panel, state, config, watching) = by_hand.calls[0]
    assert panel.n_users == rankings.n_users
    assert state.log_likelihood == loglinear.log_likelihood
    assert config == THREE_TYPES
    assert watching["folder"] == Path("x")
    assert watching["should_stop"]() is False
    assert told == [("step", {"round": 1, "rounds": 2, "done": 0.5})]
    assert [row.restart for row in rows[-2:]] == [2, 2]  # after the starts 0 and 1
    assert [row.iteration for row in rows[-2:]] == [0, 1]


def test_the_trainer_is_told_of_what_only_held_out_rankings_show(rankings, by_hand):
    held_out = rankings.prompt == 0
    emdpo.fit(replace(rankings, held_out=held_out), 3, **ADAPTERS)
    (panel, _, _, watching) = by_hand.calls[0]
    only_there = rankings.candidate_prompt == 0
    assert not np.isin(panel.candidate, np.flatnonzero(only_there)).any()
    assert watching["also"].all()
    part = rankings.select(~held_out, drop_users=True)
    emdpo.fit(part, 3, **ADAPTERS)
    np.testing.assert_array_equal(by_hand.calls[1][3]["also"], ~only_there)


def test_one_type(rankings, by_hand):
    found = emdpo.fit(rankings, 1, **ADAPTERS)
    assert list(found.adapters) == ["type-1", "pooled"]
    assert found.policies.candidate_scores().shape == (1, rankings.n_candidates)


def test_a_fit_that_is_stopped_before_there_are_adapters(rankings, by_hand, tmp_path):
    found = emdpo.fit(rankings, 3, **ADAPTERS, monitor=lambda row: True)
    assert found.stop_reason is StopReason.CANCELLED
    assert not by_hand.calls
    assert (found.config.policy, found.adapters) == ("loglinear", None)
    assert "before adapters" in found.warnings[0]
    assert emdpo.load_fit(found.save(tmp_path)).warnings == found.warnings


def test_a_missing_library_is_one_line(rankings, monkeypatch):
    class Needs(ModuleType):
        def __getattr__(self, name):
            raise ModuleNotFoundError("No module named 'torch'", name="torch")

    monkeypatch.setitem(sys.modules, "emdpo.adapters.fitting", Needs("emdpo.adapters.fitting"))
    with pytest.raises(
        EmdpoError, match=r'No module named .torch.*pip install "emdpo\[adapters\]"'
    ):
        emdpo.fit(rankings, 3, **ADAPTERS)


def test_words_are_told_to_be_a_reading(fit, loglinear, tmp_path):
    words = "a reading of these types, not the adapters themselves"
    told = fit_text(fit, tmp_path)
    assert words in told and "nobody/tiny (1,234 parameters), 1 round of" in told
    assert "warning: 2 of 7 answers were cut" in told
    page = audit_page(emdpo.audit(fit, n_bootstrap=5), fit)
    assert words in page and "f" * 64 in page and "fit: adapters.rank" in page
    for other in (fit_text(loglinear, tmp_path), audit_page(emdpo.audit(loglinear), loglinear)):
        assert words not in other


def test_telling_pairs_are_the_adapters_own(fit):
    """Chances of picking come from the scores given, wishes from the reading."""
    scores = fit.policies.candidate_scores()
    parts = (fit.rankings, fit.reading, fit.responsibilities, fit.weights)
    own, other = (type_portraits(*parts, scores=each) for each in (scores, -scores))
    assert [one.wishes for one in own] == [one.wishes for one in other]
    assert [one.pairs for one in own] != [one.pairs for one in other]


def test_evidence_says_whether_it_adds_up(fit):
    """It does with the responsibilities of the scores, and does not with others: cross-fitted."""
    user = fit.rankings.users.index[0]
    parts = (fit.rankings, fit.policies)
    assert user_evidence(*parts, fit.responsibilities, fit.weights, user).adds_up
    softer = (fit.responsibilities + 0.1) / 1.3
    assert not user_evidence(*parts, softer, fit.weights, user).adds_up
    assert user_evidence(*parts, softer[:, :1], fit.weights[:1], user).adds_up
