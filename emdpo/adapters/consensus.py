"""The consensus as it is decoded, teacher-forced: log-probabilities of given answers.

Token by token, log softmax( sum_k a_k log p_k(. | prefix) ) at the token that the answer has, added
up over the answer. Each p_k is normalised over the vocabulary, so the constants log sum_v p_k
cancel and a blend of logits is enough. Drawing from the same rule is `generation`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import torch

from emdpo.adapters.packing import in_batches
from emdpo.adapters.scoring import CHUNK, sum_tokens
from emdpo.core.em import StopTest, never

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.base_model import BaseModel
    from emdpo.adapters.packing import Pack
    from emdpo.adapters.scoring import ResponseScorer


def score_consensus(
    scorer: ResponseScorer,
    weights: Mapping[str, float],
    wanted: NDArray[np.bool_] | None = None,
    should_stop: StopTest = never,
) -> NDArray[np.float64] | None:
    """Return log pi(y|x) of candidates under the token-wise consensus, (A,); None if told to stop.

    Parameters
    ----------
    scorer
        Of the candidates; its model carries the adapters.
    weights
        Exponents a_k by adapter, >= 0, summing to one.
    wanted : (A,), optional
        Packs without such a candidate are passed over; theirs stay 0.
    should_stop
        Asked before every pass.
    """
    heard = {name: weight for name, weight in weights.items() if weight > 0}
    log_prob = np.zeros(len(scorer.tokens.candidate_prompt))
    packs_wanted = [
        pack for pack in scorer.packs if wanted is None or wanted[pack.candidates].any()
    ]
    score = _packed if scorer.plain_reason is None else _plain
    with torch.inference_mode():
        for packs in in_batches(packs_wanted, scorer.budget):
            if should_stop():
                return None
            for candidates, values in score(scorer, heard, packs):
                log_prob[candidates] = values.cpu().numpy()
    return log_prob


def _packed(
    scorer: ResponseScorer, weights: Mapping[str, float], packs: Sequence[Pack]
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    states = {}
    for name in weights:
        with scorer.adapted.speaking(name):
            batch, states[name] = scorer.predicting(packs)
    by_token = torch.empty(len(batch.target), dtype=torch.float64, device=batch.target.device)
    for start in range(0, len(by_token), CHUNK):
        place = slice(start, start + CHUNK)
        blend = sum(
            weight * _logits(scorer.adapted.base, states[name][place])
            for name, weight in weights.items()
        )
        by_token[place] = _said(blend, batch.target[place])  # type: ignore[arg-type]
    yield batch.candidates, sum_tokens(batch, by_token)


def _logits(base: BaseModel, states: torch.Tensor) -> torch.Tensor:
    """Return what the output projection says of states (n, H): logits (n, V)."""
    head = base.model.get_output_embeddings()
    assert head is not None  # noqa: S101  # every causal language model has one
    logits = head(states).float()
    softcap = getattr(base.model.config, "final_logit_softcapping", None)
    return logits if softcap is None else softcap * torch.tanh(logits / softcap)


def _plain(
    scorer: ResponseScorer, weights: Mapping[str, float], packs: Sequence[Pack]
) -> Iterator[tuple[NDArray[np.int64], torch.Tensor]]:
    base, tokens = scorer.adapted.base, scorer.tokens
    for pack in packs:
        prompt = tokens.prompt_ids(pack.prompt)
        for candidate in pack.candidates.tolist():
            ids = np.concatenate([prompt, tokens.response_ids(candidate)])
            row = torch.from_numpy(ids)[None].to(base.device)
            blend = 0.0
            for name, weight in weights.items():
                with scorer.adapted.speaking(name):
                    logits = base.model(input_ids=row, use_cache=False).logits
                blend = blend + weight * logits[0, len(prompt) - 1 : -1].float()
            said = _said(blend, row[0, len(prompt) :])  # type: ignore[arg-type]
            yield np.array([candidate]), said.sum()[None]


def _said(blend: torch.Tensor, target: torch.Tensor) -> torch.Tensor:
    """Return log softmax of (n, V) at target (n,), float64."""
    return blend.log_softmax(dim=1).gather(1, target[:, None])[:, 0].double()
