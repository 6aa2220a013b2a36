"""Compare two runs: match their types, and tell who moved and what that does to regret."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo.core.audit import AuditConfig
from emdpo.core.comparison import (
    Pairs,
    Split,
    assignment_agreement,
    contingency,
    match_types,
    moved_users,
    splits,
    type_overlap,
)
from emdpo.core.groups import groupings
from emdpo.core.likelihood_changes import (
    LikelihoodChange,
    ScoredTypes,
    fitted_change,
)
from emdpo.core.policy_agreement import PolicyAgreement, policy_agreement
from emdpo.core.prediction_changes import no_predictions, prediction_changes
from emdpo.core.regret_changes import JudgedFit, no_changes, regret_changes
from emdpo.core.tested import EvidenceConfig
from emdpo.run_comparison import RunComparison
from emdpo.run_facts import facts_of, notes_on, setting_changes
from emdpo.shared_evidence import GUARD, both_predictions, guard_predictions
from emdpo.shared_parts import Shared, shared_attributes, shared_parts

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.rankings import Rankings
    from emdpo.fitting import Fit

_MEASURES = [f"{name}{end}" for name in PolicyAgreement._fields for end in ("", "_low", "_high")]
_WHOLE = ["type_a", "type_b", "users_a", "users_b", "users_both", "n_prompts"]
TYPE_COLUMNS = [
    *("type_a", "type_b", "weight_a", "weight_b", "users_a", "users_b", "users_both"),
    *("n_prompts", *_MEASURES),
]


def compare_runs(
    a: Fit | str | Path,
    b: Fit | str | Path,
    groups: Sequence[str] | None = None,
    *,
    evidence: str | None = None,
    folds: int = 5,
    rankings: Rankings | None = None,
    progress: Callable[[int, int], None] | None = None,
    min_group: int = 10,
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> RunComparison:
    """Return run B beside run A: matched types, users who moved, differences of regret.

    Parameters
    ----------
    a, b : Fit or path
        Fits or run folders. Where they were fitted to different data, users are the same whose
        user_id is, answers whose prompt_id and response_id are.
    groups : sequence of str, optional
        Attributes by which regret is compared; by default all on which both runs agree.
    evidence : {"ranking", "user", "candidates", "split"}, optional
        Also predict rankings that neither was fitted to, as `emdpo.evidence` does: both fits are
        made anew without each fold in turn. Takes as long as `folds` fits of both. Without it, only
        adapters that were kept from the same rankings are tested, on those.
    folds, rankings, progress
        As in `emdpo.evidence`; the folds are those of both runs.
    min_group, n_bootstrap, confidence, seed
        As in `AuditConfig`.

    Returns
    -------
    RunComparison
        Types of A in rows and of B in columns of (K, L) arrays, numbered from 1 in tables.

    Raises
    ------
    EmdpoError
        No user in common, an attribute that the runs do not share, a setting out of range, a run
        folder that `load_fit` refuses, or evidence on runs of different data.

    Notes
    -----
    Types are matched by a maximum-weight matching (Kuhn 1955) on sum_i r_ik r'_im over shared
    users; agreement of users is the adjusted Rand index (Hubert and Arabie 1985).

    Examples
    --------
    >>> import emdpo
    >>> rankings = emdpo.load("assets/demo/rankings.csv")
    >>> two, three = (emdpo.fit(rankings, n_types=k, restarts=2) for k in (2, 3))
    >>> told = emdpo.compare_runs(two, three, n_bootstrap=100)
    >>> told.pairs, told.contingency.shape, len(told.moved)
    (((1, 2), (2, 1)), (2, 3), 49)
    """
    config = AuditConfig(
        min_group=min_group, n_bootstrap=n_bootstrap, confidence=confidence, seed=seed
    )
    tested = None if evidence is None else EvidenceConfig(by=evidence, folds=folds, seed=seed)

    def draw(part: int) -> dict[str, Any]:
        """Return settings of the intervals of one part: what else is asked changes none of them."""
        rng = np.random.default_rng([seed, part])
        return {"n_bootstrap": n_bootstrap, "confidence": confidence, "rng": rng}

    fits = _opened(a), _opened(b)
    shared = shared_parts(*fits)
    by_attribute = groupings(
        shared_attributes(fits, shared, groups), config.min_group, crossed=False
    )
    one, other = (_judged(fit, shared, side) for side, fit in enumerate(fits))
    before, after = one.responsibilities, other.responsibilities
    overlap, table = type_overlap(before, after), contingency(before, after)
    pairs = match_types(overlap)
    agreed = assignment_agreement(before, after, pairs, **draw(0))
    changes, policies = no_changes(), []
    if len(shared.prompt):
        changes = regret_changes(one, other, shared.prompt, pairs, by_attribute, **draw(1))
        policies = _policies(one, other, shared.prompt, pairs, draw(2))
    held_out_by, held_out = _tested(fits, tested, rankings, progress, draw(3))
    user_ids = fits[0].rankings.users.index[shared.users[0]].tolist()
    return RunComparison(
        a=facts_of(fits[0], _label(a, "A")),
        b=facts_of(fits[1], _label(b, "B")),
        same_data=shared.same_data,
        n_users=len(user_ids),
        n_candidates=len(shared.prompt),
        n_prompts=shared.n_prompts,
        overlap=overlap,
        contingency=table,
        pairs=tuple((k + 1, m + 1) for k, m in pairs),
        splits=_from_one(splits(table)),
        merges=_from_one(splits(table.T)),
        adjusted_rand=agreed.adjusted_rand,
        staying=agreed.staying,
        types=_type_table(fits, table, pairs, policies),
        moved=moved_users(before, after, pairs, user_ids),
        regret=changes.overall,
        regret_by_type=changes.by_type,
        regret_by_group=changes.by_group,
        n_hidden_groups={each.attribute: int(each.hidden.sum()) for each in by_attribute},
        log_likelihood=_fitted_change(fits, shared, draw(4)),
        held_out_by=held_out_by,
        held_out=held_out,
        settings=setting_changes(*fits),
        notes=tuple(notes_on(*fits, shared)),
        confidence=confidence,
        n_bootstrap=n_bootstrap,
        seed=seed,
    )


def _opened(run: Fit | str | Path) -> Fit:
    from emdpo.runs import load_fit

    return load_fit(run) if isinstance(run, str | Path) else run


def _label(run: Fit | str | Path, otherwise: str) -> str:
    return str(run) if isinstance(run, str | Path) else otherwise


def _judged(fit: Fit, shared: Shared, side: int) -> JudgedFit:
    candidates = shared.candidates[side]
    return JudgedFit(
        scores=fit.policies.candidate_scores()[:, candidates],
        pooled=fit.pooled.candidate_scores()[0, candidates],
        responsibilities=fit.responsibilities[shared.users[side]],
        prevalence=fit.weights,
        n_users=fit.rankings.n_users,
        beta=fit.config.beta,
    )


def _policies(
    a: JudgedFit, b: JudgedFit, prompt: NDArray[np.int64], pairs: Pairs, draw: dict[str, Any]
) -> list[PolicyAgreement]:
    betas = a.beta, b.beta
    return [policy_agreement(a.scores[k], b.scores[m], prompt, betas, **draw) for k, m in pairs]


def _from_one(found: tuple[Split, ...]) -> tuple[Split, ...]:
    """Return splits with types counted from 1."""
    return tuple(Split(one + 1, tuple(k + 1 for k in many), n) for one, many, n in found)


def _type_table(
    fits: tuple[Fit, Fit],
    table: NDArray[np.int64],
    pairs: Pairs,
    policies: Sequence[PolicyAgreement],
) -> pd.DataFrame:
    """Return a row per matched pair, then per type without one (`RunComparison.types`)."""
    matched = [{k for k, _ in pairs}, {m for _, m in pairs}]
    alone = [(k, None) for k in range(table.shape[0]) if k not in matched[0]]
    alone += [(None, m) for m in range(table.shape[1]) if m not in matched[1]]
    rows = [
        {
            **_of_type("a", fits[0], table, k),
            **_of_type("b", fits[1], table.T, m),
            "users_both": None if k is None or m is None else int(table[k, m]),
            **(_agreed(policies[place]) if place < len(policies) else {}),
        }
        for place, (k, m) in enumerate([*pairs, *alone])
    ]
    return pd.DataFrame(rows, columns=TYPE_COLUMNS).astype(dict.fromkeys(_WHOLE, "Int64"))


def _of_type(side: str, fit: Fit, table: NDArray[np.int64], k: int | None) -> dict[str, Any]:
    values = (None,) * 3
    if k is not None:
        values = k + 1, float(fit.weights[k]), int(table[k].sum())
    names = (f"type_{side}", f"weight_{side}", f"users_{side}")
    return dict(zip(names, values, strict=True))


def _agreed(policies: PolicyAgreement) -> dict[str, Any]:
    found: dict[str, Any] = {"n_prompts": policies.same_top.n}
    for name, each in policies._asdict().items():
        found |= {name: each.value, f"{name}_low": each.low, f"{name}_high": each.high}
    return found


def _fitted_change(
    fits: tuple[Fit, Fit], shared: Shared, draw: dict[str, Any]
) -> LikelihoodChange | None:
    if not shared.same_data:
        return None
    return fitted_change(fits[0].rankings, *map(_types_of, fits), **draw)


def _tested(
    fits: tuple[Fit, Fit],
    config: EvidenceConfig | None,
    rankings: Rankings | None,
    progress: Callable[[int, int], None] | None,
    draw: dict[str, Any],
) -> tuple[str | None, pd.DataFrame]:
    """Return what was held out, if anything, and how well both runs predict it."""
    if config is not None:
        both = both_predictions(*fits, config, rankings, progress)
        return config.by, prediction_changes(*both, **draw)
    kept = guard_predictions(*fits)
    if kept is None:
        return None, no_predictions()
    return GUARD, prediction_changes(*kept, **draw)


def _types_of(fit: Fit) -> ScoredTypes:
    return ScoredTypes(fit.policies.candidate_scores(), fit.weights)
