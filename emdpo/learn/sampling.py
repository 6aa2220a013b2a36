"""People drawn from a population, and their answers as the rankings that emdpo fits."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from emdpo.core.rankings import Rankings, rankings_from_table
from emdpo.learn.designs import Design, Population, log_choices

if TYPE_CHECKING:
    from numpy.typing import NDArray

FEATURE = "x_jokes"


@dataclass(frozen=True, eq=False)
class Sample:
    """What some people answered under a design."""

    design: Design
    answers: NDArray[np.int64]
    """(B, n_linked) bundles of answers, numbered as in `Design.layout`."""
    n_people: int

    def counts(self) -> NDArray[np.int64]:
        """Return how often each bundle of `Design.panels` occurs, (U,)."""
        n_answers = self.design.panels.shape[1]
        code = n_answers ** np.arange(self.design.n_linked)  # bundles as sorted digits
        sorted_digits = [np.repeat(np.arange(n_answers), row) for row in self.design.panels]
        known = np.sort(np.array(sorted_digits), axis=1) @ code
        order = np.argsort(known)
        drawn = np.sort(self.answers, axis=1) @ code
        place = order[np.searchsorted(known[order], drawn)]
        return np.bincount(place, minlength=len(known))

    def rankings(self) -> Rankings:
        """Return the answers as a panel, one user a bundle: without names each answer is alone."""
        asked = np.array(self.design.questions)  # (Q, m)
        width = asked.shape[1]
        question, chosen = np.divmod(self.answers.ravel(), width)  # (R,)
        n_rankings = len(question)
        place = np.tile(np.arange(width), n_rankings)
        of = np.repeat(question, width)
        table = pd.DataFrame(
            {
                "user_id": np.repeat(np.arange(n_rankings) // self.design.n_linked, width),
                "ranking_id": np.repeat(np.arange(n_rankings), width),
                "prompt": np.char.add("question ", (of + 1).astype(str)),
                "response": np.char.add("answer ", (place + 1).astype(str)),
                "rank": (place == np.repeat(chosen, width)).astype(int),
                FEATURE: asked[of, place],
            }
        )
        return rankings_from_table(table.astype({"user_id": str, "ranking_id": str}))


def sample_answers(
    design: Design, population: Population, n_people: int, rng: np.random.Generator
) -> Sample:
    """Return the answers of `n_people` drawn at random, each asked random questions."""
    n_bundles = n_people * design.n_panels
    of_type = rng.choice(population.n_types, n_people, p=population.weights)
    taste = np.repeat(of_type, design.n_panels * design.n_linked)
    chances = np.exp(log_choices(design, np.array(population.tastes)))  # (K, S)
    width = len(design.questions[0])
    by_question = chances.reshape(population.n_types, -1, width).cumsum(axis=2)  # (K, Q, m)
    question = rng.integers(len(design.questions), size=len(taste))
    drawn = rng.random(len(taste))[:, None]
    chosen = (drawn > by_question[taste, question]).sum(axis=1).clip(max=width - 1)
    answers = question * width + chosen
    return Sample(design, answers.reshape(n_bundles, design.n_linked), n_people)
