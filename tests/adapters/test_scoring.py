"""Fast log-probabilities equal the plain ones, for every architecture, with their gradients."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from text_panels import stir, text_rankings

from emdpo.adapters.base_model import load_base_model
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.lora import attach
from emdpo.adapters.packing import make_packs
from emdpo.adapters.scoring import ResponseScorer, TokenLogProbs, plain_log_probs
from emdpo.adapters.tokens import tokenise

ARCHITECTURES = ("llama", "qwen2", "gpt2", "gemma2")
WINDOW = 128
"""The tiny gemma2 looks back 16 tokens; with these it looks back over the whole text."""


def scorer_of(tiny_models, tmp_path, name, top=None, budget=4096, window=WINDOW):
    panel = text_rankings()
    base = load_base_model(str(tiny_models[name]), device="cpu")
    if getattr(base.model.config, "sliding_window", None) is not None:
        base.model.config.sliding_window = window
        for layer in base.model.get_decoder().layers:
            if getattr(layer.self_attn, "sliding_window", None) is not None:
                layer.self_attn.sliding_window = window
    tokens = tokenise(panel, base, tmp_path / "tokens")
    adapted = attach(base, ["type-1", "type-2"], AdapterConfig(rank=2, top_layers=top))
    stir(adapted, "type-1")
    codes = np.unique(panel.candidate).astype(np.int64)
    return ResponseScorer(adapted, tokens, codes, budget=budget, folder=tmp_path), codes


def plainly(scorer, codes, name):
    """Return log-probabilities one row at a time, (A,)."""
    packs = make_packs(scorer.tokens, codes, 1)
    with scorer.adapted.speaking(name), torch.inference_mode():
        order, values = plain_log_probs(scorer.adapted.base, scorer.tokens, packs)
    result = np.zeros(len(scorer.tokens.candidate_prompt))
    result[order] = values.numpy()
    return result


@pytest.mark.parametrize("top", [None, 1, 3])
@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_saving_is_exact(tiny_models, tmp_path, name, top):
    scorer, codes = scorer_of(tiny_models, tmp_path, name, top)
    assert scorer.plain_reason is None
    assert (scorer.trunk is None) == (top is None)
    for adapter in ("type-1", None):
        fast = scorer.score_all(adapter)
        np.testing.assert_allclose(fast, plainly(scorer, codes, adapter), rtol=1e-5)


def test_where_adapters_sit_is_asked_of_the_model(tiny_models, tmp_path):
    """A run whose settings speak of another depth than its adapters have is scored right."""
    base = load_base_model(str(tiny_models["llama"]), device="cpu")
    assert attach(base, ["type-1"], AdapterConfig(top_layers=0.5)).depth == base.n_layers // 2
    scorer, _ = scorer_of(tiny_models, tmp_path, "llama", top=3)
    assert scorer.adapted.depth == scorer.trunk.top == 3


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_gradients_are_those_of_the_plain_path(tiny_models, tmp_path, name):
    scorer, _ = scorer_of(tiny_models, tmp_path, name, top=2)
    packs, base = scorer.packs[:3], scorer.adapted.base
    gradients = []
    for path in (scorer.log_probs, lambda p: plain_log_probs(base, scorer.tokens, p)):
        with scorer.adapted.speaking("type-1", training=True):
            values = path(packs)[1]
            values.backward(torch.linspace(-1, 1, len(values), dtype=torch.float64))
        parameters = scorer.adapted.parameters("type-1")
        gradients.append(torch.cat([p.grad.flatten() for p in parameters]))
        for parameter in parameters:
            parameter.grad = None
    fast, plain = gradients
    assert float((fast - plain).norm() / plain.norm()) < 1e-4


def test_small_passes_give_the_same(tiny_models, tmp_path):
    wide, _ = scorer_of(tiny_models, tmp_path / "wide", "llama", top=2)
    narrow, _ = scorer_of(tiny_models, tmp_path / "narrow", "llama", top=2, budget=8)
    assert len(narrow.packs) > len(wide.packs)
    np.testing.assert_allclose(narrow.score_all("type-1"), wide.score_all("type-1"), rtol=1e-5)


def test_texts_beyond_a_sliding_window_take_the_plain_path(tiny_models, tmp_path):
    scorer, codes = scorer_of(tiny_models, tmp_path, "gemma2", top=2, window=16)
    assert "sliding window of 16" in scorer.plain_reason
    fast = scorer.score_all("type-1")
    np.testing.assert_allclose(fast, plainly(scorer, codes, "type-1"), rtol=1e-6)


def test_only_what_is_wanted_is_scored(tiny_models, tmp_path):
    scorer, codes = scorer_of(tiny_models, tmp_path, "llama")
    wanted = np.zeros(len(codes), bool)
    wanted[0] = True
    others = np.full(len(codes), 7.0)
    scored = scorer.score_all("type-1", wanted, others=others) != 7.0
    same_prompt = scorer.tokens.candidate_prompt == scorer.tokens.candidate_prompt[0]
    assert (scored == same_prompt).all()
    assert scorer.score_all("type-1", should_stop=lambda: True) is None


def test_base_weights_and_the_other_adapter_never_change(tiny_models, tmp_path):
    scorer, _ = scorer_of(tiny_models, tmp_path, "llama")
    held = {k: v.clone() for k, v in scorer.adapted.model.state_dict().items()}
    scorer.score_all("type-1")
    scorer.score_all(None)
    assert all(torch.equal(v, held[k]) for k, v in scorer.adapted.model.state_dict().items())


@pytest.mark.parametrize("softcap", [None, 3.0])
def test_token_log_probs_against_autograd(softcap):
    rng = torch.Generator().manual_seed(0)
    hidden = torch.randn(5, 6, generator=rng, requires_grad=True)
    weight, bias = torch.randn(9, 6, generator=rng), torch.randn(9, generator=rng)
    target = torch.tensor([0, 3, 8, 8, 2])
    logits = hidden @ weight.T + bias
    if softcap is not None:
        logits = softcap * torch.tanh(logits / softcap)
    expected = logits.log_softmax(dim=1)[torch.arange(5), target]
    ours = TokenLogProbs.apply(hidden, weight, bias, target, softcap)
    assert torch.allclose(ours, expected, atol=1e-6)
    upstream = torch.linspace(-1, 2, 5)
    (a,) = torch.autograd.grad(ours, hidden, upstream)
    (b,) = torch.autograd.grad(expected, hidden, upstream)
    assert torch.allclose(a, b, atol=1e-5)
