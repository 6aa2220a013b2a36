"""Sampled regret against exact enumeration of all that a tiny model can say."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from datasets import Dataset, Features
from test_generation import Letters, strong
from transformers import LlamaConfig, LlamaForCausalLM

from emdpo.adapters.answers import base_speaker, type_speaker
from emdpo.adapters.base_model import BaseModel
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.drawn import draw_answers, with_answers
from emdpo.adapters.lora import attach
from emdpo.adapters.m_steps import Watching
from emdpo.adapters.sampled import draw_and_score, rules_asked, voices
from emdpo.adapters.tokens import PROMPT_COLUMNS, RESPONSE_COLUMNS, Tokens
from emdpo.core.sampled_regret import SamplingPlan, regret_of_draws

BETA, LENGTH, END = 0.5, 3, 4
NAMES = ("type-1", "type-2", "pooled")
PROMPTS = ([0, 1, 2], [0, 3], [1, 1, 2, 3])
WEIGHTS = {
    "type-1": np.array([1.0, 0.0]),
    "type-2": np.array([0.0, 1.0]),
    "pooled": None,
    "mixture": np.array([0.8, 0.2]),
    "consensus": np.array([0.3, 0.7]),
}
RULES = ("type-1", "type-2", "pooled", "mixture", "consensus", "base")


@pytest.fixture(scope="module")
def adapted():
    """A model of five tokens, of which one ends an answer, with three strong adapters."""
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1}
    ends = {"bos_token_id": 0, "eos_token_id": END}
    config = LlamaConfig(vocab_size=5, initializer_range=0.6, **sizes, **heads, **ends)
    with torch.random.fork_rng():
        torch.manual_seed(3)
        model = LlamaForCausalLM(config).requires_grad_(False).eval()
    base = BaseModel(model, Letters(), "letters", "0")
    return strong(attach(base, NAMES, AdapterConfig(rank=2, top_layers=None)), size=0.5)


@pytest.fixture(scope="module")
def tokens():
    lengths = np.array([len(ids) for ids in PROMPTS])
    rows = {"input_ids": list(PROMPTS), "truncated": [False] * len(PROMPTS)}
    none = Dataset.from_dict({name: [] for name in RESPONSE_COLUMNS}, Features(RESPONSE_COLUMNS))
    empty = np.empty(0, np.int64)
    prompts = Dataset.from_dict(rows, Features(PROMPT_COLUMNS))
    return Tokens(prompts, none, lengths, empty, empty, 0)


def next_tokens(adapted, prompt, prefix):
    """Return log pi(next | prefix) of base, type-1, type-2, pooled and consensus, (5, V)."""
    found = []
    for name in (None, *NAMES):
        with adapted.speaking(name), torch.inference_mode():
            logits = adapted.model(torch.tensor([[*prompt, *prefix]])).logits[0, -1]
        found.append(logits.double().log_softmax(dim=0).numpy())
    blend = WEIGHTS["consensus"] @ np.stack(found[1:3])
    return np.stack([*found, blend - np.logaddexp.reduce(blend)])


def all_answers(adapted, prompt):
    """Return log pi of every answer of at most LENGTH tokens under the five policies, (5, n)."""
    open_, done = {(): np.zeros(5)}, []
    for step in range(LENGTH):
        grown = {}
        for prefix, log_prob in open_.items():
            following = log_prob[:, None] + next_tokens(adapted, prompt, prefix)  # (5, V)
            for token in range(5):
                if token == END or step == LENGTH - 1:
                    done.append(following[:, token])
                else:
                    grown[*prefix, token] = following[:, token]
        open_ = grown
    return np.stack(done, axis=1)


@pytest.fixture(scope="module")
def exact(adapted):
    """Regrets by kind and rule, (K,), from all 4^3 x 5 + ... answers to each prompt."""
    total = {kind: {rule: np.zeros(2) for rule in RULES} for kind in ("plain", "kl")}
    for prompt in PROMPTS:
        base, one, two, pooled, blend = all_answers(adapted, prompt)
        types = np.stack([one, two])
        policies = {"type-1": one, "type-2": two, "pooled": pooled, "consensus": blend}
        policies |= {"base": base, "mixture": np.log(WEIGHTS["mixture"] @ np.exp(types))}
        for rule in RULES:
            chance = np.exp(policies[rule])
            assert chance.sum() == pytest.approx(1.0, abs=1e-6)
            scores = BETA * (types - base)
            own = (np.exp(types) * scores).sum(axis=1)
            total["plain"][rule] += (own - scores @ chance) / len(PROMPTS)
            total["kl"][rule] += BETA * ((policies[rule] - types) @ chance) / len(PROMPTS)
    return total


def estimate(adapted, tokens, folder, n_samples, seed, settings=None, should_stop=None):
    rules = rules_asked(WEIGHTS, adapted.names)
    draws = draw_and_score(
        adapted,
        tokens,
        np.arange(len(PROMPTS)),
        voices(WEIGHTS, adapted.names),
        SamplingPlan(n_samples, max_tokens=LENGTH, seed=seed),
        settings or AdapterConfig(top_layers=None),
        Watching(should_stop=should_stop or (lambda: False)),
        folder,
    )
    return None if draws is None else regret_of_draws(draws, rules, BETA, len(PROMPTS))


def z_scores(found, exact):
    """Return (estimate - exact) / error of all rules, types and kinds that are not exactly zero."""
    mean, error = found
    z = []
    for kind in exact:
        assert tuple(mean[kind]) == RULES
        for rule in RULES:
            for k in range(2):
                gap = mean[kind][rule][k] - exact[kind][rule][k]
                if rule == f"type-{k + 1}":
                    assert mean[kind][rule][k] == 0 == error[kind][rule][k]
                    assert exact[kind][rule][k] == pytest.approx(0.0, abs=1e-7)
                else:
                    z.append(gap / error[kind][rule][k])
    return np.array(z)


def test_estimates_are_within_four_standard_errors_of_all_answers(adapted, tokens, exact, tmp_path):
    z = z_scores(estimate(adapted, tokens, tmp_path, 150, seed=0), exact)
    assert len(z) == 20 and np.abs(z).max() < 4


def test_errors_have_the_right_size_over_seeds(adapted, tokens, exact, tmp_path):
    """16 seeds of 20 figures: their z-scores have a root mean square near one, none is wild."""
    z = np.stack(
        [z_scores(estimate(adapted, tokens, tmp_path, 25, seed), exact) for seed in range(16)]
    )
    assert 0.75 < np.sqrt((z**2).mean()) < 1.3
    assert np.abs(z.mean(axis=0)).max() < 4 / np.sqrt(16) and np.abs(z).max() < 5


def test_the_same_seed_gives_the_same_and_another_does_not(adapted, tokens, tmp_path):
    one, again, other = (
        estimate(adapted, tokens, tmp_path, 3, seed)[0]["kl"]["consensus"] for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()


def test_small_passes_change_nothing(adapted, tokens, tmp_path):
    wide = estimate(adapted, tokens, tmp_path, 3, 0)
    narrow = estimate(
        adapted, tokens, tmp_path, 3, 0, AdapterConfig(top_layers=None, tokens_per_pass=8)
    )
    for rule in RULES:
        np.testing.assert_allclose(wide[0]["kl"][rule], narrow[0]["kl"][rule], atol=1e-6)


@pytest.mark.parametrize("after", [0, 3, 14])
def test_a_stop_is_none(adapted, tokens, tmp_path, after):
    asked = iter(range(10**6))
    stopped = estimate(
        adapted, tokens, tmp_path, 2, 0, AdapterConfig(top_layers=None, tokens_per_pass=8),
        should_stop=lambda: next(asked) >= after,
    )  # fmt: skip
    assert stopped is None


def test_answers_are_drawn_in_order_and_in_runs(adapted, monkeypatch):
    """A run of 20 cells takes two answers of a prompt of 3 tokens with 3 to come."""
    prompts = [np.array(ids) for ids in PROMPTS]
    speakers = [base_speaker(), type_speaker(0)]

    def draw():
        rng = np.random.default_rng(0)
        return list(draw_answers(adapted, prompts, speakers, 2, LENGTH, rng))

    (whole,) = draw()
    monkeypatch.setattr("emdpo.adapters.drawn.CELLS", 14)
    runs = draw()
    assert len(runs) > 5 and [answer for run in runs for answer in run] == whole
    assert len(whole) == 12 and all(1 <= len(answer) <= LENGTH for answer in whole)
    assert all(END not in answer[:-1] for answer in whole)


def test_equal_answers_are_one_candidate(tokens):
    first, place = with_answers(tokens, np.array([0, 0, 1]), [(1, 4), (1, 4), (1, 4)])
    joined, more = with_answers(first, np.array([2]), [(3,)])
    assert place.tolist() == [0, 0, 1] and more.tolist() == [2]
    assert joined.response_ids(1).tolist() == [1, 4] and joined.response_ids(2).tolist() == [3]
    assert joined.candidate_prompt.tolist() == [0, 1, 2]
    assert joined.response_lengths.tolist() == [2, 2, 1]
    assert replace(joined).prompt_ids(2).tolist() == PROMPTS[2]


def test_rules_without_a_policy_that_writes_are_left_out():
    weights = {**WEIGHTS, "lottery": None}
    assert tuple(rules_asked(weights, NAMES)) == RULES
    assert tuple(rules_asked(weights, (*NAMES, "distilled")))[-2:] == ("distilled", "base")


def test_a_consensus_of_given_weights_draws_answers_of_its_own():
    """As a mixture its types' answers stand for it."""
    weights = {**WEIGHTS, "given": np.array([0.9, 0.1])}
    assert rules_asked(weights, NAMES)["given"] is not None
    both = ("consensus", "given")
    assert rules_asked(weights, NAMES, both)["given"] is None
    *_, consensus, given = voices(weights, NAMES, both)
    assert (consensus.name, given.name) == both and given.blend is consensus.blend
    assert given.weights == (0.9, 0.1) and consensus.weights == tuple(WEIGHTS["consensus"])
