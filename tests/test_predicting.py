"""Evidence on rankings that nobody fitted: nothing leaks, and planted types are found again."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from panels import planted

import emdpo
from emdpo import predicting
from emdpo.core.em import e_step, user_totals
from emdpo.core.errors import EmdpoError
from emdpo.core.folds import known_half
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.prediction import LOG_LOSS, OWN, POOLED, REFERENCE
from emdpo.core.tested import CANDIDATES, RANKING, SPLIT, USER

QUICK = {"n_bootstrap": 50}
WAYS = (RANKING, USER, CANDIDATES)


@pytest.fixture(scope="module")
def fit():
    return emdpo.fit(planted(n_users=60, answers=4), 3, features="columns", restarts=1)


@pytest.fixture
def seen(monkeypatch):
    """Return what every fold was fitted to and asked, as lists of panels."""
    fitted, asked = [], []
    fit_model, predict = predicting._fit_model, predicting.predict

    def spy_fit(train, *rest):
        fitted.append(train)
        return fit_model(train, *rest)

    def spy_predict(model, known, test):
        asked.append((known, test))
        return predict(model, known, test)

    monkeypatch.setattr(predicting, "_fit_model", spy_fit)
    monkeypatch.setattr(predicting, "predict", spy_predict)
    return fitted, asked


def people(panel):
    return set(panel.users.index[np.unique(panel.user)])


@pytest.mark.parametrize("by", WAYS)
def test_no_fold_is_fitted_to_what_it_is_judged_by(fit, seen, by):
    emdpo.evidence(fit, by, folds=3, **QUICK)
    fitted, asked = seen
    tested = []
    for train, (known, test) in zip(fitted, asked, strict=True):
        assert set(train.ranking_ids).isdisjoint(test.ranking_ids)
        if by != RANKING:
            assert people(train).isdisjoint(people(test) | people(known))
        if by != CANDIDATES:
            assert set(known.ranking_ids).isdisjoint(test.ranking_ids)
        tested += list(test.ranking_ids)
    assert len(set(tested)) == len(tested)
    wanted = fit.rankings.n_rankings // (2 if by == USER else 1)
    assert len(tested) == wanted


def test_by_candidates_no_candidate_is_both_known_and_tested(fit, seen):
    emdpo.evidence(fit, CANDIDATES, folds=2, **QUICK)
    for known, test in seen[1]:
        pairs = [
            set(zip(part.ranking_ids[part.ranking_of_row], part.candidate, strict=True))
            for part in (known, test)
        ]
        assert pairs[0] and pairs[0].isdisjoint(pairs[1])


@pytest.fixture(scope="module")
def memorisable():
    """Every ranking is of three items of its own, which no other ranking shows."""
    rng = np.random.default_rng(0)
    rows = []
    for r in range(60):
        for item, rank in enumerate(rng.permutation(3) + 1):
            text = f"item {r}-{item}"
            rows.append((f"u{r % 20}", f"r{r}", f"p{r}", text, text, rank))
    names = ["user_id", "ranking_id", "prompt", "response_id", "response", "rank"]
    return emdpo.load(pd.DataFrame(rows, columns=names))


@pytest.mark.parametrize("by", WAYS)
def test_a_memoriser_knows_nothing_of_what_it_has_not_seen(memorisable, by):
    """A utility per item explains what was fitted and leaves every order of unseen items alike.

    One leaked ranking would show: every log-loss is that of the reference to the last digit.
    """
    fit = emdpo.fit(memorisable, 2, features="items", l2=0.01, restarts=2)
    in_sample = -fit.log_likelihood / 60
    assert in_sample < np.log(6) - 0.5
    found = emdpo.evidence(fit, by, folds=3, min_group=1, **QUICK)
    for policy, loss in found.everybody.mean[LOG_LOSS].items():
        assert np.isclose(loss, np.log(6), atol=1e-9), policy
    assert found.everybody.n_rankings >= 20


def test_planted_types_are_foretold_better_than_everybody_s_model(fit):
    for by in WAYS:
        found = emdpo.evidence(fit, by, folds=3, n_bootstrap=200)
        assert found.everybody.above_pooled_interval[LOG_LOSS][OWN][1] < 0, by
        assert found.config.by == by
        assert found.posterior is not None


def test_types_that_are_not_there_do_not_help():
    """One planted type, two fitted: knowing users' types makes next to no difference."""
    rankings = planted(n_users=60, answers=4, n_types=1)
    fit = emdpo.fit(rankings, 2, features="columns", restarts=2)
    found = emdpo.evidence(fit, folds=4, n_bootstrap=200)
    assert abs(found.everybody.above_pooled[LOG_LOSS][OWN]) < 0.05
    assert found.everybody.above_pooled[LOG_LOSS][REFERENCE] > 0.5


