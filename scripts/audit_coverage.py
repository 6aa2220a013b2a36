"""How often an audit's intervals cover the regret that was planted, and how often it is silent.

`python scripts/audit_coverage.py` prints the tables of docs/coverage.md. In each of 200 studies
users of four groups rank answers; three types are planted, in other shares in each group (or, where
nothing is to be found, in the same). The regret planted is that of the same rules made from the
planted types, their shares, and the one model that fits the whole population best.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed
from numpy.typing import NDArray

import emdpo
from emdpo.core.features import build_features
from emdpo.core.findings import findings
from emdpo.core.judging import judge
from emdpo.core.mixture import fit_mixture
from emdpo.core.rankings import Rankings
from emdpo.refitting import with_refits

Floats = NDArray[np.float64]

THETA = np.array([[1.5, 0.0, -0.5, 0.3], [-1.0, 1.2, 0.4, 0.0], [0.2, -0.8, 1.3, -1.0]])
"""Of three planted types, on four features."""

FEATURES = [f"x_{d}" for d in range(THETA.shape[1])]
N_PROMPTS = 40
BETA = 1.0
POPULATION = 20_000
"""Users whose rankings stand in for everybody's: one model is fitted to them."""

RULES = ("pooled", "prevalence", "mixture", "consensus")
KINDS = ("share", "kl", "preference", "plain")


class Setting(NamedTuple):
    """One kind of study."""

    name: str
    n_users: int
    answers: int
    """Rankings of each user."""
    length: int
    """Candidates of each ranking."""
    shares: Mapping[str, tuple[float, float, float]]
    """Of the types in each group; groups are equally large."""


DIFFERENT = {
    "a": (0.7, 0.2, 0.1),
    "b": (0.5, 0.3, 0.2),
    "c": (0.2, 0.4, 0.4),
    "d": (0.3, 0.3, 0.4),
}
THE_SAME = dict.fromkeys("abcd", (0.5, 0.3, 0.2))

SETTINGS = (
    Setting("300 users, 8 rankings of 4", 300, 8, 4, DIFFERENT),
    Setting("300 users, 3 rankings of 3", 300, 3, 3, DIFFERENT),
)
NOTHING = Setting("300 users, 8 rankings of 4, groups alike", 300, 8, 4, THE_SAME)


