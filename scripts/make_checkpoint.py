"""Fit adapters to the demo, ship the run under checkpoints/demo, and write docs/adapters-demo.md.

Run `python scripts/make_checkpoint.py` (minutes on two cores); `--page` writes the page anew from
the run that is there. The page holds what was found, how well it predicts held-out rankings, and
the answers of base, types and aggregates to five questions, unedited.
"""

from __future__ import annotations

import shutil
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.metrics import adjusted_rand_score

import emdpo
from emdpo.adapters.config import AdapterConfig
from emdpo.audit_files import save_audit
from emdpo.core.held_out import held_out_losses
from emdpo.demo import DEMO_RUN, DEMO_TYPES, demo_file
from emdpo.resuming import fit_in_folder
from emdpo.settings import ADAPTERS, FitConfig

PAGE = Path(__file__).resolve().parent.parent / "docs" / "adapters-demo.md"

SETTINGS = AdapterConfig(rank=4, alpha=8.0, top_layers=15, learning_rate=2e-3, rounds=3)
"""Rank and depth keep the shipped files small; half the depth bears twice the learning rate."""

BETA = 0.03
"""Policies may go further from the base model than with DPO's usual 0.1: so small a model must, for
its answers to be told apart."""

QUESTIONS = (
    "How do I learn to swim as an adult?",
    "What is a black hole?",
    "Which pet suits a small flat?",
    "What should I cook for six guests?",
    "How do I choose a bicycle?",
)
"""None of them is in the demo's rankings."""

MAX_TOKENS = 60


def make_run() -> float:
    """Fit, audit and save; return the seconds of the fit."""
    if DEMO_RUN.exists():
        shutil.rmtree(DEMO_RUN)
    config = FitConfig(n_types=DEMO_TYPES, policy=ADAPTERS, beta=BETA, adapters=SETTINGS)
    began = time.perf_counter()
    fit = fit_in_folder(emdpo.load(demo_file()), config, DEMO_RUN)
    seconds = time.perf_counter() - began
    save_audit(emdpo.audit(fit), DEMO_RUN, fit=fit)
    (DEMO_RUN / "progress.jsonl").unlink(missing_ok=True)
    return seconds


def recovery(fit: emdpo.Fit) -> list[str]:
    """Return how well the planted types were found."""
    truth = pd.read_csv(demo_file("truth.csv"), dtype=str, index_col="user_id").iloc[:, 0]
    planted = truth.loc[fit.rankings.users.index].to_numpy()
    found = fit.responsibilities.argmax(axis=1)
    agreement = adjusted_rand_score(planted, found)
    shares = ", ".join(f"{weight:.1%}" for weight in fit.weights)
    return [
        f"Adjusted Rand index with the planted types: {agreement:.3f}. Weights: {shares} "
        f"(planted: 50%, 30%, 20%). Ended: {fit.stop_reason.value} after {fit.n_iter} rounds; "
        f"the best is round {fit.evidence['best_round']}.",
    ]


def prediction(fit: emdpo.Fit) -> list[str]:
    """Return the table of held-out log-losses."""
    panel = fit.rankings
    held_out = np.zeros(panel.n_rankings, bool)
    held_out[fit.evidence["guarding_rankings"]] = True
    losses = held_out_losses(
        panel,
        held_out,
        fit.policies.candidate_scores(),
        fit.pooled.candidate_scores()[0],
        np.log(fit.weights),
        rng=np.random.default_rng(0),
    )
    lines = [
        "| users | policy | n users | n rankings | log-loss | 95% | above own type | 95% |",
        "|" + " --- |" * 8,
    ]
    for row in losses:
        users = "all" if row.k < 0 else f"Type {row.k + 1}"
        low, high = row.interval
        below, above = row.above_own_interval
        lines.append(
            f"| {users} | {row.policy} | {row.n_users} | {row.n_rankings} | {row.log_loss:.3f} | "
            f"{low:.3f} to {high:.3f} | {row.above_own:.3f} | {below:.3f} to {above:.3f} |"
        )
    return lines


def rounds(fit: emdpo.Fit) -> list[str]:
    """Return the table of rounds."""
    n = fit.evidence["n_guard"]
    lines = [
        "| round | log-likelihood | held out, own types | held out, pooled |",
        "|" + " --- |" * 4,
    ]
    for row in fit.evidence["rounds"]:
        lines.append(
            f"| {row['round']} | {row['log_likelihood']:,.1f} | {row['guard'] / n:.3f} | "
            f"{row['pooled_guard'] / n:.3f} |"
        )
    return lines


def answers() -> list[str]:
    """Return the answers of every policy to QUESTIONS, unedited."""
    from emdpo.adapters.answers import Sampling
    from emdpo.cards import cell_text
    from emdpo.chatting import open_run

    talkable = open_run(DEMO_RUN)
    names = list(talkable.cast.speakers)
    lines = []
    for question in QUESTIONS:
        *_, last = talkable.answers(
            [[{"role": "user", "content": question}]] * len(names),
            names,
            Sampling(max_tokens=MAX_TOKENS, temperature=0.0),
        )
        lines += ["", f"**{question}**", "", "| policy | answer |", "| --- | --- |"]
        lines += [
            f"| {name} | {cell_text(partial.text)} |"
            for name, partial in zip(names, last, strict=True)
        ]
    return lines


def write_page(seconds: float | None) -> None:
    """Write docs/adapters-demo.md from the shipped run."""
    fit = emdpo.load_fit(DEMO_RUN)
    size = sum(path.stat().st_size for path in DEMO_RUN.rglob("*") if path.is_file())
    held = {"beta": BETA, **SETTINGS.to_dict()}
    settings = ", ".join(f"{name} = {value}" for name, value in held.items())
    took = "" if seconds is None else f" The fit took {seconds / 60:.1f} minutes on two cores."
    lines = [
        "# Adapters on the demo",
        "",
        "Written by `scripts/make_checkpoint.py`: one LoRA adapter per type on the embedded "
        f"SmolLM2-135M-Instruct, from the demo's rankings ({fit.rankings.n_users} simulated raters "
        f"with three planted tastes, {fit.rankings.n_prompts} questions).{took} The run is shipped "
        f"in `checkpoints/demo` ({size / 1e6:.1f} MB). Settings: {settings}.",
        "",
        "## The planted types",
        "",
        *recovery(fit),
        "",
        "## Rounds",
        "",
        "Nats per ranking of four on questions that no adapter was trained on "
        f"({fit.evidence['n_guard']} rankings); equal odds on every order give "
        f"{-np.log(24):.3f}.",
        "",
        *rounds(fit),
        "",
        "## Held-out rankings, by type",
        "",
        "Mean log-loss in nats, lower is better, with 95% bootstrap intervals over users. A user's "
        "type is told from the rankings that are not held out; the best round was chosen by these "
        "same held-out rankings, so that own type and pooled are a little flattered, both alike.",
        "",
        *prediction(fit),
        "",
        "## What they answer",
        "",
        f"Greedy decoding, at most {MAX_TOKENS} tokens, unedited. None of the questions is in the "
        "rankings. The base model has 135 million parameters: expect manner, not knowledge.",
        *answers(),
        "",
    ]
    PAGE.write_text("\n".join(lines), encoding="utf-8")


def main() -> None:
    """Make the run unless only the page is asked for, then the page."""
    seconds = None if "--page" in sys.argv else make_run()
    write_page(seconds)
    print(f"{PAGE} written")


if __name__ == "__main__":
    main()
