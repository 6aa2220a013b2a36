"""The consensus, teacher-forced, against the rule by which it is drawn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from test_scoring import ARCHITECTURES, scorer_of
from text_panels import stir

from emdpo.adapters.consensus import score_consensus
from emdpo.adapters.generation import consensus_step

WEIGHTS = {"type-1": 0.3, "type-2": 0.7}


@pytest.fixture(params=ARCHITECTURES)
def scorer(tiny_models, tmp_path, request):
    found, _ = scorer_of(tiny_models, tmp_path, request.param, top=2)
    stir(found.adapted, "type-2", seed=1)
    return found


def by_the_rule(scorer, candidate):
    """Return log pi(y|x) of one answer, token by token with the step that chats draw from."""
    prompt = scorer.tokens.prompt_ids(int(scorer.tokens.candidate_prompt[candidate]))
    answer = scorer.tokens.response_ids(candidate)
    ids = torch.tensor(np.concatenate([prompt, answer]))[None]
    logits = []
    for name in WEIGHTS:
        with scorer.adapted.speaking(name), torch.inference_mode():
            logits.append(scorer.adapted.base.model(ids).logits[0, len(prompt) - 1 : -1].double())
    log_policies = torch.stack(logits).log_softmax(dim=2)  # (K, T, V)
    weights = torch.tensor(list(WEIGHTS.values()), dtype=torch.float64)
    steps = [consensus_step(log_policies[:, t], weights)[said] for t, said in enumerate(answer)]
    return float(torch.stack(steps).sum())


def test_it_is_the_rule_that_chats_draw_from(scorer):
    found = score_consensus(scorer, WEIGHTS)
    for candidate in (0, 5, 11):
        assert found[candidate] == pytest.approx(by_the_rule(scorer, candidate), rel=1e-5)


def test_the_plain_path_says_the_same(scorer):
    fast = score_consensus(scorer, WEIGHTS)
    scorer.plain_reason = "asked for"
    plain = score_consensus(scorer, WEIGHTS)
    np.testing.assert_allclose(fast, plain, rtol=1e-4)


def test_one_voice_is_that_voice(tiny_models, tmp_path):
    scorer, _ = scorer_of(tiny_models, tmp_path, "llama")
    alone = score_consensus(scorer, {"type-1": 1.0, "type-2": 0.0})
    np.testing.assert_allclose(alone, scorer.score_all("type-1"), rtol=1e-5)


def test_what_is_not_wanted_is_passed_over_and_a_stop_is_none(tiny_models, tmp_path):
    scorer, codes = scorer_of(tiny_models, tmp_path, "llama", budget=30)
    wanted = np.zeros(len(scorer.tokens.candidate_prompt), bool)
    wanted[codes[0]] = True
    found = score_consensus(scorer, WEIGHTS, wanted)
    assert found[codes[0]] < 0 and (found == 0).any()
    assert score_consensus(scorer, WEIGHTS, should_stop=lambda: True) is None
