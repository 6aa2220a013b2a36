"""Passes of the model over many candidates that lose nothing by a stop and little by a kill."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from emdpo.adapters.store import Store

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from emdpo.adapters.scoring import ResponseScorer
    from emdpo.core.em import StopTest


class Stopped(Exception):
    """Somebody asked to stop before there was anything to show; what was done is kept."""


@dataclass(frozen=True, eq=False)
class ScoringPass:
    """Scores candidates under one adapter; what is scored is kept in a store under a label."""

    scorer: ResponseScorer
    store: Store
    label: str
    facts: dict[str, Any]
    """JSON values that tell this pass from earlier ones under its label."""

    def log_probs(
        self,
        adapter: str | None,
        wanted: NDArray[np.bool_],
        others: NDArray[np.float64],
        should_stop: StopTest,
        tell: Callable[[float, int], None],
    ) -> NDArray[np.float64] | None:
        """Return log pi(y|x), (A,); None if told to stop.

        Parameters
        ----------
        adapter
            Who speaks; None = the reference.
        wanted, others
            (A,) as in `ResponseScorer.score_all`.
        should_stop
            Asked before each batch.
        tell
            Called after each batch with the share done, in [0, 1], and the batch's tokens.
        """
        log_prob, done = self._kept(len(others)) or (others.copy(), np.zeros(len(others), bool))
        if done[wanted].all():
            return log_prob
        # Batches are cut in one order, so that those left are those that were to come anyway.
        with self.scorer.adapted.speaking(adapter), torch.inference_mode():
            for packs in self.scorer.batches(wanted & ~done):
                if should_stop():
                    self._keep(log_prob, done)
                    return None
                candidates, values = self.scorer.log_probs(packs)
                log_prob[candidates] = values.cpu().numpy()
                done[candidates] = True
                tell(float(done[wanted].mean()), sum(pack.n_tokens for pack in packs))
                if self.store.due():
                    self._keep(log_prob, done)
        self._keep(log_prob, done)
        return log_prob

    def _kept(self, size: int) -> tuple[NDArray[np.float64], NDArray[np.bool_]] | None:
        held = self.store.read(self.label)
        if held is None or held[1] != self.facts:
            return None
        log_prob, done = held[0]["log_prob"].numpy(), held[0]["done"].numpy()
        return (log_prob, done) if len(log_prob) == size else None

    def _keep(self, log_prob: NDArray[np.float64], done: NDArray[np.bool_]) -> None:
        tensors = {"log_prob": torch.from_numpy(log_prob), "done": torch.from_numpy(done)}
        self.store.write(self.label, tensors, self.facts)
