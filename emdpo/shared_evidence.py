"""Rankings that neither of two fits was fitted to, and how well each predicts them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import numpy as np

from emdpo.core.errors import EmdpoError
from emdpo.core.prediction import Predictions, predict
from emdpo.predicting import model_of, predictions_of

if TYPE_CHECKING:
    from emdpo.core.rankings import Rankings
    from emdpo.core.tested import EvidenceConfig
    from emdpo.fitting import Fit

Progress = Callable[[int, int], None]

GUARD = "guard"
"""What is held out where nothing else is: the rankings that adapters of both fits were kept from,
since they told when to stop."""


def both_predictions(
    a: Fit,
    b: Fit,
    config: EvidenceConfig,
    rankings: Rankings | None = None,
    progress: Progress | None = None,
) -> tuple[Predictions, Predictions]:
    """Return what both fits predict of the same rankings; but for `split` fitted anew without them.

    Parameters
    ----------
    a, b : Fit
    config : EvidenceConfig
        What is held out.
    rankings : Rankings, optional
        For `split`: the file fitted, held-out rankings included.
    progress : callable, optional
        Called with folds done and folds in all, of both fits.

    Raises
    ------
    EmdpoError
        Fits of different data, or as `emdpo.evidence` for either of them.
    """
    if a.data_sha256 != b.data_sha256:
        raise EmdpoError(
            "evidence compares runs of the same data alone: these were fitted to different rankings"
        )
    first, second = (None, None) if progress is None else _halves(progress)
    one = predictions_of(a, config, rankings, first)
    return one, predictions_of(b, config, rankings, second)


def _halves(progress: Progress) -> tuple[Progress, Progress]:
    """Return what to call with the folds done of the first fit, and of the second."""
    return (
        lambda done, folds: progress(done, 2 * folds),
        lambda done, folds: progress(folds + done, 2 * folds),
    )


def guard_predictions(a: Fit, b: Fit) -> tuple[Predictions, Predictions] | None:
    """Return what both fits predict of what guarded both; None where that is not the same."""
    kept = _kept_from(a)
    if a.data_sha256 != b.data_sha256 or not kept or kept != _kept_from(b):
        return None
    held_out = np.zeros(a.rankings.n_rankings, bool)
    held_out[kept] = True
    known, test = a.rankings.select(~held_out), a.rankings.select(held_out)
    return predict(model_of(a), known, test), predict(model_of(b), known, test)


def _kept_from(fit: Fit) -> list[int]:
    """Return the rankings that no adapter of the fit was trained on; none where there are none."""
    places = fit.evidence.get("guarding_rankings")
    if fit.evidence.get("cross_fitted", True) or not isinstance(places, list):
        return []
    n = fit.rankings.n_rankings
    return [place for place in places if isinstance(place, int) and 0 <= place < n]
