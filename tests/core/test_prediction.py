"""How policies predict one ranking after another, against sums by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from panels import TASTES, planted
from reference_em import rankings_of
from scipy.special import logsumexp

from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.prediction import (
    ACCURACY,
    LOG_LOSS,
    OWN,
    POOLED,
    REFERENCE,
    TAU,
    Model,
    joined,
    predict,
    rule_scores,
)
from emdpo.core.regret import log_policies
from emdpo.core.rules import rule_policies

BETA = 0.5


@pytest.fixture(scope="module")
def panel():
    return planted(n_users=30, answers=4)


@pytest.fixture(scope="module")
def model(panel):
    scores = np.array(TASTES) @ panel.candidates[["x_a", "x_b"]].to_numpy(float).T
    return Model(scores, scores.mean(axis=0), np.log([0.5, 0.3, 0.2]), 30, BETA)


@pytest.fixture(scope="module")
def parts(panel):
    test = panel.prompt < 2
    return panel.select(~test), panel.select(test)


def row(predictions, measure, policy):
    return predictions.measures[measure][predictions.policies.index(policy)]


def test_the_policies_are_those_of_the_audit_without_single_types(model, parts):
    predictions = predict(model, *parts)
    assert predictions.policies == (
        *(REFERENCE, POOLED, OWN),
        *("uniform", "prevalence", "maximin", "nash", "mixture", "consensus", "lottery"),
    )


def test_log_losses_are_those_of_the_policies_dpo_scores(model, parts, panel):
    """beta log(pi / pi_ref), from the rules' probabilities; constants per prompt cancel."""
    predictions = predict(model, *parts)
    test, prompt = parts[1], panel.candidate_prompt
    rules, _ = rule_policies(
        model.scores, model.pooled, np.exp(model.log_weights), prompt, model.beta
    )
    for name in ("pooled", "uniform", "prevalence", "maximin", "nash", "mixture", "consensus"):
        scores = BETA * np.log(rules[name].policy)
        by_hand = -log_likelihoods(test.stages, scores[None, test.candidate])[0]
        assert np.allclose(row(predictions, LOG_LOSS, name), by_hand), name
    assert np.allclose(row(predictions, LOG_LOSS, REFERENCE), np.log(24))
    assert not np.allclose(
        row(predictions, LOG_LOSS, "mixture"), row(predictions, LOG_LOSS, "consensus")
    )


def test_a_lottery_that_rules_candidates_out_has_no_log_loss_but_a_best(model, parts):
    predictions = predict(model, *parts)
    assert np.isposinf(row(predictions, LOG_LOSS, "lottery")).all()
    assert np.isnan(predictions.top_probability[predictions.policies.index("lottery")]).all()
    assert np.isfinite(row(predictions, ACCURACY, "lottery")).all()
    assert np.isfinite(row(predictions, TAU, "lottery")).all()


def test_scores_stay_exact_where_probabilities_vanish(model, panel):
    """At beta = 0.001 most probabilities are 0 in floating point."""
    sharp = replace(model, beta=0.001)
    log_types = log_policies(sharp.scores, panel.candidate_prompt, 0.001)
    weights = np.exp(model.log_weights)[:, None]
    found = rule_scores(sharp, panel)
    four = np.log(4)  # answers to every prompt, equally likely under the reference
    wanted = 0.001 * (logsumexp(log_types, axis=0, b=weights) + four)
    assert np.isfinite(found["prevalence"]).all()
    assert np.exp(log_types).min() == 0
    assert np.allclose(found["prevalence"], wanted)


