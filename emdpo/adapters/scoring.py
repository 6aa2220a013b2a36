"""Log-probabilities of responses under the policy that speaks, fast and exactly.

Four savings that change nothing but time: prompts are shared (`packing`), blocks below the
adapters run once (`trunk`), only response tokens meet the output projection, and their logits are
not kept. Where a model's architecture does not allow them, the plain path is taken.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emdpo.adapters.packing import Pack, collate, in_batches, make_packs
from emdpo.adapters.trunk import Told, TrunkCache, run_decoder
from emdpo.core.em import StopTest, never

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.base_model import BaseModel
    from emdpo.adapters.lora import AdaptedModel
    from emdpo.adapters.packing import PackedBatch
    from emdpo.adapters.tokens import Tokens

AGREEMENT = 1e-5
"""Relative difference allowed between the fast and the plain path in float32."""

LOW_PRECISION_AGREEMENT = 3e-2
"""The same in bfloat16, whose numbers have eight bits."""

PROBED_PROMPTS = 2
"""Prompts whose responses are scored both ways before the fast way is trusted."""

CHUNK = 256
"""Response tokens that meet the output projection at once: their logits are the largest array."""


class TokenLogProbs(torch.autograd.Function):
    """log softmax(h W^T + b)[target] of every token, without keeping logits.

    The gradient by h of one token's log-probability, W[target] - sum_v p_v W_v, is as large as h,
    so it is computed along the way while the logits are there.
    """

    @staticmethod
    def forward(
        ctx: Any,
        hidden: torch.Tensor,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        target: torch.Tensor,
        softcap: float | None,
    ) -> torch.Tensor:
        """Return (n,) in float32 for hidden (n, H), weight (V, H), bias (V,), target (n,)."""
        log_prob = torch.empty(len(hidden), dtype=torch.float32, device=hidden.device)
        wanted = ctx.needs_input_grad[0]
        gradient = torch.empty_like(hidden) if wanted else None
        for start in range(0, len(hidden), CHUNK):
            place = slice(start, start + CHUNK)
            logits = torch.nn.functional.linear(hidden[place], weight, bias).float()
            if softcap is not None:
                logits = softcap * torch.tanh(logits / softcap)
            at = target[place, None]
            chosen = logits.gather(1, at)
            log_total = logits.logsumexp(dim=1, keepdim=True)
            log_prob[place] = (chosen - log_total)[:, 0]
            if gradient is not None:
                slope = 1 - (logits / softcap).square() if softcap is not None else None
                by_logit = logits.sub_(log_total).exp_().neg_()
                by_logit.scatter_add_(1, at, torch.ones_like(chosen))
                if slope is not None:
                    by_logit *= slope
                gradient[place] = by_logit.to(weight.dtype) @ weight
        if gradient is not None:
            ctx.save_for_backward(gradient)
        return log_prob

    @staticmethod
    def backward(ctx: Any, *upstream: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        """Return the gradient by hidden alone: all else is frozen."""
        (gradient,) = ctx.saved_tensors
        return upstream[0][:, None].to(gradient.dtype) * gradient, None, None, None, None


class ResponseScorer:
    """Scores a fixed set of candidates under whichever adapter speaks."""

    def __init__(
        self,
        adapted: AdaptedModel,
        tokens: Tokens,
        candidates: NDArray[np.int64],
        *,
        budget: int = 4096,
        folder: Path,
        should_stop: StopTest = never,
        tell: Told | None = None,
    ) -> None:
        self.adapted, self.tokens, self.budget = adapted, tokens, budget
        base = adapted.base
        self.plain_reason: str | None = plain_reason(adapted, tokens, candidates)
        limit = 1 if self.plain_reason else budget
        self.packs = make_packs(tokens, candidates, limit)
        self.trunk: TrunkCache | None = None
        if self.plain_reason is None and adapted.depth < base.n_layers:
            self.trunk = TrunkCache(base, self.packs, adapted.depth, folder / "trunk.bin", budget)
            self.trunk.fill(tokens, should_stop, tell)
        self._packs_of: dict[int, list[Pack]] = {}
        for pack in self.packs:
            self._packs_of.setdefault(pack.prompt, []).append(pack)

    def packs_of(self, prompts: Sequence[int]) -> list[Pack]:
        """Return the packs of some prompts, longest first."""
        packs = [pack for prompt in prompts for pack in self._packs_of.get(prompt, ())]
        return sorted(packs, key=lambda pack: -pack.n_tokens)

    def log_probs(self, packs: Sequence[Pack]) -> tuple[NDArray[np.int64], torch.Tensor]:
        """Return candidates (c,) and their log pi(y|x) (c,), float64, differentiable."""
        if self.plain_reason is not None:
            return plain_log_probs(self.adapted.base, self.tokens, packs)
        return log_probs_of(self.adapted.base, *self.predicting(packs))

    def predicting(self, packs: Sequence[Pack]) -> tuple[PackedBatch, torch.Tensor]:
        """Return packs in a batch and the states (n, H) that predict their response tokens."""
        entering = None if self.trunk is None else self.trunk.entering(packs)
        top = self.adapted.base.n_layers if self.trunk is None else self.trunk.top
        return predicting_states(self.adapted.base, self.tokens, packs, top, entering)

    def batches(self, wanted: NDArray[np.bool_] | None = None) -> Iterator[list[Pack]]:
        """Return the packs with a `wanted` (A,) candidate, in batches of at most the budget."""
        packs = [pack for pack in self.packs if wanted is None or wanted[pack.candidates].any()]
        return in_batches(packs, self.budget)

    def score_all(
        self,
        name: str | None,
        wanted: NDArray[np.bool_] | None = None,
        *,
        others: NDArray[np.float64] | None = None,
        should_stop: StopTest = never,
    ) -> NDArray[np.float64] | None:
        """Return log pi(y|x) of candidates under an adapter, (A,); None if told to stop.

        Packs without a `wanted` (A,) candidate are passed over: theirs stay what `others` (A,) say,
        0 by default.
        """
        log_prob = np.zeros(len(self.tokens.candidate_prompt)) if others is None else others.copy()
        with self.adapted.speaking(name), torch.inference_mode():
            for packs in self.batches(wanted):
                if should_stop():
                    return None
                candidates, values = self.log_probs(packs)
                log_prob[candidates] = values.cpu().numpy()
        return log_prob


def packed_log_probs(
    base: BaseModel,
    tokens: Tokens,
    packs: Sequence[Pack],
    top: int,
    entering: torch.Tensor | None,
) -> tuple[NDArray[np.int64], torch.Tensor]:
    """Return candidates (c,) and log pi(y|x) (c,) by the fast path."""
    return log_probs_of(base, *predicting_states(base, tokens, packs, top, entering))


def predicting_states(
    base: BaseModel,
    tokens: Tokens,
    packs: Sequence[Pack],
    top: int,
    entering: torch.Tensor | None,
) -> tuple[PackedBatch, torch.Tensor]:
    """Return packs in a batch and the states (n, H) that predict their n response tokens."""
    batch = collate(packs, tokens, base.device, base.dtype)
    hidden = run_decoder(base, batch, top=top, entering=entering)
    return batch, hidden.reshape(-1, hidden.shape[-1])[batch.predict_at]


def log_probs_of(
    base: BaseModel, batch: PackedBatch, used: torch.Tensor
) -> tuple[NDArray[np.int64], torch.Tensor]:
    """Return candidates (c,) and log pi(y|x) (c,) from the states (n, H) of their tokens."""
    head = base.model.get_output_embeddings()
    assert head is not None  # noqa: S101  # every causal language model has one
    softcap = getattr(base.model.config, "final_logit_softcapping", None)
    bias = getattr(head, "bias", None)
    by_token = TokenLogProbs.apply(used, head.weight, bias, batch.target, softcap)
    return batch.candidates, sum_tokens(batch, by_token)  # type: ignore[arg-type]


def sum_tokens(batch: PackedBatch, by_token: torch.Tensor) -> torch.Tensor:
    """Return the sums (c,) of the tokens' log probabilities (n,) over each candidate, float64."""
    totals = torch.zeros(len(batch.candidates), dtype=torch.float64, device=by_token.device)
    return totals.index_add(0, batch.owner, by_token.double())


