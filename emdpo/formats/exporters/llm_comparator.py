"""Two types side by side in LLM Comparator's JSON (PAIR, pair-code.github.io/llm-comparator).

For every prompt, the answer that each type likes best among those people ranked.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.special import expit

from emdpo.core.errors import EmdpoError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings
    from emdpo.fitting import Fit

_LABELS = {1.0: "A is better", 0.0: "equal", -1.0: "B is better"}


def comparison(fit: Fit, types: tuple[int, int]) -> dict[str, Any]:
    """Return the JSON of two types, numbered from 1.

    `score` is 2 p - 1, p = sum_k w_k sigmoid(s_k(A) - s_k(B)) the share of people who prefer A to B
    under the fit: above 0, A is better. `individual_rater_scores` are the people who ranked both:
    1, 0 or -1.

    Raises
    ------
    EmdpoError
        There are no two such types.
    """
    a, b = types
    if not (1 <= a <= fit.n_types and 1 <= b <= fit.n_types and a != b):
        raise EmdpoError(f"expected two of the types 1 to {fit.n_types}, got {a} and {b}")
    scores = fit.policies.candidate_scores()  # (K, A)
    examples = [_example(fit, scores, prompt, (a, b)) for prompt in _prompts(fit.rankings)]
    fields = [{"name": f"type {k + 1}: share for A", "type": "number"} for k in range(fit.n_types)]
    return {
        "metadata": {
            "source_path": f"emdpo: types {a} and {b} of {fit.n_types}",
            "custom_fields_schema": fields,
        },
        "models": [{"name": f"Type {number}"} for number in types],
        "examples": examples,
    }


def _prompts(rankings: Rankings) -> list[int]:
    return sorted(set(rankings.prompt.tolist()))


def _example(
    fit: Fit, scores: NDArray[np.float64], prompt: int, types: tuple[int, int]
) -> dict[str, Any]:
    answers = np.flatnonzero(fit.rankings.candidate_prompt == prompt)
    a, b = (int(answers[scores[k - 1, answers].argmax()]) for k in types)
    shares = expit(scores[:, a] - scores[:, b])  # (K,)
    texts = fit.rankings.candidates["response"]
    return {
        "input_text": fit.rankings.prompts["prompt"].iloc[prompt],
        "tags": ["the same answer" if a == b else "different answers"],
        "output_text_a": texts.iloc[a],
        "output_text_b": texts.iloc[b],
        "score": float(2 * fit.weights @ shares - 1),
        "individual_rater_scores": [] if a == b else _raters(fit, prompt, a, b),
        "custom_fields": {f"type {k + 1}: share for A": float(p) for k, p in enumerate(shares)},
    }


def _raters(fit: Fit, prompt: int, a: int, b: int) -> list[dict[str, Any]]:
    """Return what the people who ranked both answers said of them."""
    rankings, found = fit.rankings, []
    for ranking in np.flatnonzero(rankings.prompt == prompt):
        rows = slice(rankings.offsets[ranking], rankings.offsets[ranking + 1])
        place = dict(zip(rankings.candidate[rows].tolist(), rankings.ranks[rows], strict=True))
        if a not in place or b not in place:
            continue
        score = float(np.sign(_order(place[b]) - _order(place[a])))
        shares = fit.responsibilities[rankings.user[ranking]]
        likeliest = int(shares.argmax())
        found.append(
            {
                "score": score,
                "rating_label": _LABELS[score],
                "is_flipped": False,
                "rationale": f"A person of type {likeliest + 1} (probability "
                f"{shares[likeliest]:.2f}) ranked both.",
            }
        )
    return found


def _order(rank: int) -> int:
    """Return a rank where 0, not ranked, comes last."""
    return int(rank) or np.iinfo(np.int32).max
