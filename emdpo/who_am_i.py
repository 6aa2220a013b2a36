"""Which type is a person? From a fit and that person's rankings, asked for one after another.

>>> import emdpo
>>> from emdpo.who_am_i import Answer, answered, next_question, questions, who_am_i
>>> from emdpo.who_am_i_words import verdict
>>> fit = emdpo.load_fit("checkpoints/demo")
>>> pool, answers = questions(fit), []
>>> liked = fit.policies.candidate_scores()[0]  # here answers somebody who is just like Type 1
>>> while len(answers) < 3:
...     question = next_question(fit, pool, answers)
...     order = sorted(question.candidates, key=lambda candidate: -liked[candidate])
...     answers.append(Answer(question, tuple(order)))
>>> verdict(who_am_i(fit, answered(fit, answers)))
'You are over 99% Type 1.'
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo.core.adaptive import EXACT_UP_TO
from emdpo.core.em import e_step, user_totals
from emdpo.core.errors import EmdpoError
from emdpo.core.evidence import UserEvidence, user_evidence
from emdpo.core.plackett_luce import log_likelihoods
from emdpo.core.question_pool import Question, QuestionPool, question_pool
from emdpo.core.rankings import Rankings, feature_columns
from emdpo.core.scored import ScoredPolicies
from emdpo.shared_parts import answer_keys

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from emdpo.fitting import Fit

__all__ = [
    "Answer",
    "PersonsType",
    "Question",
    "QuestionPool",
    "answered",
    "answers_table",
    "log_posterior",
    "matched",
    "next_question",
    "posterior",
    "questions",
    "who_am_i",
]

SHOWN = 4
"""Candidates of a question; more are tiresome to order, fewer tell less."""

FEWEST, MOST, SURE = 4, 8, 0.9
"""Rankings asked for at least and at most, and the posterior from which that is enough."""


@dataclass(frozen=True)
class Answer:
    """What a person answered to a question."""

    question: Question
    order: tuple[int, ...]
    """Candidates, best first; those of the question that lack are undecided. Empty = skipped."""
    shown: tuple[int, ...] = ()
    """The candidates in the order in which they were shown; empty = as in the question."""


@dataclass(frozen=True)
class PersonsType:
    """A person's posterior over the types of a fit, and what it rests on."""

    evidence: UserEvidence
    """Posterior, and what each ranking adds to the log-odds of the two most likely types."""
    over_chance: float
    """By how much the most likely type explains the rankings better than orders at random, nats."""
    n_left_out: int
    """Rankings of the person with fewer than two answers that the fit knows."""


def questions(fit: Fit, size: int | None = None) -> QuestionPool:
    """Return the questions that a fit can put to a person.

    Parameters
    ----------
    fit : Fit
        With log-linear policies or adapters.
    size : int, optional
        Candidates shown at once, in 2..5. Of prompts with more, the most informative are shown.
        By default four; three where a survey has so few items that fours would make too few
        questions, for no two items are shown together twice.

    Examples
    --------
    >>> import emdpo
    >>> fit = emdpo.load_fit("checkpoints/demo")
    >>> pool = questions(fit)
    >>> len(pool), len(pool[0].candidates)
    (60, 4)
    """
    if size is None:
        fours = questions(fit, SHOWN)
        if _n_askable(fours, fit) >= FEWEST:
            return fours
        return max(fours, questions(fit, SHOWN - 1), key=lambda pool: _n_askable(pool, fit))
    if not 2 <= size <= EXACT_UP_TO:
        raise EmdpoError(f"a question shows 2 to {EXACT_UP_TO} candidates, got {size}")
    return question_pool(
        fit.policies.candidate_scores(),
        fit.rankings.candidate_prompt,
        _log_weights(fit),
        size,
        _is_known(fit.rankings),
    )


def _n_askable(pool: QuestionPool, fit: Fit) -> int:
    """Return how many questions could follow one another, counted up to FEWEST."""
    asked: list[Question] = []
    while len(asked) < FEWEST and (question := pool.best(_log_weights(fit), asked)) is not None:
        asked.append(question)
    return len(asked)


