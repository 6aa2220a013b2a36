"""Fit one LoRA adapter per preference type: EM-DPO on a language model."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from emdpo.adapters.base_model import BaseModel, inspect_base_model, load_base_model
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.embedded import HUB_ID, LICENCE
from emdpo.adapters.folds import plan_folds
from emdpo.adapters.generalised_em import GeneralisedEM
from emdpo.adapters.lora import attach, check_depth, lora_config
from emdpo.adapters.m_steps import Progress, Watching
from emdpo.adapters.passes import ScoringPass, Stopped
from emdpo.adapters.rounds import Course, half_name, trainees
from emdpo.adapters.saved import POOLED, Adapter, AdapterOutcome, BaseModelCard, type_name
from emdpo.adapters.scoring import ResponseScorer
from emdpo.adapters.store import Store
from emdpo.adapters.tokens import Tokens, tokenise
from emdpo.adapters.training import AdapterTrainer
from emdpo.core.em import (
    EMState,
    Monitor,
    StopReason,
    StopTest,
    e_step,
    m_step_weights,
    never,
    user_totals,
)
from emdpo.core.errors import RunError
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.settings import EMBEDDED

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.trunk import Told
    from emdpo.core.loglinear import LogLinearPolicies
    from emdpo.core.rankings import Rankings
    from emdpo.fitting import FitConfig

FOLDS_STREAM = 1
"""Names the random stream of the folds; passes over prompts have four numbers to theirs."""


def fit_adapters(
    panel: Rankings,
    loglinear: EMState[LogLinearPolicies],
    config: FitConfig,
    *,
    also: NDArray[np.bool_] | None = None,
    monitor: Monitor | None = None,
    should_stop: StopTest = never,
    folder: Path | None = None,
    on_progress: Progress | None = None,
    rounds: Callable[..., GeneralisedEM] | None = None,
    shared: Path | None = None,
) -> AdapterOutcome | None:
    """Return K adapters and one for everybody, from where the log-linear fit ended.

    None where it was stopped before the first round.

    Parameters
    ----------
    panel : Rankings
        The rankings to fit.
    loglinear : EMState
        Whose responsibilities (N, K) the first M-step takes: starts are cheap there.
    config : FitConfig
        With `adapters` and `base_model`; None = the defaults.
    also : (A,) bool, optional
        Candidates to score in the end, beside those that the panel shows: nothing is trained on
        what only held-out rankings show, but an audit asks for it.
    monitor, should_stop
        As in `emdpo.fit`; asked after every round, and before every optimiser step and batch.
    folder : Path, optional
        Where an interrupted fit keeps what it needs to go on; a temporary one by default.
    on_progress : callable, optional
        Called as on_progress(event, **facts) with `loading`, `tokenising`, `trunk`, `reference`,
        `step`, `scoring`, `round` and `held_out`; `done` is the share of that stage or round that
        is saved or will be at a stop, `n_tokens` what has just gone through the model.
    rounds : callable, optional
        Takes what `GeneralisedEM` takes, and stands in for it: another likelihood than
        Plackett-Luce.
    shared : Path, optional
        Where tokens and activations are kept for other fits to the same texts; in `folder` by
        default.

    Raises
    ------
    ModelError
        The base model cannot be had.

    Notes
    -----
    Generalised EM (Chidambaram et al. 2026, arXiv 2510.15716, algorithm 1, with Plackett-Luce).
    """
    watching = Watching(monitor, should_stop, on_progress or _say_nothing)
    with _work_folder(folder) as work:
        try:
            store = Store(work if folder is not None else None)
            fit = _AdapterFit(panel, also, config, watching, work, store, shared or work)
        except Stopped:
            return None
        return fit.run(loglinear, rounds or GeneralisedEM)


def check_base(config: FitConfig) -> None:
    """Raise ModelError or EmdpoError unless adapters can sit on the base model; loads no weights.

    A model on the hub is downloaded here, if it has not been before.
    """
    about = inspect_base_model(config.base_model or EMBEDDED)
    top = config.adapters.top_layers if config.adapters else None
    check_depth(top, about.get_text_config().num_hidden_layers, config.base_model or EMBEDDED)


def _say_nothing(*_args: Any, **_facts: Any) -> None:
    """Nobody asked to be told."""


@contextmanager
def _work_folder(folder: Path | None) -> Iterator[Path]:
    if folder is None:
        with TemporaryDirectory(prefix="emdpo-") as temporary:
            yield Path(temporary)
    else:
        folder.mkdir(parents=True, exist_ok=True)
        yield folder


class _AdapterFit:
    """What the steps of one fit share: the model, its scorer and the folds."""

    def __init__(
        self,
        panel: Rankings,
        also: NDArray[np.bool_] | None,
        config: FitConfig,
        watching: Watching,
        work: Path,
        store: Store,
        shared: Path,
    ) -> None:
        self.panel, self.config, self.watching = panel, config, watching
        self.settings = config.adapters or AdapterConfig()
        watching.progress("loading", base_model=config.base_model or EMBEDDED)
        self.base = load_base_model(config.base_model or EMBEDDED)
        self.card = base_model_card(self.base)  # before its parameters are joined by adapters
        lora = lora_config(self.base, self.settings)  # refuses what does not fit, before the work
        self.lora = lora_facts(lora.to_dict(), self.base)
        self.store = store
        self.folds = plan_folds(
            panel, self.settings, np.random.default_rng([config.seed, FOLDS_STREAM])
        )
        self.work = work
        self.shown = np.bincount(panel.candidate, minlength=panel.n_candidates) > 0  # (A,)
        self.held_out = np.zeros_like(self.shown) if also is None else also & ~self.shown  # (A,)
        n_candidates = int((self.shown | self.held_out).sum())
        watching.progress("tokenising", n_candidates=n_candidates)
        self.tokens = self._tokens(shared / "tokens")
        names = adapter_names_of(config.n_types, self.folds.cross_fitted)
        self.adapted = attach(self.base, names, self.settings, config.seed)
        self.scorer = self._scorer(self.shown, shared, "trunk")
        self.reference = self._reference()

    def _scorer(self, candidates: NDArray[np.bool_], folder: Path, stage: str) -> ResponseScorer:
        """Return what scores some candidates, (A,); its activations are kept in a folder."""
        return ResponseScorer(
            self.adapted,
            self.tokens,
            np.flatnonzero(candidates),
            budget=self.settings.tokens_per_pass,
            folder=folder,
            should_stop=self.watching.should_stop,
            tell=self._teller(stage),
        )

    def _teller(self, event: str) -> Told:
        """Return what tells of a stage, batch by batch."""
        return lambda share, n_tokens: self.watching.progress(event, done=share, n_tokens=n_tokens)

    def _tokens(self, folder: Path) -> Tokens:
        tokens = tokenise(
            self.panel,
            self.base,
            folder,
            max_length=self.settings.max_length,
            wanted=self.shown | self.held_out,
            should_stop=self.watching.should_stop,
        )
        if tokens is None:
            raise Stopped
        return tokens

    def _reference(self) -> NDArray[np.float64]:
        """Return log pi_ref(y|x) of every candidate, (A,): computed once."""
        facts = {"base_model": self.base.fingerprint}
        held = self.store.read("reference")
        if held is not None and held[1] != facts:
            raise RunError(
                f"{self.base.name} is not the base model that this fit was begun on; "
                "begin anew in another folder"
            )
        log_prob = ScoringPass(self.scorer, self.store, "reference", facts).log_probs(
            None,
            self.shown,
            np.zeros(self.panel.n_candidates),
            self.watching.should_stop,
            self._teller("reference"),
        )
        if log_prob is None:
            raise Stopped
        return log_prob

    def run(
        self, loglinear: EMState[LogLinearPolicies], rounds: Callable[..., GeneralisedEM]
    ) -> AdapterOutcome:
        em = rounds(
            self.panel,
            self.config.n_types,
            self.folds,
            self._trainer,
            self.settings,
            self.config.seed,
            self.store,
            self.watching,
        )
        course, reason = em.run(loglinear.log_resp, loglinear.log_weights)
        log_weights = course.best.log_weights
        if self.folds.cross_fitted and reason is not StopReason.CANCELLED:
            reason = em.final_pass(course.best.log_resp, course.now.number) or reason
            log_weights = m_step_weights(course.best.log_resp)
        em.load_best()
        scores = self._final_scores(em, course.now.number, reason)
        if scores is None:
            reason, log_weights = StopReason.CANCELLED, course.best.log_weights
            scores = self._scores_at_hand(em)
        sources, unscored = self._sources(reason), bool(self.held_out.any())
        if unscored and reason is not StopReason.CANCELLED:
            unscored = not self._score_held_out(scores, sources, course.now.number)
            reason = StopReason.CANCELLED if unscored else reason
        rows = scores[:, self.panel.candidate]  # (K + 1, C)
        log_lik = log_likelihoods(self.panel.stages, rows[: self.config.n_types])
        log_resp, log_marginal = e_step(user_totals(self.panel, log_lik), log_weights)
        return AdapterOutcome(
            scores=scores[: self.config.n_types],
            pooled_scores=scores[-1],
            log_weights=log_weights,
            log_resp=log_resp,
            log_likelihood=float(log_marginal.sum()),
            trace=course.trace,
            stop_reason=reason,
            n_iter=course.now.number,
            remaining_gain=course.remaining_gain,
            adapters=self._adapters(em, sources),
            base_model=self.card,
            warnings=self._warnings(unscored),
            evidence=self._evidence(em, course),
        )

    def _trainer(self, name: str) -> AdapterTrainer:
        return AdapterTrainer(self.scorer, name, self.reference, self.settings, self.config.beta)

    def _sources(self, reason: StopReason) -> dict[str, str]:
        """Return, by the adapter's final name, the name under which it was trained."""
        n_types = self.config.n_types
        names = {type_name(k): type_name(k) for k in range(n_types)}
        if self.folds.cross_fitted and reason is StopReason.CANCELLED:
            names = {type_name(k): half_name(k, 0) for k in range(n_types)}
        return {**names, POOLED: POOLED if n_types > 1 else names[type_name(0)]}

    def _final_scores(
        self, em: GeneralisedEM, number: int, reason: StopReason
    ) -> NDArray[np.float64] | None:
        """Return the scores of the final policies, (K + 1, A); the last is everybody's.

        Those of the best round are at hand, but where E-steps were cross-fitted the adapters were
        trained again since; None where that is stopped.
        """
        if not self.folds.cross_fitted:
            return np.stack([em.best_scores[name] for name in self._sources(reason).values()])
        if reason is StopReason.CANCELLED:
            return None
        names, scores = self._sources(reason).values(), []
        for index, name in enumerate(names):
            scored = em.score(name, self.shown, number + 1, index, len(names))
            if scored is None:
                return None
            scores.append(scored)
        return np.stack(scores)

    def _score_held_out(
        self, scores: NDArray[np.float64], sources: Mapping[str, str], number: int
    ) -> bool:
        """Fill in the scores (K + 1, A) of candidates that only held-out rankings show.

        Return whether it got to the end.
        """
        folder = self.work / "held-out"
        folder.mkdir(exist_ok=True)
        try:
            scorer = self._scorer(self.held_out, folder, "held_out")
        except Stopped:
            return False
        reference = np.zeros(self.panel.n_candidates)
        by_name: dict[str | None, NDArray[np.float64]] = {}
        for name in (None, *sources.values()):
            label = f"held-out-{name or 'reference'}"
            log_prob = ScoringPass(scorer, self.store, label, {"round": number}).log_probs(
                name, self.held_out, reference, self.watching.should_stop, self._teller("held_out")
            )
            if log_prob is None:
                return False
            by_name[name] = log_prob
        for row, name in zip(scores, sources.values(), strict=True):
            row[self.held_out] = self.config.beta * (by_name[name] - by_name[None])[self.held_out]
        return True

    def _scores_at_hand(self, em: GeneralisedEM) -> NDArray[np.float64]:
        """Return the scores that cross-fitted E-steps used: whoever stops the fit need not wait."""
        judged = [
            em.best_scores[half_name(k, 0)] + em.best_scores[half_name(k, 1)]
            for k in range(self.config.n_types)
        ]
        return np.stack([*judged, em.best_scores.get(POOLED, judged[0])])

    def _adapters(self, em: GeneralisedEM, sources: Mapping[str, str]) -> dict[str, Adapter]:
        return {
            name: Adapter(
                name,
                self.lora,
                {key: value.numpy() for key, value in em.best_tensors[source].items()},
            )
            for name, source in sources.items()
        }

    def _warnings(self, unscored: bool) -> tuple[str, ...]:
        found = []
        if unscored:
            found.append(
                f"{int(self.held_out.sum()):,} candidates that only held-out rankings show were "
                "not scored: the fit was stopped, and they count as the base model has them"
            )
        if self.tokens.n_truncated:
            found.append(
                f"{self.tokens.n_truncated:,} texts were longer than "
                f"{self.settings.max_length} tokens and were cut"
            )
        if self.scorer.plain_reason:
            found.append(f"the slow path was taken: {self.scorer.plain_reason}")
        return tuple(found)

    def _evidence(self, em: GeneralisedEM, course: Course) -> dict[str, Any]:
        """Return facts on the training, none of them by type; no times: same fit, same bytes."""
        return {
            "rounds": [
                {key: value for key, value in row.items() if key not in ("weights", "seconds")}
                for row in course.rows
            ],
            "best_round": course.best.number,
            "cross_fitted": self.folds.cross_fitted,
            "n_guard": em.n_guard,
            "guarded": bool(self.folds.cross_fitted or self.folds.guard.any()),
            "guarding_rankings": np.flatnonzero(self.folds.guard).tolist(),
            "n_packed_tokens": sum(pack.n_tokens for pack in self.scorer.packs),
            "device": str(self.base.device),
            "dtype": str(self.base.dtype).removeprefix("torch."),
        }


def adapter_names_of(n_types: int, cross_fitted: bool) -> list[str]:
    """Return the names of all adapters that a fit trains."""
    names = [one.name for one in trainees(n_types, cross_fitted)]
    if cross_fitted:
        names += [one.name for one in trainees(n_types, cross_fitted, final=True)]
    return names


def base_model_card(base: BaseModel) -> BaseModelCard:
    """Return what the run says of its base model."""
    if base.name == EMBEDDED:
        return BaseModelCard(base.name, base.fingerprint, base.n_parameters, HUB_ID, LICENCE)
    hub_id = None if Path(base.name).exists() else base.name
    return BaseModelCard(base.name, base.fingerprint, base.n_parameters, hub_id)


def lora_facts(config: Mapping[str, Any], base: BaseModel) -> dict[str, Any]:
    """Return adapter_config.json: PEFT's own, as JSON values, for inference on this base model."""
    facts = {
        key: sorted(value) if isinstance(value, set) else getattr(value, "value", value)
        for key, value in config.items()
    }
    card = base_model_card(base)
    return {
        **facts,
        "base_model_name_or_path": card.hub_id or card.name,
        "inference_mode": True,
    }
