"""Conversations as HTML: one card per answer; whatever was typed or generated stays text."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emdpo.adapters.answers import Ending, Partial
from emdpo.core.contrasts import contrast
from emdpo.core.findings import RULE_LABELS
from emdpo.plots.auditing import RULE_LOOKS
from emdpo.plots.theme import INK, type_colour
from emdpo.ui.markup import line, text
from emdpo.ui.talks import LETTERS, Talk, Turn

if TYPE_CHECKING:
    from emdpo.chatting import Cast

ENDINGS = {Ending.LIMIT: "cut at the length limit", Ending.STOPPED: "stopped"}

ONE_DRAW = "Each answer is one draw: the same policy may differ from itself as much."


def policy_label(cast: Cast, name: str) -> str:
    """Return a policy's name for people, with the share of a type."""
    if name == "base":
        return "Base model"
    if name.startswith("type-"):
        number = int(name[5:])
        return f"Type {number} ({cast.shares[number - 1]:.0%})"
    title = cast.speaker(name).title
    return f"{RULE_LABELS[name]}: {title}" if title else RULE_LABELS[name]


def policy_colour(name: str) -> str:
    """Return the colour that a policy has on every figure."""
    if name == "base":
        return INK
    if name.startswith("type-"):
        return type_colour(int(name[5:]) - 1)
    return RULE_LOOKS[name][0]


def earlier_html(talk: Talk) -> str:
    """Return all turns but the last, newest first."""
    turns = list(enumerate(talk.turns[:-1], start=1))
    if not turns:
        return ""
    told = "".join(turn_html(turn, number) for number, turn in reversed(turns))
    return f'<h3 class="earlier">Earlier in this conversation</h3>{told}'


def last_html(talk: Talk, waiting: str = "") -> str:
    """Return the newest turn; `waiting` says what it waits for."""
    if talk.last is None:
        return ""
    return turn_html(talk.last, len(talk.turns), waiting)


def turn_html(turn: Turn, number: int, waiting: str = "") -> str:
    """Return one question and its answers."""
    cast = turn.cast
    cards = "".join(
        _card(cast, turn, position, name, partial)
        for position, (name, partial) in enumerate(turn.answers())
    )
    drawn = turn.sampling
    how = f"seed {drawn.seed}, temperature {drawn.temperature:g}"
    return (
        f'<section class="turn"><p class="question"><b>{number}</b>{text(turn.question)}'
        f'<span class="drawn">{how}</span></p>{line(waiting)}{line(turn.message, "error")}'
        f'<div class="voices">{cards}</div>{_differences(cast, turn)}{_verdict(cast, turn)}'
        "</section>"
    )


def _card(cast: Cast, turn: Turn, position: int, name: str, partial: Partial) -> str:
    colour, label = policy_colour(name), policy_label(cast, name)
    foot = _foot(cast, name, partial)
    if turn.hides_names:
        colour, label, foot = INK, f"Answer {LETTERS[position]}", _ending(partial)
    picked = " picked" if name == turn.liked else ""
    growing = "" if partial.ending else " growing"
    badge = '<span class="badge">your pick</span>' if picked else ""
    return (
        f'<article class="card voice{picked}{growing}" style="--type:{colour}">'
        f"<h3><i></i>{text(label)}{badge}</h3>"
        f'<p class="said">{text(partial.text.strip())}</p>{foot}</article>'
    )


def _ending(partial: Partial) -> str:
    ending = ENDINGS.get(partial.ending) if partial.ending else None
    empty = "an empty answer" if partial.ending is Ending.SAID and not partial.text.strip() else ""
    said = ending or empty
    return f'<p class="ending">{said}</p>' if said else ""


def _foot(cast: Cast, name: str, partial: Partial) -> str:
    """Return how the answer ended and, of an aggregate, what it is made of."""
    speaker = cast.speaker(name)
    if len(speaker.voices) == 1:
        return _ending(partial)
    shares = partial.posterior or speaker.weights
    about = "Sounds like" if partial.posterior else "Made of"
    parts = [
        (type_colour(k), f"Type {k + 1} {share:.0%}")
        for k, share in enumerate(shares)
        if share >= 0.005
    ]
    bar = "".join(
        f'<i style="width:{share:.1%};background:{type_colour(k)}"></i>'
        for k, share in enumerate(shares)
    )
    words = ", ".join(words for _, words in parts)
    return f'{_ending(partial)}<div class="made"><div>{bar}</div><p>{about}: {words}</p></div>'


def _differences(cast: Cast, turn: Turn) -> str:
    """Return how the answers differ in style from the base model's."""
    said = dict(turn.answers())
    base = said.get("base")
    if turn.hides_names or not turn.over or base is None:
        return ""
    phrases = [
        (policy_label(cast, name).split(" (")[0], contrast(partial.text, base.text, turn.question))
        for name, partial in said.items()
        if name != "base" and partial.ending is not Ending.STOPPED
    ]
    parts = [f"<b>{text(name)}</b> {text(', '.join(told))}" for name, told in phrases if told]
    if not parts:
        return ""
    return (
        f'<p class="differences">Against the base model: {"; ".join(parts)}. '
        f'<span class="caveat">{ONE_DRAW}</span></p>'
    )


def _verdict(cast: Cast, turn: Turn) -> str:
    """Return what came out of a blind turn."""
    if turn.liked is None:
        return ""
    liked = policy_label(cast, turn.liked)
    if turn.guess is None:
        return line(f"You picked: {liked}.", "good")
    if turn.guess == turn.liked:
        return line(f"You picked: {liked}, and guessed so.", "good")
    return line(f"You picked: {liked}. You guessed: {policy_label(cast, turn.guess)}.")
