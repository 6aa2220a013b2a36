"""What the number of answers, the length of lists and a wrong number of types do to EM-DPO."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pandas as pd
from joblib import Parallel, delayed

from emdpo.core.features import build_features
from emdpo.core.folds import cut_lists
from emdpo.core.rankings import Rankings
from emdpo.head_to_head.simulations import Simulated, Simulation, simulate
from emdpo.head_to_head.telling import markdown
from emdpo.methods.base import Fitted, Problem
from emdpo.methods.dpo import DPO
from emdpo.methods.em_dpo import EMDPO, CrossFittedEMDPO
from emdpo.methods.known_types import KnownTypes

SEEDS = range(5)
LENGTHS = (2, 3, 4, 8)
"""Answers of the lists that are fitted."""
ANSWERS = (1, 2, 4, 8)
"""Lists of each person that are fitted."""
N_USERS = (400, 2000)
JUDGES = 200
"""New people, of whom `KNOWN` lists of eight are known and as many are predicted."""
KNOWN = 8
WRONG_TYPES = (1, 2, 3, 4, 5, 6)
MOST_LISTS = 5_000
"""Lists in all that are fitted, at most."""
METHODS = (EMDPO.name, CrossFittedEMDPO.name)


class Judged(NamedTuple):
    """People to fit, and others to judge by."""

    train: Rankings
    known: Rankings
    test: Rankings
    drawn: Simulated

    def problem(self, seed: int) -> Problem:
        """Return what methods are given."""
        features = build_features(self.train, "columns")
        return Problem(
            self.train,
            features,
            truth=self.drawn.scores,
            truth_shares=self.drawn.shares,
            seed=seed,
        )

    def loss(self, fitted: Fitted) -> float:
        """Return nats a ranking of the new people's lists."""
        return -float(np.mean(fitted.predict(self.known, self.test).log_lik))


def draw(n_users: int, answers: int, length: int, seed: int) -> Judged:
    """Return people of three types who rank `answers` lists of `length`, and judges.

    Everybody ranks lists of eight; those to be fitted are cut down to a random part, which is what
    they would have said of it alone (Plackett-Luce).
    """
    drawn = simulate(Simulation(n_users=n_users + JUDGES, answers=2 * KNOWN, length=8), seed)
    panel = drawn.panel
    place = np.arange(panel.n_rankings) % (2 * KNOWN)  # rankings of a user follow each other
    fitted = panel.user < n_users
    train = panel.select(fitted & (place < answers), drop_users=True)
    train = cut_lists(train, length, np.random.default_rng([seed, length]))
    first = np.concatenate([[True], train.ranking_ids[1:] != train.ranking_ids[:-1]])
    return Judged(
        train.select(first),
        panel.select(~fitted & (place < KNOWN)),
        panel.select(~fitted & (place >= KNOWN)),
        drawn,
    )


def closed(n_users: int, answers: int, length: int, seed: int) -> dict[str, float]:
    """Return the share of the way from one policy for all to the known types that EM goes."""
    judged = draw(n_users, answers, length, seed)
    problem = judged.problem(seed)
    one, known = judged.loss(DPO().fit(problem)), judged.loss(KnownTypes().fit(problem))
    share = {
        method.name: (one - judged.loss(method.fit(problem))) / (one - known)
        for method in (EMDPO(3), CrossFittedEMDPO(3))
    }
    return {"people": n_users, "lists": answers, "length": length, **share}


def wrong_types(n_types: int, seed: int) -> dict[str, float]:
    """Return the same for `n_types` where there are three."""
    judged = draw(400, 8, 4, seed)
    problem = judged.problem(seed)
    one, known = judged.loss(DPO().fit(problem)), judged.loss(KnownTypes().fit(problem))
    share = {
        method.name: (one - judged.loss(method.fit(problem))) / (one - known)
        for method in (EMDPO(n_types), CrossFittedEMDPO(n_types))
    }
    return {"types fitted": n_types, **share}


def answers_and_types() -> str:
    """Return both tables as Markdown."""
    cells = [(n, j, m) for n in N_USERS for j in ANSWERS for m in LENGTHS if n * j < MOST_LISTS]
    jobs = [delayed(closed)(*cell, seed) for cell in cells for seed in SEEDS]
    wrong = [delayed(wrong_types)(k, seed) for k in WRONG_TYPES for seed in SEEDS]
    done = Parallel(-1)(jobs + wrong)
    by_cell = _mean_and_range(done[: len(jobs)], ["people", "lists", "length"])
    by_types = _mean_and_range(done[len(jobs) :], ["types fitted"])
    grids = [_grid(by_cell, name) for name in METHODS]
    return "\n\n".join([*grids, markdown(by_types)])


def _mean_and_range(rows: list[dict[str, float]], by: list[str]) -> pd.DataFrame:
    """Return mean, least and greatest share over the seeds as text."""
    found = pd.DataFrame(rows).groupby(by)[list(METHODS)].agg(["mean", "min", "max"])
    told = {
        name: [
            f"{mean:.0%} ({low:.0%} to {high:.0%})" for mean, low, high in found[name].to_numpy()
        ]
        for name in METHODS
    }
    return pd.DataFrame(told, index=found.index).reset_index()


def _grid(by_cell: pd.DataFrame, name: str) -> str:
    wide = by_cell.pivot(index=["people", "lists"], columns="length", values=name)
    wide.columns = ["pairs", *(f"lists of {m}" for m in LENGTHS[1:])]
    return f"`{name}`:\n\n{markdown(wide.reset_index())}"
