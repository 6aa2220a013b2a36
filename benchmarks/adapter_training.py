"""One adapter on the embedded model, 16 rankings of four: emdpo against TRL's DPOTrainer."""

from __future__ import annotations

import logging
import tempfile
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import measure

N_TRAIN, N_TEST, BETA, RATE = 16, 12, 0.1, 1e-3
ROOT = Path(__file__).resolve().parent.parent


def panel():
    """Return one planted type's rankings of the demo: one on each of 16 prompts, and all on 12."""
    import pandas as pd

    import emdpo

    rankings = emdpo.load(ROOT / "assets" / "demo" / "rankings.csv")
    truth = pd.read_csv(ROOT / "assets" / "demo" / "truth.csv", dtype=str, index_col="user_id")
    planted = truth.loc[rankings.users.index].iloc[:, 0].to_numpy()
    mine = planted[rankings.user] == pd.Series(planted).mode()[0]
    first = np.zeros(rankings.n_rankings, bool)
    _, where = np.unique(rankings.prompt[mine], return_index=True)
    first[np.flatnonzero(mine)[where]] = True
    train = rankings.select(first & (rankings.prompt < N_TRAIN))
    test = rankings.select(mine & (rankings.prompt >= rankings.n_prompts - N_TEST))
    return rankings, train, test


def prepare(top: int | None = None) -> dict[str, Any]:
    """Load the model and tokenise, outside the clock."""
    from emdpo.adapters.base_model import load_base_model
    from emdpo.adapters.config import AdapterConfig
    from emdpo.adapters.lora import attach
    from emdpo.adapters.tokens import tokenise

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rankings, train, test = panel()
    base = load_base_model(device="cpu")
    folder = Path(tempfile.mkdtemp())
    config = AdapterConfig(learning_rate=RATE, prompts_per_step=4, top_layers=top)
    tokens = tokenise(rankings, base, folder / "tokens")
    adapted = attach(base, ["default"], config)
    return {
        "train": train,
        "test": test,
        "tokens": tokens,
        "adapted": adapted,
        "config": config,
        "folder": folder,
    }


def held_out(data: dict[str, Any]) -> str:
    """Return the held-out log-likelihood per ranking, not timed by those who train."""
    from emdpo.adapters.scoring import ResponseScorer
    from emdpo.core.plackett_luce import log_likelihoods

    test = data["test"]
    codes = np.unique(test.candidate).astype(np.int64)
    scorer = ResponseScorer(data["adapted"], data["tokens"], codes, folder=data["folder"])
    ratios = scorer.score_all("default") - scorer.score_all(None)
    value = log_likelihoods(test.stages, BETA * ratios[None, test.candidate]).mean()
    return f"held out {value:.3f}"


def ours(data: dict[str, Any], *, passes: int = 1, plain: bool = False, alone: bool = False):
    """Train on every ranking `passes` times; `plain` and `alone` leave savings out."""
    from emdpo.adapters import scoring
    from emdpo.adapters.loss import RankingObjective
    from emdpo.adapters.training import AdapterTrainer, Batches

    train, config = data["train"], data["config"]
    codes = np.unique(train.candidate).astype(np.int64)
    if plain:
        scoring.plain_reason = lambda *_: "asked for"
    scorer = scoring.ResponseScorer(
        data["adapted"],
        data["tokens"],
        codes,
        top=config.top_layers,
        budget=1 if alone else config.tokens_per_pass,
        folder=data["folder"],
    )
    trainer = AdapterTrainer(scorer, "default", scorer.score_all(None), config, BETA)
    if alone:
        scorer.budget = config.tokens_per_pass
    objective = RankingObjective(train, train.weight, BETA, per_step=config.prompts_per_step)
    prompts = np.unique(train.prompt).astype(np.int64)
    for number in range(passes):
        rng = np.random.default_rng(number)
        list(trainer.run(objective, Batches.shuffled(prompts, config.prompts_per_step, rng)))


def trl(data: dict[str, Any]) -> None:
    """Train on the six pairs of every ranking once, four pairs a step, in TRL."""
    import datasets
    from trl import DPOConfig, DPOTrainer

    class OnTokens(DPOTrainer):
        def _prepare_dataset(self, dataset, *_args, **_settings):
            return dataset

    train, tokens, adapted = data["train"], data["tokens"], data["adapted"]
    rows = []
    for start, end in zip(train.offsets[:-1], train.offsets[1:], strict=True):
        order = train.candidate[start:end][np.argsort(train.ranks[start:end])]
        prompt = tokens.prompt_ids(int(tokens.candidate_prompt[order[0]])).tolist()
        answers = [tokens.response_ids(int(a)).tolist() for a in order]
        rows += [
            {"prompt_ids": prompt, "chosen_ids": answers[i], "rejected_ids": answers[j]}
            for i in range(len(answers))
            for j in range(i + 1, len(answers))
        ]
    for parameter in adapted.parameters("default"):
        parameter.requires_grad_(True)
    tokenizer = adapted.base.tokenizer
    settings = DPOConfig(
        output_dir=str(data["folder"] / "trl"),
        beta=BETA,
        per_device_train_batch_size=4,
        num_train_epochs=1,
        learning_rate=RATE,
        lr_scheduler_type="constant",
        gradient_checkpointing=False,
        bf16=False,
        use_cpu=True,
        report_to=[],
        save_strategy="no",
        logging_strategy="no",
        disable_tqdm=True,
    )
    dataset = datasets.Dataset.from_list(rows)
    OnTokens(
        model=adapted.model, args=settings, train_dataset=dataset, processing_class=tokenizer
    ).train()


CASES = {
    "TRL DPOTrainer, six pairs a ranking, one pass": (None, trl),
    "emdpo, plain rows, all layers, one pass": (None, partial(ours, plain=True)),
    "emdpo, logits of responses only": (None, partial(ours, alone=True)),
    "emdpo, and prompts shared": (None, ours),
    "emdpo, and trunk cached below 15 layers": (15, ours),
    "emdpo, the same, three passes": (15, partial(ours, passes=3)),
}


def run() -> list[dict[str, object]]:
    """Return one row per side; TRL first."""
    rows: list[dict[str, object]] = []
    for what, (top, work) in CASES.items():
        cost = measure(partial(prepare, top), work, after=held_out)
        rows.append(
            {
                "case": __doc__.splitlines()[0].rstrip("."),
                "what": what,
                "seconds": cost.seconds,
                "peak_mb": cost.peak_mb,
                "result": cost.result,
                "ratio": rows[0]["seconds"] / cost.seconds if rows else 1.0,
            }
        )
    return rows
