"""Audit a fit by group, and keep the audit in its run folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emdpo import files
from emdpo.adapters.distilled import DISTILLED, FOLDER, distilled_folder
from emdpo.adapters.saved import TENSORS, load_adapter
from emdpo.adapting import told_what_to_install
from emdpo.core.audit import Audit, AuditConfig, audit_types
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.sampled_regret import SampledRegret, SamplingPlan
from emdpo.settings import WRITES_NOTHING

if TYPE_CHECKING:
    from emdpo.fitting import Fit


def audit(fit: Fit, groups: Sequence[str] | None = None, **settings: Any) -> Audit:
    """Return how much regret each type and each observed group suffers under each rule.

    Parameters
    ----------
    fit : Fit
    groups : sequence of str, optional
        Attributes to audit by; all by default.
    **settings
        Fields of `AuditConfig`: min_group, n_bootstrap, confidence, seed, weights.

    Raises
    ------
    EmdpoError
        An attribute that the data lack, or a setting out of range.

    Examples
    --------
    >>> import emdpo
    >>> found = emdpo.fit(emdpo.load("assets/demo/rankings.csv"), n_types=3, restarts=2)
    >>> report = emdpo.audit(found, groups=["age_band"])
    >>> report.worst("share")["consensus"] < report.worst("share")["pooled"]
    True
    """
    known = fit.rankings.attributes
    chosen = known if groups is None else list(dict.fromkeys(groups))
    missing = [name for name in chosen if name not in known]
    if missing:
        there = ", ".join(known) if known else "none"
        raise EmdpoError(f"no group attribute {missing[0]!r} in the data (there is: {there})")
    return audit_types(
        scores=fit.policies.candidate_scores(),
        pooled_scores=fit.pooled.candidate_scores()[0],
        prompt=fit.rankings.candidate_prompt,
        responsibilities=fit.responsibilities,
        prevalence=fit.weights,
        beta=fit.config.beta,
        attributes=fit.rankings.users.loc[:, chosen],
        config=AuditConfig(**settings),
    )


def with_sampled(
    result: Audit,
    fit: Fit,
    plan: SamplingPlan | None = None,
    *,
    run: str | Path | None = None,
    **watching: Any,
) -> Audit | None:
    """Return an audit with regrets of answers drawn from the policies; None where it was stopped.

    Parameters
    ----------
    result : Audit
        Of `fit`.
    fit : Fit
        With adapters.
    plan : SamplingPlan, optional
        How many answers of how many prompts.
    run : path, optional
        The fit's folder: where it holds a distilled consensus, that is asked too.
    **watching
        base, should_stop and on_progress, as of `adapters.sampled.sampled_regret`.

    Raises
    ------
    EmdpoError
        The fit's policies are log-linear: they write nothing.
    """
    if fit.adapters is None:
        raise EmdpoError(WRITES_NOTHING)
    with told_what_to_install():
        from emdpo.adapters.sampled import sampled_regret
    folder = None if run is None else distilled_folder(Path(run))
    sampled = sampled_regret(
        fit,
        result.weights,
        plan,
        distilled=None if folder is None else load_adapter(folder),
        digest=None if folder is None else files.sha256(folder / TENSORS),
        **watching,
    )
    return None if sampled is None else replace(result, sampled=sampled)


def with_kept_sampled(result: Audit, run: str | Path) -> Audit:
    """Return an audit with the sampled regrets that the run's last audit drew, if it has any.

    They take long and stay true of the run, but not where its consensus was distilled anew since.
    """
    kept, folder = Path(run) / "audit" / "audit.json", Path(run) / "policy" / FOLDER / TENSORS
    try:
        told = files.read_json(kept).get("sampled")
        sampled = None if told is None else SampledRegret.from_dict(told)
        digest = files.sha256(folder) if files.exists(folder) else None
    except RunError:
        return result
    if sampled is None or sampled.adapters.get(DISTILLED, digest) != digest:
        return result
    return replace(result, sampled=sampled)
