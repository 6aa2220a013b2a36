"""Train one adapter by gradient steps: the M-step of one type."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch

from emdpo.adapters.packing import Pack, in_batches
from emdpo.core.em import StopTest, never

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.config import AdapterConfig
    from emdpo.adapters.loss import Objective
    from emdpo.adapters.passes import ScoringPass
    from emdpo.adapters.scoring import ResponseScorer
    from emdpo.adapters.trunk import Told

WARM_UP = 5
"""Steps over which the learning rate rises: Adam's second moments are noise at first."""

MAX_NORM = 1.0
"""Gradients longer than this are shortened to it."""

MAX_SKIPPED = 3
"""Steps in a row without a finite gradient before the adapter is rolled back."""


Fall = Callable[[int], float]
"""Takes the number of a pass's step, from 0, to its share of the learning rate, in (0, 1]."""


def no_fall(_step: int) -> float:
    """Keep the learning rate where it is."""
    return 1.0


class PassOutcome(Enum):
    """How a pass over the prompts ended."""

    DONE = "done"
    CANCELLED = "cancelled"
    NON_FINITE = "non_finite"


class Step(NamedTuple):
    """One optimiser step, as told to whoever watches."""

    step: int
    n_steps: int
    loss: float
    """What the step's objective gave, nan if skipped: nats per ranking in an M-step."""
    n_tokens: int


@dataclass(frozen=True, eq=False)
class Batches:
    """Prompts in the order of one pass, cut into optimiser steps."""

    prompts: tuple[NDArray[np.int64], ...]

    @classmethod
    def shuffled(cls, prompts: NDArray[np.int64], size: int, rng: np.random.Generator) -> Batches:
        """Return steps of `size` prompts in random order."""
        order = rng.permutation(prompts)
        return cls(tuple(order[start : start + size] for start in range(0, len(order), size)))


