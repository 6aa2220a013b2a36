"""What people in a room are told of the types, and of their own: values for their page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import emdpo
from emdpo.core.errors import RunError
from emdpo.settings import ADAPTERS
from emdpo.ui.collect.runs import shown_run
from emdpo.ui.collect.types_part import everybody
from emdpo.ui.type_facts import portraits
from emdpo.ui.workplace import Workplace
from emdpo.who_am_i import matched, who_am_i
from emdpo.who_am_i_words import doubts, rests_on, verdict

if TYPE_CHECKING:
    import pandas as pd

    from emdpo.collect.rooms import Room
    from emdpo.core.portraits import TypePortrait
    from emdpo.fitting import Fit

WISHES = 3


def told(place: Workplace, room: Room, table: pd.DataFrame) -> dict[str, Any] | None:
    """Return the types of a room and somebody's own; None while there is nothing to tell.

    Parameters
    ----------
    place
    room
        Its newest run with types is told of.
    table : DataFrame
        Canonical, of that one person, with what they gave after the fit, too.

    Returns
    -------
    dict
        n_people and n_rankings that the types rest on; types, each with its number, share, low
        and high (95% interval over people), and wishes in words; you: see `own`; run: its id where
        it may be opened; chat: whether its types can be talked to.
    """
    run = shown_run(place, room)
    if run is None:
        return None
    run_id = run.job_id
    try:
        fit = place.fit(run_id)
        types = _types(place, run_id)
    except RunError:  # gone meanwhile, since somebody withdrew
        return None
    return {
        "n_people": fit.rankings.n_users,
        "n_rankings": fit.rankings.n_rankings,
        "types": types,
        "you": own(fit, table),
        "run": run_id if room.shares_run else None,
        "chat": room.shares_run and run.config.get("policy") == ADAPTERS,
    }


def _types(place: Workplace, run_id: str) -> list[dict[str, Any]]:
    all_of_us = everybody(place, run_id)
    return [
        {
            "number": portrait.number,
            "share": float(all_of_us.shares[0, k]),
            "low": float(all_of_us.low[0, k]),
            "high": float(all_of_us.high[0, k]),
            "wishes": _wishes(portrait),
        }
        for k, portrait in enumerate(portraits(place, run_id))
    ]


def _wishes(portrait: TypePortrait) -> list[str]:
    return [phrase for phrase, _ in portrait.wishes[:WISHES]]


def own(fit: Fit, table: pd.DataFrame) -> dict[str, Any] | None:
    """Return somebody's posterior and what it rests on; None where they ranked nothing known.

    The posterior of types 1..K; a verdict and doubts in words; for each ranking its prompt and what
    it says for the likeliest type; `prior`: what the sizes of the types say before any answer.
    """
    if table.empty:
        return None
    rankings = emdpo.load(table)
    if not matched(fit, rankings).n_rankings:
        return None
    found = who_am_i(fit, rankings)
    prior, *sentences = rests_on(found)
    rests = zip(found.evidence.rankings, sentences, strict=False)
    return {
        "posterior": [float(p) for p in found.evidence.posterior],
        "verdict": verdict(found),
        "doubts": list(doubts(found)),
        "prior": prior,
        "rests_on": [{"prompt": one.prompt, "says": says} for one, says in rests],
    }
