"""What every method is given, what it returns, and the two kinds of fitted model most have.

Letters: N users, K types or prototypes, R rankings of C candidate rows, A distinct candidates.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, NamedTuple, Protocol

import numpy as np

from emdpo.core.em import e_step, user_totals
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.prediction import mixed_log_likelihoods, own_scores
from emdpo.core.regret import Floats

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from emdpo.adapters.config import AdapterConfig
    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings


@dataclass(frozen=True, eq=False)
class Problem:
    """Training rankings and what a method may know about them."""

    panel: Rankings
    """Every user of it has a ranking."""
    features: FeatureSet
    """Frozen features of all A candidates."""
    groups: NDArray[np.int64] | None = None
    """(N,) observed group of every user, -1 = not known; None where no group is observed."""
    truth: Floats | None = None
    """(K, A) scores of the planted types; None but in simulations."""
    truth_shares: Floats | None = None
    """(K,) of the planted types."""
    beta: float = 0.1
    """DPO inverse temperature."""
    seed: int = 0
    base_model: str | None = None
    """What adapters sit on, as of `emdpo.fit`; no other method asks."""
    adapters: AdapterConfig | None = None
    """How they are shaped and trained; None = the defaults."""
    scratch: Path | None = None
    """A folder for what several fits to the same texts share."""

    @property
    def prompt(self) -> NDArray[np.int64]:
        """(A,) code of each candidate's prompt, 0..P-1 without gaps."""
        return np.unique(self.panel.candidate_prompt, return_inverse=True)[1]


class Prediction(NamedTuple):
    """What a fitted method says of test rankings."""

    log_lik: Floats
    """(R,) log probability of each ranking, nats."""
    scores: Floats
    """(C,) a number for every candidate row; the highest of a ranking is its best."""


class Fitted(Protocol):
    """A fitted method."""

    @property
    def n_parameters(self) -> int:
        """Numbers fitted that are kept for new users; weights of single users do not count."""
        ...

    def predict(self, known: Rankings, test: Rankings) -> Prediction:
        """Predict `test` for users of whom `known` is known, perhaps nothing; same user codes."""
        ...

    def policy_scores(self) -> Floats:
        """Return beta log(pi / pi_ref), (A,), of the one policy that the method gives everybody."""
        ...

    def labels(self, known: Rankings) -> NDArray[np.int64] | None:
        """Return each user's type, (N,); None where the method has no types."""
        ...


class Method(Protocol):
    """A method with one choice of hyperparameters."""

    name: ClassVar[str]
    source: ClassVar[str]
    """Paper and equations."""
    assumes: ClassVar[str]
    """What it takes for granted about people, in one clause."""
    changed: ClassVar[str]
    """What was changed for rankings and frozen features."""

    @classmethod
    def grid(cls) -> Sequence[Method]:
        """Return the settings among which validation rankings choose: `BUDGET` of them, or one."""
        ...

    def fit(self, problem: Problem) -> Fitted:
        """Fit the method to training rankings."""
        ...


BUDGET = 6
"""Settings that each method may try; one where there is nothing to set."""


@dataclass(frozen=True, eq=False)
class OneScore:
    """One score for everybody: the model of methods that know no users."""

    scores: Floats
    """(A,) DPO scores, nats."""
    n_parameters: int

    def predict(self, known: Rankings, test: Rankings) -> Prediction:
        """Predict the same for every user."""
        rows = self.scores[test.candidate]
        return Prediction(log_likelihoods(test.stages, rows[None])[0], rows)

    def policy_scores(self) -> Floats:
        """Return the scores themselves."""
        return self.scores

    def labels(self, known: Rankings) -> None:
        """Return None: there are no types."""
        return None


@dataclass(frozen=True, eq=False)
class TypeScores:
    """K types, of which a user's known rankings tell the probabilities."""

    scores: Floats
    """(K, A) DPO scores, nats."""
    log_weights: Floats
    """(K,)"""
    one_policy: Floats
    """(A,) what the method's own aggregation gives everybody."""
    n_parameters: int
    hard: bool = False
    """Whether a user of whom something is known counts wholly as the likeliest type."""

    def posterior(self, known: Rankings) -> Floats:
        """Return the probability of each type for each user, (N, K)."""
        log_lik = log_likelihoods(known.stages, self.scores[:, known.candidate])
        resp = np.exp(e_step(user_totals(known, log_lik), self.log_weights)[0])
        if self.hard:
            told = np.bincount(known.user, minlength=known.n_users) > 0
            resp[told] = np.eye(resp.shape[1])[resp[told].argmax(axis=1)]
        return resp

    def predict(self, known: Rankings, test: Rankings) -> Prediction:
        """Predict by the mixture of the types' Plackett-Luce models."""
        resp, rows = self.posterior(known), self.scores[:, test.candidate]
        log_lik = log_likelihoods(test.stages, rows)
        with np.errstate(divide="ignore"):  # a type that is ruled out
            mixed = mixed_log_likelihoods(log_lik, resp, test)
            return Prediction(mixed, own_scores(rows, resp, test))

    def policy_scores(self) -> Floats:
        """Return the aggregate."""
        return self.one_policy

    def labels(self, known: Rankings) -> NDArray[np.int64]:
        """Return the likeliest type of each user."""
        return self.posterior(known).argmax(axis=1)
