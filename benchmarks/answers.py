"""Answers of 60 tokens by base, three types, mixture and consensus: one pass, or one by one."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from benchmarks.measuring import measure

RUN = Path(__file__).resolve().parent.parent / "checkpoints" / "demo"
QUESTION, N_TOKENS = "How do I learn to swim as an adult?", 60
POLICIES = ("base", "type-1", "type-2", "type-3", "mixture", "consensus")


def prepare() -> Any:
    """Load the shipped run, outside the clock, and let it say a first word."""
    import warnings

    from emdpo.chatting import open_run

    warnings.simplefilter("ignore")
    run = open_run(RUN)
    _answer(run, POLICIES, 1)
    return run


def _answer(run: Any, names: tuple[str, ...], n_tokens: int = N_TOKENS) -> tuple[float, int]:
    """Return seconds to the first token, and tokens in all."""
    from emdpo.adapters.answers import Sampling

    began, first, said = time.perf_counter(), 0.0, 0
    histories = [[{"role": "user", "content": QUESTION}]] * len(names)
    for partials in run.answers(histories, names, Sampling(max_tokens=n_tokens)):
        first = first or time.perf_counter() - began
        said = sum(partial.n_tokens for partial in partials)
    return first, said


def _told(first: float, said: int) -> str:
    return f"first token after {first:.2f} s, {said} tokens"


def together(run: Any) -> str:
    """Let all policies answer in one batched pass a token."""
    return _told(*_answer(run, POLICIES))


def one_by_one(run: Any) -> str:
    """Let the policies answer one after another."""
    answers = [_answer(run, (name,)) for name in POLICIES]
    return _told(answers[0][0], sum(said for _, said in answers))


def run() -> list[dict[str, object]]:
    """Return the rows of the table."""
    sides = (("one after another", one_by_one), ("in one batched pass", together))
    measured = [(what, measure(prepare, work)) for what, work in sides]
    slowest = measured[0][1].seconds
    return [
        {
            "case": f"six policies, {N_TOKENS} tokens each, embedded model",
            "what": what,
            "seconds": cost.seconds,
            "peak_mb": cost.peak_mb,
            "result": cost.result,
            "ratio": cost.seconds / slowest,
        }
        for what, cost in measured
    ]
