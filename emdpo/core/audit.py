"""The audit: the regret that each discovered type and each observed group suffers by rule."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo.core.errors import EmdpoError
from emdpo.core.group_regret import GroupRegret, SuppressedGroup, group_regrets
from emdpo.core.groups import groupings
from emdpo.core.json_values import as_json, plain
from emdpo.core.judging import KINDS, judge, kinds_of
from emdpo.core.mixture import occupied_types
from emdpo.core.refits import RefitAudit
from emdpo.core.regret import PromptRegret, average_prompts
from emdpo.core.resampling import resampled_counts
from emdpo.core.rules import FORMS, MIXTURE
from emdpo.core.sampled_regret import SampledRegret

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.tested import Evidence

NO_REGRET = 1e-9
"""A mean regret below this is rounding: nothing can be set in proportion to it."""

MAX_BOOTSTRAP = 100_000
"""More resamples than any interval needs are a slip of the hand."""


@dataclass(frozen=True)
class AuditConfig:
    """How uncertainty is measured and which groups are shown."""

    min_group: int = 10
    """Groups with fewer users are suppressed, >= 1."""
    n_bootstrap: int = 1000
    """Resamples of users (groups) and of prompts (regret matrix), >= 1."""
    confidence: float = 0.95
    """Of the percentile intervals, in (0, 1)."""
    seed: int = 0
    """Of the resampling, >= 0."""
    crossed: bool = True
    """Whether people are also grouped by every two of up to six attributes."""
    computed: tuple[str, ...] = ()
    """Attributes computed from the rankings themselves: shown, but never a finding."""
    weights: tuple[float, ...] | None = None
    """(K,) of a blend to audit too, as the rule `given`: shares >= 0, summing to one."""
    weights_form: str = MIXTURE
    """Of that blend: `mixture`, or `consensus`, whose exponents the weights are."""

    def __post_init__(self) -> None:
        if self.weights is not None:
            object.__setattr__(self, "weights", tuple(map(float, self.weights)))
        object.__setattr__(self, "computed", tuple(self.computed))
        if self.weights_form not in FORMS:
            forms = " or ".join(FORMS)
            raise EmdpoError(f"weights_form must be {forms}, got {self.weights_form!r:.40}")
        if self.min_group < 1 or self.n_bootstrap < 1:
            raise EmdpoError("min_group and n_bootstrap must be at least 1")
        if self.n_bootstrap > MAX_BOOTSTRAP:
            raise EmdpoError(f"n_bootstrap must be at most {MAX_BOOTSTRAP:,}")
        if self.seed < 0:
            raise EmdpoError(f"seed must be at least 0, got {self.seed}")
        if not 0 < self.confidence < 1:
            raise EmdpoError(f"confidence must be between 0 and 1, got {self.confidence}")


@dataclass(frozen=True, eq=False)
class Audit:
    """Regret of every aggregation rule for K types and for groups of users."""

    rules: tuple[str, ...]
    n_users: int
    n_prompts: int
    prevalence: NDArray[np.float64]
    """(K,) weights of the types."""
    regret: Mapping[str, Mapping[str, NDArray[np.float64]]]
    """By kind and rule: (K,), raw (plain can be negative); nan where a type has no share."""
    regret_matrix: NDArray[np.float64]
    """(K, K) plain regret of type k when served by the policy of type j."""
    regret_matrix_interval: NDArray[np.float64] | None
    """(K, K, 2) percentile bootstrap over prompts; None with one prompt."""
    weights: Mapping[str, NDArray[np.float64] | None]
    """By rule: (K,) weights on the types' policies (exponents for the consensus)."""
    duality_gap: Mapping[str, float]
    """Of the optimised rules: how far from the best of their kind they can be, nats."""
    groups: tuple[GroupRegret, ...]
    suppressed: tuple[SuppressedGroup, ...]
    config: AuditConfig
    regret_interval: Mapping[str, Mapping[str, NDArray[np.float64]]] | None = None
    """By kind and rule: (K, 2) percentile bootstrap over prompts; None with one prompt."""
    sampled: SampledRegret | None = None
    """The same regrets by answers drawn from the policies; None where none were drawn."""
    evidence: Evidence | None = None
    """How well the rules predict rankings that nobody fitted; None where that was not asked."""
    beta: float | None = None
    """DPO inverse temperature of the scores audited, > 0."""
    policies: Mapping[str, NDArray[np.float64]] | None = None
    """By rule: (A,) probabilities of the candidates, in the order of the scores."""
    attributes: tuple[str, ...] = ()
    """By which people are grouped, in this order."""
    outside: tuple[str, ...] = ()
    """Rules that are policies of other origin, whose probabilities were given."""
    refit: RefitAudit | None = None
    """Intervals with types found anew; None where that was not asked."""
    cautions: tuple[str, ...] = ()
    """What a reader must know before believing it (`cautions`). Holds user text: escape it."""

    @property
    def n_types(self) -> int:
        """K."""
        return len(self.prevalence)

    @property
    def occupied(self) -> NDArray[np.bool_]:
        """(K,) false for a type without users."""
        return occupied_types(self.prevalence, self.n_users)

    def outside_policies(self) -> dict[str, NDArray[np.float64]]:
        """Return the probabilities (A,) of the policies of other origin, by name."""
        return {name: (self.policies or {})[name] for name in self.outside}

    def worst(self, kind: str) -> dict[str, float]:
        """Return the largest regret over types that have users, by rule."""
        held = self.occupied
        return {rule: float(np.max(values[held])) for rule, values in self.regret[kind].items()}

    def mean(self, kind: str) -> dict[str, float]:
        """Return the regret averaged over types by their weights, by rule."""
        held = self.occupied
        return {
            rule: float(self.prevalence[held] @ values[held])
            for rule, values in self.regret[kind].items()
        }

    def worst_to_mean(self, kind: str) -> dict[str, float]:
        """Return how many times the mean the worst regret is, by rule; nan for a mean below 0.

        1 = all types lose alike. Where hardly anything is lost it says little.
        """
        worst, mean = self.worst(kind), self.mean(kind)
        return {
            rule: worst[rule] / mean[rule] if mean[rule] > NO_REGRET else np.nan for rule in worst
        }

    def to_dict(self) -> dict[str, Any]:
        """Return audit.json (DESIGN section 5) as JSON values; null for what does not exist."""
        drawn = {} if self.sampled is None else {"sampled": self.sampled.to_dict()}
        tested = {} if self.evidence is None else {"evidence": self.evidence.to_dict()}
        refitted = {} if self.refit is None else {"refit": self.refit.to_dict()}
        return plain(
            {
                "n_users": self.n_users,
                "n_prompts": self.n_prompts,
                "beta": self.beta,
                "prevalence": self.prevalence,
                "regret": self.regret,
                "regret_matrix": self.regret_matrix,
                "regret_interval": self.regret_interval,
                "regret_matrix_interval": self.regret_matrix_interval,
                "weights": self.weights,
                "worst": {kind: self.worst(kind) for kind in KINDS},
                "mean": {kind: self.mean(kind) for kind in KINDS},
                "worst_to_mean": {kind: self.worst_to_mean(kind) for kind in KINDS},
                "duality_gap": self.duality_gap,
                "groups": [vars(group) for group in self.groups],
                "suppressed": [vars(group) for group in self.suppressed],
                "cautions": self.cautions,
                "outside": self.outside,
                "config": vars(self.config),
                **drawn,
                **tested,
                **refitted,
            }
        )

    def to_json(self) -> str:
        """Return audit.json as text."""
        return as_json(self.to_dict())

    def to_html(self) -> str:
        """Return the audit as one self-contained page."""
        from emdpo.report import audit_page

        return audit_page(self)


