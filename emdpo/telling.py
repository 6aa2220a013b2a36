"""Results in plain text, for a terminal."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from emdpo.cards import base_model_name, reading_note
from emdpo.core.features import describe_preferences
from emdpo.core.findings import rule_label, worst_group
from emdpo.core.item_texts import in_full
from emdpo.evidence_words import evidence_text

if TYPE_CHECKING:
    from emdpo.adapters.estimated import Estimate
    from emdpo.core.audit import Audit
    from emdpo.core.identifiability import Theorem
    from emdpo.core.sampled_regret import SampledRegret
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


def estimate_text(estimate: Estimate) -> str:
    """Return in one sentence what a fit of adapters will take."""
    least, most = duration(estimate.seconds_low), duration(estimate.seconds_high)
    time = f"about {most}" if least == most else f"{least} to {most}"
    return (
        f"Expect {time} on this machine ({estimate.device}): up to {estimate.rounds} rounds of "
        f"{estimate.n_adapters} adapters over {estimate.n_tokens:,} tokens, at "
        f"{estimate.tokens_per_second:,.0f} tokens a second; {_size(estimate.memory_bytes)} of "
        f"memory and {_size(estimate.disk_bytes)} of disk while it runs."
    )


def duration(seconds: float) -> str:
    """Return a time in the unit that people would use.

    >>> [duration(s) for s in (5, 89, 150, 5400, 200_000)]
    ['5 s', '89 s', '2 min', '1.5 h', '2.3 days']
    """
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 5400:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h" if seconds < 172_800 else f"{seconds / 86_400:.1f} days"


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 2**30:.1f} GB" if n_bytes >= 2**29 else f"{n_bytes / 2**20:.0f} MB"


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
        f"{'rule':<12}{'worst type':>12}{'mean':>9}{'ratio':>8}   "
        "regret share (0% own model, 100% untuned)"
    ]
    worst, mean, ratio = (
        getattr(result, name)("share") for name in ("worst", "mean", "worst_to_mean")
    )
    for rule in result.rules:
        times = "-" if math.isnan(ratio[rule]) else f"{ratio[rule]:.2f}"
        lines.append(f"{rule:<12}{_percent(worst[rule]):>12}{_percent(mean[rule]):>9}{times:>8}")
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
    if result.sampled is not None:
        table = sampled_rows(result.sampled).to_string(index=False)
        lines += [sampled_note(result.sampled), table]
    if result.evidence is not None:
        lines.append(evidence_text(result.evidence))
    if result.refit is not None:
        lines.append(refit_text(result))
    lines += [f"caution: {caution}" for caution in result.cautions]
    if result.suppressed:
        few = result.config.min_group
        lines.append(f"{len(result.suppressed)} groups under {few} users are not shown")
    lines.append(f"audit folder: {Path(run) / 'audit'}")
    return "\n".join(lines)


def refit_text(result: Audit) -> str:
    """Return the worst regret share with its interval by rule where types were found anew."""
    refit = result.refit
    assert refit is not None  # noqa: S101  # asked for
    worst = result.worst("share")
    lines = [
        f"types found anew of {refit.n_refits} draws of users (adjusted Rand index with the fit's "
        f"{refit.agreement:.2f}): worst type's share, {refit.confidence:.0%} interval"
    ]
    for rule, (low, high) in refit.worst["share"].items():
        if math.isnan(low):
            continue
        lines.append(f"{rule:<12}{_percent(worst[rule]):>12}   {_percent(low)} to {_percent(high)}")
    return "\n".join(lines)


def sampled_note(sampled: SampledRegret) -> str:
    """Return what regrets of drawn answers are, how many answers stand behind them, and how sure.

    They need not equal those over the answers listed, which leave out all else a policy can write.
    """
    return (
        f"Regrets over all that the policies can write, from S = {sampled.n_samples} answers of "
        f"each policy to n = {sampled.n_prompts} of {sampled.n_prompts_in_all} prompts, cut at "
        f"{sampled.max_tokens} tokens (seed {sampled.seed}). In nats, raw, +/- one Monte-Carlo "
        "standard error; the consensus is drawn token by token, as in a chat."
    )


def sampled_rows(sampled: SampledRegret) -> pd.DataFrame:
    """Return a row per rule: KL and plain regret of each type, with standard errors, as text."""
    names = {"kl": "KL", "plain": "plain"}
    columns: dict[str, list[str]] = {"rule": [rule_label(rule) for rule in sampled.rules]}
    n_types = len(next(iter(sampled.regret["kl"].values())))
    for kind, name in names.items():
        for k in range(n_types):
            pairs = (
                (sampled.regret[kind][rule][k], sampled.standard_error[kind][rule][k])
                for rule in sampled.rules
            )
            columns[f"{name}, Type {k + 1}"] = [_with_error(*pair) for pair in pairs]
    return pd.DataFrame(columns)


def _with_error(value: float, error: float) -> str:
    return f"{value:.3f} +/- {error:.3f}" if math.isfinite(error) else f"{value:.3f} +/- ?"


def distil_text(report: Mapping[str, Any], run: str | Path) -> str:
    """Return how near the distilled adapter comes, beside the other ways to the consensus."""
    part = "held_out" if "held_out" in report["agreement"] else "all"
    place = part.replace("_", " ")
    lines = [
        f"KL to the consensus over the answers listed, {place} prompts "
        f"(n = {report['n_prompts'][part]}), and worst regret over types, in nats",
        f"{'policy':<12}{'KL(cons||pi)':>14}{'KL(pi||cons)':>14}{'worst KL':>10}"
        f"{'worst plain':>13}",
    ]
    for policy, near in report["agreement"][part].items():
        worst = near["worst"]
        lines.append(
            f"{policy:<12}{near['kl']:>14.4f}{near['kl_reverse']:>14.4f}{worst['kl']:>10.4f}"
            f"{worst['plain']:>13.4f}"
        )
    lines += [
        f"started from {report['started_from']}; kept epoch {report['best_epoch']} of "
        f"{len(report['losses']) - 1} ({report['stop_reason']}); rank {report['rank']}",
        f"adapter folder: {Path(run) / 'policy' / 'consensus'}",
    ]
    return "\n".join(lines)


def _percent(share: float) -> str:
    """Return a share in percent; a dash where there is none (a type without preferences)."""
    return f"{share:.0%}" if math.isfinite(share) else "-"
