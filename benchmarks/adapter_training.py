"""One adapter on the embedded model, rankings of four: emdpo against TRL's DPOTrainer."""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.measuring import measure

N_TRAIN, N_TEST, BETA, RATE = 16, 12, 0.1, 1e-3
ROOT = Path(__file__).resolve().parent.parent


def panel(alone: bool):
    """Return the demo, what one planted type ranked on 16 prompts, and on 12 to judge by.

    With `alone` one ranking a prompt is kept, as where everybody has prompts of their own.
    """
    import pandas as pd

    import emdpo

    rankings = emdpo.load(ROOT / "assets" / "demo" / "rankings.csv")
    truth = pd.read_csv(ROOT / "assets" / "demo" / "truth.csv", dtype=str, index_col="user_id")
    planted = truth.loc[rankings.users.index].iloc[:, 0].to_numpy()
    mine = planted[rankings.user] == pd.Series(planted).mode()[0]
    learnt = mine & (rankings.prompt < N_TRAIN)
    if alone:
        _, first = np.unique(rankings.prompt[learnt], return_index=True)
        learnt = np.isin(np.arange(rankings.n_rankings), np.flatnonzero(learnt)[first])
    train = rankings.select(learnt)
    test = rankings.select(mine & (rankings.prompt >= rankings.n_prompts - N_TEST))
    return rankings, train, test


def prepare(alone: bool, top: int | None) -> dict[str, Any]:
    """Load the model and tokenise, outside the clock."""
    from emdpo.adapters.base_model import load_base_model
    from emdpo.adapters.config import AdapterConfig
    from emdpo.adapters.lora import attach
    from emdpo.adapters.tokens import tokenise

    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    rankings, train, test = panel(alone)
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


def trl(data: dict[str, Any], *, sample: float = 1.0) -> None:
    """Train on the six pairs of every ranking once, or a sample, four pairs a step, in TRL."""
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
    chosen = np.random.default_rng(0).permutation(len(rows))[: round(sample * len(rows))]
    rows = [rows[i] for i in chosen]
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


SAMPLE = 1 / 12
"""Of the pairs of all rankings, that TRL trains on: the whole would take an hour."""


@dataclass(frozen=True)
class Side:
    """One way to train."""

    what: str
    work: Callable[[dict[str, Any]], None]
    top: int | None = None
    share: float = 1.0
    """Of the pass that is timed; the seconds told are for all of it."""


OWN = (
    Side("TRL DPOTrainer, six pairs a ranking, one pass", trl),
    Side("emdpo, plain rows, all layers, one pass", partial(ours, plain=True)),
    Side("emdpo, logits of responses only", partial(ours, alone=True)),
    Side("emdpo, and prompts shared", ours),
    Side("emdpo, and trunk cached below 15 layers", ours, top=15),
    Side("emdpo, the same, three passes", partial(ours, passes=3), top=15),
)
SHARED = (
    Side(
        f"TRL DPOTrainer, one pass (seconds: {1 / SAMPLE:.0f} times a {SAMPLE:.0%} sample's)",
        partial(trl, sample=SAMPLE),
        share=SAMPLE,
    ),
    Side("emdpo, all layers, one pass", ours),
    Side("emdpo, top 15 layers, one pass", ours, top=15),
    Side("emdpo, top 15 layers, three passes", partial(ours, passes=3), top=15),
)
SCENARIOS = {
    "One ranking on each of 16 prompts": (True, OWN),
    "About a dozen rankings on each of 16 prompts": (False, SHARED),
}


def run() -> list[dict[str, object]]:
    """Return one row per side; in each scenario TRL first."""
    rows: list[dict[str, object]] = []
    for case, (alone, sides) in SCENARIOS.items():
        seconds_first = None
        for side in sides:
            cost = measure(partial(prepare, alone, side.top), side.work, after=held_out)
            seconds = cost.seconds / side.share
            seconds_first = seconds_first or seconds
            rows.append(
                {
                    "case": case,
                    "what": side.what,
                    "seconds": seconds,
                    "peak_mb": cost.peak_mb,
                    "result": cost.result,
                    "ratio": seconds_first / seconds,
                }
            )
    return rows
