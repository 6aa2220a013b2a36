"""How the audit was made: definitions, every setting, how the fit ended, versions, sources."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

import pandas as pd

from emdpo.cards import CITATION, base_model_name, ending
from emdpo.core.findings import rule_label
from emdpo.fitting import LIBRARIES, library_versions
from emdpo.report.markup import definitions, heading, listing, paragraph, table_html
from emdpo.settings import flat_settings

if TYPE_CHECKING:
    from emdpo.core.audit import Audit
    from emdpo.fitting import Fit
    from emdpo.report.sections import Part

DEFINITIONS = {
    "Types": "Users' rankings are explained by a mixture of K preference types. Under a type, a "
    "ranking has its Plackett-Luce probability: at each place, exp(score of the answer chosen) "
    "divided by the sum of exp(score) over the answers still left. Expectation-maximisation finds "
    "types, their weights and each user's responsibilities (the posterior over types, from all "
    "rankings of the user together).",
    "Policies": "The score s of an answer is beta times the log-ratio of its probability under the "
    "type's policy to that under the reference. The type's policy over the answers listed for a "
    "prompt is the reference times exp(s / beta), made to sum to one; the reference is uniform.",
    "Value": "The value of a policy for a type is its expected score: the mean over prompts, every "
    "prompt counting equally, of the sum over answers of probability times score.",
    "Plain regret": "Value of the type's own policy less value of the rule's policy, in nats, raw. "
    "It can fall below zero, since the own policy is held near the reference.",
    "KL regret": "beta times the mean over prompts of the Kullback-Leibler divergence of the "
    "rule's policy from the type's own, in nats: the regret when leaving the reference has its "
    "price. Never below zero.",
    "Regret share": "Plain regret divided by the value of the type's own policy less that of the "
    "reference: 0% = as good as its own, 100% = no better than the untuned reference; not defined "
    "for a type that gains nothing.",
    "Preference regret": "The chance that a user of the type prefers an answer of the type's own "
    "policy to one of the rule's, less the chance of the reverse (Bradley-Terry with the type's "
    "scores). Between -1 and 1, whatever the scale of scores.",
    "Worst and mean": "The largest regret over types that hold users, and the mean over types by "
    "their weights.",
    "Groups": "A group's regret is the mean over its users of the sum over types of responsibility "
    "times the type's regret. Groups under the least size are not shown, nor is any other that "
    "would give one of them away.",
    "Intervals": "Percentile bootstrap over users (groups) and over prompts (types), with the "
    "fitted types held fixed: they count who happened to be asked, not how well types were found. "
    "Where types were found anew for each draw, the section on that says so. Simultaneous "
    "intervals hold for all groups of an attribute at once (sup-t band).",
    "Difference from all others": "A group's regret less that of all users outside it, with a "
    "permutation test of no difference; its p-value is adjusted for all groups of the attribute "
    "(single-step maxT).",
}
"""Every quantity of the page, in words."""

SOURCES = (
    CITATION,
    "Rafailov, Sharma, Mitchell, Manning, Ermon, Finn. Direct Preference Optimization: Your "
    "Language Model Is Secretly a Reward Model. NeurIPS 2023, arXiv 2305.18290 (scores, pooled "
    "DPO).",
    "Plackett. The Analysis of Permutations. Applied Statistics 24, 1975; Luce. Individual Choice "
    "Behavior. Wiley, 1959 (probability of a ranking).",
    "Maura-Rivero, Lanctot, Visin, Larson. Jackpot! Alignment as a Maximal Lottery. 2025, arXiv "
    "2501.19266; Fishburn. Probabilistic Social Choice Based on Simple Voting Comparisons. Review "
    "of Economic Studies 51, 1984 (maximal lottery).",
    "Nash. The Bargaining Problem. Econometrica 18, 1950 (Nash welfare); Chakraborty et al. "
    "MaxMin-RLHF. 2024, arXiv 2402.08925 (maximin value).",
    "Efron, Tibshirani. An Introduction to the Bootstrap. Chapman and Hall, 1993 (intervals).",
    "Montiel Olea, Plagborg-Moller. Simultaneous Confidence Bands. Journal of Applied Econometrics "
    "34, 2019; Westfall, Young. Resampling-Based Multiple Testing. Wiley, 1993 (many groups).",
    "Cox. Suppression Methodology and Statistical Disclosure Control. JASA 75, 1980 (groups that "
    "are not shown).",
    "Gebru, Morgenstern, Vecchione, Vaughan, Wallach, Daume III, Crawford. Datasheets for "
    "Datasets. Communications of the ACM 64(12), 2021 (datasheet).",
)
"""What the page rests on."""


def methods_section(audit: Audit, fit: Fit | None) -> Iterator[Part]:
    """Yield definitions, settings, how the fit ended, versions and sources."""
    yield heading("How this was made", anchor="methods")
    yield heading("Definitions", 3)
    yield definitions(DEFINITIONS)
    if fit is not None:
        yield heading("How the fit ended", 3)
        yield _settings_table(outcome(fit), "How the fit ended", "what")
        yield heading("What these rankings can tell", 3)
        first, *theorems = fit.identifiability.to_text().split("\n- ")
        yield paragraph(first)
        yield listing(theorems)
    yield heading("Configuration", 3)
    yield _settings_table(configuration(audit, fit), "Configuration", "setting")
    yield heading("Data, base model and versions", 3)
    if fit is not None:
        yield _settings_table(fingerprints(fit), "Data and base model", "what")
    yield table_html(versions(fit), "Versions")
    yield heading("Sources", 3)
    yield paragraph("Please cite the method, and this report by the fingerprint of its data.")
    yield listing(SOURCES)


def configuration(audit: Audit, fit: Fit | None = None) -> dict[str, object]:
    """Return every setting of the audit and of the fit by name."""
    settings: dict[str, object] = {f"audit: {name}": v for name, v in vars(audit.config).items()}
    if fit is not None:
        chosen = flat_settings(fit.config.to_dict())
        if fit.base_model is not None:
            chosen["base_model"] = base_model_name(fit.base_model)
        settings |= {f"fit: {name}": value for name, value in chosen.items()}
    gaps = audit.duality_gap.items()
    return settings | {f"duality gap of {rule_label(rule)}, nats": gap for rule, gap in gaps}


def outcome(fit: Fit) -> dict[str, object]:
    """Return why the fit ended, how sure the optimum is, and every warning."""
    starts, information = fit.restarts, fit.information
    agreement = "not defined: one start" if starts.agreement is None else f"{starts.agreement:.3f}"
    eigenvalue = information.smallest_eigenvalue
    told: dict[str, object] = {
        "ended": ending(fit),
        "log-likelihood, nats": f"{fit.log_likelihood:,.3f} (n = {fit.rankings.n_rankings:,} "
        "rankings)",
        "gain still estimated, nats": fit.remaining_gain,
        "starts that reached the best": f"{starts.n_reached_best} of {starts.n_starts}",
        "agreement of the best starts (adjusted Rand index)": agreement,
        "smallest eigenvalue of the observed information": information.note
        if eigenvalue is None
        else f"{eigenvalue:.4g} over {information.n_parameters:,} parameters (near 0: not pinned "
        "down)",
        "features": f"{fit.features.kind} ({fit.features.reason})",
    }
    if fit.empty_types:
        told["types without users"] = ", ".join(map(str, fit.empty_types))
    return told | {f"warning {number}": text for number, text in enumerate(fit.warnings, start=1)}


def fingerprints(fit: Fit) -> dict[str, object]:
    """Return what the rankings and the base model are known by."""
    found: dict[str, object] = {"rankings fitted (SHA-256)": fit.data_sha256}
    base = fit.base_model
    if base is None:
        return found
    return found | {
        "base model": f"{base_model_name(base)} ({base.n_parameters:,} parameters)",
        "base model's weights (SHA-256)": base.fingerprint,
        "base model's licence": base.licence or "not known here",
    }


def versions(fit: Fit | None = None) -> pd.DataFrame:
    """Return the versions of the libraries that fitted, and of those that made this page."""
    then = {} if fit is None else fit.versions
    now = library_versions((*LIBRARIES, "plotly"))
    rows = [(name, then.get(name, ""), now.get(name, "")) for name in dict.fromkeys([*then, *now])]
    return pd.DataFrame(rows, columns=["library", "fit", "audit and page"])


def _settings_table(values: Mapping[str, object], title: str, name: str) -> str:
    rows = [(key, _setting_text(value)) for key, value in values.items()]
    return table_html(pd.DataFrame(rows, columns=[name, "value"]), title)


def _setting_text(value: object) -> str:
    if value is None or value == ():
        return "not set"
    if isinstance(value, float):
        return f"{value:.6g}"
    return {True: "yes", False: "no"}[value] if isinstance(value, bool) else str(value)
