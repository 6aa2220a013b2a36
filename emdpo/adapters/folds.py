"""Which rankings train which adapters, and which ones an adapter may be judged by."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.folds import folds_within_users

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.adapters.config import AdapterConfig
    from emdpo.core.rankings import Rankings

FEWEST_PROMPTS = 5
"""With fewer prompts none is held out: each is too large a part of what can be learnt."""

SHARED = 0.5
"""E-steps are cross-fitted where a smaller share of rankings is on prompts of two or more users."""


@dataclass(frozen=True, eq=False)
class Folds:
    """What is kept apart, so that no policy is judged by the rankings that it was trained on."""

    guard: NDArray[np.bool_]
    """(R,) rankings on held-out prompts: no adapter is trained on them."""
    half: NDArray[np.int64] | None
    """(R,) 0 or 1, each user's rankings in two halves, where E-steps are cross-fitted."""

    @property
    def cross_fitted(self) -> bool:
        """Whether every ranking is scored by adapters trained on the other half."""
        return self.half is not None


def plan_folds(panel: Rankings, config: AdapterConfig, rng: np.random.Generator) -> Folds:
    """Return the folds of a fit.

    Where users share prompts an adapter cannot learn one user's rankings by heart, and some prompts
    are held out to guard each round. Where they do not, an adapter that scores its own training
    rankings explains its own users best whatever they prefer, and EM never moves: there each
    ranking is scored by adapters trained on the other half of its user's rankings.
    """
    if config.cross_fit == "always" or (config.cross_fit == "auto" and not shares_prompts(panel)):
        return Folds(np.zeros(panel.n_rankings, bool), halves(panel, rng))
    prompts = np.unique(panel.prompt)
    n_held_out = round(config.held_out_share * len(prompts))
    if config.held_out_share > 0 and len(prompts) >= FEWEST_PROMPTS:
        n_held_out = max(1, n_held_out)
    else:
        n_held_out = 0
    held_out = rng.choice(prompts, n_held_out, replace=False)
    return Folds(np.isin(panel.prompt, held_out), None)


def shares_prompts(panel: Rankings) -> bool:
    """Return whether at least half of the rankings are on prompts that two or more users ranked."""
    pairs = np.unique(np.stack([panel.prompt, panel.user]), axis=1)
    n_users = np.bincount(pairs[0], minlength=panel.n_prompts)
    return bool((n_users[panel.prompt] >= 2).mean() >= SHARED)


def halves(panel: Rankings, rng: np.random.Generator) -> NDArray[np.int64]:
    """Return 0 or 1 for each ranking, (R,): half of every user's rankings, drawn at random."""
    return folds_within_users(panel, 2, rng)
