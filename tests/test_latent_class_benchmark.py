"""The benchmark against other latent-class libraries scores everybody by the right likelihood."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

import emdpo
from benchmarks.latent_class import choices_from, panel_log_likelihood
from benchmarks.latent_class_fits import FEATURES, canonical
from emdpo.core.em import evaluate
from emdpo.core.features import build_features
from emdpo.core.loglinear import LogLinearPolicies


@pytest.fixture
def choices() -> pd.DataFrame:
    """Three people with 1, 2 and 3 choices among 2 to 4 alternatives, rows in no order."""
    rng = np.random.default_rng(0)
    sizes = {"a": (3,), "b": (4, 2), "c": (3, 4, 2)}
    sets = [(person, size) for person, all_sizes in sizes.items() for size in all_sizes]
    rows = [
        {"person": person, "choice_set": number, "alternative": j, "chosen": int(j == number % 2)}
        for number, (person, size) in enumerate(sets)
        for j in range(size)
    ]
    table = pd.DataFrame(rows)
    table[list(FEATURES)] = rng.normal(size=(len(table), len(FEATURES)))
    return table.sample(frac=1, random_state=1, ignore_index=True)


@pytest.fixture
def mixture() -> tuple[np.ndarray, np.ndarray]:
    return np.array([0.6, 0.3, 0.1]), np.random.default_rng(2).normal(size=(3, len(FEATURES)))


def test_the_likelihood_is_the_sum_over_types_of_products_of_logit_probabilities(choices, mixture):
    """By the definition, one person, type, choice and alternative after another."""
    weights, theta = mixture
    total = 0.0
    for _, own in choices.groupby("person"):
        marginal = 0.0
        for k, weight in enumerate(weights):
            product = 1.0
            for _, options in own.groupby("choice_set"):
                odds = np.exp(options[list(FEATURES)].to_numpy() @ theta[k])
                product *= odds[options["chosen"].to_numpy() == 1].item() / odds.sum()
            marginal += weight * product
        total += np.log(marginal)
    assert panel_log_likelihood(choices, weights, theta) == pytest.approx(total, rel=1e-12)


def test_emdpo_has_the_same_likelihood_of_the_canonical_table(choices, mixture):
    """A tie of all that was not chosen adds nothing."""
    weights, theta = mixture
    rankings = emdpo.load(canonical(choices))
    features = build_features(rankings, "columns")
    order = [FEATURES.index(name.removeprefix("x_")) for name in features.names]
    policies = LogLinearPolicies(features, theta[:, order] * features.scale, l2=0.0)
    state = evaluate(policies, rankings, np.log(weights))
    assert rankings.n_users == 3 and rankings.n_rankings == 6
    expected = panel_log_likelihood(choices, weights, theta)
    assert state.log_likelihood == pytest.approx(expected, rel=1e-12)


def test_a_weight_of_zero_leaves_its_type_out(choices, mixture):
    _, theta = mixture
    alone = panel_log_likelihood(choices, np.array([1.0]), theta[:1])
    assert panel_log_likelihood(choices, np.array([1.0, 0.0, 0.0]), theta) == pytest.approx(alone)


def test_the_shipped_file_is_read(tmp_path):
    file = tmp_path / "electricity.csv"
    file.write_text(
        '"choice","id","alt","pf","cl","loc","wk","tod","seas","chid"\n'
        "FALSE,7,1,9,1,1,0,0,0,5\nTRUE,7,2,0,0,0,1,0,1,5\n"
    )
    table = choices_from(file)
    assert table["chosen"].tolist() == [0, 1]
    assert table[["person", "choice_set"]].drop_duplicates().to_numpy().tolist() == [[7, 5]]
    assert table["pf"].tolist() == [9.0, 0.0]
