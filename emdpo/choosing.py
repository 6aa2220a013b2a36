"""Choose the number of types, from Python."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

from emdpo.core.checks import check_n_types
from emdpo.core.errors import EmdpoError
from emdpo.core.features import build_features
from emdpo.core.identifiability import refuse_unidentifiable
from emdpo.core.selection import Selection, SelectionConfig, select_types
from emdpo.fitting import FitConfig, fitted_panel

if TYPE_CHECKING:
    from emdpo.core.rankings import Rankings


def select(
    rankings: Rankings,
    n_types: Iterable[int] | None = None,
    *,
    features: str = "auto",
    l2: float | None = None,
    restarts: int = 10,
    max_iter: int = 500,
    seed: int = 0,
    force: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> Selection:
    """Return how well each number of types predicts held-out rankings, and a recommendation.

    Parameters
    ----------
    rankings : Rankings
    n_types : iterable of int, optional
        The K to try, each in 1..N users; 1 is added. 1 to 6 by default, or to N.
    features, l2, restarts, max_iter, seed
        As in `fit`.
    force : bool
        As in `fit`: try more than one type even where the rankings cannot tell types apart.
    progress : callable, optional
        Called with steps done and steps in all.

    Raises
    ------
    EmdpoError
        K out of range, a setting out of range, or fewer than two rankings.
    NotIdentifiableError
        A K above 1 where the rankings cannot tell types apart, unless `force`.

    Examples
    --------
    >>> import emdpo
    >>> rankings = emdpo.load("assets/demo/classroom.csv")
    >>> emdpo.select(rankings, range(1, 3), restarts=2).table["n_types"].tolist()
    [1, 2]
    """
    panel = fitted_panel(rankings)
    usual = range(1, min(6, panel.n_users) + 1)
    numbers = list(usual if n_types is None else n_types)
    if not numbers:
        raise EmdpoError("n_types must name at least one number of types")
    for number in numbers:
        check_n_types(number, panel)
    if panel.n_rankings < 2:
        raise EmdpoError(f"{panel.n_rankings} rankings, none to hold out; it takes 2")
    if max(numbers) > 1 and not force:
        refuse_unidentifiable(panel)
    default = FitConfig(n_types=1)
    settings = FitConfig(
        n_types=max(numbers),
        features=features,
        l2=default.l2 if l2 is None else l2,
        restarts=restarts,
        max_iter=max_iter,
        seed=seed,
    )
    config = SelectionConfig(
        l2=settings.l2,
        restarts=settings.restarts,
        fold_restarts=min(settings.restarts, SelectionConfig.fold_restarts),
        max_iter=settings.max_iter,
        seed=settings.seed,
    )
    return select_types(panel, build_features(panel, features), numbers, config, progress)