def test_posteriors_of_planted_types_are_calibrated():
    """With two answers each, posteriors are far from sure; later answers bear them out."""
    fit = emdpo.fit(planted(n_users=240, answers=2, n_types=2), 2, features="columns", restarts=2)
    found = emdpo.evidence(fit, USER, folds=3)
    assert found.posterior.error_interval[0] < 0.02
    spread = np.array(found.posterior.predicted)
    assert ((spread > 0.05) & (spread < 0.95)).sum() >= 2


def test_users_of_one_ranking_are_not_known_by_others():
    fit = emdpo.fit(planted(n_users=40, answers=1), 2, features="columns", restarts=1)
    for by, unknown in ((RANKING, 40), (USER, 40), (CANDIDATES, 0)):
        assert emdpo.evidence(fit, by, folds=2, **QUICK).n_unknown == unknown


def test_workers_change_nothing(fit, monkeypatch):
    found = []
    for n_workers in (1, 2):
        monkeypatch.setattr(predicting, "ALONE_WORK", 0)
        monkeypatch.setattr(predicting, "usable_cores", lambda n=n_workers: n)
        steps = []
        told = emdpo.evidence(fit, folds=3, progress=lambda *step, s=steps: s.append(step), **QUICK)
        assert steps == [(1, 3), (2, 3), (3, 3)]
        found.append(told.to_dict())
    assert found[0] == found[1]


def test_folds_start_from_scratch_with_the_fit_s_own_settings(fit, seen):
    """A fit that knows nothing, and one whose policies are nonsense, have the same evidence."""
    broken = replace(fit, policies=fit.pooled, responsibilities=fit.responsibilities[::-1])
    one, other = (emdpo.evidence(each, folds=2, **QUICK) for each in (fit, broken))
    assert one.to_dict() == other.to_dict()
    stronger = replace(fit, config=replace(fit.config, l2=100.0))
    assert emdpo.evidence(stronger, folds=2, **QUICK).everybody != one.everybody
    assert emdpo.evidence(stronger, folds=2, **QUICK).fit_sha256 != one.fit_sha256


@pytest.fixture(scope="module")
def split():
    """A file that holds the last of four rankings of each user out, one user wholly."""
    rankings = planted(n_users=40, answers=4)
    place = np.array([int(name.split("-")[1]) for name in rankings.ranking_ids])
    return replace(rankings, held_out=(place == 3) | (rankings.user == 7))


def test_what_the_file_held_out_is_foretold_by_the_fit_itself(split):
    fit = emdpo.fit(split, 3, features="columns", restarts=2)
    found = emdpo.evidence(fit, SPLIT, rankings=split, **QUICK)
    log_lik = log_likelihoods(split.stages, fit.policies.scores(split))
    known = user_totals(split, log_lik * ~split.held_out)
    log_resp, _ = e_step(known, np.log(fit.weights))
    own = -np.logaddexp.reduce(log_resp[split.user] + log_lik.T, axis=1)[split.held_out]
    assert np.isclose(found.everybody.mean[LOG_LOSS][OWN], own.mean())
    assert found.everybody.n == 40
    assert found.everybody.n_rankings == split.held_out.sum() == 43
    assert found.n_unknown == 1
    pooled = -log_likelihoods(split.stages, fit.pooled.scores(split))[0][split.held_out]
    assert np.isclose(found.everybody.mean[LOG_LOSS][POOLED], pooled.mean())


