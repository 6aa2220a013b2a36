"""Named style features of a response that a person can check, and topics of the answers."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

STYLE_PHRASES = {"words_log": ("prefers longer answers", "prefers shorter answers")}

_WORD = re.compile(r"\w+(?:['’]\w+)*")


def text_features(
    responses: Sequence[str], prompts: Sequence[str], candidate_prompt: NDArray[np.int64]
) -> tuple[NDArray[np.float64], list[str], list[str]]:
    """Return raw text features (A, D) with their names (D,) and labels (D,)."""
    words = [np.log1p(len(_WORD.findall(response))) for response in responses]
    return np.array(words).reshape(-1, 1), ["words_log"], ["length"]
