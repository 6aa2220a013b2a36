"""Distil the min-max KL-regret consensus of a fit into one LoRA adapter.

The consensus pi ~ prod_k pi_k^a_k is known up to log Z(x), one constant a prompt. With
h = log(pi_theta / pi_ref) and t = sum_k a_k s_k / beta, pi_theta is the consensus where h - t is
the same for all answers to a prompt: the loss is the variance of h - t over a prompt's candidates,
averaged over prompts. Training starts from PEFT's weighted merge of the types or from the type of
most weight, whichever has the smaller loss; epochs are kept that lower it on held-out prompts too.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Literal, TypedDict, TypeVar

import numpy as np
import torch

from emdpo.adapters.answers import Blend, blend_speaker
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.consensus import score_consensus
from emdpo.adapters.distilled import DISTILLED, FOLDER, DistilConfig, Distilled
from emdpo.adapters.drawn import draw_answers, with_answers
from emdpo.adapters.fitted import model_of
from emdpo.adapters.fitting import lora_facts
from emdpo.adapters.folds import FEWEST_PROMPTS
from emdpo.adapters.lora import merge
from emdpo.adapters.loss import LogRatioDifferences
from emdpo.adapters.saved import Adapter, type_name
from emdpo.adapters.scoring import ResponseScorer
from emdpo.adapters.tokens import Tokens, tokenise
from emdpo.adapters.training import AdapterTrainer, Batches, PassOutcome, Step
from emdpo.auditing import audit
from emdpo.core.agreement import agreement, prompt_variance
from emdpo.core.em import StopReason, StopTest, never
from emdpo.core.mixture import occupied_types

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.base_model import BaseModel
    from emdpo.fitting import Fit

Progress = Callable[..., None]
"""Called as progress(event, **facts)."""

GAIN = 0.01
"""Share of both losses that an epoch must take off to be worth its time."""

RATE = 0.15
"""Share of the fit's learning rate that distilling starts with, since it starts near its end; it
falls to 0 over the epochs, and halves where one was in vain."""

PATIENCE = 3
"""Epochs without such a gain, one after another, that end the training."""

LEADER = "leader"
"""The type of most weight, shaped as the merge: its factors beside zeros that are free to learn."""

FOLDS, DRAWS, PASSES = range(3)
"""Names of the random streams."""

T = TypeVar("T")


class Losses(TypedDict):
    """Where an epoch has led: means over prompts of the variance of h - t, nats squared."""

    epoch: int
    training: float
    guard: float
    """Of the held-out prompts."""


class _Stopped(Exception):
    """Somebody asked to stop."""


def _unless_stopped(value: T | None) -> T:
    if value is None:
        raise _Stopped
    return value


def distil(
    fit: Fit,
    config: DistilConfig | None = None,
    *,
    base: BaseModel | None = None,
    should_stop: StopTest = never,
    on_progress: Progress | None = None,
) -> Distilled | None:
    """Return one adapter that stands for the consensus of a fit; None where it was stopped.

    Parameters
    ----------
    fit : Fit
        With adapters.
    config : DistilConfig, optional
    base : BaseModel, optional
        The fit's base model, if it is loaded already and carries no adapters.
    should_stop
        Asked before every step and every scoring pass.
    on_progress : callable, optional
        Called as on_progress(event, **facts) with `loading`, `drawing`, `scoring`, `step`, `epoch`.

    Raises
    ------
    EmdpoError
        The fit's policies are log-linear.
    RunError
        Another base model than that of the fit.
    ModelError
        The base model cannot be had.

    Notes
    -----
    The target is the Chernoff centre of the types (`core.aggregation.kl_consensus`). The held-out
    prompts help to choose the epoch, so that figures on them are slightly favourable.
    """
    told = on_progress or (lambda *_args, **_facts: None)
    with TemporaryDirectory(prefix="emdpo-") as work:
        try:
            return _Distilling(
                fit, config or DistilConfig(), base, should_stop, told, Path(work)
            ).run()
        except _Stopped:
            return None


class _Distilling:
    """What the steps of one distillation share: the model, its scorer and the folds."""

    def __init__(
        self,
        fit: Fit,
        config: DistilConfig,
        base: BaseModel | None,
        should_stop: StopTest,
        told: Progress,
        work: Path,
    ) -> None:
        self.fit, self.config, self.should_stop, self.told = fit, config, should_stop, told
        self.settings = fit.config.adapters or AdapterConfig()
        self.beta = fit.config.beta
        told("loading", base_model=fit.config.base_model)
        names = [type_name(k) for k in range(fit.n_types)]
        adapted = model_of(fit, names, base=base)
        self.weights = consensus_weights(fit)  # (K,)
        self.blend = dict(zip(names, self.weights.tolist(), strict=True))
        self.leader = max(names, key=self.blend.__getitem__)
        leading = {name: float(name == self.leader) for name in names}
        self.adapted = merge(merge(adapted, DISTILLED, self.blend), LEADER, leading)
        self.listed = np.unique(fit.rankings.candidate).astype(np.int64)
        tokens = self._tokens(work)
        new = np.arange(fit.rankings.n_candidates, len(tokens.candidate_prompt))
        self.learnt = np.concatenate([self.listed, new])
        self.prompt = tokens.candidate_prompt
        self.scorer = ResponseScorer(
            self.adapted,
            tokens,
            self.learnt,
            budget=self.settings.tokens_per_pass,
            folder=work,
        )
        told("scoring", policy="base")
        self.reference = self._score(None)
        self.target = self._target(new)
        self.train, self.guard = self._folds()

    def _tokens(self, work: Path) -> Tokens:
        """Return the tokens of listed answers and of those drawn."""
        tokens = _unless_stopped(
            tokenise(
                self.fit.rankings,
                self.adapted.base,
                work / "tokens",
                max_length=self.settings.max_length,
                should_stop=self.should_stop,
            )
        )
        if not self.config.sampled:
            return tokens
        asked = np.unique(tokens.candidate_prompt[self.listed])
        speaker = blend_speaker(Blend.CONSENSUS, tuple(self.blend.values()))
        prompts = [tokens.prompt_ids(prompt) for prompt in asked.tolist()]
        rng = np.random.default_rng([self.config.seed, DRAWS])
        room = self.adapted.base.max_length - max(map(len, prompts))
        runs = draw_answers(
            self.adapted,
            prompts,
            [speaker],
            self.config.sampled,
            max(1, min(self.config.max_tokens, room)),
            rng,
            self.should_stop,
        )
        drawn = []
        for run in runs:
            drawn += _unless_stopped(run)
            self.told("drawing", done=len(drawn) / (len(asked) * self.config.sampled))
        return with_answers(tokens, np.repeat(asked, self.config.sampled), drawn)[0]

    def _score(self, name: str | None) -> NDArray[np.float64]:
        """Return log pi(y|x) of the candidates, (A,)."""
        return _unless_stopped(self.scorer.score_all(name, should_stop=self.should_stop))

    def _target(self, new: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return t of the candidates, (A,): from the run's scores, or scored now where drawn."""
        target = np.zeros(len(self.prompt))
        listed = self.weights @ self.fit.policies.candidate_scores() / self.beta
        target[: len(listed)] = listed
        wanted = np.isin(np.arange(len(target)), new)
        for name, weight in self.blend.items() if len(new) else ():
            self.told("scoring", policy=name)
            scored = self.scorer.score_all(name, wanted, should_stop=self.should_stop)
            target[new] += weight * (_unless_stopped(scored) - self.reference)[new]
        return target

    def _folds(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Return the prompts to train on and those that guard: the same ones where there are few.

        A prompt with one answer says nothing about differences.
        """
        prompts, counts = np.unique(self.prompt[self.learnt], return_counts=True)
        prompts = prompts[counts > 1]
        n_held_out = round(self.config.held_out_share * len(prompts))
        if self.config.held_out_share == 0 or len(prompts) < FEWEST_PROMPTS:
            return prompts, prompts
        rng = np.random.default_rng([self.config.seed, FOLDS])
        guard = np.sort(rng.choice(prompts, max(1, n_held_out), replace=False))
        return np.setdiff1d(prompts, guard), guard

    def run(self) -> Distilled:
        self.told("scoring", policy="merge")
        merged = self._score(DISTILLED) - self.reference
        started_from = self._start(merged)
        facts, own = self._train()
        self.told("scoring", policy="token-wise")
        token_wise = _unless_stopped(
            score_consensus(self.scorer, self.blend, should_stop=self.should_stop)
        )
        ratios = {
            "consensus": self.target,
            "token-wise": token_wise - self.reference,
            "merge": merged,
            DISTILLED: own,
        }
        facts = {"started_from": started_from, **facts}
        return Distilled(self._adapter(), self._report(facts, ratios))

    def _start(self, merged: NDArray[np.float64]) -> str:
        """Let the adapter stand where it is nearer the consensus; return the name of that place."""
        k = list(self.blend).index(self.leader)
        leader = self.fit.policies.candidate_scores()[k] / self.beta
        shown = np.isin(self.prompt[self.listed], self.train)
        by_merge, by_leader = (
            self._loss(ratios, self.listed[shown]) for ratios in (merged, leader)
        )
        if by_merge <= by_leader:
            return "merge"
        self.adapted.load_tensors(DISTILLED, self.adapted.tensors(LEADER))
        return self.leader

    def _loss(self, ratios: NDArray[np.float64], place: NDArray[np.int64]) -> float:
        """Return the mean over prompts of the variance of h - t over candidates at `place`."""
        codes = np.unique(self.prompt[place], return_inverse=True)[1]
        return float(prompt_variance(ratios[place] - self.target[place], codes).mean())

    def _train(self) -> tuple[dict[str, Any], NDArray[np.float64]]:
        """Lower the loss; return how that went and h of the candidates where it was best, (A,).

        An epoch is kept if it lowers both losses: a handful of held-out prompts can fall by luck.
        """
        trainer = AdapterTrainer(self.scorer, DISTILLED, self.reference, self.settings, 1.0)
        ratios = best_ratios = self._ratios(trainer)
        kept = self._losses(0, ratios)
        best, losses, idle = self.adapted.tensors(DISTILLED), [kept], 0
        rate, reason = RATE * self.settings.learning_rate, StopReason.MAX_ITER
        for epoch in range(1, self.config.epochs + 1):
            trainer.rate = rate * (1 - (epoch - 1) / self.config.epochs)
            done = self._pass(trainer, epoch)
            ratios = self._ratios(trainer) if done else np.full(len(ratios), np.nan)
            now = self._losses(epoch, ratios)
            losses.append(now)
            self.told("epoch", **now, epochs=self.config.epochs)
            idle = 0 if _gains(now, kept, GAIN) else idle + 1
            if _gains(now, kept):
                kept, best, best_ratios = now, self.adapted.tensors(DISTILLED), ratios
            else:
                rate /= 2
                trainer.roll_back(best)
            if idle == PATIENCE:
                reason = _ending(now, kept)
                break
        self.adapted.load_tensors(DISTILLED, best)
        facts = {"stop_reason": reason.value, "best_epoch": kept["epoch"], "losses": losses}
        return facts, best_ratios

    def _pass(self, trainer: AdapterTrainer, epoch: int) -> bool:
        """Take the steps of one epoch; return whether they were finite."""
        rng = np.random.default_rng([self.config.seed, PASSES, epoch])
        batches = Batches.shuffled(self.train, self.settings.prompts_per_step, rng)
        learnt = np.isin(np.arange(len(self.prompt)), self.learnt)
        device = self.adapted.base.device
        objective = LogRatioDifferences(
            torch.from_numpy(self.target).to(device),
            torch.from_numpy(np.where(learnt, self.prompt, -1)).to(device),
            len(self.train) / len(batches.prompts),
        )
        outcome = None
        for outcome in trainer.run(objective, batches, should_stop=self.should_stop):
            if isinstance(outcome, Step):
                done = (epoch - 1 + outcome.step / outcome.n_steps) / self.config.epochs
                self.told("step", epoch=epoch, epochs=self.config.epochs, done=done)
        if outcome is PassOutcome.CANCELLED:
            raise _Stopped
        return outcome is PassOutcome.DONE

    def _ratios(self, trainer: AdapterTrainer) -> NDArray[np.float64]:
        """Return h of the candidates under the adapter as it is, (A,)."""
        return _unless_stopped(trainer.scores(should_stop=self.should_stop))

    def _losses(self, epoch: int, ratios: NDArray[np.float64]) -> Losses:
        of_prompt = self.prompt[self.learnt]
        training, guard = (
            self._loss(ratios, self.learnt[np.isin(of_prompt, prompts)])
            for prompts in (self.train, self.guard)
        )
        return {"epoch": epoch, "training": training, "guard": guard}

    def _adapter(self) -> Adapter:
        lora = self.adapted.model.peft_config[DISTILLED].to_dict()
        tensors = self.adapted.tensors(DISTILLED)
        return Adapter(
            FOLDER,
            lora_facts(lora, self.adapted.base),
            {name: value.numpy() for name, value in tensors.items()},
        )

    def _report(
        self, facts: dict[str, Any], ratios: dict[str, NDArray[np.float64]]
    ) -> dict[str, Any]:
        """Return distil.json."""
        kept_apart = len(self.train) != len(self.guard) or bool((self.train != self.guard).any())
        prompts = np.unique(self.prompt[self.listed])
        parts = {"all": prompts} | ({"held_out": self.guard} if kept_apart else {})
        return {
            "n_types": self.fit.n_types,
            "weights": self.weights,
            "beta": self.beta,
            "rank": self.adapted.rank(DISTILLED),
            "config": self.config.to_dict(),
            **facts,
            "n_prompts": {name: len(part) for name, part in parts.items()},
            "n_listed": len(self.listed),
            "n_sampled": len(self.learnt) - len(self.listed),
            "agreement": {
                name: {policy: self._agreement(h, part) for policy, h in ratios.items()}
                for name, part in parts.items()
            },
        }

    def _agreement(self, ratios: NDArray[np.float64], prompts: NDArray[np.int64]) -> dict[str, Any]:
        """Return how near a policy comes to the consensus over the listed answers to prompts."""
        place = self.listed[np.isin(self.prompt[self.listed], prompts)]
        codes = np.unique(self.prompt[place], return_inverse=True)[1]
        scores = self.fit.policies.candidate_scores()[:, place]
        found = agreement(scores, self.weights, self.beta * ratios[place], codes, self.beta)
        held = occupied_types(self.fit.weights, self.fit.rankings.n_users)
        worst = {kind: float(values[held].max()) for kind, values in found.regret.items()}
        return {**vars(found), "worst": worst}


def consensus_weights(fit: Fit) -> NDArray[np.float64]:
    """Return the exponents (K,) of the min-max KL-regret consensus, as the audit has them."""
    weights = audit(fit, groups=[], n_bootstrap=1).weights["consensus"]
    assert weights is not None  # noqa: S101  # only the pooled policy has none
    return weights


def _gains(now: Losses, kept: Losses, share: float = 0.0) -> bool:
    """Return whether both losses are lower by more than a share."""
    names: tuple[Literal["training", "guard"], ...] = ("training", "guard")
    return all(now[name] < (1 - share) * kept[name] for name in names)


def _ending(now: Losses, kept: Losses) -> StopReason:
    """Return why training ends after epochs without a gain; a fall is no convergence."""
    if not np.isfinite(now["guard"]):
        return StopReason.NON_FINITE
    fell = now["guard"] > (1 + GAIN) * kept["guard"]
    return StopReason.DECREASED if fell else StopReason.CONVERGED
