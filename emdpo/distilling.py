"""Distil the consensus of a run into one adapter, kept in the run folder beside those of types."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from emdpo import files
from emdpo.adapters.distilled import REPORT, DistilConfig, save_distilled
from emdpo.adapting import told_what_to_install
from emdpo.core.errors import EmdpoError
from emdpo.runs import load_fit
from emdpo.settings import WRITES_NOTHING

if TYPE_CHECKING:
    from collections.abc import Mapping


def distil_run(
    run: str | Path, config: DistilConfig | None = None, **watching: Any
) -> Mapping[str, Any] | None:
    """Distil the consensus of a finished run into policy/consensus/ and return its distil.json.

    None, and nothing written, where it was stopped.

    Parameters
    ----------
    run : path
        A finished run folder with adapters.
    config : DistilConfig, optional
    **watching
        base, should_stop and on_progress, as of `adapters.distil.distil`.

    Raises
    ------
    EmdpoError
        The run's policies are log-linear, or a library that adapters need is not installed.
    RunError
        No finished run, another base model than the run's, or a folder that cannot be written to.
    ModelError
        The base model cannot be had.
    """
    fit = load_fit(run)
    if fit.adapters is None:
        raise EmdpoError(f"{run}: {WRITES_NOTHING}")
    with told_what_to_install():
        from emdpo.adapters.distil import distil
    found = distil(fit, config, **watching)
    if found is None:
        return None
    return files.read_json(save_distilled(found, fit, Path(run)) / REPORT)