def audit_types(
    scores: NDArray[np.float64],
    pooled_scores: NDArray[np.float64],
    prompt: NDArray[np.int64],
    responsibilities: NDArray[np.float64],
    prevalence: NDArray[np.float64],
    beta: float,
    attributes: pd.DataFrame,
    config: AuditConfig,
    others: Mapping[str, NDArray[np.float64]] | None = None,
) -> Audit:
    """Return the audit of every aggregation rule.

    Parameters
    ----------
    scores : (K, A)
        DPO scores of the types on every distinct candidate, nats.
    pooled_scores : (A,)
        DPO scores of one model fitted to everybody.
    prompt : (A,)
        The prompt of each candidate.
    responsibilities : (N, K)
        Posterior of each user.
    prevalence : (K,)
        Type weights. Types without users are left out of every rule, of worst and of mean.
    beta : float
        DPO inverse temperature, > 0.
    attributes : (N rows)
        One text column per attribute to audit; None = not known.
    others : mapping of str to (A,), optional
        Probabilities of further policies to judge, by name.
    """
    n_users = len(responsibilities)
    given = (config.weights, config.weights_form)
    judged = judge(
        scores, pooled_scores, prompt, prevalence, beta, n_users, given=given, others=others
    )
    names, rules = judged.regrets.rules, judged.rules
    rng = np.random.default_rng(config.seed)
    intervals = _over_prompts(judged.by_prompt, config, rng)  # (K, J, 2) by kind
    groups, suppressed = group_regrets(
        groupings(attributes, config.min_group, crossed=config.crossed),
        responsibilities,
        judged.regrets,
        n_bootstrap=config.n_bootstrap,
        confidence=config.confidence,
        rng=rng,
    )
    by_kind = judged.by_kind
    n_types = len(scores)
    return Audit(
        rules=names,
        n_users=n_users,
        n_prompts=judged.by_prompt.plain.shape[-1],
        prevalence=prevalence,
        regret=_by_rule(by_kind, names),
        regret_interval=None if intervals is None else _by_rule(intervals, names),
        regret_matrix=by_kind["plain"][:, :n_types],
        regret_matrix_interval=None if intervals is None else intervals["plain"][:, :n_types],
        weights={name: rule.weights for name, rule in rules.items()},
        duality_gap=judged.duality_gap,
        groups=groups,
        suppressed=suppressed,
        config=config,
        beta=beta,
        policies={name: rule.policy for name, rule in rules.items()},
        attributes=tuple(map(str, attributes.columns)),
        outside=tuple(others or ()),
    )


def _by_rule(
    by_kind: Mapping[str, NDArray[np.float64]], names: Sequence[str]
) -> dict[str, dict[str, NDArray[np.float64]]]:
    """Return (K, ...) arrays by kind and rule from (K, J, ...) arrays by kind."""
    return {
        kind: {rule: values[:, j] for j, rule in enumerate(names)}
        for kind, values in by_kind.items()
    }


def _over_prompts(
    by_prompt: PromptRegret, config: AuditConfig, rng: np.random.Generator
) -> dict[str, NDArray[np.float64]] | None:
    """Return intervals (K, J, 2) of regret by kind, over prompts drawn again."""
    n_prompts = by_prompt.plain.shape[-1]
    if n_prompts < 2:
        return None
    blocks = resampled_counts(n_prompts, config.n_bootstrap, rng)
    tables = [kinds_of(average_prompts(by_prompt, counts)) for counts in blocks]
    tail = (1.0 - config.confidence) / 2
    found = {}
    for kind in KINDS:
        draws = np.concatenate([table[kind] for table in tables])  # (B, K, J)
        found[kind] = np.moveaxis(np.quantile(draws, (tail, 1.0 - tail), axis=0), 0, -1)
    return found
