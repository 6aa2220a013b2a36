"""Audit a fit by group, and keep the audit in its run folder."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from emdpo import files
from emdpo.adapters.distilled import DISTILLED, FOLDER, distilled_folder
from emdpo.adapters.saved import TENSORS, load_adapter
from emdpo.adapting import told_what_to_install
from emdpo.audit_files import save_audit
from emdpo.core.audit import Audit, AuditConfig, audit_types
from emdpo.core.cautions import cautions
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.json_values import plain
from emdpo.core.rules import CONSENSUS, GIVEN
from emdpo.core.sampled_regret import SampledRegret, SamplingPlan
from emdpo.core.tested import Evidence
from emdpo.fitting import Fit, fit_fingerprint
from emdpo.locks import alone_in
from emdpo.outside import outside_policies
from emdpo.refitting import with_kept_refits
from emdpo.settings import WRITES_NOTHING

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import ArrayLike

TAKES_LONG = ("refit", "sampled", "evidence")
"""Fields of an audit that are computed only when asked for, and then kept in the run."""


def audit(
    fit: Fit,
    groups: Sequence[str] | None = None,
    *,
    policies: Mapping[str, ArrayLike] | pd.DataFrame | None = None,
    refits: int = 0,
    **settings: Any,
) -> Audit:
    """Return how much regret each type and each observed group suffers under each rule.

    Parameters
    ----------
    fit : Fit
    groups : sequence of str, optional
        Attributes to audit by; all by default.
    policies : mapping or DataFrame, optional
        Further policies to audit, which emdpo need not have trained: their probabilities over the
        candidates, by name (`outside.outside_policies`).
    refits : int
        Draws of users of which all is fitted anew, so that intervals also count how well the types
        were found (`refitting.with_refits`); 0 = none.
    **settings
        Fields of `AuditConfig`: min_group, n_bootstrap, confidence, seed, crossed,
        computed, weights, weights_form.

    Raises
    ------
    EmdpoError
        An attribute that the data lack, a setting out of range, or a policy that is none.

    Examples
    --------
    >>> import emdpo
    >>> found = emdpo.fit(emdpo.load("assets/demo/rankings.csv"), n_types=3, restarts=2)
    >>> report = emdpo.audit(found, groups=["age_band"])
    >>> report.worst("share")["consensus"] < report.worst("share")["pooled"]
    True

    A model of your own that always gives the first candidate:

    >>> prompts = found.rankings.candidates["prompt"]
    >>> first = (~prompts.duplicated()).astype(float)
    >>> emdpo.audit(found, policies={"mine": first}).worst("share")["mine"] > 0
    True
    """
    chosen = chosen_attributes(fit.rankings.attributes, groups)
    result = audit_types(
        scores=fit.policies.candidate_scores(),
        pooled_scores=fit.pooled.candidate_scores()[0],
        prompt=fit.rankings.candidate_prompt,
        responsibilities=fit.responsibilities,
        prevalence=fit.weights,
        beta=fit.config.beta,
        attributes=fit.rankings.users.loc[:, chosen],
        config=AuditConfig(**settings),
        others=None if policies is None else outside_policies(fit.rankings, policies),
    )
    result = replace(
        result,
        cautions=cautions(
            result,
            fit.responsibilities,
            int(fit.rankings.lengths.max()),
            fit.restarts.n_starts,
            fit.restarts.n_reached_best,
            fit.restarts.agreement,
        ),
    )
    if refits:
        from emdpo.refitting import with_refits

        return with_refits(result, fit, refits) or result  # nobody could stop it
    return result


def chosen_attributes(known: Sequence[str], groups: Sequence[str] | None) -> list[str]:
    """Return the attributes asked for, all by default; EmdpoError where the data lack one."""
    chosen = list(known) if groups is None else list(dict.fromkeys(groups))
    missing = [name for name in chosen if name not in known]
    if missing:
        there = ", ".join(known) if known else "none"
        raise EmdpoError(f"no group attribute {missing[0]!r} in the data (there is: {there})")
    return chosen


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
    own = result.config.weights is not None and result.config.weights_form == CONSENSUS
    compromises = (CONSENSUS, GIVEN) if own else (CONSENSUS,)
    sampled = sampled_regret(
        fit,
        result.weights,
        plan,
        compromises=compromises,
        distilled=None if folder is None else load_adapter(folder),
        digest=None if folder is None else files.sha256(folder / TENSORS),
        **watching,
    )
    return None if sampled is None else replace(result, sampled=sampled)


def with_kept_sampled(result: Audit, run: str | Path) -> Audit:
    """Return an audit with the sampled regrets that the run's last audit drew, if it has any.

    They take long and stay true of the run, but not where its consensus was distilled anew since;
    those of other weights than are given now are left out.
    """
    kept, folder = Path(run) / "audit" / "audit.json", Path(run) / "policy" / FOLDER / TENSORS
    try:
        about = files.read_json(kept)
        told = about.get("sampled")
        sampled = None if told is None else SampledRegret.from_dict(told)
        digest = files.sha256(folder) if files.exists(folder) else None
    except RunError:
        return result
    if sampled is None or sampled.adapters.get(DISTILLED, digest) != digest:
        return result
    settings = about.get("config") or {}
    before = settings.get("weights"), settings.get("weights_form")
    if before != (plain(result.config.weights), result.config.weights_form):
        sampled = sampled.without(GIVEN)
    return replace(result, sampled=sampled)


def with_kept_evidence(result: Audit, fit: Fit, run: str | Path) -> Audit:
    """Return an audit with the evidence that the run's last audit holds, if it has any.

    It takes long and stays true of the same fit. Where it shows smaller groups than the audit may
    it is left out.
    """
    try:
        told = files.read_json(Path(run) / "audit" / "audit.json").get("evidence")
        evidence = None if told is None else Evidence.from_dict(told)
    except RunError:
        return result
    if evidence is None or evidence.fit_sha256 != fit_fingerprint(fit):
        return result
    if evidence.config.min_group < result.config.min_group:
        return result
    return replace(result, evidence=evidence)


def with_kept(result: Audit, fit: Fit, run: str | Path) -> Audit:
    """Return an audit with all that takes long and that the run's last audit holds."""
    refitted = with_kept_refits(result, fit, run)
    return with_kept_evidence(with_kept_sampled(refitted, run), fit, run)


def keep_audit(
    result: Audit, fit: Fit, run: str | Path, page: Callable[[Audit], str] | None = None
) -> Audit:
    """Write an audit into its run folder, and return it as written: with all that takes long.

    What `result` lacks of that the run's last audit may hold (`with_kept`). One process at a time
    reads and writes, so that of several at work on a run none loses what another found.

    Parameters
    ----------
    result : Audit
        Of `fit`.
    fit : Fit
    run : path
        The fit's folder.
    page : callable, optional
        Makes report.html of an audit; without it none is written.

    Raises
    ------
    RunError
        The folder cannot be written to.
    """
    with alone_in(Path(run) / "audit", wait=True):
        found = {name: getattr(result, name) for name in TAKES_LONG}
        found = {name: value for name, value in found.items() if value is not None}
        kept = replace(with_kept(result, fit, run), **found)
        save_audit(kept, run, None if page is None else page(kept), fit=fit)
    return kept
