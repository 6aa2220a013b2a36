"""The ranking loss against DPO as published, and against core."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from emdpo.adapters.loss import ranking_loss
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.readers import load


def rankings_of(ranks):
    """Return one ranking per list of ranks, each on a prompt of its own."""
    rows = [
        {
            "user_id": f"u{number}",
            "prompt": f"q{number}",
            "response": f"a{number}-{place}",
            "rank": rank,
        }
        for number, ranking in enumerate(ranks)
        for place, rank in enumerate(ranking)
    ]
    return load(pd.DataFrame(rows))


def test_two_candidates_give_dpo():
    """Rafailov et al. 2023, equation 7: -log sigmoid(beta (log-ratio chosen - rejected))."""
    part = rankings_of([[1, 2], [2, 1]])
    ratios = torch.tensor([0.5, -1.0, 2.0, 3.0], dtype=torch.float64, requires_grad=True)
    weights, beta = np.array([1.0, 0.25]), 0.3
    loss = ranking_loss(ratios, part, weights, beta)
    margins = torch.stack([ratios[0] - ratios[1], ratios[3] - ratios[2]])
    expected = -(torch.nn.functional.logsigmoid(beta * margins) * torch.tensor(weights)).sum()
    assert torch.allclose(loss, expected)
    (ours,) = torch.autograd.grad(loss, ratios)
    (theirs,) = torch.autograd.grad(expected, ratios)
    assert torch.allclose(ours, theirs)


def test_the_first_loss_of_a_pair_is_log_2():
    loss = ranking_loss(torch.zeros(2), rankings_of([[1, 2]]), np.ones(1), 0.1)
    assert abs(float(loss) - np.log(2)) < 1e-7


def test_ties_and_unranked_candidates_are_those_of_core():
    part = rankings_of([[1, 1, 2, None], [3, 1, 2], [2, 2, 1]])
    scores = np.random.default_rng(0).normal(size=part.n_candidates)
    weights = np.array([1.0, 2.0, 0.5])
    loss = ranking_loss(torch.from_numpy(scores), part, weights, 0.7)
    log_lik = log_likelihoods(part.stages, 0.7 * scores[None, part.candidate])[0]
    assert np.isclose(float(loss), -(log_lik @ weights))


def test_the_gradient_is_the_numerical_one():
    part = rankings_of([[1, 1, 2, None], [3, 1, 2], [2, 2, 1]])
    weights = np.array([1.0, 2.0, 0.5])
    ratios = torch.from_numpy(np.random.default_rng(1).normal(size=part.n_candidates))
    assert torch.autograd.gradcheck(
        lambda x: ranking_loss(x, part, weights, 0.7), ratios.requires_grad_(True)
    )
