"""Training one adapter: it learns, alone, and survives what goes wrong."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from text_panels import text_rankings

from emdpo.adapters.base_model import load_base_model
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.lora import attach
from emdpo.adapters.loss import RankingObjective
from emdpo.adapters.scoring import ResponseScorer
from emdpo.adapters.store import Store, restore_trainer, trainer_state
from emdpo.adapters.tokens import tokenise
from emdpo.adapters.training import AdapterTrainer, Batches, PassOutcome, is_out_of_memory
from emdpo.core.plackett_luce import log_likelihoods

CONFIG = AdapterConfig(rank=2, learning_rate=5e-3, prompts_per_step=2)


@pytest.fixture
def panel():
    return text_rankings()


@pytest.fixture
def trainer(tiny_models, panel, tmp_path):
    base = load_base_model(str(tiny_models["llama"]), device="cpu")
    tokens = tokenise(panel, base, tmp_path / "tokens")
    adapted = attach(base, ["type-1", "type-2"], CONFIG)
    codes = np.unique(panel.candidate).astype(np.int64)
    scorer = ResponseScorer(adapted, tokens, codes, folder=tmp_path)
    return AdapterTrainer(scorer, "type-1", scorer.score_all(None), CONFIG, beta=0.1)


def passes(panel, n=1, seed=0):
    rng = np.random.default_rng(seed)
    return [Batches.shuffled(np.unique(panel.prompt), 2, rng) for _ in range(n)]


def objective(panel, weights=None, per_step=1.0):
    return RankingObjective(panel, panel.weight if weights is None else weights, 0.1, per_step)


def train(trainer, panel, n=1, **settings):
    steps = []
    for batches in passes(panel, n):
        *told, outcome = trainer.run(
            objective(panel, per_step=panel.weight.sum() / 3), batches, **settings
        )
        steps += told
    return steps, outcome


def log_likelihood(trainer, panel):
    rows = trainer.scores()[None, panel.candidate]
    return log_likelihoods(panel.stages, rows).sum()


def test_an_untrained_adapter_is_the_reference(trainer, panel):
    """At zero steps every score is 0 and the mean loss of rankings of four is log 4!."""
    np.testing.assert_allclose(trainer.scores(), 0.0, atol=1e-9)
    steps, outcome = train(trainer, panel)
    assert outcome is PassOutcome.DONE
    share = [np.isin(panel.prompt, prompts).mean() for prompts in passes(panel)[0].prompts]
    assert np.isclose(steps[0].loss, np.log(24) * share[0] * len(share))


def test_training_raises_the_likelihood_and_changes_this_adapter_only(trainer, panel):
    adapted = trainer.scorer.adapted
    held = {k: v.clone() for k, v in adapted.model.state_dict().items()}
    before = log_likelihood(trainer, panel)
    train(trainer, panel, n=6)
    assert log_likelihood(trainer, panel) > before + 1
    changed = {k for k, v in adapted.model.state_dict().items() if not torch.equal(v, held[k])}
    assert changed
    assert all(".type-1." in key for key in changed)


def test_a_step_in_many_small_passes_is_the_same_step(trainer, panel):
    """The gradient of a loss whose candidates go through the model four packs at a time."""
    prompts = np.unique(panel.prompt)[:4]
    norms = []
    for budget in (4096, 30):
        trainer.scorer.budget = budget
        loss, _ = trainer._gradient(objective(panel), prompts)
        gradient = torch.cat([p.grad.flatten() for p in trainer._parameters])
        norms.append((loss, gradient))
        trainer.optimizer.zero_grad(set_to_none=True)
    (wide, g), (narrow, h) = norms
    assert np.isclose(wide, narrow, rtol=1e-6)
    assert float((g - h).norm() / g.norm()) < 1e-4


def test_a_prompt_too_long_for_one_pass_is_back_propagated_in_parts(trainer, panel):
    prompts = np.unique(panel.prompt)[:1]
    trainer.scorer.budget, trainer.scorer.trunk = 4096, None  # which has whole packs only
    loss, _ = trainer._gradient(objective(panel), prompts)
    whole = torch.cat([p.grad.flatten() for p in trainer._parameters])
    trainer.optimizer.zero_grad(set_to_none=True)
    singles = [
        type(pack)(pack.prompt, pack.candidates[i : i + 1], pack.n_tokens)
        for pack in trainer.scorer.packs_of(prompts.tolist())
        for i in range(len(pack.candidates))
    ]
    trainer.scorer._packs_of[int(prompts[0])] = singles
    trainer.scorer.budget = 1
    in_parts, _ = trainer._gradient(objective(panel), prompts)
    parts = torch.cat([p.grad.flatten() for p in trainer._parameters])
    assert np.isclose(loss, in_parts, rtol=1e-6)
    assert float((whole - parts).norm() / whole.norm()) < 1e-4


def test_out_of_memory_halves_the_pass_and_keeps_the_step(trainer, panel, monkeypatch):
    expected, _ = trainer._gradient(objective(panel), np.unique(panel.prompt))
    trainer.optimizer.zero_grad(set_to_none=True)
    real = trainer.scorer.log_probs

    def greedy(packs):
        if sum(pack.n_tokens for pack in packs) > 150:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return real(packs)

    monkeypatch.setattr(trainer.scorer, "log_probs", greedy)
    step = trainer._step(objective(panel), np.unique(panel.prompt), 1.0)
    assert np.isclose(step.loss, expected, rtol=1e-6)
    assert trainer.scorer.budget <= 150


def test_other_errors_are_not_taken_for_lack_of_memory(trainer, panel, monkeypatch):
    def broken(_packs):
        raise RuntimeError("shapes do not match")

    monkeypatch.setattr(trainer.scorer, "log_probs", broken)
    with pytest.raises(RuntimeError, match="shapes"):
        train(trainer, panel)
    assert is_out_of_memory(
        RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory")
    )


def test_steps_that_are_not_finite_are_skipped_then_the_pass_ends(trainer, panel):
    before = trainer.scorer.adapted.tensors("type-1")
    trainer._reference[:] = torch.nan
    steps, outcome = train(trainer, panel)
    assert outcome is PassOutcome.NON_FINITE
    assert len(steps) == 3 and all(np.isnan(step.loss) for step in steps)
    after = trainer.scorer.adapted.tensors("type-1")
    assert all(torch.equal(after[key], before[key]) for key in before)


def test_roll_back_halves_the_rate(trainer, panel):
    before = trainer.scorer.adapted.tensors("type-1")
    train(trainer, panel)
    trainer.roll_back(before)
    after = trainer.scorer.adapted.tensors("type-1")
    assert all(torch.equal(after[key], before[key]) for key in before)
    assert trainer.rate == CONFIG.learning_rate / 2


def test_stopping_is_asked_before_every_step(trainer, panel):
    asked = []
    steps, outcome = train(trainer, panel, should_stop=lambda: len(asked) == 1 or asked.append(1))
    assert outcome is PassOutcome.CANCELLED
    assert len(steps) == 1


def test_going_on_from_a_saved_step_gives_the_same_bytes(trainer, panel, tmp_path):
    (batches,) = passes(panel)
    whole = trainer.run(objective(panel), batches)
    next(whole)
    store = Store(tmp_path)
    store.write("adapter", *trainer_state(trainer))
    list(whole)
    expected = trainer.scorer.adapted.tensors("type-1")
    again = AdapterTrainer(
        trainer.scorer, "type-1", trainer._reference.numpy(), CONFIG, trainer.beta
    )
    restore_trainer(again, *store.read("adapter"))
    list(again.run(objective(panel), batches, first=1))
    got = again.scorer.adapted.tensors("type-1")
    assert all(torch.equal(got[key], expected[key]) for key in expected)


def test_weights_of_zero_leave_a_ranking_out(trainer, panel):
    """Half the users at weight 0 give the gradient of the other half alone."""
    first = panel.user < panel.n_users // 2
    prompts = np.unique(panel.prompt)
    gradients = []
    for part, weights in (
        (panel, panel.weight * first),
        (panel.select(first), panel.weight[first]),
    ):
        trainer._gradient(objective(part, weights), prompts)
        gradients.append(torch.cat([p.grad.flatten() for p in trainer._parameters]))
        trainer.optimizer.zero_grad(set_to_none=True)
    assert torch.allclose(*gradients, rtol=1e-4, atol=1e-6)
