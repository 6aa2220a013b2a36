"""K = 1 on pairs is plain DPO: the same losses as TRL's DPOTrainer, step by step."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd
import pytest
import torch
from text_panels import WORDS

from emdpo.adapters import training
from emdpo.adapters.base_model import load_base_model
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.lora import attach
from emdpo.adapters.loss import RankingObjective
from emdpo.adapters.scoring import ResponseScorer
from emdpo.adapters.tokens import tokenise
from emdpo.adapters.training import AdapterTrainer, Batches
from emdpo.core.readers import load

datasets = pytest.importorskip("datasets")
trl = pytest.importorskip("trl")

N_STEPS, PAIRS_A_STEP, BETA = 50, 4, 0.1
CONFIG = AdapterConfig(rank=4, top_layers=None, learning_rate=1e-3, prompts_per_step=PAIRS_A_STEP)


@pytest.fixture(scope="module")
def pairs():
    """Return a ranking of two answers on each of 200 prompts, the longer one first."""
    rng = np.random.default_rng(0)
    rows = []
    for prompt in range(N_STEPS * PAIRS_A_STEP):
        for rank, length in ((1, 6), (2, 3)):
            rows.append(
                {
                    "user_id": "u",
                    "prompt_id": f"{prompt:03d}",
                    "prompt": f"Question {prompt}?",
                    "response": " ".join(rng.choice(WORDS, length)),
                    "rank": rank,
                }
            )
    return load(pd.DataFrame(rows))


def adapted_on(folder):
    return attach(load_base_model(str(folder), device="cpu"), ["default"], CONFIG, seed=3)


def our_losses(pairs, adapted, tokens, tmp_path):
    codes = np.unique(pairs.candidate).astype(np.int64)
    scorer = ResponseScorer(adapted, tokens, codes, folder=tmp_path)
    trainer = AdapterTrainer(scorer, "default", scorer.score_all(None), CONFIG, BETA)
    objective = RankingObjective(pairs, pairs.weight, BETA, per_step=PAIRS_A_STEP)
    order = np.arange(pairs.n_prompts).reshape(N_STEPS, PAIRS_A_STEP)
    *steps, _ = trainer.run(objective, Batches(tuple(order)))
    return [step.loss for step in steps]


class _Recorder(trl.DPOTrainer):
    """TRL's trainer on tokens that are there already, in the order given; keeps every loss."""

    def _prepare_dataset(self, dataset, *_args, **_settings):
        return dataset

    def _get_train_sampler(self, *_args, **_settings):
        return torch.utils.data.SequentialSampler(self.train_dataset)

    def compute_loss(self, *args, **settings):
        result = super().compute_loss(*args, **settings)
        self.losses.append(float((result[0] if isinstance(result, tuple) else result).detach()))
        return result


def their_losses(pairs, adapted, tokens, tmp_path):
    """Train in TRL as ours: AdamW at a constant rate, gradients cut at norm 1, no decay."""
    best = pairs.candidate[pairs.offsets[:-1]]
    worst = pairs.candidate[pairs.offsets[:-1] + 1]
    assert (pairs.ranks[pairs.offsets[:-1]] == 1).all()
    order = np.argsort(pairs.prompt)
    rows = datasets.Dataset.from_list(
        [
            {
                "prompt_ids": tokens.prompt_ids(pairs.prompt[r]).tolist(),
                "chosen_ids": tokens.response_ids(best[r]).tolist(),
                "rejected_ids": tokens.response_ids(worst[r]).tolist(),
            }
            for r in order
        ]
    )
    tokenizer = adapted.base.tokenizer
    tokenizer.pad_token = tokenizer.eos_token
    settings = trl.DPOConfig(
        output_dir=str(tmp_path / "trl"),
        beta=BETA,
        per_device_train_batch_size=PAIRS_A_STEP,
        num_train_epochs=1,
        learning_rate=CONFIG.learning_rate,
        lr_scheduler_type="constant",
        adam_beta1=0.9,
        adam_beta2=0.99,
        weight_decay=0.0,
        max_grad_norm=training.MAX_NORM,
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    for parameter in adapted.parameters("default"):
        parameter.requires_grad_(True)
    trainer = _Recorder(
        model=adapted.model, args=settings, train_dataset=rows, processing_class=tokenizer
    )
    trainer.losses = []
    trainer.train()
    return trainer.losses


@pytest.mark.filterwarnings("ignore")  # TRL's and transformers' own
def test_fifty_steps_have_the_losses_of_trl(tiny_models, pairs, tmp_path, monkeypatch):
    logging.disable(logging.WARNING)
    monkeypatch.setattr(training, "WARM_UP", 1)
    ours_on, theirs_on = adapted_on(tiny_models["llama"]), adapted_on(tiny_models["llama"])
    tokens = tokenise(pairs, ours_on.base, tmp_path / "tokens")
    ours = our_losses(pairs, ours_on, tokens, tmp_path)
    theirs = their_losses(pairs, theirs_on, tokens, tmp_path)
    logging.disable(logging.NOTSET)
    assert len(ours) == len(theirs) == N_STEPS
    assert abs(ours[0] - np.log(2)) < 1e-6
    np.testing.assert_allclose(ours, theirs, atol=1e-4)
    assert ours[-1] < ours[0] - 0.05
    assert abs(ours[0] - theirs[0]) < 1e-6
