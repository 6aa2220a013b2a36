"""Items named by what they say: "prefers Air pollution" rather than "prefers CAR"."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from emdpo.core.features import FeatureSet
    from emdpo.core.rankings import Rankings


def in_full(features: FeatureSet, rankings: Rankings) -> FeatureSet:
    """Return the features with each item labelled by its text, where it has one of its own.

    Labels of other kinds of features, of items with several texts and of items that share a text
    stay as they are.
    """
    if features.kind != "items":
        return features
    texts = rankings.candidates.groupby("response_id")["response"].agg(["first", "nunique"])
    own = texts.loc[texts["nunique"] == 1, "first"]
    own = own[~own.duplicated(keep=False)].to_dict()
    named = zip(features.names, features.labels, strict=True)
    return replace(features, labels=tuple(str(own.get(name, label)) for name, label in named))
