"""Fit preference types to rankings: the main job, from Python."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo.adapting import adapter_trainer, by_falling_weight, reading_of
from emdpo.core.checks import check_n_types
from emdpo.core.em import EMConfig, Monitor, StopReason, StopTest, TraceRow, never
from emdpo.core.errors import EmdpoError
from emdpo.core.features import FeatureSet, build_features
from emdpo.core.identifiability import (
    IdentifiabilityStatement,
    panel_identifiability,
    refuse_unidentifiable,
)
from emdpo.core.information import Information, observed_information
from emdpo.core.json_values import plain
from emdpo.core.loglinear import LogLinearPolicies
from emdpo.core.mixture import (
    LogLinearCheckpoint,
    LogLinearRun,
    MixtureFit,
    fit_mixture,
    occupied_types,
)
from emdpo.core.scored import ScoredPolicies
from emdpo.settings import ADAPTERS, LOGLINEAR, FitConfig

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from emdpo.adapters.saved import Adapter, AdapterOutcome, BaseModelCard
    from emdpo.adapting import Progress
    from emdpo.core.rankings import Rankings


@dataclass(frozen=True)
class Restarts:
    """What the starts of EM say about the fit."""

    n_starts: int
    """Starts run; 1 for one type, which has one optimum."""
    n_reached_best: int
    """Starts that ended at the best optimum (within 0.01 nats)."""
    agreement: float | None
    """Mean adjusted Rand index of the next best starts with the best; None with one start."""


@dataclass(frozen=True, eq=False)
class Fit:
    """K preference types found in N users' rankings, largest first."""

    rankings: Rankings
    """The rankings fitted."""
    config: FitConfig
    policies: LogLinearPolicies | ScoredPolicies
    """The type policies; `policies.candidate_scores()` is (K, A)."""
    pooled: LogLinearPolicies | ScoredPolicies
    """One policy fitted to everybody, as plain DPO would be (K = 1)."""
    reading: LogLinearPolicies
    """What each type prefers, in features: log-linear policies themselves; for adapters, log-linear
    policies fitted to the types that the adapters found."""
    weights: NDArray[np.float64]
    """(K,) share of users of each type."""
    responsibilities: NDArray[np.float64]
    """(N, K) posterior probability of each type for each user."""
    log_likelihood: float
    """Observed, unpenalised, in nats, on the rankings fitted."""
    trace: tuple[TraceRow, ...]
    """Every iteration of every start."""
    stop_reason: StopReason
    n_iter: int
    """Iterations of the best start; rounds of adapters."""
    remaining_gain: float
    """Estimated nats still to be gained; nan where unknown."""
    restarts: Restarts
    """Of the log-linear fit, from which adapters start."""
    information: Information
    identifiability: IdentifiabilityStatement
    data_sha256: str
    """Fingerprint of the rankings fitted (`data_fingerprint`)."""
    versions: Mapping[str, str] = field(default_factory=dict)
    """Versions of emdpo, Python and the numerical libraries that made the fit."""
    adapters: Mapping[str, Adapter] | None = None
    """The adapters by name, type-1 .. type-K and pooled; None for log-linear policies."""
    base_model: BaseModelCard | None = None
    """The model that the adapters sit on."""
    warnings: tuple[str, ...] = ()
    """What a reader of this fit must know, one sentence each."""
    evidence: Mapping[str, Any] = field(default_factory=dict)
    """JSON values about the adapters' training, e.g. held-out log-likelihood by round."""

    @property
    def n_types(self) -> int:
        """K."""
        return self.config.n_types

    @property
    def features(self) -> FeatureSet:
        """The features of the reading."""
        return self.reading.features

    @property
    def empty_types(self) -> tuple[int, ...]:
        """Numbers (from 1) of types that hold less than half a user: the data support fewer."""
        held = occupied_types(self.weights, self.rankings.n_users)
        return tuple(int(k) + 1 for k in np.flatnonzero(~held))

    def save(self, folder: str | Path) -> Path:
        """Write the run folder (DESIGN section 5) and return its path."""
        from emdpo.runs import save_fit

        return save_fit(self, folder)

    def trace_table(self) -> pd.DataFrame:
        """Return trace.csv: restart, iteration, log_likelihood, weight_1 .. weight_K."""
        columns = ["restart", "iteration", "log_likelihood"]
        weights = np.array([row.weights for row in self.trace]).reshape(-1, self.n_types)
        table = pd.DataFrame([row[:3] for row in self.trace], columns=columns)
        return table.assign(**{f"weight_{k + 1}": weights[:, k] for k in range(self.n_types)})

    def responsibility_table(self) -> pd.DataFrame:
        """Return responsibilities.csv: user_id, type_1 .. type_K."""
        names = [f"type_{k + 1}" for k in range(self.n_types)]
        table = pd.DataFrame(self.responsibilities, columns=names)
        table.insert(0, "user_id", self.rankings.users.index)
        return table