class AdapterTrainer:
    """One adapter with an optimiser of its own."""

    def __init__(
        self,
        scorer: ResponseScorer,
        name: str,
        reference: NDArray[np.float64],
        config: AdapterConfig,
        beta: float,
    ) -> None:
        self.name, self.scorer, self.config, self.beta = name, scorer, config, beta
        self.n_steps = 0
        """Optimiser steps taken so far; those skipped do not count."""
        self.rate = config.learning_rate
        self._device = scorer.adapted.base.device
        self._reference = torch.from_numpy(reference).to(self._device)  # (A,)
        self._parameters = scorer.adapted.parameters(name)
        self.optimizer = self._fresh_optimizer()

    def _fresh_optimizer(self) -> torch.optim.AdamW:
        return torch.optim.AdamW(
            self._parameters, lr=self.rate, betas=(0.9, 0.99), weight_decay=0.0
        )

    def scores(
        self, wanted: NDArray[np.bool_] | None = None, should_stop: StopTest = never
    ) -> NDArray[np.float64] | None:
        """Return the DPO scores beta log( pi(y|x) / pi_ref(y|x) ), (A,); None if told to stop.

        Candidates that are not `wanted` (A,) may stay 0.
        """
        reference = self._reference.cpu().numpy()
        log_prob = self.scorer.score_all(
            self.name, wanted, others=reference, should_stop=should_stop
        )
        return None if log_prob is None else self.beta * (log_prob - reference)

    def kept_scores(
        self, scoring: ScoringPass, wanted: NDArray[np.bool_], should_stop: StopTest, tell: Told
    ) -> NDArray[np.float64] | None:
        """Return `scores` by a pass that can be interrupted."""
        reference = self._reference.cpu().numpy()
        log_prob = scoring.log_probs(self.name, wanted, reference, should_stop, tell)
        return None if log_prob is None else self.beta * (log_prob - reference)

    def roll_back(self, tensors: dict[str, torch.Tensor]) -> None:
        """Go back to earlier tensors, with half the learning rate and no memory of gradients."""
        self.scorer.adapted.load_tensors(self.name, tensors)
        self.rate /= 2
        self.optimizer = self._fresh_optimizer()
        self.n_steps = 0

    def run(
        self,
        objective: Objective,
        batches: Batches,
        *,
        first: int = 0,
        fall: Fall = no_fall,
        should_stop: StopTest = never,
    ) -> Iterator[Step | PassOutcome]:
        """Take the steps of one pass from number `first`; yield each, then how the pass ended."""
        n_steps = len(batches.prompts)
        skipped = 0
        for number in range(first, n_steps):
            if should_stop():
                yield PassOutcome.CANCELLED
                return
            step = self._step(objective, batches.prompts[number], fall(number))
            skipped = 0 if np.isfinite(step.loss) else skipped + 1
            yield step._replace(step=number + 1, n_steps=n_steps)
            if skipped == MAX_SKIPPED:
                yield PassOutcome.NON_FINITE
                return
        yield PassOutcome.DONE

    def _step(self, objective: Objective, prompts: NDArray[np.int64], share: float) -> Step:
        """Take one optimiser step; out of memory halves what goes through at once, not the step."""
        while True:
            try:
                loss, n_tokens = self._gradient(objective, prompts)
                break
            except RuntimeError as error:
                self.optimizer.zero_grad(set_to_none=True)
                if not is_out_of_memory(error) or self.scorer.budget <= 1:
                    raise
                self.scorer.budget //= 2
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, MAX_NORM)
        finite = bool(np.isfinite(loss)) and bool(torch.isfinite(norm))
        if finite:
            for group in self.optimizer.param_groups:
                group["lr"] = self.rate * share * min(1.0, (self.n_steps + 1) / WARM_UP)
            self.optimizer.step()
            self.n_steps += 1
        self.optimizer.zero_grad(set_to_none=True)
        return Step(0, 0, loss if finite else np.nan, n_tokens)

    def _gradient(self, objective: Objective, prompts: NDArray[np.int64]) -> tuple[float, int]:
        """Add up the step's gradient and return its loss and tokens."""
        total, n_tokens = 0.0, 0
        with self.scorer.adapted.speaking(self.name, training=True):
            for group in self._groups(prompts):
                packs = self.scorer.packs_of(group)
                batches = list(in_batches(packs, self.scorer.budget))
                if len(batches) == 1:
                    loss = self._loss(objective, group, *self.scorer.log_probs(packs))
                    loss.backward()
                    total += float(loss.detach())
                else:
                    total += self._gradient_in_parts(objective, group, batches)
                n_tokens += sum(pack.n_tokens for pack in packs)
        return total, n_tokens

    def _groups(self, prompts: NDArray[np.int64]) -> Iterator[list[int]]:
        """Yield prompts that go through the model together."""
        group: list[int] = []
        size = 0
        for prompt in prompts.tolist():
            needed = sum(pack.n_tokens for pack in self.scorer.packs_of([prompt]))
            if group and size + needed > self.scorer.budget:
                yield group
                group, size = [], 0
            group.append(prompt)
            size += needed
        yield group

    def _loss(
        self,
        objective: Objective,
        prompts: Sequence[int],
        candidates: NDArray[np.int64],
        log_probs: torch.Tensor,
    ) -> torch.Tensor:
        at = torch.from_numpy(candidates).to(self._device)
        log_ratios = torch.zeros_like(self._reference)
        log_ratios = log_ratios.index_copy(0, at, log_probs - self._reference[at])
        return objective(prompts, log_ratios)

    def _gradient_in_parts(
        self,
        objective: Objective,
        prompts: Sequence[int],
        batches: Sequence[list[Pack]],
    ) -> float:
        """Back-propagate a loss whose candidates do not fit into one pass, exactly.

        All are scored without a graph first; then each batch is run again and takes its share of
        the gradient by log-probability (Gao et al. 2021, arXiv 2101.06983).
        """
        with torch.no_grad():
            scored = [self.scorer.log_probs(packs) for packs in batches]
        candidates = np.concatenate([codes for codes, _ in scored])
        log_probs = torch.cat([values for _, values in scored]).requires_grad_(True)
        loss = self._loss(objective, prompts, candidates, log_probs)
        (by_log_prob,) = torch.autograd.grad(loss, log_probs)
        start = 0
        for packs in batches:
            _, values = self.scorer.log_probs(packs)
            values.backward(by_log_prob[start : start + len(values)])
            start += len(values)
        return float(loss.detach())


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether PyTorch could not get memory, on a GPU or on the CPU."""
    words = str(error).lower()
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in words
