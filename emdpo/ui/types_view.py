"""Types and users as HTML: a card per type, and why a user is thought to be of a type."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from emdpo.core.mixture import EMPTY_TYPE
from emdpo.plots.theme import type_colour
from emdpo.ui.markup import fold, line, shortened, text

if TYPE_CHECKING:
    from emdpo.core.evidence import RankingEvidence, UserEvidence
    from emdpo.core.portraits import TellingPair, TypePortrait

WISHES_SHOWN = 4
PROMPT_LIMIT, ANSWER_LIMIT = 200, 360
RANKINGS_SHOWN = 8


def cards_html(portraits: Sequence[TypePortrait], note: str = "") -> str:
    """Return one card per type, largest first, and below what the reader must know."""
    caveat = f'<p class="caveat">{text(note)}</p>' if note else ""
    return f'<div class="cards">{"".join(map(_card, portraits))}</div>{caveat}'


def _card(portrait: TypePortrait) -> str:
    k = portrait.number - 1
    if portrait.n_expected < EMPTY_TYPE:
        return (
            f'<section class="card" style="--type:{type_colour(k)}" aria-label="Type {k + 1}">'
            f"<h3><i></i>Type {k + 1}<span>0%</span></h3>"
            '<p class="size">Nobody: these rankings support fewer types. Fit fewer in 2 Fit.</p>'
            "</section>"
        )
    first, *more = [_pair(pair, k) for pair in portrait.pairs] or [""]
    apart = _wishes("What sets it apart from the average type", portrait.sets_apart)
    return (
        f'<section class="card" style="--type:{type_colour(k)}" aria-label="Type {k + 1}">'
        f"<h3><i></i>Type {k + 1}<span>{portrait.weight:.0%}</span></h3>"
        f'<div class="share"><i style="width:{portrait.weight:.1%}"></i></div>'
        f'<p class="size">about {portrait.n_expected:.0f} users; the most likely type of '
        f"{portrait.n_most_likely:,}</p>"
        f"{_wishes('What it wants', portrait.wishes)}"
        f"{'<h4>A telling choice</h4>' if first else ''}{first}"
        f"{fold('More telling choices', ''.join(more)) if more else ''}"
        f"{fold('Apart from the average type', apart) if apart else ''}</section>"
    )


def _wishes(title: str, wishes: Sequence[tuple[str, float]]) -> str:
    if not wishes:
        return ""
    shown = sorted(wishes, key=_is_topic)[:WISHES_SHOWN]
    most = max(strength for _, strength in shown)
    items = "".join(
        f'<li><span>{shortened(phrase, 80)}</span><i style="width:{strength / most:.0%}" '
        f'title="{strength:.2f} nats"></i></li>'
        for phrase, strength in shown
    )
    return f'<h4>{title}</h4><ul class="wishes">{items}</ul>'


def _is_topic(wish: tuple[str, float]) -> bool:
    """Return whether a wish is about a topic: such words say less at a glance than manners do."""
    return " topic: " in wish[0]


def _pair(pair: TellingPair, k: int) -> str:
    chances = "; ".join(f"Type {j + 1} {p:.0%}" for j, p in enumerate(pair.probabilities))
    return (
        f'<div class="pair"><p class="prompt">{shortened(pair.prompt, PROMPT_LIMIT)}</p>'
        f'<p class="answer picked"><b>Type {k + 1} picks</b>'
        f"{shortened(pair.preferred, ANSWER_LIMIT)}</p>"
        f'<p class="answer"><b>over</b>{shortened(pair.other, ANSWER_LIMIT)}</p>'
        f'<p class="chances">How likely each type picks the first: {chances}</p></div>'
    )


def user_html(evidence: UserEvidence) -> str:
    """Return one user's probabilities and the rankings that decide them."""
    head = (
        f"<h4>User {shortened(evidence.user_id, 80)}: most likely Type {evidence.most_likely}</h4>"
    )
    parts = [head, posterior_html(evidence.posterior)]
    if evidence.runner_up is not None:
        sums = (
            "together they give the probability above"
            if evidence.adds_up
            else "by the final policies; the probability above is by policies that had not been "
            "trained on the ranking they judged"
        )
        parts.append(
            f"<p>What speaks for Type {evidence.most_likely} over Type {evidence.runner_up} "
            f"(log-odds in nats; {sums}):</p>"
        )
        parts.append(_influences(evidence))
    hidden = len(evidence.rankings) - RANKINGS_SHOWN
    if hidden > 0:
        parts.append(line(f"{hidden} more rankings that matter less are not shown."))
    return f'<div class="user">{"".join(parts)}</div>'


def posterior_html(posterior: Sequence[float], before: Sequence[float] | None = None) -> str:
    """Return a bar per type, and where `before` is given, what its probability was."""
    was = [None] * len(posterior) if before is None else before
    bars = (_posterior_bar(k, *pair) for k, pair in enumerate(zip(posterior, was, strict=True)))
    return f'<div class="posterior">{"".join(bars)}</div>'


def _posterior_bar(k: int, probability: float, before: float | None) -> str:
    was = "" if before is None else f' <span class="was">was {before:.0%}</span>'
    return (
        f'<div class="chance" style="--type:{type_colour(k)}"><span>Type {k + 1}</span>'
        f'<div class="share"><i style="width:{probability:.1%}"></i></div>'
        f"<b>{_told(probability)}</b>{was}</div>"
    )


def _told(probability: float) -> str:
    """Return a probability that is never told as certain, as HTML."""
    if probability >= 0.9995:
        return "&gt; 99.9%"
    return f"{probability:.1%}" if probability >= 0.0005 else "&lt; 0.1%"


def _influences(evidence: UserEvidence) -> str:
    prior = f"<li><b>{evidence.prior_influence:+.2f}</b> sizes of the two types</li>"
    rankings: Iterable[RankingEvidence] = evidence.rankings[:RANKINGS_SHOWN]
    return f'<ul class="influences">{prior}{"".join(map(_influence, rankings))}</ul>'


def _influence(ranking: RankingEvidence) -> str:
    return (
        f"<li><b>{ranking.influence:+.2f}</b> {shortened(ranking.prompt, PROMPT_LIMIT)}"
        f"{order_html(ranking)}</li>"
    )


def order_html(ranking: RankingEvidence) -> str:
    """Return the answers of a ranking, best first."""
    order = "".join(
        f'<li value="{rank}">{shortened(answer, 140)}</li>'
        if rank
        else f'<li class="unranked">{shortened(answer, 140)} (not ranked)</li>'
        for answer, rank in zip(ranking.order, ranking.ranks, strict=True)
    )
    return f"<ol>{order}</ol>"
