"""Log-linear policies: scores by hand, and the M-step against SciPy on each type alone."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference_em import planted_panel, rankings_of
from scipy.optimize import minimize
from scipy.special import logsumexp

from emdpo.core.features import build_features
from emdpo.core.loglinear import untrained
from emdpo.core.rankings import rankings_from_table


def column_panel(seed=0, n_users=25, n_columns=3):
    """Two rankings a user over candidates of their own, some unranked, no ties, unequal weights."""
    rng = np.random.default_rng(seed)
    rows = []
    for ranking in range(2 * n_users):
        size = rng.integers(2, 6)
        ranks = rng.permutation(size) + 1
        ranks[ranks > rng.integers(1, size + 1)] = 0
        rows += [
            (f"u{ranking % n_users}", ranking, f"c{len(rows) + i}", ranks[i]) for i in range(size)
        ]
    table = pd.DataFrame(rows, columns=["user_id", "ranking_id", "response", "rank"])
    table["prompt"] = "p"
    table["weight"] = rng.choice([0.5, 1.0, 2.0], size=2 * n_users)[table["ranking_id"]]
    for name in "abcdef"[:n_columns]:
        table[f"x_{name}"] = rng.normal(size=len(table))
    return table, rankings_from_table(table)


def log_prob(scores, ranks):
    """One ranking from the definition: ranked candidates in turn, the unranked left over."""
    total = 0.0
    left = list(range(len(ranks)))
    for chosen in sorted(np.flatnonzero(ranks), key=lambda i: ranks[i]):
        total += scores[chosen] - logsumexp(scores[left])
        left.remove(chosen)
    return total


@pytest.mark.parametrize("l2", [0.3, 4.0])
def test_m_step_equals_scipy_on_each_type_separately(l2):
    """BFGS on sum_i r_i sum_j w_j log P_j - l2/2 |theta|^2, ranking by ranking, type by type."""
    table, rankings = column_panel()
    features = build_features(rankings, "columns")
    responsibilities = np.random.default_rng(1).dirichlet([0.5, 1.0, 2.0], size=25)
    fitted = untrained(features, 3, l2).update(rankings, responsibilities)

    names = [name for name in table if name.startswith("x_")]
    user_row = {user: row for row, user in enumerate(rankings.users.index)}
    answers = [
        (
            g[names].to_numpy(),
            g["rank"].to_numpy(),
            user_row[g["user_id"].iloc[0]],
            g["weight"].iloc[0],
        )
        for _, g in table.groupby("ranking_id")
    ]

    def loss(raw, k):
        standardised = raw * features.scale
        value = sum(
            responsibilities[user, k] * weight * log_prob(x @ raw, ranks)
            for x, ranks, user, weight in answers
        )
        return -value + 0.5 * l2 * standardised @ standardised

    for k in range(3):
        expected = minimize(loss, np.zeros(3), args=(k,), method="BFGS", options={"gtol": 1e-4}).x
        np.testing.assert_allclose(features.raw_theta(fitted.theta)[k], expected, atol=2e-4)


def test_m_step_finds_the_logit_of_a_pair_by_hand():
    """Weighted shares 3 : 1 and 1 : 1 of users who prefer A: theta_A - theta_B = log 3 and 0."""
    rankings = rankings_of([[1, 2]] * 4 + [[2, 1]] * 4)
    responsibilities = np.array([[0.6, 0.4]] * 4 + [[0.2, 0.8]] * 2 + [[0.2, 0.0]] * 2)
    fitted = untrained(build_features(rankings, "items"), 2, 0.0).update(rankings, responsibilities)
    difference = fitted.theta[:, 0] - fitted.theta[:, 1]
    np.testing.assert_allclose(difference, [np.log(3.0), 0.0], atol=1e-5)


def test_m_step_gradient_vanishes_where_it_ends():
    """Stationary for every type, also from a start far away."""
    rankings = rankings_of(planted_panel(80, 5, 2, seed=6)[0])
    features = build_features(rankings, "items")
    responsibilities = np.random.default_rng(0).dirichlet(np.ones(2), size=80)
    near = untrained(features, 2, 0.5).update(rankings, responsibilities)
    far = untrained(features, 2, 0.5).with_parameters(np.linspace(-20, 20, 10))
    np.testing.assert_allclose(far.update(rankings, responsibilities).theta, near.theta, atol=1e-4)


def test_an_empty_type_is_left_as_it_is():
    rankings = rankings_of(planted_panel(30, 4, 1, seed=0)[0])
    before = untrained(build_features(rankings, "items"), 2, 1.0)
    before = before.with_parameters(np.arange(8.0))
    responsibilities = np.tile([1.0, 1e-9], (30, 1))
    after = before.update(rankings, responsibilities)
    np.testing.assert_array_equal(after.theta[1], before.theta[1])
    assert not np.allclose(after.theta[0], before.theta[0])


def test_update_changes_nothing_in_place():
    rankings = rankings_of(planted_panel(30, 4, 1, seed=0)[0])
    before = untrained(build_features(rankings, "items"), 2, 0.0)
    responsibilities = np.full((30, 2), 0.5)
    before.update(rankings, responsibilities)
    assert not before.theta.any()
    assert (responsibilities == 0.5).all()


def test_equal_responsibilities_give_copies_of_the_pooled_fit():
    rankings = rankings_of(planted_panel(60, 5, 2, seed=3)[0])
    features = build_features(rankings, "items")
    pooled = untrained(features, 1, 0.0).update(rankings, np.ones((60, 1)))
    copies = untrained(features, 3, 0.0).update(rankings, np.full((60, 3), 1 / 3))
    np.testing.assert_allclose(copies.theta, np.tile(pooled.theta, (3, 1)), atol=1e-4)


def test_scores_are_theta_times_features():
    """Differences within a ranking equal those of raw theta times the file's own columns."""
    table, rankings = column_panel(seed=4)
    features = build_features(rankings, "columns")
    policies = untrained(features, 2, 0.0).with_parameters(np.arange(6.0) - 2.5)
    raw = table[["x_a", "x_b", "x_c"]].to_numpy() @ features.raw_theta(policies.theta).T  # (C, 2)
    scores = policies.scores(rankings).T
    first = rankings.offsets[:-1][rankings.ranking_of_row]
    np.testing.assert_allclose(scores - scores[first], raw - raw[first], atol=1e-9)
    np.testing.assert_array_equal(
        policies.candidate_scores()[:, rankings.candidate], policies.scores(rankings)
    )


def test_prior_by_hand():
    """Theta = (1, 2, 2, 0), l2 = 0.5: -0.25 * 9."""
    rankings = rankings_of([[1, 2]])
    policies = untrained(build_features(rankings, "items"), 2, 0.5)
    policies = policies.with_parameters(np.array([1.0, 2.0, 2.0, 0.0]))
    assert policies.log_prior() == pytest.approx(-2.25)
    np.testing.assert_allclose(policies.log_prior_gradient(), [-0.5, -1.0, -1.0, 0.0])


@pytest.mark.parametrize("kind", ["items", "columns"])
def test_pull_back_is_the_adjoint_of_scores(kind):
    """<gradient, scores(v)> = <pull_back(gradient), v>, because scores are linear in theta."""
    _, rankings = column_panel(seed=2)
    policies = untrained(build_features(rankings, kind), 2, 0.0)
    rng = np.random.default_rng(0)
    vector = rng.normal(size=policies.theta.size)
    gradient = rng.normal(size=(2, rankings.n_rows))
    forward = (gradient * policies.with_parameters(vector).scores(rankings)).sum()
    assert policies.pull_back(rankings, gradient) @ vector == pytest.approx(forward)
