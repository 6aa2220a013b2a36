"""What if everybody got another blend of a run's types: its audit, ready for any weights."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.blends import (
    BlendRegret,
    GroupMoments,
    Yardstick,
    blend_regret,
    group_moments,
    yardstick,
)
from emdpo.core.groups import groupings
from emdpo.core.rules import CONSENSUS, GIVEN, MIXTURE
from emdpo.core.tradeoff import LINEAR_KINDS, TradeOff, audit_trade_off, kl_trade_off

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.core.audit import Audit
    from emdpo.fitting import Fit


@dataclass(frozen=True, eq=False)
class WhatIf:
    """An audited run, with all that does not depend on the weights worked out."""

    audit: Audit
    scale: Yardstick
    moments: GroupMoments
    """Of the audit's groups, in their order."""
    curves: Mapping[str, TradeOff]
    """Over mixtures, by kind of regret that is linear in their weights."""

    def curve(self, kind: str) -> TradeOff | None:
        """Return the trade-off curve of a kind of regret; None where it has none.

        For KL regret it is over all policies, and takes a moment the first time.
        """
        return self._kl_curve if kind == "kl" else self.curves.get(kind)

    @cached_property
    def _kl_curve(self) -> TradeOff:
        held, scale = np.flatnonzero(self.audit.occupied), self.scale
        shares = self.audit.prevalence[held]
        parts = (scale.log_types[held], scale.prompt, scale.beta, shares / shares.sum())
        found = kl_trade_off(*parts)
        weights = np.zeros((len(found.weights), self.audit.n_types))
        weights[:, held] = found.weights
        return replace(found, weights=weights, mean=found.mean * shares.sum())

    def regret(self, form: str, weights: NDArray[np.float64]) -> BlendRegret:
        """Return the regrets of types and of the audit's groups under a blend of the types.

        Parameters
        ----------
        form : str
            `mixture` or `consensus`.
        weights : (K,) float
            A point of the simplex; 0 for types without users.
        """
        audit = self.audit
        return blend_regret(
            self.scale,
            form,
            weights,
            audit.prevalence,
            audit.occupied,
            self.moments,
            audit.config.confidence,
        )

    def starts(self) -> dict[str, tuple[str, NDArray[np.float64]]]:
        """Return form and weights of every rule of the audit that is a blend of the types."""
        forms = {CONSENSUS: CONSENSUS, GIVEN: self.audit.config.weights_form}
        return {
            rule: (forms.get(rule, MIXTURE), weights)
            for rule, weights in self.audit.weights.items()
            if weights is not None and not weights[~self.audit.occupied].any()
        }


def what_if(fit: Fit, audit: Audit) -> WhatIf:
    """Return a run's audit, ready to be asked what other weights would do.

    Parameters
    ----------
    fit : Fit
    audit : Audit
        Of this fit. Groups that it hides stay hidden.

    Examples
    --------
    >>> import emdpo
    >>> fit = emdpo.fit(emdpo.load("assets/demo/classroom.csv"), n_types=2, restarts=2)
    >>> asked = what_if(fit, emdpo.audit(fit, n_bootstrap=10))
    >>> form, weights = asked.starts()["consensus"]
    >>> worst = asked.regret(form, weights).worst["kl"]
    >>> worst <= asked.regret("mixture", weights).worst["kl"]
    True
    """
    config, users = audit.config, fit.rankings.users
    members = {
        (grouping.attribute, label): grouping.codes == g
        for grouping in groupings(users, config.min_group, crossed=config.crossed)
        for g, label in enumerate(grouping.labels)
    }
    found = {kind: audit_trade_off(audit, kind) for kind in LINEAR_KINDS}
    return WhatIf(
        audit=audit,
        scale=yardstick(
            fit.policies.candidate_scores(), fit.rankings.candidate_prompt, fit.config.beta
        ),
        moments=group_moments(
            fit.responsibilities, [members[each.attribute, each.value] for each in audit.groups]
        ),
        curves={kind: curve for kind, curve in found.items() if curve is not None},
    )
