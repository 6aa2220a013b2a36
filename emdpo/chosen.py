"""The policy that people chose for a run: audit/chosen.json.

It is a blend of the types' policies with weights of their own. The audit then has the rule `given`,
and a run with adapters can be asked `--as given`.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from math import fsum
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from emdpo import files
from emdpo.core.errors import EmdpoError, RunError
from emdpo.core.mixture import occupied_types
from emdpo.core.rules import FORMS

if TYPE_CHECKING:
    from numpy.typing import ArrayLike

CHOSEN = "chosen.json"

LONGEST_NAME = 60
"""Characters."""

MOST_BYTES = 20_000
"""Of the file, which may come from anybody."""

SLACK = 1e-6
"""Rounding allowed where weights must sum to one."""


@dataclass(frozen=True)
class Chosen:
    """A blend of the types' policies that somebody chose."""

    form: str
    """`mixture`, sum_k a_k pi_k, or `consensus`, proportional to prod_k pi_k^a_k."""
    weights: tuple[float, ...]
    """(K,) a: >= 0, summing to one."""
    name: str = ""
    """What people call it, on one line; user text."""

    def __post_init__(self) -> None:
        if self.form not in FORMS:
            raise EmdpoError(f"form must be {' or '.join(FORMS)}, got {self.form!r:.40}")
        object.__setattr__(self, "weights", _simplex(self.weights))
        if not isinstance(self.name, str):
            raise EmdpoError(f"name must be text, got {self.name!r:.40}")
        object.__setattr__(self, "name", _one_line(self.name))
        if len(self.name) > LONGEST_NAME:
            raise EmdpoError(f"a name has at most {LONGEST_NAME} characters, got {len(self.name)}")


def _simplex(weights: Any) -> tuple[float, ...]:
    """Return weights that sum to one exactly; EmdpoError where they are none."""
    sound = isinstance(weights, Sequence) and all(
        isinstance(each, int | float) and not isinstance(each, bool) and 0 <= each <= 1 + SLACK
        for each in weights
    )
    if not (sound and abs(fsum(weights) - 1) <= SLACK):
        raise EmdpoError(f"weights must be numbers >= 0 that sum to 1, got {weights!r:.80}")
    return tuple(float(each) / fsum(weights) for each in weights)


def _one_line(name: str) -> str:
    """Return text without what moves a cursor or turns its direction."""
    shown = (" " if unicodedata.category(sign)[0] in "CZ" else sign for sign in name)
    return " ".join("".join(shown).split())


def check_chosen(chosen: Chosen, shares: ArrayLike, n_users: int) -> None:
    """Raise EmdpoError unless a choice fits a run: one weight a type, none for types without users.

    `shares` (K,) are the types' weights.
    """
    shares = np.asarray(shares, dtype=np.float64)
    if len(chosen.weights) != len(shares):
        raise EmdpoError(
            f"the policy has {len(chosen.weights)} weights, but the run {len(shares)} types"
        )
    if np.array(chosen.weights)[~occupied_types(shares, n_users)].any():
        raise EmdpoError("the policy gives weight to a type without users")


def save_chosen(run: str | Path, chosen: Chosen) -> Path:
    """Write audit/chosen.json into a run folder, whole or not at all, and return its path.

    Raises
    ------
    RunError
        The folder cannot be written to.
    """
    path = Path(run) / "audit" / CHOSEN
    try:
        files.write_json(path, asdict(chosen))
    except OSError as error:
        raise RunError(f"{path}: cannot be written to ({error.strerror})") from None
    return path


def load_chosen(run: str | Path, n_types: int) -> Chosen | None:
    """Return what was chosen for a run of K types; None where nothing was.

    Raises
    ------
    RunError
        The file is damaged, too large, or of another number of types.
    """
    path = Path(run) / "audit" / CHOSEN
    if not files.exists(path):
        return None
    if not path.is_file() or path.stat().st_size > MOST_BYTES:
        raise RunError(f"{path}: is no file of at most {MOST_BYTES:,} bytes")
    told = files.read_json(path)
    try:
        chosen = Chosen(told["form"], told["weights"], told.get("name", ""))
    except KeyError as error:
        raise RunError(f"{path}: has no {error}") from None
    except EmdpoError as error:
        raise RunError(f"{path}: {error}") from None
    if len(chosen.weights) != n_types:
        raise RunError(f"{path}: has {len(chosen.weights)} weights, but the run {n_types} types")
    return chosen


def chosen_settings(run: str | Path, n_types: int) -> dict[str, Any]:
    """Return the settings of an audit that has the rule `given`; none where nothing was chosen."""
    chosen = load_chosen(run, n_types)
    return {} if chosen is None else {"weights": chosen.weights, "weights_form": chosen.form}
