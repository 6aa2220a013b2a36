"""An audit whose intervals also count how well the types were found: everything is fitted anew."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from emdpo import files
from emdpo.core.audit import Audit
from emdpo.core.em import StopTest, never
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.groups import groupings
from emdpo.core.json_values import plain
from emdpo.core.loglinear import LogLinearPolicies
from emdpo.core.refits import Fitted, OnProgress, RefitAudit, refit_audit
from emdpo.core.rules import GIVEN
from emdpo.fitting import Fit, fit_fingerprint

SETTINGS = ("min_group", "confidence", "crossed")
"""Fields of an audit's configuration that all its refitted intervals depend on."""

OWN_WEIGHTS = ("weights", "weights_form")
"""Fields that only those of the rule `given` depend on."""


def with_refits(
    result: Audit,
    fit: Fit,
    n_refits: int = 200,
    *,
    n_workers: int | None = None,
    should_stop: StopTest = never,
    on_progress: OnProgress | None = None,
) -> Audit | None:
    """Return an audit with refitted intervals of every figure; None where it was stopped.

    Parameters
    ----------
    result : Audit
        Of `fit`.
    fit : Fit
        With log-linear policies.
    n_refits : int
        Draws of users; each costs about two starts of the fit.
    n_workers : int, optional
        Processes; by default one for each core.
    should_stop, on_progress : callable, optional
        Asked after every refit; called with the refits done and those asked for.

    Raises
    ------
    EmdpoError
        `n_refits` out of range; the fit's policies are adapters, whose refits would take days.

    Examples
    --------
    >>> import emdpo
    >>> found = emdpo.fit(emdpo.load("assets/demo/classroom.csv"), n_types=2, restarts=2)
    >>> refitted = with_refits(emdpo.audit(found, n_bootstrap=50), found, n_refits=4)
    >>> refitted.refit.weights.shape
    (2, 2)
    """
    policies, pooled = fit.policies, fit.pooled
    if not (isinstance(policies, LogLinearPolicies) and isinstance(pooled, LogLinearPolicies)):
        raise EmdpoError("only log-linear policies are refitted: adapters would take days")
    settings = result.config
    shown = list(result.attributes)
    fitted = Fitted(
        panel=fit.rankings,
        policies=policies,
        pooled=pooled,
        responsibilities=fit.responsibilities,
        beta=fit.config.beta,
        max_iter=fit.config.max_iter,
        given=(settings.weights, settings.weights_form),
        others=result.outside_policies(),
    )
    refits = refit_audit(
        fitted,
        groupings(fit.rankings.users.loc[:, shown], settings.min_group, crossed=settings.crossed),
        result.rules,
        n_refits=n_refits,
        confidence=settings.confidence,
        seed=settings.seed,
        n_workers=n_workers,
        should_stop=should_stop,
        on_progress=on_progress,
    )
    if refits is None:
        return None
    return replace(result, refit=replace(refits, fit_sha256=fit_fingerprint(fit)))


def with_kept_refits(result: Audit, fit: Fit, run: str | Path) -> Audit:
    """Return an audit with the refitted intervals that the run's last audit holds, if it has any.

    They take long, and stay true of the same fit, settings, rules and groups.
    """
    try:
        about = files.read_json(Path(run) / "audit" / "audit.json")
        told = about.get("refit")
        refits = None if told is None else RefitAudit.from_dict(told)
    except RunError:
        return result
    if refits is None or refits.fit_sha256 != fit_fingerprint(fit):
        return result
    return with_known_refits(result, refits, about.get("config"))


def with_known_refits(result: Audit, refits: RefitAudit, config: Any) -> Audit:
    """Return an audit with the refitted intervals that were made for an audit of the same fit.

    As it is where they are not true of it. If only the user's own weights are others, those of the
    rule `given` are nan.

    Parameters
    ----------
    result : Audit
    refits : RefitAudit
    config
        Fields of the settings of the audit that they were made for, or what audit.json says.
    """
    before, now = (
        plain(each) if isinstance(each, Mapping) else {} for each in (config, vars(result.config))
    )
    shown = {(group.attribute, group.value) for group in result.groups}
    known = {(group.attribute, group.value) for group in refits.groups}
    rules = set(refits.worst["share"])
    if any(before.get(name) != now.get(name) for name in OWN_WEIGHTS):
        rules.discard(GIVEN)
    if (
        any(before.get(name) != now.get(name) for name in SETTINGS)
        or not shown <= known
        or not set(result.rules) - {GIVEN} <= rules
    ):
        return result
    unknown = [rule for rule in result.rules if rule not in rules]
    groups = tuple(each for each in refits.groups if (each.attribute, each.value) in shown)
    return replace(result, refit=replace(refits, groups=groups).of_rules(result.rules, unknown))
