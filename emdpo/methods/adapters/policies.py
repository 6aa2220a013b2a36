"""DPO, cluster-DPO, EM-DPO and MixDPO with LoRA adapters in place of log-linear policies.

Free of torch until something is fitted. How users are told apart is that of the log-linear method;
the adapters start where it ended, and are scored on the listed answers like any other policy.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from emdpo.adapters.saved import type_name
from emdpo.adapting import adapter_trainer, told_what_to_install
from emdpo.core.em import never
from emdpo.methods.base import OneScore, Problem, TypeScores
from emdpo.methods.cluster_dpo import ClusterDPO, Clusters, clustered
from emdpo.methods.dpo import DPO
from emdpo.methods.em_dpo import EMDPO, mixture_of, mixture_state
from emdpo.methods.mixdpo import MixDPO, RandomStrength, likeliest_spread, strengths
from emdpo.settings import ADAPTERS, FitConfig

if TYPE_CHECKING:
    from emdpo.adapters.saved import AdapterOutcome

ADAPTER_BUDGET = 2
"""Settings that each method may try here, where a fit takes minutes; the best of its rounds is
told by prompts that it keeps out of training."""

CHANGED = "LoRA adapters on a language model, by gradient steps"


@dataclass(frozen=True)
class AdapterDPO:
    """One adapter for everybody."""

    name: ClassVar[str] = "adapter_dpo"
    source: ClassVar[str] = DPO.source
    assumes: ClassVar[str] = DPO.assumes
    changed: ClassVar[str] = CHANGED

    rate: float = 1.0
    """Times the learning rate of the adapters' settings."""

    @classmethod
    def grid(cls) -> Sequence[AdapterDPO]:
        """Return two learning rates."""
        return [cls(1.0), cls(0.5)]

    def fit(self, problem: Problem) -> OneScore:
        """Train an adapter on all rankings."""
        outcome = train(problem, 1, self.rate)
        return OneScore(outcome.scores[0], n_parameters(outcome))


@dataclass(frozen=True)
class AdapterClusterDPO:
    """The clusters of `cluster_dpo`, each with an adapter."""

    name: ClassVar[str] = "adapter_cluster_dpo"
    source: ClassVar[str] = ClusterDPO.source
    assumes: ClassVar[str] = ClusterDPO.assumes
    changed: ClassVar[str] = f"{CHANGED}; clusters from the features, as in cluster_dpo"

    n_types: int = 2

    @classmethod
    def grid(cls) -> Sequence[AdapterClusterDPO]:
        """Return 2 and 3 clusters."""
        return [cls(2), cls(3)]

    def fit(self, problem: Problem) -> Clusters:
        """Cluster the users, then train every cluster's adapter on its own rankings."""
        member, centres = clustered(problem, self.n_types)
        panel = problem.panel
        outcomes = [
            train(replace(problem, panel=panel.select(own[panel.user], drop_users=True)), 1)
            for own in member.T == 1
        ]
        scores = np.stack([each.scores[0] for each in outcomes])
        return Clusters.of(problem, member, centres, scores, sum(map(n_parameters, outcomes)))


@dataclass(frozen=True)
class AdapterEMDPO:
    """What `emdpo fit --policy adapters` fits."""

    name: ClassVar[str] = "adapter_em_dpo"
    source: ClassVar[str] = EMDPO.source
    assumes: ClassVar[str] = EMDPO.assumes
    changed: ClassVar[str] = f"{CHANGED}, from the responsibilities of em_dpo"

    n_types: int = 2

    @classmethod
    def grid(cls) -> Sequence[AdapterEMDPO]:
        """Return 2 and 3 types."""
        return [cls(2), cls(3)]

    def fit(self, problem: Problem) -> TypeScores:
        """Go on from log-linear EM with generalised EM over adapters."""
        outcome = train(problem, min(self.n_types, problem.panel.n_users))
        size = n_parameters(outcome) + len(outcome.log_weights) - 1
        return mixture_of(problem, outcome.scores, outcome.log_weights, size)


@dataclass(frozen=True)
class AdapterMixDPO:
    """One adapter, felt with a random strength."""

    name: ClassVar[str] = "adapter_mixdpo"
    source: ClassVar[str] = MixDPO.source
    assumes: ClassVar[str] = MixDPO.assumes
    changed: ClassVar[str] = f"{CHANGED}; the spread is fitted anew after each round"

    family: Literal["lognormal", "gamma"] = "lognormal"

    @classmethod
    def grid(cls) -> Sequence[AdapterMixDPO]:
        """Return both families."""
        return [cls("lognormal"), cls("gamma")]

    def fit(self, problem: Problem) -> RandomStrength:
        """Train an adapter by the marginal likelihood, from the spread of the log-linear fit."""
        with told_what_to_install():
            from emdpo.methods.adapters.strength import RandomStrengthRounds
        spread = MixDPO(self.family).fit(problem).spread
        rounds = partial(RandomStrengthRounds, family=self.family, spread=spread)
        outcome = train(problem, 1, rounds=rounds)
        scores, panel = outcome.scores[0], problem.panel
        spread = likeliest_spread(self.family, panel, scores[panel.candidate])
        size = n_parameters(outcome) + 1
        return RandomStrength(scores, strengths(self.family, spread), spread, size)


def train(
    problem: Problem,
    n_types: int,
    rate: float = 1.0,
    rounds: Callable[..., Any] | None = None,
) -> AdapterOutcome:
    """Return K adapters, and one for everybody, that start where log-linear EM ended.

    `rate` is times the learning rate; `rounds` as in `emdpo.adapters.fitting.fit_adapters`. One
    type has no E-step to cross-fit.

    Raises
    ------
    EmdpoError
        A library or the base model is missing, or does not carry these adapters.
    """
    config = fit_config(problem, n_types)
    settings = config.adapters
    assert settings is not None  # noqa: S101 - FitConfig has put the defaults there
    settings = replace(settings, learning_rate=rate * settings.learning_rate)
    if n_types == 1:
        settings = replace(settings, cross_fit="never")
    config = replace(config, adapters=settings)
    outcome = adapter_trainer(config)(
        problem.panel,
        mixture_state(problem, n_types, config.l2),
        config,
        also=np.ones(problem.panel.n_candidates, bool),
        monitor=None,
        should_stop=never,
        rounds=rounds,
        shared=problem.scratch,
    )
    assert outcome is not None  # noqa: S101 - nobody stops it
    return outcome


def fit_config(problem: Problem, n_types: int = 1) -> FitConfig:
    """Return the settings of a fit of adapters; EmdpoError for one out of range."""
    return FitConfig(
        n_types=n_types,
        policy=ADAPTERS,
        beta=problem.beta,
        seed=problem.seed,
        base_model=problem.base_model,
        adapters=problem.adapters,
    )


def n_parameters(outcome: AdapterOutcome) -> int:
    """Return the numbers in the adapters of all types."""
    tensors = (outcome.adapters[type_name(k)].tensors for k in range(len(outcome.log_weights)))
    return sum(tensor.size for each in tensors for tensor in each.values())
