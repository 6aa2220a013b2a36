"""What a comparison found, in sentences made from its numbers."""

from __future__ import annotations

from collections.abc import Sequence

from emdpo.head_to_head.comparison import LOWER_IS_BETTER, NEW, SEEN, Comparison, Measured
from emdpo.methods.known_types import KnownTypes

MEASURE_NAMES = {
    "log_loss": "log-loss",
    "accuracy": "the best answer named",
    "tau": "Kendall's tau-b",
}

UNITS = {"log_loss": " nats a ranking", "accuracy": "", "tau": ""}


def most_known(found: Comparison) -> tuple[str, int | None]:
    """Return the part of new users of whom most is known."""
    return next(part for part in reversed(found.parts()) if part[0] == NEW)


def whom(users: str, known: int | None) -> str:
    """Return the users of a part as the subject of a sentence."""
    if users == SEEN:
        return "users seen in training"
    if known == 0:
        return "new users of whom nothing is known"
    return f"new users of whom up to {known} ranking{'s are' if known != 1 else ' is'} known"


def findings(found: Comparison, measure: str = "log_loss") -> list[str]:
    """Return who predicts best, who beats the baseline, and what the truth would still add."""
    most = most_known(found)
    told = [_best(found, measure, most)]
    if len(found.methods) > 1:
        told.append(_against_baseline(found, measure, most))
    told += _truth(found, measure, most)
    if most != (NEW, 0):
        told.append(_best(found, measure, (NEW, 0)))
    return told


def _best(found: Comparison, measure: str, part: tuple[str, int | None]) -> str:
    rows = [each for each in found.of(measure, *part) if each.method != KnownTypes.name]
    about = f"For {whom(*part)}, by {MEASURE_NAMES[measure]}"
    if not rows:
        return f"{about}: no method but the truth was compared."
    best = [each.method for each in rows if each.is_among_best]
    if len(rows) == 1:
        return f"{about}: {best[0]} was compared with nothing."
    if len(best) == 1:
        return f"{about}: {best[0]} is best, and told apart from every other method."
    if len(best) == len(rows):
        return f"{about}: no method is told apart from the best, {best[0]}."
    return (
        f"{about}: {best[0]} has the best mean; {_listed(best[1:])} "
        f"{'are' if len(best) > 2 else 'is'} not told apart from it."
    )


def _against_baseline(found: Comparison, measure: str, part: tuple[str, int | None]) -> str:
    """Return which methods are clearly better than the baseline, and by how much the first is."""
    rows = [each for each in found.of(measure, *part) if each.method != KnownTypes.name]
    base = "pooled DPO" if found.baseline == "dpo" else found.baseline
    better = [each for each in rows if verdict(each) == "better"]
    if not better:
        return f"There no method beats {base} with an interval clear of zero."
    first = better[0]
    low, high = sorted(abs(end) for end in first.above_interval)
    many = f"{len(better)} methods beat" if len(better) > 1 else "one method beats"
    return (
        f"There {many} {base} with an interval clear of zero: "
        f"{_listed([each.method for each in better])}. The first gains {abs(first.above):.3f}"
        f"{UNITS[measure]} ({low:.3f} to {high:.3f})."
    )


def _truth(found: Comparison, measure: str, part: tuple[str, int | None]) -> list[str]:
    """Return how far the best method is from the truth, in simulations."""
    rows = found.of(measure, *part)
    truth = next((each for each in rows if each.method == KnownTypes.name), None)
    best = next((each for each in rows if each.method != KnownTypes.name), None)
    if truth is None or best is None:
        return []
    sign = 1.0 if measure in LOWER_IS_BETTER else -1.0
    left = sign * (best.mean - truth.mean)
    way = f"{left:.3f}{UNITS[measure]} better" if left > 0 else "no better"
    return [f"Who knew the planted types would predict there {way} than {best.method}."]


def verdict(each: Measured) -> str:
    """Return better, worse or open: what the paired interval says against the baseline."""
    low, high = each.above_interval
    if low <= 0.0 <= high:
        return "open"
    falls = high < 0.0
    return "better" if falls == (each.measure in LOWER_IS_BETTER) else "worse"


def _listed(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
