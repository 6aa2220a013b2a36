"""Generalised EM over adapters: a few passes of gradient steps for an M-step, guarded each round.

Gradient steps can make things worse, so every round is judged by rankings that no adapter saw:
those on held-out prompts or, where E-steps are cross-fitted, all of them. The best round is kept,
and a fall is the outcome `decreased`, never convergence.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from emdpo.adapters.loss import RankingObjective
from emdpo.adapters.m_steps import MStep, MSteps, Watching
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
from emdpo.adapters.store import Store
from emdpo.core.em import (
    NO_RESPONSIBILITY,
    StopReason,
    e_step,
    m_step_weights,
    user_totals,
)
from emdpo.core.plackett_luce import log_likelihoods

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.config import AdapterConfig
    from emdpo.adapters.folds import Folds
    from emdpo.adapters.loss import Objective
    from emdpo.adapters.training import AdapterTrainer
    from emdpo.core.rankings import Rankings

FINAL = 2
"""The round whose learning rate the final pass takes where E-steps were cross-fitted: its adapters
know half of the rankings."""


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
        self._m_steps = MSteps(panel, folds, config, seed, store, watching, self.objective)
        self._guarding = np.ones(panel.n_rankings, bool) if folds.cross_fitted else folds.guard

    @property
    def n_guard(self) -> int:
        """Rankings that guard; all of those fitted where none could be held out."""
        return int(self._guarding.sum()) or self.panel.n_rankings

    def run(
        self, log_resp: NDArray[np.float64], log_weights: NDArray[np.float64]
    ) -> tuple[Course, StopReason]:
        """Return how the rounds went from starting responsibilities, and why they ended."""
        course = self._resumed() or self._start(log_resp, log_weights)
        for row in course.rows:
            self.watching.progress("round", **row, n_guard=self.n_guard)
        if self.watching.monitor is not None:
            for row in course.trace:
                self.watching.monitor(row)
        while (reason := course.reason(self.n_guard, self.config.rounds)) is None:
            began = time.monotonic()
            number = course.now.number + 1
            stopped = self._train_all(number, course.now.log_resp)
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
        final = trainees(self.n_types, True, final=True)
        for index, one in enumerate(final):
            self.trainers[one.name] = trainer = self.make_trainer(one.name)
            half = self.best_tensors[half_name(one.k or 0, 0)]
            trainer.scorer.adapted.load_tensors(one.name, half)
            step = MStep(one, trainer, round_number + 1, FINAL, index, len(final))
            stopped = self._m_steps.train(step, log_resp, half)
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
        state = self.evaluate(0, log_weights)
        state = replace(state, log_resp=log_resp)
        course = Course(state, state, (facts_of(state, 0.0, 0),))
        return course

    def _train_all(self, number: int, log_resp: NDArray[np.float64]) -> StopReason | None:
        """Train every adapter of the round; return why the fit must end here, if it must."""
        for index, one in enumerate(self.trainees):
            trainer, n_adapters = self.trainers[one.name], len(self.trainees)
            step = MStep(one, trainer, number, number, index, n_adapters)
            stopped = self._m_steps.train(step, log_resp, self.best_tensors[one.name])
            if stopped is not None:
                return stopped
        return None

    def _e_step(self, number: int, before: Round) -> Round | None:
        """Return the state under the adapters as they are; None if told to stop."""
        for index, one in enumerate(self.trainees):
            _, weights = self._m_steps.rankings(one, before.log_resp)
            if weights.sum() < NO_RESPONSIBILITY:
                continue  # untrained: its scores stand
            scores = self._score(one, index, number)
            if scores is None:
                return None
            self._scores[one.name] = scores
        return self.evaluate(number, m_step_weights(before.log_resp))

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

    def evaluate(self, number: int, log_weights: NDArray[np.float64]) -> Round:
        """Return the state after an E-step under the scores as they are."""
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
            by_ranking = self.log_likelihoods_under(pooled) * self.panel.weight
            pooled_guard = float(by_ranking[self._guarding].sum())
        return Round(number, log_weights, log_resp, float(log_marginal.sum()), guard, pooled_guard)

    def _log_likelihoods(self) -> NDArray[np.float64]:
        """Return log P_k of every ranking, (K, R), each under an adapter not trained on it.

        Where E-steps are not cross-fitted this holds for the held-out prompts only.
        """
        if not self.folds.cross_fitted:
            names = map(type_name, range(self.n_types))
            return np.stack([self.log_likelihoods_under(self._scores[name]) for name in names])
        by_half = [
            np.stack(
                [
                    self.log_likelihoods_under(self._scores[half_name(k, half)])
                    for k in range(self.n_types)
                ]
            )
            for half in (0, 1)
        ]
        return np.where(self.folds.half == 0, by_half[1], by_half[0])

    def objective(
        self, part: Rankings, weights: NDArray[np.float64], beta: float, per_step: float
    ) -> Objective:
        """Return what training an adapter lowers, as `RankingObjective` takes it."""
        return RankingObjective(part, weights, beta, per_step)

    def log_likelihoods_under(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return log P of every ranking, (R,), under an adapter's scores (A,)."""
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
