"""How an answer differs from another in style, in words that a reader can check by looking.

One answer is one draw: the same policy may differ from itself as much. Meaning is not compared.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from emdpo.core.text_features import STYLE_FEATURES, content_words, style_of

FEWEST_WORDS = 5
"""Shorter answers have no style to speak of, only a length."""

MOST_PHRASES = 2


@dataclass(frozen=True)
class _Measure:
    """A style feature that can be told in few words."""

    telling: float
    """A difference of this size, in the feature's own units, is worth a word."""
    phrase: Callable[[str, float, float], str]
    """Of the feature's label and the two values."""


def _length(_: str, here: float, there: float) -> str:
    factor = float(np.expm1(here) / np.expm1(there))
    if factor > 1.95:
        return f"{factor:.1f} times as long"
    return f"{abs(factor - 1):.0%} {'longer' if factor > 1 else 'shorter'}"


def _count(label: str, here: float, there: float) -> str:
    return f"{np.expm1(here):.0f} {label} against {np.expm1(there):.0f}"


def _share(label: str, here: float, there: float) -> str:
    return f"{'more' if here > there else 'less'} {label}"


_COUNTED = ("numbered_steps", "bullet_points", "questions", "exclamations", "parentheses", "emoji")
_SHARED = {
    "hedging": "hedging",
    "certainty": "certainty",
    "warmth": "warm words",
    "politeness": "polite words",
    "caution": "caution",
    "examples": "examples",
    "second_person": "“you”",
    "first_person": "“I” and “we”",
}

MEASURES = {
    "words_log": _Measure(0.25, _length),
    **{name: _Measure(0.9, _count) for name in _COUNTED},
    **{name: _Measure(4.0, _share) for name in _SHARED},
}
"""Counts are log(1 + x), shares are per 100 words (`text_features.style_of`)."""

_LABELS = {feature.name: feature.label for feature in STYLE_FEATURES} | _SHARED


def contrast(answer: str, other: str, question: str = "") -> list[str]:
    """Return the strongest differences of an answer from another, at most `MOST_PHRASES`.

    Examples
    --------
    >>> contrast("Call him. Then rest.", "You could perhaps call him, and then maybe take a rest.")
    ['64% shorter']
    """
    asked = content_words(question)
    here, there = style_of(answer, asked), style_of(other, asked)
    if not (here["words_log"] and there["words_log"]):
        return []
    shortest = min(np.expm1(here["words_log"]), np.expm1(there["words_log"]))
    told = MEASURES if shortest >= FEWEST_WORDS else {"words_log": MEASURES["words_log"]}
    strength = {name: abs(here[name] - there[name]) / told[name].telling for name in told}
    strongest = sorted((n for n in told if strength[n] >= 1), key=lambda n: -strength[n])
    return [
        told[name].phrase(_LABELS[name], here[name], there[name])
        for name in strongest[:MOST_PHRASES]
    ]
