"""Policies known by their scores are read as those that made the scores are."""

from __future__ import annotations

import numpy as np
from panels import planted

from emdpo.core.em import evaluate
from emdpo.core.features import build_features
from emdpo.core.loglinear import LogLinearPolicies
from emdpo.core.scored import ScoredPolicies


def test_they_say_what_the_policies_say_that_the_scores_are_of():
    rankings = planted(n_users=9)
    features = build_features(rankings, "columns")
    theta = np.random.default_rng(0).normal(size=(3, 2))
    policies = LogLinearPolicies(features, theta, 0.0)
    scored = ScoredPolicies(policies.candidate_scores())
    assert scored.n_types == 3
    np.testing.assert_array_equal(scored.scores(rankings), policies.scores(rankings))
    some = rankings.select(rankings.user < 4)
    np.testing.assert_array_equal(scored.scores(some), policies.scores(some))
    log_weights = np.log([0.5, 0.3, 0.2])
    of_scores, of_policies = (evaluate(p, rankings, log_weights) for p in (scored, policies))
    np.testing.assert_array_equal(of_scores.log_resp, of_policies.log_resp)