def test_own_is_bayes_rule_by_hand():
    """Two types, two pairs. Type 1 says A with odds 3, type 2 with odds 1/3; A was known.

    Posterior (3/4, 1/4): the next A has probability 3/4 3/4 + 1/4 1/4 = 5/8.
    """
    panel = rankings_of(np.array([[1.0, 2], [1, 2]]), [0, 0])
    scores = np.log([[3.0, 1], [1, 3]])
    model = Model(scores, np.zeros(2), np.log([0.5, 0.5]), 8, 1.0)
    first = panel.ranking_ids == "r0"
    predictions = predict(model, panel.select(first), panel.select(~first))
    assert np.allclose(predictions.before, [[0.75, 0.25]])
    assert np.allclose(predictions.after, [[0.9, 0.1]])
    assert np.isclose(row(predictions, LOG_LOSS, OWN)[0], -np.log(5 / 8))
    assert np.allclose(predictions.top_probability[predictions.policies.index(OWN)], [5 / 8, 3 / 8])
    assert predictions.best.tolist() == [1, 0]
    assert not predictions.unknown.any()
    assert row(predictions, ACCURACY, OWN)[0] == row(predictions, TAU, OWN)[0] == 1


def test_who_is_not_known_has_the_types_weights(model, panel, parts):
    nothing = panel.select(np.zeros(panel.n_rankings, bool))
    predictions = predict(model, nothing, parts[1])
    assert np.allclose(predictions.before, [0.5, 0.3, 0.2])
    assert predictions.unknown.all()
    assert not predict(model, *parts).unknown.any()


def test_what_is_foretold_does_not_depend_on_what_came(model, parts):
    """Turning the test rankings round changes the losses and later posteriors, nothing before."""
    known, test = parts
    turned = replace(test, ranks=(5 - test.ranks).astype(np.int32))
    one, other = predict(model, known, test), predict(model, known, turned)
    assert np.array_equal(one.before, other.before)
    assert np.array_equal(one.top_probability, other.top_probability, equal_nan=True)
    assert not np.allclose(one.after, other.after)
    assert np.allclose(row(one, TAU, POOLED), -row(other, TAU, POOLED))


def test_types_without_users_make_no_rule(model, panel, parts):
    """A third type with a millionth of the users: the rules are those of the other two."""
    shares = np.array([0.6, 0.4 - 1e-6, 1e-6])
    three = replace(model, log_weights=np.log(shares))
    two = replace(three, scores=model.scores[:2], log_weights=np.log([0.6, 0.4]))
    for name, scores in rule_scores(three, panel).items():
        assert np.allclose(scores, rule_scores(two, panel)[name], atol=1e-4), name
    many = replace(three, n_users=10_000_000)
    changed = rule_scores(many, panel)["uniform"]
    assert not np.allclose(changed, rule_scores(two, panel)["uniform"], atol=1e-2)


def test_one_type_is_everybody(model, parts):
    one = replace(model, scores=model.pooled[None], log_weights=np.zeros(1))
    predictions = predict(one, *parts)
    for name in (OWN, "mixture", "consensus", "uniform"):
        assert np.allclose(row(predictions, LOG_LOSS, name), row(predictions, LOG_LOSS, POOLED)), (
            name
        )
    assert np.allclose(predictions.before, 1)


def test_rankings_without_order_or_weight_are_left_out(model):
    ranks = np.array([[1.0, 2, 3], [1, 1, 1], [3, 2, 1]])
    panel = rankings_of(ranks, [0, 1, 2], weight=[1.0, 1.0, 0.0])
    small = Model(np.zeros((1, 3)), np.zeros(3), np.zeros(1), 3, 1.0)
    predictions = predict(small, panel.select(np.zeros(3, bool)), panel)
    assert predictions.user.tolist() == [0]
    assert predictions.n_without_order == 1
    assert np.allclose(row(predictions, ACCURACY, POOLED), 1 / 3)


def test_folds_are_put_one_after_the_other(model, panel):
    halves = [panel.select(panel.prompt % 2 == k) for k in (0, 1)]
    nothing = panel.select(np.zeros(panel.n_rankings, bool))
    both = joined([predict(model, nothing, half) for half in halves])
    whole = predict(model, nothing, panel)
    assert sorted(both.user) == sorted(whole.user)
    for measure, values in whole.measures.items():
        assert np.allclose(np.sort(both.measures[measure]), np.sort(values))
    assert both.top_probability.shape == whole.top_probability.shape
    assert len(both.before) == 2 * len(whole.before)