def next_question(
    fit: Fit,
    pool: QuestionPool,
    answers: Sequence[Answer],
    rng: np.random.Generator | None = None,
) -> Question | None:
    """Return the question that is expected to tell most after these answers; None where none is.

    No two candidates are shown together twice. With `rng`, the first question is drawn from the
    five most informative ones.
    """
    log_now = log_posterior(fit, answered(fit, answers))
    asked = [answer.question for answer in answers]
    return pool.best(log_now, asked, None if answers else rng)


def is_enough(posterior: NDArray[np.float64], n_rankings: int) -> bool:
    """Return whether a person has been asked enough: 4 to 8 rankings, until 90% sure."""
    return n_rankings >= MOST or (n_rankings >= FEWEST and float(posterior.max()) >= SURE)


def answered(fit: Fit, answers: Sequence[Answer], user_id: str = "you") -> Rankings:
    """Return a person's answers as rankings of the fit's candidates; skipped ones are left out."""
    given = [answer for answer in answers if answer.order]
    shown = [answer.shown or answer.question.candidates for answer in given]
    ranks = [
        answer.order.index(c) + 1 if c in answer.order else 0
        for answer, candidates in zip(given, shown, strict=True)
        for c in candidates
    ]
    lengths = [len(candidates) for candidates in shown]
    n = len(given)
    index = pd.Index([user_id], name="user_id", dtype=object)
    return Rankings(
        offsets=np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64),
        ranks=np.array(ranks, np.int32),
        candidate=np.array([c for candidates in shown for c in candidates], np.int32),
        user=np.zeros(n, np.int32),
        prompt=np.array([answer.question.prompt for answer in given], np.int32),
        weight=np.ones(n),
        held_out=np.zeros(n, np.bool_),
        ranking_ids=np.array([f"{user_id} / {i + 1}" for i in range(n)], object),
        users=pd.DataFrame(index=index),
        prompts=fit.rankings.prompts,
        candidates=fit.rankings.candidates,
    )


def answers_table(fit: Fit, answers: Sequence[Answer], user_id: str = "you") -> pd.DataFrame:
    """Return a person's answers as a canonical table, rows of a ranking in the order shown."""
    part = answered(fit, answers, user_id)
    candidates = part.candidates.iloc[part.candidate]
    prompts = part.prompts.iloc[part.prompt[part.ranking_of_row]]
    asked: list[Any] = [
        text if messages is None else messages
        for text, messages in zip(prompts["prompt"], prompts["messages"], strict=True)
    ]
    table = pd.DataFrame(
        {
            "user_id": user_id,
            "ranking_id": part.ranking_ids[part.ranking_of_row],
            "prompt_id": prompts["prompt_id"].to_numpy(object),
            "prompt": pd.Series(asked, dtype=object),
            "response_id": candidates["response_id"].to_numpy(object),
            "response": candidates["response"].to_numpy(object),
            "rank": pd.array([int(rank) or None for rank in part.ranks], dtype="Int64"),
        }
    )
    for name in feature_columns(candidates):
        table[name] = candidates[name].to_numpy()
    return table


