"""The README.md files of a run: what it is, how it was made, what it must not be used for."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import PureWindowsPath
from typing import TYPE_CHECKING, Any

from emdpo.adapters.saved import POOLED, BaseModelCard, adapter_names
from emdpo.core.features import describe_preferences
from emdpo.core.json_values import visible
from emdpo.settings import flat_settings

if TYPE_CHECKING:
    from emdpo.fitting import Fit

CITATION = (
    "Chidambaram, Seetharaman, Syrgkanis. Direct Preference Optimization with Unobserved "
    "Preference Heterogeneity: The Necessity of Ternary Preferences. AISTATS 2026 (PMLR 300), "
    "arXiv 2510.15716."
)

LIMITS = (
    "Types are statistical patterns in these rankings. They are not demographic groups, and they "
    "say nothing about people who are not in the data."
)

_HUB_ID = re.compile(r"[A-Za-z0-9_][\w.-]*/[\w.-]+", re.ASCII)


def reading_note(fit: Fit) -> str:
    """Return what the words about types are where policies are adapters; empty otherwise."""
    if fit.adapters is None:
        return ""
    return (
        "What types prefer is told in words by log-linear policies fitted to the types that the "
        "adapters found: a reading of these types, not the adapters themselves."
    )


def model_card(fit: Fit, *, published: bool = False) -> str:
    """Return README.md of the run, or of the policies of a publication, where files differ."""
    data, starts = fit.rankings, fit.restarts
    lines = [
        "# Preference types found by emdpo",
        "",
        f"{fit.n_types} preference types behind {data.n_rankings:,} rankings by {data.n_users:,} "
        f"users of {data.n_candidates:,} answers to {data.n_prompts:,} prompts. {_made_of(fit)}",
        "",
        "| type | share of users | prefers |",
        "| --- | --- | --- |",
    ]
    lines += [f"| Type {k + 1} | {fit.weights[k]:.1%} | {_words(fit, k)} |" for k in _types(fit)]
    lines += ["", reading_note(fit)] if fit.adapters is not None else []
    optimum = "this optimum" if fit.adapters is None else "the optimum that adapters start from"
    settings = flat_settings(fit.config.to_dict()).items()
    lines += [
        "",
        f"- Features: {fit.features.kind} ({cell_text(fit.features.reason)}).",
        f"- Ended: {ending(fit)}; log-likelihood "
        f"{fit.log_likelihood:,.3f}; {starts.n_reached_best} of {starts.n_starts} starts reached "
        f"{optimum}.",
        *(f"- Warning: {cell_text(warning)}." for warning in fit.warnings),
        f"- Settings: {', '.join(f'{name}={cell_text(value)}' for name, value in settings)}.",
        f"- Data fingerprint (SHA-256 of the rankings): `{fit.data_sha256}`.",
        "",
        LIMITS,
        "",
        *([] if published else [_where(fit), ""]),
        f"Method: {CITATION}",
        "",
    ]
    return "\n".join(lines)


def ending(fit: Fit) -> str:
    """Return why and when a fit ended: "converged after 12 iterations"."""
    step = "iteration" if fit.adapters is None else "round"
    return f"{fit.stop_reason.value} after {fit.n_iter} {step}{'s' * (fit.n_iter != 1)}"


def _types(fit: Fit) -> range:
    return range(fit.n_types)


def _words(fit: Fit, k: int) -> str:
    phrases = describe_preferences(fit.features, fit.reading.theta[k], top=3)
    return "; ".join(cell_text(phrase) for phrase, _ in phrases)


def _made_of(fit: Fit) -> str:
    if fit.base_model is None:
        return "One log-linear DPO policy per type, fitted by EM-DPO."
    name = cell_text(base_model_name(fit.base_model))
    return f"One LoRA adapter per type on {name}, fitted by EM-DPO."


def _where(fit: Fit) -> str:
    if fit.adapters is None:
        policies = "`policy/theta.csv` the policies"
    else:
        policies = (
            "`policy/type-1/` ... and `policy/pooled/` the adapters, which PEFT loads; "
            "`policy/scores.parquet` their scores of every answer"
        )
    return (
        f"`fit.json` has every number of this page; {policies}; "
        "`responsibilities.csv` each user's posterior over types."
    )


def base_model_name(card: BaseModelCard) -> str:
    """Return what a base model is called, for people; of a folder its last part."""
    return card.hub_id or PureWindowsPath(card.name).name or card.name


def adapter_cards(fit: Fit) -> dict[str, str]:
    """Return README.md of each adapter by its name, in the hub's form."""
    base = fit.base_model
    if base is None:
        return {}
    return {name: _adapter_card(fit, base, name) for name in adapter_names(fit.n_types)}