def study(setting: Setting, seed: int) -> Rankings:
    """Return the rankings of one study; its prompts are the same in all studies."""
    features = np.random.default_rng(12345).normal(size=(N_PROMPTS, setting.length, THETA.shape[1]))
    rng = np.random.default_rng(seed)
    n, answers, length = setting.n_users, setting.answers, setting.length
    group = np.repeat(list(setting.shares), n // len(setting.shares))
    kind = np.array([rng.choice(len(THETA), p=setting.shares[name]) for name in group])
    prompt = np.array([rng.choice(N_PROMPTS, answers, replace=False) for _ in range(n)])
    utility = np.einsum("namd,nd->nam", features[prompt], THETA[kind])
    utility += rng.gumbel(size=utility.shape)  # the order of u + Gumbel noise is Plackett-Luce
    rank = (-utility).argsort(axis=2).argsort(axis=2) + 1
    rows = {
        "user_id": np.repeat([f"u{i}" for i in range(n)], answers * length),
        "prompt": np.repeat([f"q{p}" for p in prompt.ravel()], length),
        "response": [f"a{p}-{m}" for p in prompt.ravel() for m in range(length)],
        "rank": rank.ravel(),
    }
    shown = features[prompt].reshape(-1, THETA.shape[1])
    table = pd.DataFrame(rows).assign(**dict(zip(FEATURES, shown.T, strict=True)))
    users = pd.DataFrame({"user_id": [f"u{i}" for i in range(n)], "group": group})
    return emdpo.load(table, users=users)


def population_theta(setting: Setting) -> Floats:
    """Return the theta (D,) of the one model that fits a very large population best."""
    panel = study(setting._replace(n_users=POPULATION), 999_999)
    fit = fit_mixture(panel, build_features(panel, "columns"), 1, l2=0.0, n_restarts=1, seed=0)
    scores = fit.best.state.policies.candidate_scores()[0]
    by_prompt = panel.candidates.groupby("prompt")[FEATURES]
    centred = panel.candidates[FEATURES] - by_prompt.transform("mean")
    return np.linalg.lstsq(centred.to_numpy(), scores, rcond=None)[0]


def planted(setting: Setting, panel: Rankings, pooled: Floats) -> dict[tuple[str, str, str], float]:
    """Return the planted regret by group, kind and rule, over the candidates of a study."""
    shown = panel.candidates[FEATURES].to_numpy().T
    shares = np.array(list(setting.shares.values()))
    judged = judge(
        THETA @ shown, pooled @ shown, panel.candidate_prompt, shares.mean(axis=0), BETA, POPULATION
    )
    rules = judged.regrets.rules
    return {
        (name, kind, rule): float(np.array(share) @ judged.by_kind[kind][:, rules.index(rule)])
        for name, share in setting.shares.items()
        for kind in KINDS
        for rule in RULES
    }


def covered(setting: Setting, pooled: Floats, seed: int, n_refits: int) -> list[dict]:
    """Return, for each group, kind and rule of one study, whether intervals cover the planted."""
    panel = study(setting, seed)
    fit = emdpo.fit(panel, len(THETA), features="columns", beta=BETA, restarts=4)
    audit = emdpo.audit(fit, n_bootstrap=500)
    audit = with_refits(audit, fit, n_refits, n_workers=1)
    assert audit is not None and audit.refit is not None  # noqa: S101, PT018  # nobody stopped it
    truth = planted(setting, panel, pooled)
    rows = []
    for group in audit.groups:
        again = audit.refit.group(group.attribute, group.value)
        assert again is not None  # noqa: S101  # of every group shown
        for kind in KINDS:
            for rule in RULES:
                value = truth[group.value, kind, rule]
                low, high = group.interval[kind][rule]
                refit_low, refit_high = again.interval[kind][rule]
                rows.append(
                    {
                        "kind": kind,
                        "rule": rule,
                        "fixed": low <= value <= high,
                        "refitted": refit_low <= value <= refit_high,
                        "bias": group.regret[kind][rule] - value,
                        "width": refit_high - refit_low,
                        "planted": value,
                    }
                )
    return rows


def is_silent(setting: Setting, seed: int) -> bool:
    """Return whether an audit of groups that are alike says of none that it differs."""
    fit = emdpo.fit(study(setting, seed), len(THETA), features="columns", beta=BETA, restarts=2)
    told = findings(emdpo.audit(fit))
    return not any(finding.kind in ("group", "cost") for finding in told)


def table(setting: Setting, n_studies: int, n_refits: int) -> str:
    """Return one setting's coverage as Markdown."""
    pooled = population_theta(setting)
    seeds = range(n_studies)
    found = Parallel(-1)(delayed(covered)(setting, pooled, seed, n_refits) for seed in seeds)
    rows = pd.DataFrame([row for each in found for row in each])  # type: ignore[union-attr]
    mean = rows.groupby(["kind", "rule"], sort=False).mean()
    lines = [
        f"| {kind} | {rule} | {row.refitted:.1%} | {row.fixed:.1%} | {row.planted:.3f} | "
        f"{row.bias:+.3f} | {row.width:.3f} |"
        for (kind, rule), row in mean.iterrows()  # type: ignore[misc]
    ]
    head = (
        f"### {setting.name}\n\n"
        "| regret | rule | refitted: covers | types fixed: covers | planted | mean error | width |"
        "\n| --- | --- | --- | --- | --- | --- | --- |"
    )
    return "\n".join([head, *lines, ""])


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])  # type: ignore[union-attr]
    parser.add_argument("--studies", type=int, default=200)
    parser.add_argument("--refits", type=int, default=200)
    options = parser.parse_args()
    for setting in SETTINGS:
        print(table(setting, options.studies, options.refits), flush=True)
    silent = Parallel(-1)(delayed(is_silent)(NOTHING, seed) for seed in range(options.studies))
    share = np.mean(silent)  # type: ignore[arg-type]
    print(f"### {NOTHING.name}\n\nSilent in {share:.1%} of {options.studies} studies.")


if __name__ == "__main__":
    main()
