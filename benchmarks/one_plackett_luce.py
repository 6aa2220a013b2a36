"""One Plackett-Luce model, 100 items, 20,000 rankings of 5: emdpo against choix."""

from __future__ import annotations

import numpy as np

from benchmarks.measuring import measure

N_ITEMS, N_RANKINGS, LENGTH = 100, 20_000, 5


def orders() -> np.ndarray:
    """Return rankings of 5 of 100 items, best first, (R, 5)."""
    rng = np.random.default_rng(2)
    utilities = rng.normal(size=N_ITEMS)
    shown = np.argsort(rng.random((N_RANKINGS, N_ITEMS)), axis=1)[:, :LENGTH]
    noisy = utilities[shown] + rng.gumbel(size=shown.shape)
    return np.take_along_axis(shown, np.argsort(-noisy, axis=1), axis=1)


def panel():
    """Return the same as Rankings with one feature per item."""
    import pandas as pd

    import emdpo
    from emdpo.core.features import build_features

    best_first = orders()
    names = np.array([f"item {j}" for j in range(N_ITEMS)])
    table = {
        "user_id": np.repeat(np.arange(N_RANKINGS).astype(str), LENGTH),
        "prompt": "which?",
        "response": names[best_first].ravel(),
        "rank": np.tile(np.arange(1, LENGTH + 1), N_RANKINGS),
    }
    rankings = emdpo.load(pd.DataFrame(table))
    return rankings, build_features(rankings, "items")


def emdpo_fit(prepared) -> float:
    """Return the log-likelihood at the maximum."""
    from emdpo.core.mixture import fit_mixture

    rankings, features = prepared
    fitted = fit_mixture(rankings, features, 1, l2=0.0, n_restarts=1, seed=0)
    return fitted.best.state.log_likelihood


def choix_ilsr(best_first: np.ndarray) -> float:
    """Return the log-likelihood at choix's iterative Luce spectral ranking."""
    import choix

    return _log_likelihood(choix.ilsr_rankings(N_ITEMS, best_first.tolist()), best_first)


def choix_opt(best_first: np.ndarray) -> float:
    """Return the log-likelihood at choix's direct optimisation."""
    import choix

    return _log_likelihood(choix.opt_rankings(N_ITEMS, best_first.tolist()), best_first)


def _log_likelihood(theta: np.ndarray, best_first: np.ndarray) -> float:
    scores = theta[best_first]
    return float((scores - np.logaddexp.accumulate(scores[:, ::-1], axis=1)[:, ::-1]).sum())


def run() -> list[dict[str, object]]:
    """Return the rows of the table."""
    case = f"{N_ITEMS} items, {N_RANKINGS:,} rankings of {LENGTH}, one type"
    measured = {
        "emdpo (one type)": measure(panel, emdpo_fit, repeats=3),
        "choix.ilsr_rankings": measure(orders, choix_ilsr, repeats=3),
        "choix.opt_rankings": measure(orders, choix_opt),
    }
    ours = measured["emdpo (one type)"].seconds
    return [
        {
            "case": case,
            "what": name,
            "seconds": cost.seconds,
            "peak_mb": cost.peak_mb,
            "result": f"log-likelihood {cost.result:,.4f}",
            "ratio": cost.seconds / ours,
        }
        for name, cost in measured.items()
    ]
