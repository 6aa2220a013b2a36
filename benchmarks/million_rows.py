"""A million candidate rows, K = 4, 32 features: one EM iteration against one plain NumPy pass."""

from __future__ import annotations

import numpy as np

from benchmarks.measuring import measure

N_ROWS, LENGTH, N_TYPES, N_FEATURES = 1_000_000, 4, 4, 32


def panel():
    """Return a state of random policies, rankings of distinct candidates, and the data's MB."""
    from emdpo.core.em import evaluate
    from emdpo.core.features import FeatureSet
    from emdpo.core.loglinear import LogLinearPolicies

    rng = np.random.default_rng(3)
    matrix = rng.normal(size=(N_ROWS, N_FEATURES))
    theta = rng.normal(scale=0.3, size=(N_TYPES, N_FEATURES))
    rankings = _rankings(rng)
    names = tuple(f"x_{d}" for d in range(N_FEATURES))
    features = FeatureSet(
        kind="columns",
        reason="benchmark",
        names=names,
        labels=names,
        matrix=matrix,
        codes=None,
        scale=np.ones(N_FEATURES),
        offset=np.zeros(N_FEATURES),
    )
    policies = LogLinearPolicies(features, theta, l2=1.0)
    log_weights = np.full(N_TYPES, -np.log(N_TYPES))
    arrays = (matrix, rankings.ranks, rankings.candidate, rankings.user, rankings.offsets)
    data_mb = sum(array.nbytes for array in arrays) / 2**20
    return evaluate(policies, rankings, log_weights), rankings, data_mb


def _rankings(rng: np.random.Generator):
    import pandas as pd

    from emdpo.core.rankings import Rankings

    n_rankings = N_ROWS // LENGTH
    ranks = np.argsort(rng.random((n_rankings, LENGTH)), axis=1) + 1
    prompt = np.arange(n_rankings, dtype=np.int32)
    n_users = n_rankings // 5
    return Rankings(
        offsets=np.arange(n_rankings + 1, dtype=np.int64) * LENGTH,
        ranks=ranks.ravel().astype(np.int32),
        candidate=np.arange(N_ROWS, dtype=np.int32),
        user=(prompt // 5).astype(np.int32),
        prompt=prompt,
        weight=np.ones(n_rankings),
        held_out=np.zeros(n_rankings, bool),
        ranking_ids=prompt.astype(object),
        users=pd.DataFrame(index=pd.Index(np.arange(n_users).astype(str), name="user_id")),
        prompts=pd.DataFrame({"prompt_id": prompt}),
        candidates=pd.DataFrame({"prompt": np.repeat(prompt, LENGTH)}),
    )


def observed_gradient(prepared) -> str:
    """One accelerated EM iteration: E-step and gradient M-step in one pass."""
    from emdpo.core.em import ObservedObjective

    state, rankings, data_mb = prepared
    objective = ObservedObjective(state.policies, rankings)
    vector = np.concatenate([state.policies.parameters(), state.log_weights])
    value, _ = objective(vector)
    return f"value {value:.6f}; data {data_mb:.0f} MB"


def fit_some(prepared) -> str:
    """Run a fit of five iterations, for its peak memory."""
    from emdpo.core.em import EMConfig
    from emdpo.core.mixture import fit_mixture

    state, rankings, data_mb = prepared
    features = state.policies.features
    config = EMConfig(max_iter=5, warm_up=1)
    fitted = fit_mixture(rankings, features, N_TYPES, l2=1.0, n_restarts=1, seed=0, config=config)
    return f"log-likelihood {fitted.best.state.log_likelihood:,.0f}; data {data_mb:.0f} MB"


def numpy_pass(prepared) -> str:
    """Scores by matrix product, softmax terms and the gradient's product, with nothing around."""
    state, _, data_mb = prepared
    matrix, theta = state.policies.features.matrix, state.policies.theta
    scores = (theta @ matrix.T).reshape(N_TYPES, -1, LENGTH)
    weight = np.exp(scores)
    log_rest = np.log(np.cumsum(weight[:, :, ::-1], axis=2))
    weight /= np.exp(log_rest)
    gradient = weight.reshape(N_TYPES, -1) @ matrix
    return f"value {log_rest.sum() + gradient.sum():.3g}; data {data_mb:.0f} MB"


def run() -> list[dict[str, object]]:
    """Return the rows of the table."""
    case = f"{N_ROWS:,} rows, K = {N_TYPES}, {N_FEATURES} features"
    measured = {
        "one plain NumPy pass": measure(panel, numpy_pass, repeats=3),
        "emdpo: one EM iteration": measure(panel, observed_gradient, repeats=3),
        "emdpo: fit, 5 iterations": measure(panel, fit_some),
    }
    plain = measured["one plain NumPy pass"].seconds
    return [
        {
            "case": case,
            "what": name,
            "seconds": cost.seconds,
            "peak_mb": cost.peak_mb,
            "result": cost.result,
            "ratio": cost.seconds / plain,
        }
        for name, cost in measured.items()
    ]