def plain_log_probs(
    base: BaseModel, tokens: Tokens, packs: Sequence[Pack]
) -> tuple[NDArray[np.int64], torch.Tensor]:
    """Return candidates (c,) and log pi(y|x) (c,) as a textbook would: one row each, all logits."""
    values, codes = [], []
    for pack in packs:
        prompt = tokens.prompt_ids(pack.prompt)
        for candidate in pack.candidates.tolist():
            response = tokens.response_ids(candidate)
            ids = torch.from_numpy(np.concatenate([prompt, response]))[None].to(base.device)
            logits = base.model(input_ids=ids, use_cache=False).logits[0, len(prompt) - 1 : -1]
            log_prob = logits.float().log_softmax(dim=1)
            target = ids[0, len(prompt) :, None]
            values.append(log_prob.gather(1, target).double().sum())
            codes.append(candidate)
    return np.array(codes), torch.stack(values)


def plain_reason(
    adapted: AdaptedModel, tokens: Tokens, candidates: NDArray[np.int64]
) -> str | None:
    """Return why the fast path cannot be used for this model, None if it can.

    A few responses are scored both ways: architectures differ in more than a list could know.
    """
    base = adapted.base
    window = getattr(base.model.config, "sliding_window", None)
    lengths = tokens.prompt_lengths[tokens.candidate_prompt] + tokens.response_lengths
    if window is not None and lengths[candidates].max() > window:
        return f"texts are longer than the model's sliding window of {window} tokens"
    probe = make_packs(tokens, candidates, 2**31)[-PROBED_PROMPTS:]
    try:
        with adapted.speaking(None), torch.inference_mode():
            fast = packed_log_probs(base, tokens, probe, base.n_layers, None)[1]
            plain = plain_log_probs(base, tokens, probe)[1]
    except (TypeError, ValueError, RuntimeError, AttributeError, KeyError) as error:
        return f"packed rows do not go through this architecture ({type(error).__name__})"
    allowed = AGREEMENT if base.dtype is torch.float32 else LOW_PRECISION_AGREEMENT
    gap = float(((fast - plain).abs() / plain.abs().clamp(min=1.0)).max())
    if not gap <= allowed:
        return f"packed rows change log-probabilities by {gap:.1e} in this architecture"
    return None
