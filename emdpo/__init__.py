"""emdpo: discover preference types behind rankings, serve each, and audit who is badly served.

>>> import emdpo
>>> rankings = emdpo.load("assets/demo/classroom.csv")
>>> print(rankings.n_users, "pupils,", rankings.n_rankings, "rankings")
24 pupils, 72 rankings
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from emdpo.adapters.config import AdapterConfig
    from emdpo.auditing import audit
    from emdpo.choosing import select
    from emdpo.comparing import compare_runs
    from emdpo.core.audit import Audit
    from emdpo.core.checks import Report, check
    from emdpo.core.errors import (
        DataError,
        EmdpoError,
        ModelError,
        NotIdentifiableError,
        RunError,
    )
    from emdpo.core.rankings import Rankings
    from emdpo.core.readers import load
    from emdpo.core.tested import Evidence
    from emdpo.fitting import Fit, FitConfig, fit
    from emdpo.formats.exporting import export_rankings
    from emdpo.formats.importing import import_rankings
    from emdpo.head_to_head.comparison import Comparison
    from emdpo.head_to_head.engine import compare
    from emdpo.predicting import evidence
    from emdpo.run_comparison import RunComparison
    from emdpo.runs import load_fit
    from emdpo.who_am_i import posterior

_HOMES = {
    "AdapterConfig": "emdpo.adapters.config",
    "Audit": "emdpo.core.audit",
    "Comparison": "emdpo.head_to_head.comparison",
    "DataError": "emdpo.core.errors",
    "EmdpoError": "emdpo.core.errors",
    "Evidence": "emdpo.core.tested",
    "Fit": "emdpo.fitting",
    "FitConfig": "emdpo.fitting",
    "ModelError": "emdpo.core.errors",
    "NotIdentifiableError": "emdpo.core.errors",
    "Rankings": "emdpo.core.rankings",
    "Report": "emdpo.core.checks",
    "RunComparison": "emdpo.run_comparison",
    "RunError": "emdpo.core.errors",
    "audit": "emdpo.auditing",
    "check": "emdpo.core.checks",
    "compare": "emdpo.head_to_head.engine",
    "compare_runs": "emdpo.comparing",
    "evidence": "emdpo.predicting",
    "export_rankings": "emdpo.formats.exporting",
    "fit": "emdpo.fitting",
    "import_rankings": "emdpo.formats.importing",
    "load": "emdpo.core.readers",
    "load_fit": "emdpo.runs",
    "posterior": "emdpo.who_am_i",
    "select": "emdpo.choosing",
}

__all__ = [
    "AdapterConfig",
    "Audit",
    "Comparison",
    "DataError",
    "EmdpoError",
    "Evidence",
    "Fit",
    "FitConfig",
    "ModelError",
    "NotIdentifiableError",
    "Rankings",
    "Report",
    "RunComparison",
    "RunError",
    "audit",
    "check",
    "compare",
    "compare_runs",
    "evidence",
    "export_rankings",
    "fit",
    "import_rankings",
    "load",
    "load_fit",
    "posterior",
    "select",
]


def __getattr__(name: str) -> Any:
    """Load a public name when it is first used: scikit-learn and pandas take a second."""
    if name not in _HOMES:
        raise AttributeError(f"module 'emdpo' has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
