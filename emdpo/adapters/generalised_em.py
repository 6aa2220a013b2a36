"""Generalised EM over adapters: a few passes of gradient steps for an M-step, guarded each round.

Gradient steps can make things worse, so every round is judged by rankings that no adapter saw:
those on held-out prompts or, where E-steps are cross-fitted, all of them. The best round is kept,
and a fall is the outcome `decreased`, never convergence.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from emdpo.adapters.loss import RankingObjective
from emdpo.adapters.passes import ScoringPass
from emdpo.adapters.rounds import (
    Course,
    Round,
    Trainee,
    as_tensor,
    facts_of,
    half_name,
    trainees,
)
from emdpo.adapters.saved import POOLED, type_name
from emdpo.adapters.store import Store, restore_trainer, trainer_state
from emdpo.adapters.training import AdapterTrainer, Batches, Fall, PassOutcome, Step
from emdpo.core.em import (
    NO_RESPONSIBILITY,
    Monitor,
    StopReason,
    StopTest,
    e_step,
    m_step_weights,
    never,
    user_totals,
)
from emdpo.core.plackett_luce import log_likelihoods

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.config import AdapterConfig
    from emdpo.adapters.folds import Folds
    from emdpo.core.rankings import Rankings

WORTHWHILE = 0.01
"""Share of the mean weight of a prompt below which a type passes over it."""

FINAL = 2
"""The round whose learning rate the final pass takes where E-steps were cross-fitted: its adapters
know half of the rankings."""

Progress = Callable[..., None]
"""Called as progress(event, **facts)."""


@dataclass(eq=False)
class Watching:
    """Who is told of the work, and may stop it."""

    monitor: Monitor | None = None
    should_stop: StopTest = never
    progress: Progress = field(default=lambda *_args, **_facts: None)


class GeneralisedEM:
    """Rounds of M-steps and E-steps over adapters that share one scorer."""

    def __init__(
        self,
        panel: Rankings,
        n_types: int,
        folds: Folds,
        make_trainer: Callable[[str], AdapterTrainer],
        config: AdapterConfig,
        seed: int,
        store: Store,
        watching: Watching,
    ) -> None:
        self.panel, self.n_types, self.folds = panel, n_types, folds
        self.config, self.seed, self.store, self.watching = config, seed, store, watching
        self.make_trainer = make_trainer
        self.trainees = trainees(n_types, folds.cross_fitted)
        self.trainers = {one.name: make_trainer(one.name) for one in self.trainees}
        self.best_tensors = {
            name: trainer.scorer.adapted.tensors(name) for name, trainer in self.trainers.items()
        }
        self.best_scores: dict[str, NDArray[np.float64]] = {}
        """(A,) of each adapter at its best; cross-fitted ones of the rankings that they judge."""
        self.best_pooled = -np.inf
        self._scores: dict[str, NDArray[np.float64]] = {}
        self._guarding = np.ones(panel.n_rankings, bool) if folds.cross_fitted else folds.guard

    @property
    def n_guard(self) -> int:
        """Rankings that guard; all of those fitted where none could be held out."""
        return int(self._guarding.sum()) or self.panel.n_rankings

    def run(
        self, log_resp: NDArray[np.float64], log_weights: NDArray[np.float64]
    ) -> tuple[Course, StopReason]:
        """Return how the rounds went from starting responsibilities, and why they ended."""
        self._last_step = 0
        course = self._resumed() or self._start(log_resp, log_weights)
        for row in course.rows:
            self.watching.progress("round", **row, n_guard=self.n_guard)
        if self.watching.monitor is not None:
            for row in course.trace:
                self.watching.monitor(row)
        while (reason := course.reason(self.n_guard, self.config.rounds)) is None:
            began = time.monotonic()
            number = course.now.number + 1
            stopped = self._m_steps(number, course.now.log_resp)
            if stopped is not None:
                return course, stopped
            following = self._e_step(number, course.now)
            if following is None:
                return course, StopReason.CANCELLED
            course = course.after(following, time.monotonic() - began, self.n_guard)
            self._keep(course)
            self.watching.progress("round", **course.rows[-1], n_guard=self.n_guard)
            told = self.watching.monitor
            if told is not None and told(course.trace[-1]):
                return course, StopReason.CANCELLED
        return course, reason

    def final_pass(self, log_resp: NDArray[np.float64], round_number: int) -> StopReason | None:
        """Train one adapter a type on all rankings, from its half-trained one; None when done.

        Only where E-steps are cross-fitted: elsewhere the best round's adapters are the final ones.
        """
        for index, one in enumerate(trainees(self.n_types, True, final=True)):
            self.trainers[one.name] = trainer = self.make_trainer(one.name)
            trainer.scorer.adapted.load_tensors(
                one.name, self.best_tensors[half_name(one.k or 0, 0)]
            )
            number = round_number + 1
            stopped = self._train(one, len(self.trainees) + index, number, log_resp)
            if stopped is not None:
                return stopped
            self.best_tensors[one.name] = trainer.scorer.adapted.tensors(one.name)
        return None

    def load_best(self) -> None:
        """Put the best round's tensors into the model."""
        for name, tensors in self.best_tensors.items():
            self.trainers[name].scorer.adapted.load_tensors(name, tensors)

    def _start(self, log_resp: NDArray[np.float64], log_weights: NDArray[np.float64]) -> Course:
        """Return the course before any step: all policies equal the reference, all scores are 0."""
        zeros = np.zeros(self.panel.n_candidates)
        self._scores = {one.name: zeros for one in self.trainees}
        self.best_scores = dict(self._scores)
        state = self._evaluate(0, log_weights)
        state = replace(state, log_resp=log_resp)
        course = Course(state, state, (facts_of(state, 0.0, 0),))
        return course

    def _m_steps(self, number: int, log_resp: NDArray[np.float64]) -> StopReason | None:
        """Train every adapter of the round; return why the fit must end here, if it must."""
        for index, one in enumerate(self.trainees):
            stopped = self._train(one, index, number, log_resp)
            if stopped is not None:
                return stopped
        return None

    def _train(
        self, one: Trainee, index: int, number: int, log_resp: NDArray[np.float64]
    ) -> StopReason | None:
        trainer = self.trainers[one.name]
        epoch, step = self._position(one.name, number)
        while True:
            outcome = self._passes(one, index, number, log_resp, epoch, step)
            if outcome is PassOutcome.CANCELLED:
                return StopReason.CANCELLED
            if outcome is PassOutcome.DONE:
                self._save_trainer(one.name, number, self.config.epochs, 0)
                return None
            if trainer.rate < self.config.learning_rate:
                return StopReason.NON_FINITE  # it has been rolled back before
            trainer.roll_back(self.best_tensors[one.name])
            self.watching.progress("rolled_back", adapter=one.name, round=number)
            epoch, step = 0, 0

    def _passes(
        self,
        one: Trainee,
        index: int,
        number: int,
        log_resp: NDArray[np.float64],
        epoch: int,
        step: int,
    ) -> PassOutcome:
        part, weights = self._training_rankings(one, log_resp)
        prompts = worthwhile_prompts(part, weights)
        if len(prompts) == 0:
            return PassOutcome.DONE
        for current in range(epoch, self.config.epochs):
            rng = np.random.default_rng([self.seed, number, index, current])
            batches = Batches.shuffled(prompts, self.config.prompts_per_step, rng)
            self._last_step = first = step if current == epoch else 0
            n_steps, trainer = len(batches.prompts), self.trainers[one.name]
            objective = RankingObjective(part, weights, trainer.beta, weights.sum() / n_steps)
            for told in trainer.run(
                objective,
                batches,
                first=first,
                fall=falling(
                    number if one in self.trainees else FINAL,
                    current * n_steps,
                    self.config.epochs * n_steps,
                ),
                should_stop=self.watching.should_stop,
            ):
                if isinstance(told, Step):
                    self._report(one, index, number, current, told)
                elif told is not PassOutcome.DONE:
                    if told is PassOutcome.CANCELLED:
                        self._save_trainer(one.name, number, current, self._last_step)
                    return told
        return PassOutcome.DONE

    def _report(self, one: Trainee, index: int, number: int, epoch: int, step: Step) -> None:
        self._last_step = step.step
        if self.store.due():
            self._save_trainer(one.name, number, epoch, step.step)
        n_passes = len(self.trainees) * self.config.epochs
        self.watching.progress(
            "step",
            round=number,
            rounds=self.config.rounds,
            adapter=one.name,
            done=(index * self.config.epochs + epoch + step.step / step.n_steps) / n_passes,
            loss=step.loss,
            n_tokens=step.n_tokens,
        )

    def _training_rankings(
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

    def _e_step(self, number: int, before: Round) -> Round | None:
        """Return the state under the adapters as they are; None if told to stop."""
        for index, one in enumerate(self.trainees):
            _, weights = self._training_rankings(one, before.log_resp)
            if weights.sum() < NO_RESPONSIBILITY:
                continue  # untrained: its scores stand
            scores = self._score(one, index, number)
            if scores is None:
                return None
            self._scores[one.name] = scores
        return self._evaluate(number, m_step_weights(before.log_resp))

    def _score(self, one: Trainee, index: int, number: int) -> NDArray[np.float64] | None:
        """Return an adapter's scores of the candidates that it judges, (A,), 0 elsewhere."""
        judged = np.ones(self.panel.n_rankings, bool)
        if one.half is not None:
            judged = self.folds.half != one.half
        wanted = np.zeros(self.panel.n_candidates, bool)
        wanted[self.panel.candidate[judged[self.panel.ranking_of_row]]] = True
        return self.score(one.name, wanted, number, index, len(self.trainees))

    def score(
        self, name: str, wanted: NDArray[np.bool_], number: int, index: int, n_passes: int
    ) -> NDArray[np.float64] | None:
        """Return an adapter's scores, (A,), as one of a round's passes; None if told to stop."""

        def tell(share: float, n_tokens: int) -> None:
            self.watching.progress(
                "scoring",
                round=number,
                rounds=self.config.rounds,
                adapter=name,
                done=(index + share) / n_passes,
                n_tokens=n_tokens,
            )

        trainer = self.trainers[name]
        scoring = ScoringPass(trainer.scorer, self.store, f"scores-{name}", {"round": number})
        return trainer.kept_scores(scoring, wanted, self.watching.should_stop, tell)

    def _evaluate(self, number: int, log_weights: NDArray[np.float64]) -> Round:
        log_lik = self._log_likelihoods()
        totals = user_totals(self.panel, log_lik)  # (N, K)
        log_resp, log_marginal = e_step(totals, log_weights)
        guard = log_marginal
        if not self.folds.cross_fitted and self._guarding.any():
            seen = totals - user_totals(self.panel, log_lik * self._guarding)
            _, log_seen = e_step(seen, log_weights)
            guard = log_marginal - log_seen  # of what guards, given the user's other rankings
        pooled = self._scores.get(POOLED)
        pooled_guard = np.nan
        if pooled is not None and not self.folds.cross_fitted:
            by_ranking = self._log_likelihoods_under(pooled) * self.panel.weight
            pooled_guard = float(by_ranking[self._guarding].sum())
        return Round(number, log_weights, log_resp, float(log_marginal.sum()), guard, pooled_guard)

    def _log_likelihoods(self) -> NDArray[np.float64]:
        """Return log P_k of every ranking, (K, R), each under an adapter not trained on it.

        Where E-steps are not cross-fitted this holds for the held-out prompts only.
        """
        if not self.folds.cross_fitted:
            names = map(type_name, range(self.n_types))
            return np.stack([self._log_likelihoods_under(self._scores[name]) for name in names])
        by_half = [
            np.stack(
                [
                    self._log_likelihoods_under(self._scores[half_name(k, half)])
                    for k in range(self.n_types)
                ]
            )
            for half in (0, 1)
        ]
        return np.where(self.folds.half == 0, by_half[1], by_half[0])

    def _log_likelihoods_under(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        rows = scores[None, self.panel.candidate]
        return log_likelihoods(self.panel.stages, rows)[0]

    def _keep(self, course: Course) -> None:
        """Keep what is best so far, on disk too; the round's own file comes last."""
        improved = []
        if course.best is course.now:
            improved = [one.name for one in self.trainees if one.k is not None]
        if POOLED in self.trainers and not course.now.pooled <= self.best_pooled:
            self.best_pooled = course.now.pooled
            improved.append(POOLED)
        for name in improved:
            self.best_tensors[name] = self.trainers[name].scorer.adapted.tensors(name)
            self.best_scores[name] = self._scores[name]
            self.store.write(f"best-{name}", self.best_tensors[name], {})
        tensors, facts = course.to_tensors()
        for kind, scores in (("now", self._scores), ("best", self.best_scores)):
            tensors |= {f"scores.{kind}.{name}": as_tensor(scores[name]) for name in scores}
        self.store.write("round", tensors, {**facts, "best_pooled": self.best_pooled})

    def _resumed(self) -> Course | None:
        """Return the course of an interrupted fit, with adapters where they were; None if new."""
        held = self.store.read("round")
        if held is None:
            return None
        tensors, facts = held
        for name in self.trainers:
            best = self.store.read(f"best-{name}")
            if best is not None:
                self.best_tensors[name] = best[0]
            self._scores[name] = tensors[f"scores.now.{name}"].numpy()
            self.best_scores[name] = tensors[f"scores.best.{name}"].numpy()
        self.best_pooled = facts["best_pooled"]
        return Course.from_tensors(tensors, facts)

    def _position(self, name: str, number: int) -> tuple[int, int]:
        """Return epoch and step where an adapter goes on in a round, restored from the store."""
        held = self.store.read(f"adapter-{name}")
        if held is None:
            return 0, 0
        tensors, facts = held
        restore_trainer(self.trainers[name], tensors, facts)
        return (facts["epoch"], facts["step"]) if facts["round"] == number else (0, 0)

    def _save_trainer(self, name: str, number: int, epoch: int, step: int) -> None:
        tensors, facts = trainer_state(self.trainers[name])
        place = {"round": number, "epoch": epoch, "step": step}
        self.store.write(f"adapter-{name}", tensors, {**facts, **place})


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
