"""Methods with adapters beside their log-linear forms: a section of docs/comparison.md.

`python scripts/adapter_comparison.py` takes minutes; it needs the embedded base model.
"""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
from make_demo import DEMO, SEED, read_questions, write_rankings

import emdpo
from emdpo.adapters.config import AdapterConfig
from emdpo.core.rankings import Rankings
from emdpo.head_to_head.telling import fact_table, markdown, wide_table
from emdpo.settings import EMBEDDED

N_QUESTIONS = 20
"""The demo's raters rank six of these, so that each is ranked by many."""

METHODS = ("dpo", "cluster_dpo", "em_dpo", "mixdpo")

ADAPTERS = AdapterConfig(top_layers=4, rounds=1, epochs=1, prompts_per_step=1)


def simulated_raters() -> Rankings:
    """Return the rankings of 240 raters, simulated as the demo's, on the first questions."""
    with tempfile.TemporaryDirectory() as folder:
        questions = read_questions(DEMO / "questions.jsonl")[:N_QUESTIONS]
        write_rankings(Path(folder), questions, np.random.default_rng(SEED))
        return emdpo.load(Path(folder) / "rankings.csv")


def main() -> None:
    """Print both tables."""
    methods = ["reference", *METHODS, *(f"adapter_{name}" for name in METHODS)]
    found = emdpo.compare(simulated_raters(), methods, base_model=EMBEDDED, adapters=ADAPTERS)
    print(markdown(wide_table(found, "log_loss", intervals=True)), end="\n\n")
    print(markdown(fact_table(found)))


if __name__ == "__main__":
    main()