def fit(
    rankings: Rankings,
    n_types: int,
    *,
    force: bool = False,
    monitor: Monitor | None = None,
    should_stop: StopTest = never,
    finished: Mapping[int, LogLinearRun] | None = None,
    on_finished: Callable[[int, LogLinearRun], None] | None = None,
    under_way: Mapping[int, LogLinearCheckpoint] | None = None,
    on_checkpoint: Callable[[int, LogLinearCheckpoint], None] | None = None,
    feature_set: FeatureSet | None = None,
    folder: Path | None = None,
    on_progress: Progress | None = None,
    **settings: Any,
) -> Fit:
    """Return the preference types behind rankings, found by EM-DPO.

    Parameters
    ----------
    rankings : Rankings
        What `load` returned. Rankings that `split` holds out are left out.
    n_types : int
        K, in 1..N users.
    force : bool
        Fit more than one type even where the rankings cannot tell types apart.
    monitor : callable, optional
        Called with a TraceRow after every iteration; returning true cancels the fit.
    should_stop : callable, optional
        Asked more often still, after every optimiser step; true cancels the fit.
    finished, on_finished, feature_set
        Starts (and features) taken over from an interrupted fit, and a call after each start.
    under_way, on_checkpoint
        Checkpoints that starts go on from, and a call with the start's number at each new one.
    folder, on_progress
        Where the training of adapters keeps what it needs to be resumed, and a call after each of
        its steps with the name of an event and facts by keyword.
    **settings
        Any other field of `FitConfig`: features, beta, l2, restarts, max_iter, seed, policy,
        base_model, adapters.

    Returns
    -------
    Fit
        Types numbered by falling weight.

    Raises
    ------
    EmdpoError
        A setting out of range, more types than users, features that the data lack, or adapters
        without the libraries that they need.
    NotIdentifiableError
        K > 1 with one pair per user (a half-and-half mixture of theta and -theta would answer
        every pair 50/50) or with no order at all, unless `force`.

    Notes
    -----
    EM-DPO: Chidambaram, Seetharaman, Syrgkanis, AISTATS 2026, arXiv 2510.15716. Pairwise
    likelihoods are replaced by Plackett-Luce.

    Examples
    --------
    >>> import emdpo
    >>> rankings = emdpo.load("assets/demo/rankings.csv")
    >>> found = emdpo.fit(rankings, n_types=3, restarts=2, seed=0)
    >>> found.stop_reason.value, found.weights.round(1).tolist()
    ('converged', [0.5, 0.3, 0.2])
    """
    config = FitConfig(n_types=n_types, **settings)
    train = adapter_trainer(config) if config.policy == ADAPTERS else None
    panel = fitted_panel(rankings)
    check_n_types(n_types, panel)
    if n_types > 1 and not force:
        refuse_unidentifiable(panel)
    features = feature_set or build_features(panel, config.features)
    work = partial(_fit, panel, features, should_stop=should_stop)
    one = work(replace(config, n_types=1)) if n_types > 1 else None
    mixture = work(
        config,
        monitor=monitor,
        finished=finished,
        on_finished=on_finished,
        under_way=under_way,
        on_checkpoint=on_checkpoint,
    )
    if train is None:
        return _assemble(panel, config, mixture, one or mixture)
    if mixture.stop_reason is StopReason.CANCELLED:
        return _without_adapters(panel, config, mixture, one or mixture)
    outcome = train(
        panel,
        mixture.best.state,
        config,
        also=np.bincount(rankings.candidate, minlength=rankings.n_candidates) > 0,
        monitor=_after_starts(monitor, len(mixture.runs)),
        should_stop=should_stop,
        folder=folder,
        on_progress=on_progress,
    )
    if outcome is None:
        return _without_adapters(panel, config, mixture, one or mixture)
    return _assemble_adapters(panel, config, mixture, by_falling_weight(outcome))


def _fit(
    panel: Rankings,
    features: FeatureSet,
    config: FitConfig,
    **watching: Any,
) -> MixtureFit:
    return fit_mixture(
        panel,
        features,
        config.n_types,
        l2=config.l2,
        n_restarts=config.restarts,
        seed=config.seed,
        config=EMConfig(max_iter=config.max_iter),
        **watching,
    )


def _assemble(panel: Rankings, config: FitConfig, mixture: MixtureFit, pooled: MixtureFit) -> Fit:
    state, gain = mixture.best.state, mixture.best.remaining_gain
    stopped = mixture.stop_reason is StopReason.CANCELLED
    return Fit(
        rankings=panel,
        config=config,
        policies=state.policies,
        pooled=pooled.best.state.policies,
        reading=state.policies,
        weights=np.exp(state.log_weights),
        responsibilities=np.exp(state.log_resp),
        log_likelihood=state.log_likelihood,
        trace=mixture.trace,
        stop_reason=mixture.stop_reason,
        n_iter=max(len(mixture.best.trace) - 1, 0),
        remaining_gain=gain if np.isfinite(gain) else np.nan,
        restarts=_restarts(mixture),
        information=NOT_COMPUTED if stopped else observed_information(state, panel),
        identifiability=panel_identifiability(panel),
        data_sha256=data_fingerprint(panel),
        versions=library_versions(),
    )


