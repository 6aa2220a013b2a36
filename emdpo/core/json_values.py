"""Results as JSON values, and text that is safe to show on a terminal."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from typing import Any

import numpy as np


def plain(value: Any) -> Any:
    """Return a value as JSON types: arrays as lists, not-finite numbers as None."""
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray | list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


_NUMBERS = re.compile(r'\[\n\s+([^\[\]{}"]*?)\n\s+\]')


def as_json(value: Any) -> str:
    """Return a value as indented JSON text, lists of numbers on one line; null for NaN.

    >>> print(as_json({"a": [1.5, float("nan")], "b": ["x"]}))
    {
      "a": [1.5, null],
      "b": [
        "x"
      ]
    }
    """
    text = json.dumps(plain(value), indent=2, ensure_ascii=False, allow_nan=False)
    return _NUMBERS.sub(lambda match: f"[{' '.join(match[1].split())}]", text)


_CONTROL = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""Characters that move the cursor, colour a terminal or turn the direction of text."""


def visible(text: str) -> str:
    r"""Return text with control characters written out, so that data cannot drive a terminal.

    >>> visible("red \x1b[31m")
    'red \\x1b[31m'
    """
    return _CONTROL.sub(lambda match: ascii(match[0])[1:-1], text)