def matched(fit: Fit, rankings: Rankings) -> Rankings:
    """Return rankings in terms of the fit's candidates, found by prompt_id and response_id.

    Candidates that the fit does not know are taken out of their rankings, which leaves the
    likelihood of the rest exact: in Plackett-Luce the order of some candidates does not depend on
    the others. Rankings with fewer than two known candidates go.
    """
    if rankings.candidates is fit.rankings.candidates:
        return rankings
    shown = _is_known(fit.rankings)
    known = {key: place for key, place in answer_keys(fit.rankings) if shown[place]}
    places = np.full(rankings.n_candidates, -1)
    for key, place in answer_keys(rankings):
        places[place] = known.get(key, -1)
    candidate = places[rankings.candidate]
    found = np.bincount(rankings.ranking_of_row[candidate >= 0], minlength=rankings.n_rankings)
    part, kept = rankings.select(found >= 2), found[found >= 2]
    candidate = candidate[np.repeat(found >= 2, rankings.lengths)]
    ranks, candidate = part.ranks[candidate >= 0], candidate[candidate >= 0]
    offsets = np.concatenate([[0], np.cumsum(kept)]).astype(np.int64)
    return replace(
        part,
        offsets=offsets,
        ranks=ranks,
        candidate=candidate.astype(np.int32),
        prompt=fit.rankings.candidate_prompt[candidate[offsets[:-1]]].astype(np.int32),
        prompts=fit.rankings.prompts,
        candidates=fit.rankings.candidates,
    )


def posterior(fit: Fit, rankings: Rankings) -> NDArray[np.float64]:
    """Return one person's probability of each type of a fit, (K,).

    Parameters
    ----------
    fit : Fit
    rankings : Rankings
        All of one person, who need not be among those fitted; of any file that shares prompt_id
        and response_id with the fit's. Without any, the posterior is the types' shares.

    Raises
    ------
    EmdpoError
        The rankings are of several people.

    Examples
    --------
    >>> import emdpo
    >>> fit = emdpo.load_fit("checkpoints/demo")
    >>> everybody = emdpo.load("assets/demo/rankings.csv")
    >>> one = everybody.select(everybody.user == 0)
    >>> posterior(fit, one).round(2).tolist()
    [0.0, 0.0, 1.0]
    """
    return np.exp(log_posterior(fit, rankings))


def log_posterior(fit: Fit, rankings: Rankings) -> NDArray[np.float64]:
    """Return the log of `posterior`, (K,): an E-step for one person (DESIGN section 3)."""
    part = _of_one_person(matched(fit, rankings))
    if not part.n_rankings:
        return _log_weights(fit)
    scores = fit.policies.candidate_scores()[:, part.candidate]  # (K, C)
    totals = user_totals(part, log_likelihoods(part.stages, scores))  # (1, K)
    return e_step(totals, _log_weights(fit))[0][0]


def who_am_i(fit: Fit, rankings: Rankings) -> PersonsType:
    """Return one person's posterior and what each ranking adds to it (arguments: `posterior`).

    Raises
    ------
    EmdpoError
        The rankings are of several people, or the fit knows none of them.
    """
    part = _of_one_person(matched(fit, rankings))
    if not part.n_rankings:
        raise EmdpoError("the fit knows no two answers of any of these rankings")
    policies = ScoredPolicies(fit.policies.candidate_scores())
    now = posterior(fit, part)
    user_id = str(part.users.index[0])
    evidence = user_evidence(part, policies, now[None], np.exp(_log_weights(fit)), user_id)
    at_random = log_likelihoods(part.stages, np.zeros((1, part.n_rows)))[0] @ part.weight
    explained = sum(one.log_likelihoods[evidence.most_likely - 1] for one in evidence.rankings)
    n_left_out = rankings.n_rankings - part.n_rankings
    return PersonsType(evidence, float(explained - at_random), n_left_out)


def _of_one_person(rankings: Rankings) -> Rankings:
    n_people = len(np.unique(rankings.user))
    if n_people > 1:
        raise EmdpoError(f"the rankings must be of one person, got {n_people:,} people")
    return rankings.select(np.ones(rankings.n_rankings, np.bool_), drop_users=n_people == 1)


def _log_weights(fit: Fit) -> NDArray[np.float64]:
    with np.errstate(divide="ignore"):  # a type may be empty
        return np.log(fit.weights / fit.weights.sum())


def _is_known(rankings: Rankings) -> NDArray[np.bool_]:
    """Return which candidates (A,) somebody ranked whom the fit has seen: others have no score."""
    known = np.zeros(rankings.n_candidates, np.bool_)
    known[rankings.candidate] = True
    return known