def _adapter_card(fit: Fit, base: BaseModelCard, name: str) -> str:
    k = None if name == POOLED else int(name.rpartition("-")[2]) - 1
    title = "Everybody" if k is None else f"Preference type {k + 1}"
    return _card(fit, base, f"{title}, found by emdpo", _about_type(fit, k), [])


def distilled_card(fit: Fit, report: Mapping[str, Any]) -> str:
    """Return README.md of the adapter that the consensus was distilled into.

    `report` is distil.json.
    """
    base = fit.base_model
    assert base is not None  # noqa: S101  # only a fit with adapters has a consensus to distil
    part = "held_out" if "held_out" in report["agreement"] else "all"
    near = report["agreement"][part]["distilled"]
    weights = ", ".join(f"Type {k + 1} {a:.3f}" for k, a in enumerate(report["weights"]))
    about = [
        f"One policy for all {fit.n_types} preference types: the min-max KL-regret consensus, the "
        "policy whose worst KL regret over types is least, distilled into one adapter.",
        "",
        f"The consensus weighs the types' log-probabilities: {weights}.",
    ]
    told = [
        f"- Distilled: from {report['started_from']}, {report['best_epoch']} of "
        f"{len(report['losses']) - 1} epochs kept ({report['stop_reason']}), rank "
        f"{report['rank']}. On {part.replace('_', ' ')} prompts (n = "
        f"{report['n_prompts'][part]:,}), over the answers listed, KL(consensus || adapter) = "
        f"{near['kl']:.4f} and KL(adapter || consensus) = {near['kl_reverse']:.4f} nats; worst KL "
        f"regret {near['worst']['kl']:.4f} nats. `distil.json` has the figures beside those of "
        "the exact consensus, its token-wise decoding and PEFT's weighted merge.",
    ]
    return _card(fit, base, "Consensus of preference types, by emdpo", about, told)


def _card(fit: Fit, base: BaseModelCard, title: str, about: list[str], told: list[str]) -> str:
    data, model = fit.rankings, cell_text(base_model_name(base))
    lines = [
        *_front_matter(base),
        f"# {title}",
        "",
        f"A LoRA adapter on {model} ({base.n_parameters:,} parameters, fingerprint "
        f"`{cell_text(base.fingerprint)}`); with any other model it is of no use.",
        "",
        *about,
        "",
        f"- Data: {data.n_rankings:,} rankings by {data.n_users:,} users of "
        f"{data.n_candidates:,} answers to {data.n_prompts:,} prompts (SHA-256 of the rankings "
        f"`{fit.data_sha256}`).",
        f"- Training: EM-DPO (Plackett-Luce with DPO scores, beta = {fit.config.beta:g}), "
        f"{ending(fit)}.",
        *told,
        *(f"- Warning: {cell_text(warning)}." for warning in fit.warnings),
        f"- Licence: that of the base model ({cell_text(base.licence or 'not known here')}); that "
        "of the rankings is not known here.",
        "",
        LIMITS + " The adapter was not tested for safety.",
        "",
        f"Method: {CITATION}",
        "",
    ]
    return "\n".join(lines)


def _front_matter(base: BaseModelCard) -> list[str]:
    """Return the lines that the hub reads; JSON strings are YAML."""
    known = base.hub_id is not None and _HUB_ID.fullmatch(base.hub_id)
    return [
        "---",
        *([f"base_model: {json.dumps(base.hub_id)}"] if known else []),
        "library_name: peft",
        f"license: {json.dumps(base.licence or 'unknown')}",
        "pipeline_tag: text-generation",
        "tags: [lora, dpo, emdpo, preference-types]",
        "---",
        "",
    ]


def _about_type(fit: Fit, k: int | None) -> list[str]:
    if k is None:
        return ["Fitted to the rankings of everybody, as plain DPO would be."]
    words = _words(fit, k) or "no preference stands out"
    return [
        f"{fit.weights[k]:.1%} of users: {words}.",
        "",
        reading_note(fit),
    ]


_MARKDOWN = {char: f"\\{char}" for char in "\\|`*_[]{}#$~"} | {
    "<": "&lt;",
    ">": "&gt;",
    "&": "&amp;",
}


def cell_text(text: object, limit: int | None = None) -> str:
    r"""Return text on one line that Markdown shows as it is, also inside a table cell.

    >>> print(cell_text("*a*|{{b}}"), cell_text("too long", limit=3))
    \*a\*\|\{\{b\}\} too… (8 characters)
    """
    single = cut(visible(" ".join(str(text).split())), limit)
    return "".join(_MARKDOWN.get(char, char) for char in single)


def cut(text: str, limit: int | None) -> str:
    """Return text of at most `limit` characters, and how long it was where it was longer."""
    if limit is None or len(text) <= limit:
        return text
    return f"{text[:limit].rstrip()}… ({len(text):,} characters)"
