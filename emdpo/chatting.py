"""Talk to a run's policies: the base model, each type, the two aggregates, and what people chose.

Which policies speak is told from the run folder alone; torch is imported only to let them speak.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emdpo import files
from emdpo.adapters.answers import (
    Blend,
    Message,
    Partial,
    Sampling,
    Speaker,
    base_speaker,
    blend_speaker,
    type_speaker,
)
from emdpo.adapters.distilled import DISTILLED, distilled_folder
from emdpo.adapters.saved import CONFIG, TENSORS, type_name
from emdpo.chosen import load_chosen
from emdpo.core.em import StopTest, never
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.rules import GIVEN
from emdpo.runs import finished_summary, load_fit
from emdpo.settings import ADAPTERS, EMBEDDED

if TYPE_CHECKING:
    from emdpo.adapters.base_model import BaseModel
    from emdpo.adapters.lora import AdaptedModel


@dataclass(frozen=True)
class Cast:
    """Who can speak for a run."""

    run: Path
    base_name: str
    """Of the base model: "embedded", a hub id or a folder."""
    fingerprint: str | None
    """Of the base model that the adapters were trained on; None where the run does not say."""
    shares: tuple[float, ...]
    """(K,) share of users of each type."""
    speakers: Mapping[str, Speaker]
    """base, type-1 .. type-K, mixture, consensus and, where there are any, given and distilled: by
    name and in this order."""

    @property
    def n_types(self) -> int:
        """K."""
        return len(self.shares)

    def speaker(self, name: str) -> Speaker:
        """Return a speaker by name; EmdpoError where there is none."""
        if name not in self.speakers:
            raise EmdpoError(f"no policy {name!r:.40} in this run: {', '.join(self.speakers)}")
        return self.speakers[name]


@dataclass(frozen=True, eq=False)
class Talkable:
    """A run whose model is loaded. Whoever shares it holds a lock while it answers."""

    cast: Cast
    adapted: AdaptedModel

    def answers(
        self,
        histories: Sequence[Sequence[Message]],
        names: Sequence[str],
        sampling: Sampling | None = None,
        should_stop: StopTest = never,
    ) -> Iterator[list[Partial]]:
        """Yield the growing answers of the named policies; see `adapters.generation.answers`."""
        from emdpo.adapters.generation import answers

        speakers = [self.cast.speaker(name) for name in names]
        return answers(self.adapted, histories, speakers, sampling, should_stop)


def cast_of(run: str | Path) -> Cast:
    """Return who can speak for a finished run.

    Raises
    ------
    RunError
        No finished run, or one without adapters.
    """
    folder = Path(run)
    about = finished_summary(folder)
    if about.get("policy") != ADAPTERS:
        raise RunError(
            f"{folder}: its policies are log-linear and score answers without writing any; "
            f"fit with --policy {ADAPTERS} to chat"
        )
    try:
        shares = tuple(float(share) for share in about["weights"])
        base = about.get("base_model") or {}
        name = about.get("config", {}).get("base_model") or base.get("name") or EMBEDDED
        blends = _blend_weights(folder, len(shares))
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder}: damaged run folder ({error!r})") from None
    everybody = [
        base_speaker(),
        *(type_speaker(k) for k in range(len(shares))),
        *(blend_speaker(blend, weights) for blend, weights in blends.items()),
    ]
    chosen = load_chosen(folder, len(shares))
    if chosen is not None:
        form = Blend(chosen.form)
        everybody.append(blend_speaker(form, chosen.weights, GIVEN, chosen.name))
    if distilled_folder(folder) is not None:
        everybody.append(Speaker(DISTILLED, (DISTILLED,), (1.0,)))
    return Cast(folder, name, base.get("fingerprint"), shares, {s.name: s for s in everybody})


def _blend_weights(run: Path, n_types: int) -> dict[Blend, tuple[float, ...]]:
    """Return the weights of mixture and consensus: of the run's audit, or computed now."""
    kept = run / "audit" / "audit.json"
    weights = files.read_json(kept)["weights"] if kept.exists() else _computed_weights(run)
    found = {blend: tuple(float(a) for a in weights[blend.value]) for blend in Blend}
    if any(len(each) != n_types for each in found.values()):
        raise ValueError("the audit is of another number of types")
    return found


def _computed_weights(run: Path) -> dict[str, Any]:
    from emdpo.core.rules import rule_policies

    fit = load_fit(run)
    rules, _ = rule_policies(
        fit.policies.candidate_scores(),
        fit.pooled.candidate_scores()[0],
        fit.weights,
        fit.rankings.candidate_prompt,
        fit.config.beta,
    )
    return {name: rule.weights for name, rule in rules.items()}


def open_run(run: str | Path | Cast, base: BaseModel | None = None) -> Talkable:
    """Return a run whose policies can answer.

    Parameters
    ----------
    run
        A finished run folder with adapters, or what `cast_of` said of it.
    base
        The run's base model, if it is loaded already and carries no adapters; loaded by default.

    Raises
    ------
    RunError
        As `cast_of`; another base model; adapters that are damaged or do not fit.
    ModelError
        The base model or the libraries that it needs are missing.
    """
    from emdpo.adapters.base_model import load_base_model
    from emdpo.adapters.lora import load_adapters

    cast = run if isinstance(run, Cast) else cast_of(run)
    folders = {name: cast.run / "policy" / name for name in map(type_name, range(cast.n_types))}
    _verify(cast.run, folders)
    distilled = distilled_folder(cast.run) if DISTILLED in cast.speakers else None
    if distilled is not None:
        folders[DISTILLED] = distilled
    base = base or load_base_model(cast.base_name)
    if cast.fingerprint not in (None, base.fingerprint):
        raise RunError(
            f"{cast.run}: its adapters were trained on another base model than {base.name} "
            f"(fingerprint {str(cast.fingerprint)[:12]}, here {base.fingerprint[:12]})"
        )
    return Talkable(cast, load_adapters(base, folders))


def _verify(run: Path, folders: Mapping[str, Path]) -> None:
    """Raise unless the adapters are those that fit.json was written for, bit for bit."""
    digests = finished_summary(run).get("files")
    for name in folders:
        for file in (CONFIG, TENSORS):
            path = f"policy/{name}/{file}"
            known = digests.get(path) if isinstance(digests, dict) else None
            if known is not None and files.sha256(run / path) != known:
                raise RunError(f"{run}: {path} is damaged or was changed after the fit was saved")


def ask(talkable: Talkable, name: str, prompt: str, sampling: Sampling) -> Iterator[Partial]:
    """Yield one policy's growing answer to one question; EmdpoError where there is none."""
    if not prompt.strip():
        raise EmdpoError("the question is empty")
    history = [{"role": "user", "content": prompt}]
    for (partial,) in talkable.answers([history], [name], sampling):
        yield partial


def told(
    cast: Cast, name: str, prompt: str, partial: Partial, sampling: Sampling
) -> dict[str, Any]:
    """Return an answer as JSON values: who said what to which question, and how it was drawn."""
    speaker = cast.speaker(name)
    return {
        "policy": name,
        "prompt": prompt,
        "answer": partial.text,
        "ending": partial.ending,
        "n_tokens": partial.n_tokens,
        "weights": speaker.weights if len(speaker.voices) > 1 else None,
        "posterior": partial.posterior,
        **asdict(sampling),
    }
