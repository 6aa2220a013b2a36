"""Results in plain text, for a terminal."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from emdpo.cards import base_model_name, reading_note
from emdpo.core.features import describe_preferences
from emdpo.core.findings import worst_group
from emdpo.core.item_texts import in_full

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.core.identifiability import Theorem
    from emdpo.core.selection import Selection
    from emdpo.fitting import Fit

PHRASE_LENGTH = 70
"""Characters of a wish: items may be whole statements."""


def fit_text(fit: Fit, run: Path) -> str:
    """Return what a fit found, in a dozen lines."""
    data, starts = fit.rankings, fit.restarts
    lines = [
        f"{fit.n_types} types behind {data.n_rankings:,} rankings by {data.n_users:,} users; "
        f"features: {fit.features.kind} ({fit.features.reason})",
        *_adapters(fit),
    ]
    features = in_full(fit.features, data)
    for k in range(fit.n_types):
        wishes = describe_preferences(features, fit.reading.theta[k], top=3)
        words = "; ".join(_shortened(phrase) for phrase, _ in wishes) or "no preference"
        lines.append(f"  Type {k + 1}  {fit.weights[k]:6.1%}  {words}")
    if fit.empty_types:
        lines.append(f"warning: {empty_types_text(fit)}")
    lines += [f"warning: {warning}" for warning in fit.warnings]
    optimum = "this optimum" if fit.adapters is None else "the optimum that adapters start from"
    lines.append(
        f"log-likelihood {fit.log_likelihood:,.3f}, {fit.stop_reason.value}; "
        f"{starts.n_reached_best} of {starts.n_starts} starts reached {optimum}"
    )
    lines += [*_certainty(fit), f"run folder: {run}"]
    return "\n".join(lines)


def _adapters(fit: Fit) -> list[str]:
    """Return what the adapters are, and what words about their types are."""
    base = fit.base_model
    if base is None:
        return []
    rounds = f"{fit.n_iter} round{'s' * (fit.n_iter != 1)}"
    return [
        f"policies: LoRA adapters on {base_model_name(base)} ({base.n_parameters:,} parameters), "
        f"{rounds} of training",
        reading_note(fit),
    ]


def _certainty(fit: Fit) -> list[str]:
    """Return how sharply the rankings pin the fit down, and which theorem says they can."""
    agreement, information = fit.restarts.agreement, fit.information
    lines = []
    if agreement is not None:
        lines.append(f"agreement of the best starts (adjusted Rand index): {agreement:.2f}")
    if information.smallest_eigenvalue is not None:
        lines.append(
            "smallest eigenvalue of the observed information: "
            f"{information.smallest_eigenvalue:.3g} over {information.n_parameters} parameters "
            "(near 0: not pinned down)"
        )
    elif information.note:
        lines.append(f"observed information: {information.note}")
    lines += [f"warning: {theorem.name}: {theorem.conclusion}" for theorem in shortfalls(fit)]
    return [*lines, f"identifiability: {fit.identifiability.to_text()}"]


def _shortened(phrase: str) -> str:
    """Return a wish on one line of at most PHRASE_LENGTH characters."""
    line = " ".join(phrase.split())
    return line if len(line) <= PHRASE_LENGTH else line[: PHRASE_LENGTH - 1].rstrip() + "…"


def shortfalls(fit: Fit) -> list[Theorem]:
    """Return each theorem by which rankings of this shape cannot tell so many types apart."""
    return [
        theorem
        for theorem in fit.identifiability.theorems
        if theorem.max_types is not None and theorem.max_types < fit.n_types
    ]


def empty_types_text(fit: Fit) -> str:
    """Return what it means that types have no users."""
    supported = fit.n_types - len(fit.empty_types)
    prior = f"with this prior (l2 = {fit.config.l2:g}) " if fit.adapters is None else ""
    return (
        f"{len(fit.empty_types)} of {fit.n_types} types have no users: {prior}these rankings "
        f"support {supported}"
    )


def selection_text(selection: Selection) -> str:
    """Return the table of K and the recommendation."""
    columns = ["n_types", "held_out", "held_out_se", "bic", "restart_agreement", "n_reached_best"]
    table = selection.table[columns].copy()
    table["n_types"] = [
        f"{k}{' *' if k == selection.n_types else ''}" for k in selection.table["n_types"]
    ]
    formats = {"held_out": "{:.4f}", "held_out_se": "{:.4f}", "bic": "{:.1f}"}
    formats["restart_agreement"] = "{:.2f}"
    for name, form in formats.items():
        table[name] = ["-" if pd.isna(value) else form.format(value) for value in table[name]]
    text = table.to_string(index=False)
    note = "held_out: nats per ranking; held_out_se: of the difference to the best K"
    return f"{text}\n{note}\nrecommended: {selection.reason}"


def audit_text(result: Audit, run: str | Path) -> str:
    """Return worst and mean regret share by rule, and the worst group under three rules."""
    lines = [
        f"{'rule':<12}{'worst type':>12}{'mean':>9}   regret share (0% own model, 100% untuned)"
    ]
    worst, mean = result.worst("share"), result.mean("share")
    for rule in result.rules:
        lines.append(f"{rule:<12}{_percent(worst[rule]):>12}{_percent(mean[rule]):>9}")
    for rule in ("pooled", "mixture", "consensus"):
        group = worst_group(result, rule)
        if group is not None:
            lines.append(
                f"worst group under {rule}: {group.attribute} = {group.value} (n = {group.n}) at "
                f"{_percent(group.regret)} "
                f"({result.config.confidence:.0%} interval {_percent(group.low)} to "
                f"{_percent(group.high)})"
            )
    lines.append(
        "mixture minimises the worst plain regret and consensus the worst KL regret, in nats: by "
        "share another rule can look better"
    )
    if result.suppressed:
        few = result.config.min_group
        lines.append(f"{len(result.suppressed)} groups under {few} users are not shown")
    lines.append(f"audit folder: {Path(run) / 'audit'}")
    return "\n".join(lines)


def _percent(share: float) -> str:
    """Return a share in percent; a dash where there is none (a type without preferences)."""
    return f"{share:.0%}" if math.isfinite(share) else "-"
