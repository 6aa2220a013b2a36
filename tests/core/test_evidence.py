"""A user's evidence adds up to their posterior."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from emdpo.core.em import evaluate
from emdpo.core.errors import EmdpoError
from emdpo.core.evidence import user_evidence
from emdpo.core.features import build_features
from emdpo.core.loglinear import LogLinearPolicies
from emdpo.core.rankings import rankings_from_table

WEIGHTS = np.array([0.25, 0.75])
LOG3 = np.log(3.0)


@pytest.fixture(scope="module")
def case():
    """Two users, items a b c to two prompts; type 1 gives a utility log 3, type 2 none to any."""
    rows = []
    for user, prompt, ranks in (
        ("u1", "p", {"c": 0, "a": 1, "b": 2}),
        ("u1", "q", {"b": 1, "a": 2}),
        ("u2", "p", {"a": 1, "b": 1, "c": 2}),
    ):
        for item, rank in ranks.items():
            about = {"prompt": prompt, "response_id": item, "response": f"text {item}"}
            rows.append({"user_id": user, "rank": rank, **about})
    rankings = rankings_from_table(pd.DataFrame(rows))
    features = build_features(rankings, "items")
    theta = np.array([[LOG3 if name == "a" else 0.0 for name in features.names], [0.0] * 3])
    policies = LogLinearPolicies(features, theta, 0.0)
    state = evaluate(policies, rankings, np.log(WEIGHTS))
    return rankings, policies, np.exp(state.log_resp), WEIGHTS


def test_one_user_by_hand(case):
    """u1 in prompt p: a of {a, b, c}, then b of {b, c}: type 1 3/5 x 1/2, type 2 1/3 x 1/2.

    In prompt q: b over a: 1/4 against 1/2. Weights 1/4 and 3/4. So type 1 : type 2 =
    0.25 x 0.3 x 0.25 : 0.75 x 1/6 x 0.5 = 0.01875 : 0.0625 = 3 : 10.
    """
    found = user_evidence(*case, "u1")
    assert found.posterior == pytest.approx((3 / 13, 10 / 13))
    assert (found.most_likely, found.runner_up) == (2, 1)
    assert found.prior_influence == pytest.approx(np.log(3))
    by_prompt = {one.prompt: one for one in found.rankings}
    assert by_prompt["p"].log_likelihoods == pytest.approx((np.log(0.3), np.log(1 / 6)))
    assert by_prompt["p"].influence == pytest.approx(np.log((1 / 6) / 0.3))
    assert by_prompt["q"].influence == pytest.approx(np.log(2))


def test_evidence_adds_up_to_the_posterior_log_odds(case):
    for user in ("u1", "u2"):
        found = user_evidence(*case, user)
        total = found.prior_influence + sum(one.influence for one in found.rankings)
        best, other = found.posterior[found.most_likely - 1], found.posterior[found.runner_up - 1]
        assert total == pytest.approx(np.log(best / other))


def test_most_telling_ranking_comes_first(case):
    """Prompt q: log 2 = 0.69, which outweighs prompt p's |log 5/9| = 0.59."""
    assert [one.prompt for one in user_evidence(*case, "u1").rankings] == ["q", "p"]


def test_answers_come_best_first_and_unranked_last(case):
    found = {one.prompt: one for one in user_evidence(*case, "u1").rankings}
    assert found["p"].order == ("text a", "text b", "text c")
    assert found["p"].ranks == (1, 2, 0)
    (tied,) = user_evidence(*case, "u2").rankings
    assert tied.ranks == (1, 1, 2)


def test_an_unknown_user_is_one_clear_line(case):
    with pytest.raises(EmdpoError) as caught:
        user_evidence(*case, "nobody\n")
    assert str(caught.value) == r"no user 'nobody\n' among the 2 users fitted"


def test_one_type_has_no_runner_up(case):
    rankings, policies, _, _ = case
    alone = LogLinearPolicies(policies.features, policies.theta[:1], 0.0)
    found = user_evidence(rankings, alone, np.ones((2, 1)), np.ones(1), "u1")
    assert (found.most_likely, found.runner_up, found.prior_influence) == (1, None, 0.0)
    assert [one.influence for one in found.rankings] == [0.0, 0.0]
