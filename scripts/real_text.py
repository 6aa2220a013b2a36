"""Adapters beside log-linear policies on real texts: a section of docs/real-data.md."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.metrics import adjusted_rand_score

import emdpo
from emdpo.core.features import describe_preferences
from emdpo.core.held_out import OWN, POOLED, REFERENCE, HeldOutLoss, held_out_losses
from emdpo.core.item_texts import in_full
from emdpo.core.rankings import Rankings
from emdpo.fitting import Fit
from emdpo.settings import POLICY_KINDS

N_TYPES = 2
HELD_OUT_SHARE = 0.2
SETTINGS: dict[str, dict[str, Any]] = {
    "ukpconvarg": {"top_layers": 15, "rounds": 3},
    "chatbot_personalization": {"preset": "quick"},
}
FEATURES = {"ukpconvarg": "text", "chatbot_personalization": "items"}
"""What `auto` takes for the whole file."""


def study(name: str, path: Path) -> dict[str, Any]:
    """Return what the page says of one file: both kinds of policy, judged on held-out rankings."""
    rankings = emdpo.load(path)
    if name == "ukpconvarg":
        side = int(np.bincount(rankings.prompt).argmax())
        rankings = rankings.select(rankings.prompt == side, drop_users=True)
    held_out = np.random.default_rng(0).random(rankings.n_rankings) < HELD_OUT_SHARE
    part = replace(rankings, held_out=held_out)
    fits, rows = {}, []
    for policy in POLICY_KINDS:
        settings: dict[str, Any] = {"adapters": SETTINGS[name]} if policy == "adapters" else {}
        began = time.perf_counter()
        fit = emdpo.fit(
            part, N_TYPES, policy=policy, features=FEATURES[name], force=True, **settings
        )
        seconds = time.perf_counter() - began
        fits[policy] = fit
        rows.append(row(policy, fit, rankings, held_out, seconds))
    labels = [fit.responsibilities.argmax(axis=1) for fit in fits.values()]
    return {
        "name": name,
        "prompt": rankings.prompts["prompt"].iloc[int(rankings.prompt[0])],
        "n_users": rankings.n_users,
        "n_rankings": rankings.n_rankings,
        "n_held_out": int(held_out.sum()),
        "n_prompts": len(np.unique(rankings.prompt)),
        "rows": rows,
        "agreement": round(float(adjusted_rand_score(*labels)), 2),
        "warnings": list(fits["adapters"].warnings),
    }


def row(
    policy: str, fit: Fit, rankings: Rankings, held_out: np.ndarray, seconds: float
) -> dict[str, Any]:
    """Return what one kind of policy found, and how it predicts what it was not fitted to."""
    losses = held_out_losses(
        rankings,
        held_out,
        fit.policies.candidate_scores(),
        fit.pooled.candidate_scores()[0],
        np.log(np.maximum(fit.weights, 1e-300)),
        rng=np.random.default_rng(0),
    )
    centre = fit.weights @ fit.reading.theta
    features = in_full(fit.features, fit.rankings)
    wishes = [describe_preferences(features, theta - centre, top=1) for theta in fit.reading.theta]
    return {
        "policy": policy,
        "weights": fit.weights.round(3).tolist(),
        "ended": f"{fit.stop_reason.value}, {fit.n_iter}",
        "seconds": round(seconds, 1),
        "losses": {each.policy: loss_text(each) for each in losses if each.k == -1},
        "wishes": [found[0][0] if found else "nothing" for found in wishes],
    }


def loss_text(loss: HeldOutLoss) -> str:
    """Return a log-loss with its interval, and how far it is above that of own types."""
    low, high = loss.interval
    text = f"{loss.log_loss:.3f} [{low:.3f}, {high:.3f}]"
    if loss.policy == OWN:
        return text
    low, high = loss.above_own_interval
    return f"{text}; {loss.above_own:+.3f} [{low:+.3f}, {high:+.3f}]"


def section(studies: list[dict[str, Any]]) -> list[str]:
    """Return the lines of the section."""
    lines = ["", "## With adapters on a language model", "", *INTRODUCTION]
    for facts in studies:
        lines += [
            "",
            f"### {facts['name']}",
            "",
            f"{facts['n_rankings']:,} rankings by {facts['n_users']:,} users on "
            f"{facts['n_prompts']} prompt(s) (“{facts['prompt']}”), {facts['n_held_out']:,} of "
            "them held out.",
            "",
            "| policies | weights | ended, rounds | seconds | own type | pooled; above own "
            "| base; above own |",
            "|" + " --- |" * 7,
        ]
        for found in facts["rows"]:
            losses = [found["losses"][policy] for policy in (OWN, POOLED, REFERENCE)]
            weights = ", ".join(f"{weight:.2f}" for weight in found["weights"])
            cells = [found["policy"], weights, found["ended"], found["seconds"], *losses]
            lines.append("| " + " | ".join(map(str, cells)) + " |")
        lines += [
            "",
            f"- Users put together alike by both: adjusted Rand index {facts['agreement']:.2f}.",
        ]
        for found in facts["rows"]:
            words = "; ".join(
                f"Type {k} {wish.rstrip('.')}" for k, wish in enumerate(found["wishes"], start=1)
            )
            lines.append(f"- {found['policy']}, what sets each type most apart: {words}.")
        lines += [f"- Warning of the fit: {text}." for text in facts["warnings"]]
    return lines


INTRODUCTION = [
    "Two types on the embedded model beside two log-linear ones (ukpconvarg with adapters on the",
    "top 15 layers and at most three rounds, chatbot_personalization with the preset quick),",
    "fitted to the same four fifths of the rankings. Log-loss in nats per held-out ranking, lower",
    "is better, with 95% bootstrap intervals over users; *own type* averages over what a user's",
    "other rankings say of the type, and where there are none, over the weights. ukpconvarg is one",
    "debate side, that of most judgements; its lists are pairs: under the premises of DESIGN 3 no",
    "single pair can tell types apart, and only several pairs by one user do.",
    "",
    "What was found: on ukpconvarg both kinds put users together much alike (whether an argument",
    "speaks as I or we). The adapters' types predict held-out pairs a little better than their one",
    "policy for all does; the log-linear types do not, and their one policy does as well as the",
    "adapters' types. On chatbot_personalization types predict worse than one policy, with either",
    "kind: all that the rankings support is what everybody likes.",
]
