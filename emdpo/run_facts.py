"""What two runs are, in which settings they differ, and what their reader must know."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo.core.em import StopReason
from emdpo.settings import flat_settings

if TYPE_CHECKING:
    from emdpo.fitting import Fit
    from emdpo.shared_parts import Shared


@dataclass(frozen=True)
class RunFacts:
    """One of the two runs."""

    label: str
    """Its folder as given, or "A" and "B"."""
    n_types: int
    weights: tuple[float, ...]
    """(K,) share of its users of each type."""
    policy: str
    features: str
    """Features used, where `auto` chose them too."""
    n_users: int
    n_rankings: int
    n_candidates: int
    log_likelihood: float
    """Observed, unpenalised, in nats, on its rankings."""
    n_parameters: int | None
    """Of the types; None for adapters."""
    stop_reason: str
    seed: int
    n_starts: int
    n_reached_best: int
    """Starts that reached the optimum kept."""


def facts_of(fit: Fit, label: str) -> RunFacts:
    """Return what a run is."""
    return RunFacts(
        label=label,
        n_types=fit.n_types,
        weights=tuple(fit.weights.tolist()),
        policy=fit.config.policy,
        features=fit.features.kind,
        n_users=fit.rankings.n_users,
        n_rankings=fit.rankings.n_rankings,
        n_candidates=fit.rankings.n_candidates,
        log_likelihood=fit.log_likelihood,
        n_parameters=fit.information.n_parameters or None,
        stop_reason=fit.stop_reason.value,
        seed=fit.config.seed,
        n_starts=fit.restarts.n_starts,
        n_reached_best=fit.restarts.n_reached_best,
    )


def setting_changes(a: Fit, b: Fit) -> pd.DataFrame:
    """Return what differs of settings, data and versions: setting, a, b; None = not set."""
    one, other = _settings(a), _settings(b)
    for library in a.versions.keys() & b.versions.keys():
        name = f"version of {library}"
        one[name], other[name] = a.versions[library], b.versions[library]
    names = [*one, *(name for name in other if name not in one)]
    rows = [
        (name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)
    ]
    return pd.DataFrame(rows, columns=["setting", "a", "b"], dtype=object)


def _settings(fit: Fit) -> dict[str, Any]:
    """Return every setting by name, also what `auto` chose."""
    base = fit.base_model
    return {
        **flat_settings(fit.config.to_dict()),
        "features used": fit.features.kind,
        "base model's fingerprint": None if base is None else base.fingerprint,
        "data_sha256": fit.data_sha256,
    }


def notes_on(a: Fit, b: Fit, shared: Shared) -> Iterator[str]:
    """Yield what a reader of the comparison must know."""
    if not shared.same_data:
        yield from _on_other_data(a, b, shared)
    if a.n_types != b.n_types and shared.same_data:
        yield (
            "more types fit the rankings that they were fitted to at least as well: the "
            "log-likelihood does not say which number of types predicts better (emdpo select does)"
        )
    if a.config.beta != b.config.beta:
        yield (
            f"beta is {a.config.beta:g} in A and {b.config.beta:g} in B, so that policies keep "
            "nearer to the untuned model in one of them, and KL regrets have other scales"
        )
    for name, fit in (("A", a), ("B", b)):
        starts = fit.restarts
        if fit.stop_reason is not StopReason.CONVERGED:
            yield f"run {name} did not converge (it ended with {fit.stop_reason.value})"
        if fit.empty_types:
            yield f"{len(fit.empty_types)} of {fit.n_types} types of run {name} have no users"
        if starts.n_starts > 1 and starts.n_reached_best == 1:
            yield (
                f"only one of {starts.n_starts} starts of run {name} reached its optimum: another "
                "seed may move as many users"
            )


def _on_other_data(a: Fit, b: Fit, shared: Shared) -> Iterator[str]:
    n = [f"{fit.rankings.n_users:,}" for fit in (a, b)]
    yield (
        f"the runs were fitted to different data: compared are {len(shared.users[0]):,} users "
        f"({n[0]} in A, {n[1]} in B) and {len(shared.prompt):,} answers that both know, by their "
        "ids; log-likelihoods cannot be compared"
    )
    texts = [
        fit.rankings.candidates["response"].to_numpy(object)[places]
        for fit, places in zip((a, b), shared.candidates, strict=True)
    ]
    n_other = int(np.count_nonzero(texts[0] != texts[1]))
    if n_other:
        yield f"{n_other:,} of these answers have the same ids but another text in each run"
