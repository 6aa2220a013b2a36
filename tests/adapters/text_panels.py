"""Rankings with texts of many lengths, for tests of what goes through a model."""

from __future__ import annotations

import numpy as np
import pandas as pd
import torch

from emdpo.core.readers import load

WORDS = ("short", "long", "kind", "plain", "answer", "question", "day", "paris", "better", "thing")


def text_rankings(n_users=8, n_prompts=6, n_candidates=4, answers=3, seed=0, shared=True):
    """Return rankings of random texts by two planted kinds of users: long or short answers first.

    With `shared` all users rank the same prompts; otherwise everyone has prompts of their own.
    """
    rng = np.random.default_rng(seed)
    rows = []
    for user in range(n_users):
        for answer in range(answers):
            prompt = (user + answer) % n_prompts if shared else user * answers + answer
            texts = np.random.default_rng([seed, prompt])
            lengths = texts.permutation(np.arange(1, n_candidates + 1) * 2)
            question = f"Question {prompt}? " + " ".join(texts.choice(WORDS, 3))
            wish = lengths if user % 2 else -lengths
            order = np.argsort(-(wish + rng.gumbel(size=n_candidates)))
            for place, candidate in enumerate(order):
                rows.append(
                    {
                        "user_id": f"u{user}",
                        "prompt_id": f"p{prompt}",
                        "prompt": question,
                        "response_id": f"p{prompt}-{candidate}",
                        "response": " ".join(
                            np.random.default_rng([seed, prompt, candidate]).choice(
                                WORDS, lengths[candidate]
                            )
                        ),
                        "rank": place + 1,
                        "ranking_id": f"{user}-{answer}",
                    }
                )
    return load(pd.DataFrame(rows))


def stir(adapted, name, seed=0):
    """Give an adapter random tensors, so that it differs from the reference."""
    generator = torch.Generator().manual_seed(seed)
    state = adapted.tensors(name)
    for tensor in state.values():
        tensor.normal_(std=0.2, generator=generator)
    adapted.load_tensors(name, state)
