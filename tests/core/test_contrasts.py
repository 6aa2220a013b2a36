"""What is said of how two answers differ."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from emdpo.core.contrasts import MEASURES, MOST_PHRASES, contrast
from emdpo.core.text_features import STYLE_FEATURES

PLAIN = "Tell the manager early, explain the reason, and propose a new date for the report."


def test_lengths_by_hand():
    """10 words against 20 are half; against 4, two and a half times as many."""
    words = "one two three four five six seven eight nine ten"
    assert contrast(words, f"{words} {words}") == ["50% shorter"]
    assert contrast(f"{words} {words}", words) == ["2.0 times as long"]
    assert contrast(words, "one two three four") == ["2.5 times as long"]
    assert contrast(f"{words} eleven twelve thirteen fourteen", words) == ["40% longer"]


def test_steps_are_counted_and_words_are_weighed():
    steps = "1. Tell the manager early.\n2. Explain the reason.\n3. Propose a new date for it."
    assert contrast(steps, PLAIN) == ["3 numbered steps against 0"]
    warm = "I am so sorry, that sounds tough, and I hope you feel okay; be kind to yourself now."
    told = contrast(warm, PLAIN)
    assert told[0] == "more warm words" and contrast(PLAIN, warm)[0] == "less warm words"


def test_equal_or_empty_answers_do_not_differ():
    assert contrast(PLAIN, PLAIN) == contrast("", PLAIN) == contrast(PLAIN, "!?") == []


@given(st.text(max_size=200), st.text(max_size=200))
def test_any_two_texts_can_be_compared(answer, other):
    assert len(contrast(answer, other)) <= MOST_PHRASES


def test_every_measure_is_a_style_feature():
    assert {feature.name for feature in STYLE_FEATURES} >= set(MEASURES)
