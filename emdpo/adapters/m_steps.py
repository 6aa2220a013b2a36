"""M-steps of generalised EM: passes of gradient steps over the prompts that a type cares about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from emdpo.adapters.store import Store, restore_trainer, trainer_state
from emdpo.adapters.training import AdapterTrainer, Batches, Fall, PassOutcome, Step
from emdpo.core.em import NO_RESPONSIBILITY, Monitor, StopReason, StopTest, never

if TYPE_CHECKING:
    import torch
    from numpy.typing import NDArray

    from emdpo.adapters.config import AdapterConfig
    from emdpo.adapters.folds import Folds
    from emdpo.adapters.loss import Objective
    from emdpo.adapters.rounds import Trainee
    from emdpo.core.rankings import Rankings

WORTHWHILE = 0.01
"""Share of the mean weight of a prompt below which a type passes over it."""

Progress = Callable[..., None]
"""Called as progress(event, **facts)."""


@dataclass(eq=False)
class Watching:
    """Who is told of the work, and may stop it."""

    monitor: Monitor | None = None
    should_stop: StopTest = never
    progress: Progress = field(default=lambda *_args, **_facts: None)


@dataclass(frozen=True, eq=False)
class MStep:
    """One adapter's training in one round."""

    one: Trainee
    trainer: AdapterTrainer
    number: int
    """The round, from 1."""
    rates: int
    """The round whose learning rates are taken: its own, mostly."""
    index: int
    """Its place among the round's adapters, from 0."""
    n_adapters: int

    @property
    def name(self) -> str:
        """The adapter's name."""
        return self.one.name


class MSteps:
    """Trains adapters, one at a time, and keeps what a fit needs to go on from any step."""

    def __init__(
        self,
        panel: Rankings,
        folds: Folds,
        config: AdapterConfig,
        seed: int,
        store: Store,
        watching: Watching,
        objective: Callable[[Rankings, NDArray[np.float64], float, float], Objective],
    ) -> None:
        self.panel, self.folds, self.config, self.seed = panel, folds, config, seed
        self.store, self.watching, self.objective = store, watching, objective
        self._last_step = 0

    def train(
        self,
        step: MStep,
        log_resp: NDArray[np.float64],
        best: Mapping[str, torch.Tensor],
    ) -> StopReason | None:
        """Train one adapter, from where an interrupted fit left it; None when done.

        Three steps in a row without a finite gradient take it back to its `best` tensors and half
        the learning rate, once; after that the fit ends.
        """
        place = self._position(step)
        while True:
            outcome = self._passes(step, log_resp, *place)
            if outcome is PassOutcome.CANCELLED:
                return StopReason.CANCELLED
            if outcome is PassOutcome.DONE:
                return None
            if step.trainer.rate < self.config.learning_rate:
                return StopReason.NON_FINITE  # it has been rolled back before
            step.trainer.roll_back(dict(best))
            self.watching.progress("rolled_back", adapter=step.name, round=step.number)
            place = 0, 0

    def rankings(
        self, one: Trainee, log_resp: NDArray[np.float64]
    ) -> tuple[Rankings, NDArray[np.float64]]:
        """Return the rankings that an adapter learns and their weights, (R',)."""
        keep = ~self.folds.guard
        if one.half is not None and self.folds.half is not None:
            keep = keep & (self.folds.half == one.half)
        weights = self.panel.weight
        if one.k is not None:
            weights = weights * np.exp(log_resp[self.panel.user, one.k])
        return self.panel.select(keep), weights[keep]

    def _passes(
        self, step: MStep, log_resp: NDArray[np.float64], done: int, first: int
    ) -> PassOutcome:
        """Pass over the prompts, but for `done` passes and the `first` steps of the next."""
        part, weights = self.rankings(step.one, log_resp)
        prompts = worthwhile_prompts(part, weights)
        if len(prompts) == 0:
            return PassOutcome.DONE
        n_passes = self.config.passes(len(prompts))
        for number in range(done, n_passes):
            rng = np.random.default_rng([self.seed, step.number, step.index, number])
            batches = Batches.shuffled(prompts, self.config.prompts_per_step, rng)
            n_steps = len(batches.prompts)
            per_step = weights.sum() / n_steps
            objective = self.objective(part, weights, step.trainer.beta, per_step)
            self._last_step = first if number == done else 0
            for told in step.trainer.run(
                objective,
                batches,
                first=self._last_step,
                fall=falling(step.rates, number * n_steps, n_passes * n_steps),
                should_stop=self.watching.should_stop,
            ):
                if isinstance(told, Step):
                    self._report(step, number, n_passes, told)
                elif told is not PassOutcome.DONE:
                    if told is PassOutcome.CANCELLED:
                        self._save(step, number, self._last_step)
                    return told
        self._save(step, n_passes, 0)
        return PassOutcome.DONE

    def _report(self, step: MStep, number: int, n_passes: int, told: Step) -> None:
        self._last_step = told.step
        if self.store.due():
            self._save(step, number, told.step)
        share = (number + told.step / told.n_steps) / n_passes
        self.watching.progress(
            "step",
            round=step.number,
            rounds=self.config.rounds,
            adapter=step.name,
            done=(step.index + share) / step.n_adapters,
            loss=told.loss,
            n_tokens=told.n_tokens,
        )

    def _position(self, step: MStep) -> tuple[int, int]:
        """Return pass and step where an adapter goes on in a round, restored from the store."""
        held = self.store.read(f"adapter-{step.name}")
        if held is None:
            return 0, 0
        tensors, facts = held
        restore_trainer(step.trainer, tensors, facts)
        return (facts["epoch"], facts["step"]) if facts["round"] == step.number else (0, 0)

    def _save(self, step: MStep, n_passes: int, n_steps: int) -> None:
        """Keep the adapter after so many passes and steps of the next."""
        tensors, facts = trainer_state(step.trainer)
        place = {"round": step.number, "epoch": n_passes, "step": n_steps}
        self.store.write(f"adapter-{step.name}", tensors, {**facts, **place})


def falling(number: int, before: int, n_steps: int) -> Fall:
    """Return how the learning rate falls in a round: from 1 / number in a straight line to nought.

    Rates of order 1 / number let the rounds settle (Robbins and Monro 1951): with a constant rate
    the second round already learns the prompts by heart (docs/adapters.md).

    Parameters
    ----------
    number
        The round, from 1.
    before, n_steps
        Steps of the round's passes before this one, and of all of them.
    """
    return lambda step: (1 - (before + step) / n_steps) / number


def worthwhile_prompts(part: Rankings, weights: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the prompts whose rankings weigh something, sorted.

    Where users have prompts of their own, most prompts are other types' and would cost a pass each
    for a vanishing gradient: those with less than WORTHWHILE of the mean weight are left out.
    """
    if weights.sum() < NO_RESPONSIBILITY:
        return np.empty(0, np.int64)
    by_prompt = np.bincount(part.prompt, weights, minlength=part.n_prompts)
    shown = np.unique(part.prompt).astype(np.int64)
    return shown[by_prompt[shown] >= WORTHWHILE * by_prompt[shown].mean()]
