"""Which type am I? as HTML: the question, where the visitor stands, and the verdict."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from emdpo.plots.theme import type_colour
from emdpo.ui.markup import fold, line, shortened, text
from emdpo.ui.talks import LETTERS
from emdpo.ui.types_view import order_html, posterior_html
from emdpo.who_am_i import MOST
from emdpo.who_am_i_words import doubts, rests_on, verdict

if TYPE_CHECKING:
    from emdpo.core.portraits import TypePortrait
    from emdpo.who_am_i import PersonsType

PROMPT_LIMIT, ANSWER_LIMIT = 2_000, 1_200
"""Characters shown."""

WISHES = 3

HOW = "Tap the answers from best to worst; tap one again to take it back."

CAVEAT = (
    "The probabilities hold within the fitted model: its types count as given, and so does the "
    "chance in people's answers. They speak of these answers, not of you."
)


def ordinal(number: int) -> str:
    """Return 1st, 2nd, 3rd, 4th ...

    >>> [ordinal(n) for n in (1, 2, 3, 4)]
    ['1st', '2nd', '3rd', '4th']
    """
    return str(number) + {1: "st", 2: "nd", 3: "rd"}.get(number, "th")


def question_html(number: int, prompt: str) -> str:
    """Return the head of a question: its number and what the answers are answers to."""
    return (
        f'<section tabindex="-1" id="who-question" aria-label="Question {number}">'
        f'<p class="size">Question {number}. At most {MOST} orders are asked for. {HOW}</p>'
        f'<h3 class="prompt">{shortened(prompt, PROMPT_LIMIT)}</h3></section>'
    )


def card_label(place: int, answer: str, rank: int | None) -> str:
    """Return the label of an answer's button: its letter, its rank so far, and its text."""
    shown = answer if len(answer) <= ANSWER_LIMIT else answer[: ANSWER_LIMIT - 1].rstrip() + "…"
    placed = "" if rank is None else f" · {ordinal(rank)}"
    return f"{LETTERS[place]}{placed}\n{shown}"


def send_label(n_placed: int, n_shown: int) -> str:
    """Return the label of the button that sends an order."""
    if n_placed >= n_shown - 1:
        return "Send this order"
    if n_placed == 0:
        return "Send"
    return f"Send my best {n_placed}, rest undecided"


def standing_html(posterior: Sequence[float], before: Sequence[float] | None, n_given: int) -> str:
    """Return where the visitor stands after so many orders."""
    orders = "1 order" if n_given == 1 else f"{n_given} orders"
    so_far = f"After {orders}" if n_given else "Before any answer: how common the types are"
    return (
        f'<div class="user" role="status"><p class="size">{so_far}</p>'
        f"{posterior_html(posterior, before)}</div>"
    )


def verdict_html(found: PersonsType, portrait: TypePortrait) -> str:
    """Return who the visitor is, how sure that is, and what it rests on."""
    evidence = found.evidence
    colour = type_colour(evidence.most_likely - 1)
    prior, *sentences = rests_on(found)
    wishes = "; ".join(phrase for phrase, _ in portrait.wishes[:WISHES])
    told = zip(evidence.rankings, sentences, strict=True)
    rests = "".join(
        f"<li><b>{text(sentence)}</b><br>{shortened(one.prompt, 200)}"
        f"{fold('Your order', order_html(one))}</li>"
        for one, sentence in told
    )
    return (
        f'<section class="card user" tabindex="-1" id="who-verdict" style="--type:{colour}" '
        f'aria-label="Your type"><h3 class="verdict"><i></i>{text(verdict(found))}</h3>'
        + (f"<p>What this type wants: {shortened(wishes, 240)}.</p>" if wishes else "")
        + "".join(line(doubt, "warning") for doubt in doubts(found))
        + posterior_html(evidence.posterior)
        + f"<h4>What this rests on</h4><p>Before any answer: {text(prior)}</p>"
        + f'<ul class="list rests">{rests}</ul>'
        + '<p class="caveat">In brackets: what each adds to the log-odds of the two likeliest '
        f"types, in nats. {CAVEAT}</p></section>"
    )