def _restarts(mixture: MixtureFit) -> Restarts:
    return Restarts(len(mixture.runs), mixture.n_reached_best, mixture.restart_agreement)


def _without_adapters(
    panel: Rankings, config: FitConfig, mixture: MixtureFit, pooled: MixtureFit
) -> Fit:
    """Return the log-linear fit of one that was stopped before there were adapters."""
    plain_config = replace(config, policy=LOGLINEAR, base_model=None, adapters=None)
    stopped = _assemble(panel, plain_config, mixture, pooled)
    told = "the fit was stopped before adapters were trained: these are its log-linear policies"
    return replace(stopped, warnings=(told,), stop_reason=StopReason.CANCELLED)


def _after_starts(monitor: Monitor | None, n_starts: int) -> Monitor | None:
    """Return a monitor of the adapters' rounds that tells them from the log-linear starts."""
    if monitor is None:
        return None
    return lambda row: monitor(row._replace(restart=n_starts + row.restart))


def _assemble_adapters(
    panel: Rankings, config: FitConfig, mixture: MixtureFit, found: AdapterOutcome
) -> Fit:
    gain = found.remaining_gain
    return Fit(
        rankings=panel,
        config=config,
        policies=ScoredPolicies(np.asarray(found.scores, np.float64)),
        pooled=ScoredPolicies(np.asarray(found.pooled_scores, np.float64)[None]),
        reading=reading_of(found, mixture.best.state.policies, panel),
        weights=np.exp(found.log_weights),
        responsibilities=np.exp(found.log_resp),
        log_likelihood=found.log_likelihood,
        trace=found.trace,
        stop_reason=found.stop_reason,
        n_iter=found.n_iter,
        remaining_gain=gain if np.isfinite(gain) else np.nan,
        restarts=_restarts(mixture),
        information=NO_PARAMETERS,
        identifiability=panel_identifiability(panel),
        data_sha256=data_fingerprint(panel),
        versions=library_versions(ADAPTER_LIBRARIES),
        adapters=found.adapters,
        base_model=found.base_model,
        warnings=found.warnings,
        evidence=plain(found.evidence),
    )


NOT_COMPUTED = Information(None, 0, "not computed: the fit was stopped")
NO_PARAMETERS = Information(None, 0, "not computed for adapters on a language model")


def fitted_panel(rankings: Rankings) -> Rankings:
    """Return the rankings to fit, those that `split` does not hold out.

    Raises
    ------
    EmdpoError
        There are none.
    """
    panel = rankings.fitted()
    if panel.n_rankings == 0:
        raise EmdpoError("every ranking is held out by split: nothing is left to fit")
    return panel


def data_fingerprint(rankings: Rankings) -> str:
    """Return the SHA-256 of the rankings' canonical content, whatever file format they came in."""
    digest = hashlib.sha256()
    for array in (rankings.offsets, rankings.ranks, rankings.candidate, rankings.user):
        digest.update(np.ascontiguousarray(array, np.int64).tobytes())
    digest.update(np.ascontiguousarray(rankings.weight).tobytes())
    for table in (rankings.users.reset_index(), rankings.prompts, rankings.candidates):
        for name in table.columns:
            column = table[name]
            digest.update(f"\0{name}\0".encode())
            if pd.api.types.is_numeric_dtype(column.dtype):
                digest.update(np.ascontiguousarray(column, np.float64).tobytes())
            else:
                digest.update("\0".join(map(repr, column)).encode("utf-8", "surrogatepass"))
    return digest.hexdigest()


def fit_fingerprint(fit: Fit) -> str:
    """Return the SHA-256 of what tells a fit from others: data, settings and the types' weights."""
    about = {"data": fit.data_sha256, "config": fit.config.to_dict(), "weights": fit.weights}
    return hashlib.sha256(json.dumps(plain(about), sort_keys=True).encode()).hexdigest()


LIBRARIES = ("emdpo", "numpy", "scipy", "pandas", "scikit-learn")
ADAPTER_LIBRARIES = (*LIBRARIES, "torch", "transformers", "peft")


def library_versions(libraries: Sequence[str] = LIBRARIES) -> dict[str, str]:
    """Return the versions that a fit depends on."""
    import platform
    from importlib.metadata import PackageNotFoundError, version

    versions = {"python": platform.python_version()}
    for package in libraries:
        try:
            versions[package] = version(package)
        except PackageNotFoundError:
            versions[package] = "not installed"
    return versions
