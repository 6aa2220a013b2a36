"""The observed information against second differences of an independent log-likelihood."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from reference_em import Panel, planted_panel, rankings_of
from scipy.linalg import block_diag, eigvalsh, null_space
from scipy.special import log_softmax

from emdpo.core import information
from emdpo.core.em import EMConfig, evaluate, run_em
from emdpo.core.features import build_features
from emdpo.core.information import free_directions, observed_information
from emdpo.core.loglinear import untrained
from emdpo.core.rankings import rankings_from_table


def state_at(rankings, theta, weights, kind="items", l2=0.0):
    policies = untrained(build_features(rankings, kind), len(weights), l2)
    return evaluate(policies.with_parameters(np.ravel(theta)), rankings, np.log(weights))


def item_order(features):
    return np.argsort([int(name.removeprefix("item ")) for name in features.names])


@pytest.mark.parametrize("l2", [0.0, 5.0])
def test_smallest_eigenvalue_against_second_differences_of_values(l2):
    """The reference's log-likelihood, differenced twice; theta and logits orthogonal to 1.

    The prior must not count: the figure is the same for both l2.
    """
    ranks = planted_panel(200, 4, 2, seed=1, spread=2.0)[0]
    rankings = rankings_of(ranks)
    features = build_features(rankings, "items")
    start = np.random.default_rng(0).dirichlet([0.4, 0.4], size=200)
    fit = run_em(untrained(features, 2, 0.0), rankings, start, EMConfig(tolerance=1e-6)).state
    state = state_at(rankings, fit.policies.theta, np.exp(fit.log_weights), l2=l2)

    panel, columns = Panel(ranks), item_order(features)
    items, types = null_space(np.ones((1, 4))), null_space(np.ones((1, 2)))
    basis = block_diag(items, items, types)  # (10, 7)
    point = np.concatenate([fit.policies.theta[:, columns].ravel(), fit.log_weights])

    def log_likelihood(free):
        vector = point + basis @ free
        return panel.posterior(vector[:8].reshape(2, 4), np.exp(log_softmax(vector[8:])))[1]

    step = 2e-3 * np.eye(7)
    hessian = np.array(
        [
            [
                log_likelihood(a + b)
                - log_likelihood(a - b)
                - log_likelihood(b - a)
                + log_likelihood(-a - b)
                for b in step
            ]
            for a in step
        ]
    ) / (4 * 2e-3**2)
    found = observed_information(state, rankings)
    assert found.n_parameters == 7
    assert found.note is None
    assert found.smallest_eigenvalue > 0.1
    assert found.smallest_eigenvalue == pytest.approx(eigvalsh(-hessian)[0], rel=1e-3)


def opposed(rankings, n_items):
    """Two equal types with theta and -theta."""
    theta = np.linspace(-1, 1, n_items)
    return state_at(rankings, [theta, -theta], [0.5, 0.5])


def test_single_pairs_do_not_identify_opposed_types():
    """One answer a user to one pair: 50 : 50 at any size of theta, so some direction is flat."""
    rankings = rankings_of([[1, 2]] * 50 + [[2, 1]] * 50)
    found = observed_information(opposed(rankings, 2), rankings)
    assert found.n_parameters == 3
    assert abs(found.smallest_eigenvalue) < 1e-3


def test_single_pairs_of_three_items_do_not_identify_opposed_types_either():
    pairs = [[1, 2, np.nan], [2, 1, np.nan], [1, np.nan, 2], [2, np.nan, 1]]
    pairs += [[np.nan, 1, 2], [np.nan, 2, 1]]
    rankings = rankings_of(pairs * 20)
    found = observed_information(opposed(rankings, 3), rankings)
    assert found.n_parameters == 5
    assert abs(found.smallest_eigenvalue) < 1e-3


def test_linked_pairs_do_identify_them():
    """Four answers a user to the one pair, three parameters, five possible counts: not flat."""
    rng = np.random.default_rng(0)
    first = rng.random((200, 4)) < np.where(np.arange(200) < 100, 0.9, 0.1)[:, None]
    ranks = np.where(first.reshape(-1, 1), [1, 2], [2, 1])
    rankings = rankings_of(ranks, users=np.repeat(np.arange(200), 4))
    state = state_at(rankings, [[1.0, -1.0], [-1.0, 1.0]], [0.5, 0.5])
    found = observed_information(state, rankings)
    assert found.smallest_eigenvalue > 1.0


def test_a_constant_in_each_prompt_is_no_parameter():
    """Items 0-2 and 3-4 never meet: 5 utilities less 2 constants a type, and K - 1 weights."""
    nan = np.nan
    rankings = rankings_of([[1, 2, 3, nan, nan], [3, 1, 2, nan, nan], [nan, nan, nan, 1, 2]])
    features = build_features(rankings, "items")
    basis = free_directions(rankings, features)
    assert basis.shape == (5, 3)
    np.testing.assert_allclose(basis.T @ basis, np.eye(3), atol=1e-12)
    together = np.zeros((5, 2))
    together[item_order(features)[:3], 0] = 1.0
    together[item_order(features)[3:], 1] = 1.0
    np.testing.assert_allclose(basis.T @ together, 0.0, atol=1e-9)
    state = state_at(rankings, np.zeros((2, 5)), [0.5, 0.5])
    assert observed_information(state, rankings).n_parameters == 2 * 3 + 1


def column_table(n_rankings=40, seed=0):
    rng = np.random.default_rng(seed)
    rows = [
        (f"u{ranking}", ranking, f"c{ranking} {i}", i + 1)
        for ranking in range(n_rankings)
        for i in range(rng.integers(2, 5))
    ]
    table = pd.DataFrame(rows, columns=["user_id", "ranking_id", "response", "rank"])
    return table.assign(prompt="p", x_a=rng.normal(size=len(table)))


def test_columns_that_say_the_same_within_rankings_are_one_direction():
    """x_b = 3 x_a plus a constant per ranking cannot be told from x_a."""
    table = column_table()
    table["x_b"] = 3 * table["x_a"] + table["ranking_id"]
    rankings = rankings_from_table(table)
    assert free_directions(rankings, build_features(rankings, "columns")).shape == (2, 1)


def test_reading_rows_in_parts_changes_nothing(monkeypatch):
    """Parts of 1, 7 and 50 rows, against the scatter written out in one expression."""
    table = column_table(seed=3).assign(
        x_b=np.random.default_rng(1).normal(size=len(column_table(seed=3)))
    )
    rankings = rankings_from_table(table)
    features = build_features(rankings, "columns")
    phi = features.matrix[rankings.candidate]
    of_row = rankings.ranking_of_row
    means = np.array([phi[of_row == r].mean(axis=0) for r in range(rankings.n_rankings)])
    expected = (phi - means[of_row]).T @ (phi - means[of_row])
    for rows in (1, 7, 50, 10**6):
        monkeypatch.setattr(information, "ROWS_AT_ONCE", rows)
        np.testing.assert_allclose(
            information._matrix_gram(rankings, features), expected, atol=1e-9
        )


def test_too_large_a_problem_is_left_out_with_a_reason(monkeypatch):
    rankings = rankings_of(planted_panel(30, 4, 2, seed=1)[0])
    monkeypatch.setattr(information, "MAX_WORK", 10)
    found = observed_information(state_at(rankings, np.zeros((2, 4)), [0.5, 0.5]), rankings)
    assert found.smallest_eigenvalue is None
    assert found.n_parameters == 7
    assert "7 parameters" in found.note


def test_nothing_to_vary_is_said():
    """One type and rankings of one candidate each: no direction matters."""
    rankings = rankings_of([[1, np.nan], [np.nan, 1]])
    found = observed_information(state_at(rankings, np.zeros((1, 2)), [1.0]), rankings)
    assert (found.smallest_eigenvalue, found.n_parameters) == (None, 0)
    assert found.note
