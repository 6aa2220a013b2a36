"""Audit what policies write: draw answers from each, score them under every type, estimate regret.

The exact figures of an audit run over the answers listed; these run over all answers that the
policies can write. The consensus is drawn and judged token by token, as in a chat. Mixtures need no
answers of their own: their types' stand for them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import numpy as np

from emdpo.adapters.answers import Blend, Speaker, base_speaker, blend_speaker
from emdpo.adapters.config import AdapterConfig
from emdpo.adapters.consensus import score_consensus
from emdpo.adapters.distilled import DISTILLED
from emdpo.adapters.drawn import Answer, draw_answers, with_answers
from emdpo.adapters.fitted import model_of
from emdpo.adapters.m_steps import Watching
from emdpo.adapters.saved import POOLED, adapter_names
from emdpo.adapters.scoring import ResponseScorer
from emdpo.adapters.tokens import Tokens, tokenise
from emdpo.core.em import StopTest, never
from emdpo.core.sampled_regret import Draws, SampledRegret, SamplingPlan, regret_of_draws

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.base_model import BaseModel
    from emdpo.adapters.lora import AdaptedModel
    from emdpo.adapters.saved import Adapter
    from emdpo.fitting import Fit

BASE, CONSENSUS = "base", "consensus"
"""The untuned model among the rules, and the rule that blends all types."""

PROMPTS, DRAWS = range(2)
"""Names of the random streams."""

Progress = Callable[..., None]
"""Called as progress(event, **facts)."""


def sampled_regret(
    fit: Fit,
    weights: Mapping[str, NDArray[np.float64] | None],
    plan: SamplingPlan | None = None,
    *,
    compromises: Sequence[str] = (CONSENSUS,),
    distilled: Adapter | None = None,
    digest: str | None = None,
    base: BaseModel | None = None,
    should_stop: StopTest = never,
    on_progress: Progress | None = None,
) -> SampledRegret | None:
    """Return regrets of a fit's rules from answers drawn from them; None where it was stopped.

    Parameters
    ----------
    fit : Fit
        With adapters.
    weights : dict of str to (K,) or None
        `Audit.weights`: of the types by rule.
    plan : SamplingPlan, optional
    compromises : sequence of str
        The rules whose weights are exponents of a consensus.
    distilled : Adapter, optional
        The consensus as one adapter, asked beside the rules; `digest` is its SHA-256.
    base, should_stop, on_progress
        As of `distil`; the events are `loading`, `drawing` and `scoring`.

    Raises
    ------
    EmdpoError
        As `distil`.

    Notes
    -----
    R_k(pi) = beta E_x E_{y~pi} log(pi / pi_k) and V_k(pi_k) - V_k(pi) are means over the draws of
    pi (and pi_k); standard errors as `core.sampled_regret.mean_and_error`.
    """
    plan = plan or SamplingPlan()
    watching = Watching(should_stop=should_stop, progress=on_progress or _say_nothing)
    watching.progress("loading", base_model=fit.config.base_model)
    others = {} if distilled is None else {DISTILLED: distilled}
    adapted = model_of(fit, list(adapter_names(fit.n_types)), others, base)
    rules = rules_asked(weights, adapted.names, compromises)
    settings = fit.config.adapters or AdapterConfig()
    with TemporaryDirectory(prefix="emdpo-") as work:
        tokens = tokenise(
            fit.rankings,
            adapted.base,
            Path(work) / "tokens",
            max_length=settings.max_length,
            should_stop=should_stop,
        )
        if tokens is None:
            return None
        prompts = np.unique(tokens.candidate_prompt[np.unique(fit.rankings.candidate)])
        asked = prompts_asked(prompts, plan)
        room = adapted.base.max_length - int(tokens.prompt_lengths[asked].max())
        plan = replace(plan, max_tokens=max(1, min(plan.max_tokens, room)))
        speakers = voices(weights, adapted.names, compromises)
        draws = draw_and_score(
            adapted, tokens, asked, speakers, plan, settings, watching, Path(work)
        )
    if draws is None:
        return None
    regret, error = regret_of_draws(draws, rules, fit.config.beta, len(prompts))
    return SampledRegret(
        n_prompts=len(asked),
        n_prompts_in_all=len(prompts),
        n_samples=plan.n_samples,
        max_tokens=plan.max_tokens,
        seed=plan.seed,
        regret=regret,
        standard_error=error,
        adapters={DISTILLED: digest} if distilled is not None and digest else {},
    )


def _say_nothing(*_args: object, **_facts: object) -> None:
    """Nobody asked to be told."""


def prompts_asked(prompts: NDArray[np.int64], plan: SamplingPlan) -> NDArray[np.int64]:
    """Return the prompts to answer, sorted: all, or as many at random as the plan allows."""
    rng = np.random.default_rng([plan.seed, PROMPTS])
    return np.sort(rng.permutation(prompts)[: plan.max_prompts])


def rules_asked(
    weights: Mapping[str, NDArray[np.float64] | None],
    names: Sequence[str],
    compromises: Sequence[str] = (CONSENSUS,),
) -> dict[str, NDArray[np.float64] | None]:
    """Return the rules that can be judged: weights of a mixture of types, None = a voice.

    `names` are the adapters at hand. The rules of the audit come first, in its order.
    """
    rules: dict[str, NDArray[np.float64] | None] = {}
    for rule, shares in weights.items():
        if rule in (POOLED, *compromises):
            rules[rule] = None
        elif shares is not None:
            rules[rule] = shares
    if DISTILLED in names:
        rules[DISTILLED] = None
    return {**rules, BASE: None}


def voices(
    weights: Mapping[str, NDArray[np.float64] | None],
    names: Sequence[str],
    compromises: Sequence[str] = (CONSENSUS,),
) -> list[Speaker]:
    """Return the policies that draw: base model, adapters, and the compromises of the types."""
    adapters = [Speaker(name, (name,), (1.0,)) for name in names]
    blends = []
    for rule in compromises:
        blend = weights[rule]
        assert blend is not None  # noqa: S101  # only the pooled policy has none
        blends.append(blend_speaker(Blend.CONSENSUS, tuple(blend.tolist()), rule))
    return [base_speaker(), *adapters, *blends]


def draw_and_score(
    adapted: AdaptedModel,
    tokens: Tokens,
    asked: NDArray[np.int64],
    speakers: Sequence[Speaker],
    plan: SamplingPlan,
    settings: AdapterConfig,
    watching: Watching,
    folder: Path,
) -> Draws | None:
    """Return what policies give the answers of all, drawn to the prompts `asked`; None if stopped.

    `tokens` hold the prompts, `folder` gets the trunk's states.
    """
    n_wanted = len(asked) * len(speakers) * plan.n_samples
    prompts = [tokens.prompt_ids(prompt) for prompt in asked.tolist()]
    rng = np.random.default_rng([plan.seed, DRAWS])
    drawn: list[Answer] = []
    for run in draw_answers(
        adapted, prompts, speakers, plan.n_samples, plan.max_tokens, rng, watching.should_stop
    ):
        if run is None:
            return None
        drawn += run
        watching.progress("drawing", done=len(drawn) / n_wanted)
    of_prompt = np.repeat(asked, len(speakers) * plan.n_samples)
    tokens, place = with_answers(tokens, of_prompt, drawn)
    shape = (len(asked), len(speakers), plan.n_samples)
    place = place.reshape(shape).transpose(1, 0, 2)  # (V, P, S)
    scorer = ResponseScorer(
        adapted,
        tokens,
        np.unique(place),
        budget=settings.tokens_per_pass,
        folder=folder,
    )
    return _scored(scorer, speakers, place, watching)


def _scored(
    scorer: ResponseScorer,
    speakers: Sequence[Speaker],
    place: NDArray[np.int64],
    watching: Watching,
) -> Draws | None:
    """Return the log probabilities of answers at `place` (V, P, S) among the candidates."""
    types = [speaker.name for speaker in speakers if speaker.name.startswith("type-")]
    everywhere: dict[str, NDArray[np.float64]] = {}
    own = []
    for speaker, mine in zip(speakers, place, strict=True):
        watching.progress("scoring", policy=speaker.name)
        wanted = None
        if speaker.name not in (BASE, *types):
            wanted = np.isin(np.arange(len(scorer.tokens.candidate_prompt)), mine)
        log_prob = _score(scorer, speaker, wanted, watching.should_stop)
        if log_prob is None:
            return None
        everywhere[speaker.name] = log_prob
        own.append(log_prob[mine])
    return Draws(
        voices=tuple(speaker.name for speaker in speakers),
        log_own=np.stack(own),
        log_types=np.stack([everywhere[name][place] for name in types]),
        log_reference=everywhere[BASE][place],
    )


def _score(
    scorer: ResponseScorer,
    speaker: Speaker,
    wanted: NDArray[np.bool_] | None,
    should_stop: StopTest,
) -> NDArray[np.float64] | None:
    """Return log pi(y|x) of candidates under a speaker, (A,)."""
    if speaker.blend is Blend.CONSENSUS:
        weights = dict(zip(speaker.voices, speaker.weights, strict=True))
        return score_consensus(scorer, weights, wanted, should_stop)
    name = None if speaker.name == BASE else speaker.voices[0]
    return scorer.score_all(name, wanted, should_stop=should_stop)
