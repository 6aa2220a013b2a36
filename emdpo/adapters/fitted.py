"""The model of a finished fit: its base model, carrying the adapters that the fit found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from emdpo.adapters.base_model import load_base_model
from emdpo.adapters.lora import AdaptedModel, carry
from emdpo.core.errors import EmdpoError, RunError
from emdpo.settings import EMBEDDED, WRITES_NOTHING

if TYPE_CHECKING:
    from emdpo.adapters.base_model import BaseModel
    from emdpo.adapters.saved import Adapter
    from emdpo.fitting import Fit


def model_of(
    fit: Fit,
    names: Sequence[str],
    others: Mapping[str, Adapter] | None = None,
    base: BaseModel | None = None,
) -> AdaptedModel:
    """Return the base model with adapters of a fit and others, by name.

    Parameters
    ----------
    fit : Fit
    names : sequence of str
        Of `fit.adapters`.
    others : dict of str to Adapter, optional
        Made from the fit later.
    base : BaseModel, optional
        The fit's base model, if it is loaded already and carries no adapters.

    Raises
    ------
    EmdpoError
        The fit's policies are log-linear.
    RunError
        Another base model than that of the fit.
    ModelError
        The base model cannot be had.
    """
    if fit.adapters is None or fit.base_model is None:
        raise EmdpoError(WRITES_NOTHING)
    base = base or load_base_model(fit.config.base_model or EMBEDDED)
    if base.fingerprint != fit.base_model.fingerprint:
        raise RunError(
            f"the adapters were trained on another base model than {base.name} "
            f"(fingerprint {fit.base_model.fingerprint[:12]}, here {base.fingerprint[:12]})"
        )
    return carry(base, {**{name: fit.adapters[name] for name in names}, **(others or {})})