def test_split_needs_the_file_that_was_fitted(split, fit):
    own = emdpo.fit(split, 2, features="columns", restarts=1)
    with pytest.raises(EmdpoError, match="does not keep what its file held out"):
        emdpo.evidence(own, SPLIT)
    with pytest.raises(EmdpoError, match="holds out no ranking"):
        emdpo.evidence(fit, SPLIT, rankings=planted(n_users=60, answers=4))
    with pytest.raises(EmdpoError, match="not those that were fitted"):
        emdpo.evidence(fit, SPLIT, rankings=split)
    with pytest.raises(EmdpoError, match="for 'split' alone"):
        emdpo.evidence(own, RANKING, rankings=split)


@pytest.fixture
def adapters(split):
    """A fit that looks like one of adapters, with the scores of a log-linear one."""
    fit = emdpo.fit(split, 2, features="columns", restarts=1)
    config = emdpo.FitConfig(n_types=2, policy="adapters")
    return replace(fit, config=config, adapters={})


def test_adapters_are_not_trained_anew(adapters, split):
    for by in WAYS:
        with pytest.raises(EmdpoError, match="too long.*--evidence split"):
            emdpo.evidence(adapters, by)
    found = emdpo.evidence(adapters, SPLIT, rankings=split, **QUICK)
    assert found.everybody.n_rankings == split.held_out.sum()


def test_answers_that_adapters_have_not_scored_are_not_tested(adapters, split):
    """Scores of 0 for what only held-out rankings show: those rankings say nothing of adapters."""
    hidden = replace(split, held_out=split.prompt == 5)
    scores = adapters.policies.candidate_scores().copy()
    scores[:, hidden.candidate_prompt == 5] = 0
    blank = replace(
        adapters,
        rankings=hidden.fitted(),
        data_sha256=predicting.data_fingerprint(hidden.fitted()),
        policies=emdpo.core.scored.ScoredPolicies(scores),
        pooled=emdpo.core.scored.ScoredPolicies(scores[:1]),
    )
    with pytest.raises(EmdpoError, match="have not scored them"):
        emdpo.evidence(blank, SPLIT, rankings=hidden)
    more = replace(hidden, held_out=hidden.held_out | (hidden.user == 3))
    more_fit = replace(
        blank, rankings=more.fitted(), data_sha256=predicting.data_fingerprint(more.fitted())
    )
    found = emdpo.evidence(more_fit, SPLIT, rankings=more, **QUICK)
    assert found.everybody.n_rankings == ((more.user == 3) & (more.prompt != 5)).sum()


def test_what_cannot_be_is_said(fit):
    with pytest.raises(EmdpoError, match="no group attribute 'shoe'"):
        emdpo.evidence(fit, groups=["shoe"])
    with pytest.raises(EmdpoError, match=r"folds must be in \[2, 60 users\], got 61"):
        emdpo.evidence(fit, USER, folds=61)
    with pytest.raises(EmdpoError, match=r"240 rankings\]"):
        emdpo.evidence(fit, RANKING, folds=241)
    with pytest.raises(EmdpoError, match="by must be one of"):
        emdpo.evidence(fit, "prompt")
    few = emdpo.fit(planted(n_users=4, answers=4), 3, features="columns", restarts=1)
    with pytest.raises(EmdpoError, match="2 users are left, fewer than the 3 types"):
        emdpo.evidence(few, USER, folds=2)


def test_groups_asked_for_are_those_told(fit):
    assert {group.attribute for group in emdpo.evidence(fit, folds=2, **QUICK).groups} == {"age"}
    assert emdpo.evidence(fit, groups=[], folds=2, **QUICK).groups == ()
    assert known_half(fit.rankings, np.random.default_rng(0)).sum() == 120
