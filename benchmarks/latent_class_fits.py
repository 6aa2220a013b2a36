"""One library's latent-class fits of a panel of choices, a JSON line for each seed.

Run by `latent_class` in a process of its own, with the interpreter that has the library:
LIBRARY FILE K SEEDS. A fit goes from the table in memory to the estimates. `theta` (K, D) is in the
units of the table. Each library is called as its documentation shows.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

FEATURES = ("pf", "cl", "loc", "wk", "tod", "seas")

Fit = Callable[[pd.DataFrame, int, int], tuple[np.ndarray, np.ndarray]]
"""Takes the table, K and a seed to weights (K,) and theta (K, D)."""


def canonical(choices: pd.DataFrame) -> pd.DataFrame:
    """Return emdpo's table: of each choice set the chosen one is 1st, all others tie as 2nd.

    The last tied group adds no stage, so a ranking's likelihood is the conditional logit's.
    """
    table = pd.DataFrame(
        {
            "user_id": choices["person"].astype(str),
            "prompt": "choice " + choices["choice_set"].astype(str),
            "response": "supplier " + choices["alternative"].astype(str),
            "rank": np.where(choices["chosen"] == 1, 1, 2),
        }
    )
    return table.assign(**{f"x_{name}": choices[name].astype(float) for name in FEATURES})


def emdpo(restarts: int | None = None) -> Fit:
    """Maximum likelihood (no prior on theta), all else as it comes unless `restarts` is given."""
    sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
    import emdpo
    import emdpo.fitting

    settings = {} if restarts is None else {"restarts": restarts}

    def fit(choices: pd.DataFrame, n_types: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        rankings = emdpo.load(canonical(choices))
        found = emdpo.fit(rankings, n_types, l2=0.0, seed=seed, **settings)
        order = [found.features.names.index(f"x_{name}") for name in FEATURES]
        return found.weights, found.features.raw_theta(found.policies.theta)[:, order]

    return fit


def lcl_choice(starts: int | None = None) -> Fit:
    """lcl-choice's EM with its Newton polish and clustered standard errors."""
    from lcl import ChoiceIds, FitOptions, LCLSpec, Options
    from lcl import fit as lcl_fit

    ids = ChoiceIds(alt="alternative", case="choice_set", panel="person", choice="chosen")
    more = {} if starts is None else {"starts": starts}

    def fit(choices: pd.DataFrame, n_types: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        formula = "chosen ~ " + " + ".join(FEATURES)
        spec = LCLSpec(ids=ids, utility_formula=formula, classes=n_types)
        table = choices.assign(chosen=choices["chosen"] == 1)
        found = lcl_fit(table, spec, options=Options(fit=FitOptions(seed=seed, **more)))
        return np.asarray(found.em_res.shares), np.asarray(found.em_res.betas).T

    return fit


def choice_learn() -> Fit:
    """choice-learn's maximum likelihood as in its notebook: one class draw for each choice."""
    import tensorflow as tf
    from choice_learn.data import ChoiceDataset
    from choice_learn.models.latent_class_mnl import LatentClassSimpleMNL

    def fit(choices: pd.DataFrame, n_types: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
        np.random.seed(seed)  # noqa: NPY002 - it uses the global state
        tf.random.set_seed(seed)
        data = ChoiceDataset.from_single_long_df(
            df=choices,
            items_features_columns=list(FEATURES),
            items_id_column="alternative",
            choices_id_column="choice_set",
            choices_column="chosen",
            choice_format="one_zero",
        )
        model = LatentClassSimpleMNL(
            n_types, fit_method="mle", optimizer="lbfgs", epochs=1000, lbfgs_tolerance=1e-20
        )
        model.fit(data)
        theta = np.stack([each.trainable_weights[0].numpy().ravel() for each in model.models])
        return model.get_latent_classes_weights().numpy(), theta

    return fit


LIBRARIES: dict[str, Callable[[], Fit]] = {
    "emdpo": emdpo,
    "emdpo_one_start": lambda: emdpo(restarts=1),
    "lcl_choice": lcl_choice,
    "lcl_choice_ten_starts": lambda: lcl_choice(starts=10),
    "choice_learn": choice_learn,
}


def main(library: str, file: str, n_types: str, n_seeds: str) -> None:
    choices = pd.read_csv(file)
    began = time.perf_counter()
    fit = LIBRARIES[library]()
    imports = time.perf_counter() - began
    for seed in range(int(n_seeds)):
        began, cpu = time.perf_counter(), time.process_time()
        weights, theta = fit(choices, int(n_types), seed)
        fact = {
            "seed": seed,
            "seconds": time.perf_counter() - began,
            "cpu_seconds": time.process_time() - cpu,
            "imports": imports,
            "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
            "weights": np.asarray(weights, float).tolist(),
            "theta": np.asarray(theta, float).tolist(),
        }
        print(json.dumps(fact), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
