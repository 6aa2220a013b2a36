"""What is known of a run's types, computed once for all who look."""

from __future__ import annotations

from typing import TYPE_CHECKING

from emdpo.ui.workplace import Workplace

if TYPE_CHECKING:
    from emdpo.core.composition import Composition
    from emdpo.core.portraits import TypePortrait
    from emdpo.core.tastes import StyleProfile
    from emdpo.fitting import Fit


def portraits(place: Workplace, run_id: str) -> tuple[TypePortrait, ...]:
    """Return what each type of a run is."""
    from emdpo.core.portraits import type_portraits

    def make(fit: Fit) -> tuple[TypePortrait, ...]:
        parts = (fit.rankings, fit.reading, fit.responsibilities, fit.weights)
        return type_portraits(*parts, scores=fit.policies.candidate_scores())

    return place.derived(run_id, "portraits", make)


def profile(place: Workplace, run_id: str) -> StyleProfile:
    """Return how strongly each type wants each feature."""
    from emdpo.core.tastes import style_profile

    def make(fit: Fit) -> StyleProfile:
        parts = (fit.rankings, fit.reading, fit.responsibilities, fit.weights)
        return style_profile(*parts, types_given=fit.adapters is not None)

    return place.derived(run_id, "profile", make)


def composition_of(place: Workplace, run_id: str, attribute: str) -> Composition:
    """Return which types the people of each group belong to."""
    from emdpo.core.composition import composition

    return place.derived(
        run_id,
        ("composition", attribute),
        lambda fit: composition(
            fit.responsibilities, fit.rankings.users[attribute].tolist(), attribute
        ),
    )
