"""Items are named by their text where it is theirs alone."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
from panels import planted

import emdpo
from emdpo.core.features import build_features
from emdpo.core.item_texts import in_full
from emdpo.core.rankings import rankings_from_table
from emdpo.telling import fit_text


def survey(**texts):
    """Return rankings of four items, a to d, by five users."""
    rows = [
        {"user_id": f"u{user}", "prompt": "Which?", "response_id": item, "rank": place + 1}
        for user in range(5)
        for place, item in enumerate("abcd" if user < 3 else "dcba")
    ]
    table = pd.DataFrame(rows)
    table["response"] = [texts.get(item, item) for item in table["response_id"]]
    return rankings_from_table(table)


def test_texts_take_the_place_of_ids_unless_two_items_share_one():
    rankings = survey(a="Air pollution", b="Cars", c="Cars")
    features = in_full(build_features(rankings, "items"), rankings)
    named = dict(zip(features.names, features.labels, strict=True))
    assert named == {"a": "Air pollution", "b": "b", "c": "c", "d": "d"}


def test_an_item_with_two_texts_keeps_its_id():
    """Of two prompts the same id may stand for two answers."""
    rankings = survey(a="Air pollution")
    candidates = pd.concat([rankings.candidates, rankings.candidates.assign(response="other")])
    both = replace(rankings, candidates=candidates)
    features = build_features(rankings, "items")
    assert in_full(features, both).labels == features.labels


def test_other_features_keep_their_labels():
    rankings = planted()
    features = build_features(rankings, "columns")
    assert in_full(features, rankings) is features


def test_a_fit_in_words_names_items_in_full_and_cuts_long_ones():
    rankings = survey(a="Air pollution", d="A statement that goes on and on " * 5)
    found = emdpo.fit(rankings, 1, features="items")
    text = fit_text(found, "run")
    assert "Air pollution" in text
    assert "A statement that goes on" in text
    assert all(len(line) < 300 for line in text.splitlines() if line.startswith("  Type"))
