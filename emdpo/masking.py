"""A fit and an audit without people, ids and texts: what is published can be made from these.

Users, rankings, prompts and answers are numbered from 1 in the order of the file fitted. A prompt's
or answer's id goes with its text: it often is the text, or names a user.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from emdpo.cards import base_model_name
from emdpo.core.features import FeatureSet
from emdpo.core.loglinear import LogLinearPolicies

if TYPE_CHECKING:
    from emdpo.core.rankings import Rankings
    from emdpo.core.scored import ScoredPolicies
    from emdpo.fitting import Fit

NO_TEXT = "(text not published)"


def masked_fit(fit: Fit, *, texts: bool = False) -> Fit:
    """Return the fit with users numbered and, unless `texts`, prompts and answers too.

    Attributes of users stay in memory, for shares by group; folders of base models go.
    """
    rankings = _without_users(fit.rankings)
    changes: dict[str, Any] = {} if texts else _without_item_names(fit)
    if fit.base_model is not None and fit.adapters is not None:
        name = base_model_name(fit.base_model)
        changes["base_model"] = replace(fit.base_model, name=name)
        changes["config"] = replace(fit.config, base_model=name)
        changes["adapters"] = {
            key: replace(each, config={**each.config, "base_model_name_or_path": name})
            for key, each in fit.adapters.items()
        }
    return replace(fit, rankings=rankings if texts else _without_texts(rankings), **changes)


def masked_json(value: Any) -> Any:
    """Return an audit's JSON values without the names and sizes of suppressed groups.

    >>> masked_json({"suppressed": [{"attribute": "age", "value": "99", "n": 3}]})
    {'suppressed': [{'attribute': 'age', 'value': None, 'n': None}]}
    """
    if isinstance(value, list):
        return [masked_json(item) for item in value]
    if not isinstance(value, Mapping):
        return value
    return {
        key: [_unnamed(group) for group in item] if key == "suppressed" else masked_json(item)
        for key, item in value.items()
    }


def _unnamed(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: item if key == "attribute" else None for key, item in group.items()}


def _without_users(rankings: Rankings) -> Rankings:
    users = pd.Index([str(n + 1) for n in range(rankings.n_users)], dtype=object, name="user_id")
    return replace(
        rankings,
        users=rankings.users.set_axis(users, axis=0),
        ranking_ids=_numbered("ranking", rankings.n_rankings),
        notes=(),
    )


def _without_texts(rankings: Rankings) -> Rankings:
    codes, distinct = pd.factorize(rankings.candidates["response_id"])
    prompts = pd.DataFrame(
        {"prompt_id": _numbered("prompt", rankings.n_prompts), "prompt": NO_TEXT, "messages": None},
        index=rankings.prompts.index,
        dtype=object,
    )
    candidates = rankings.candidates.assign(
        response_id=_numbered("answer", len(distinct))[codes], response=NO_TEXT
    )
    return replace(rankings, prompts=prompts, candidates=candidates)


def _numbered(noun: str, n: int) -> np.ndarray:
    return np.array([f"{noun} {number + 1}" for number in range(n)], dtype=object)


def _without_item_names(fit: Fit) -> dict[str, Any]:
    """Return the fit's policies with features that name no item and quote no word."""
    return {
        name: _renamed(getattr(fit, name), _unworded(fit.features))
        for name in ("policies", "pooled", "reading")
    }


def _renamed(
    policies: LogLinearPolicies | ScoredPolicies, features: FeatureSet
) -> LogLinearPolicies | ScoredPolicies:
    if not isinstance(policies, LogLinearPolicies):
        return policies
    return replace(policies, features=features)


def _unworded(features: FeatureSet) -> FeatureSet:
    if features.kind == "items":
        numbers = tuple(_numbered("answer", features.n_features).tolist())
        return replace(features, names=numbers, labels=numbers)
    if features.kind == "columns":
        return features
    pairs = zip(features.names, features.labels, strict=True)
    labels = (name.replace("_", " ") if _is_topic(name) else label for name, label in pairs)
    return replace(features, labels=tuple(labels))


def _is_topic(name: str) -> bool:
    return name.startswith("topic_")
